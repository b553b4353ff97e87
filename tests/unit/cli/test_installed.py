"""What `list` and `verify` print of installed models, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelboot._catalog import resolve
from modelboot._install.installed import Installed
from modelboot._install.target import Target
from modelboot.cli.installed import installed_facts, installed_text, issues_of, quick_issues
from modelboot.cli.output import to_json

SHA256 = "0123456789abcdef" * 4


def test_installed_text(tmp_path: Path) -> None:
    """What is installed is a table, with what is wrong below the model that has it."""
    items = [
        _installed(tmp_path, "en_tiny_sm", installer="modelboot"),
        _installed(tmp_path, "fr_tiny_sm", installer="", is_damaged=True),
    ]
    assert installed_text(items).splitlines() == [
        "name        version  state       installer  folder",
        f"en_tiny_sm  1.0.0    intact      modelboot  {tmp_path}",
        f"fr_tiny_sm  1.0.0    not intact  unknown    {tmp_path}",
        "  fr_tiny_sm/meta.json is missing",
    ]


def test_installed_text_nothing() -> None:
    """Where nothing is installed, the next step is named."""
    assert installed_text([]) == (
        "no models are installed; `modelboot list --available` shows the models you can install"
    )


@pytest.mark.parametrize("issues", [[], ["en_tiny_sm/meta.json is missing"]], ids=["intact", "damaged"])
def test_installed_facts(tmp_path: Path, issues: list[str]) -> None:
    """The JSON of `list` has the state that its text has, whether that is intact, and if not, why."""
    model = _installed(tmp_path, "en_tiny_sm", installer="pip", is_damaged=bool(issues))
    facts = installed_facts(model, quick_issues(model))
    assert json.loads(to_json(facts)) == {
        "name": "en_tiny_sm",
        "version": "1.0.0",
        "state": "not intact" if issues else "intact",
        "intact": not issues,
        "issues": issues,
        "installer": "pip",
        "folder": str(tmp_path),
        "sha256": SHA256,
    }


def test_issues_of_wheel_not_in_the_catalog(tmp_path: Path) -> None:
    """A model of a catalog version that came from another wheel is told with both hashes."""
    official = resolve("en_core_web_sm")
    assert issues_of(_installed(tmp_path / "official", official.name, version=official.version_label), {}) == [
        f"it came from a wheel with sha256 {SHA256}, the catalog pins {official.sha256}"
    ]
    assert issues_of(_installed(tmp_path / "unknown", official.name, version="9.9.9"), {}) == []


def _installed(
    folder: Path, name: str, *, version: str = "1.0.0", installer: str = "modelboot", is_damaged: bool = False
) -> Installed:
    """Install the least that counts as a model, and lose a file of it if it is to be damaged."""
    dist_info = folder / f"{name}-{version}.dist-info"
    dist_info.mkdir(parents=True)
    (dist_info / "INSTALLER").write_text(installer)
    (dist_info / "direct_url.json").write_text(json.dumps({"archive_info": {"hashes": {"sha256": SHA256}}}))
    own = "".join(f"{dist_info.name}/{file},,\n" for file in ("INSTALLER", "RECORD", "direct_url.json"))
    (dist_info / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/meta.json,,2\n{own}")
    (folder / name).mkdir()
    (folder / name / "meta.json").write_text("{}")
    if is_damaged:
        (folder / name / "meta.json").unlink()
    return Installed(name, Target("environment", folder), dist_info)

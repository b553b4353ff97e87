"""Results look as a person likes to read them, and as a program can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelboot import InstalledModel, ModelPin
from modelboot._catalog import CatalogEntry, resolve
from modelboot._install.installed import Installed
from modelboot._install.target import Target
from modelboot.cli import commands, installed
from modelboot.cli import list as listing
from modelboot.cli.output import to_json
from modelboot.cli.pin import PIN_FORMATS, pin_facts

SHA256 = "0123456789abcdef" * 4
PIN = ModelPin("en_tiny_sm", "1.0.0", SHA256, size_mb=12)
RELEASE = "https://github.com/explosion/spacy-models/releases/download"
URL = f"{RELEASE}/en_tiny_sm-1.0.0/en_tiny_sm-1.0.0-py3-none-any.whl"

FETCHED = InstalledModel(
    name="fr_tiny_sm",
    version="1.2.0",
    path=Path("/env/fr_tiny_sm/fr_tiny_sm-1.2.0"),
    sha256=SHA256,
    verified=True,
    source="release",
    downloaded_bytes=16_271_721,
    seconds=1.23456,
    phases=(("find", 0.001), ("lock", 0.0), ("fetch", 1.0), ("unpack", 0.2), ("publish", 0.034)),
)
PRESENT = InstalledModel(
    name="en_tiny_sm",
    version="1.0.0",
    path=Path("/env/en_tiny_sm/en_tiny_sm-1.0.0"),
    sha256=SHA256,
    verified=True,
    source="present",
    downloaded_bytes=0,
    seconds=0.001,
    phases=(("find", 0.001),),
)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (FETCHED, "fr_tiny_sm 1.2.0  release, 16.3 MB, 1.23 s  /env"),
        (PRESENT, "en_tiny_sm 1.0.0  present  /env"),
    ],
    ids=["fetched", "present"],
)
def test_model_line(model: InstalledModel, line: str) -> None:
    """`install` tells in a line what it is, how it got there, what that cost and where it is."""
    assert commands.model_line(model) == line


def test_model_facts() -> None:
    """The JSON of `install` has every fact of the model but the phases, the path as text."""
    assert json.loads(to_json(commands.model_facts(FETCHED))) == {
        "name": "fr_tiny_sm",
        "version": "1.2.0",
        "sha256": SHA256,
        "verified": True,
        "source": "release",
        "path": "/env/fr_tiny_sm/fr_tiny_sm-1.2.0",
        "downloaded_bytes": 16_271_721,
        "seconds": 1.2346,
    }


def test_catalog_text() -> None:
    """The catalog is a table, with the whole hash where that is asked for."""
    entries = [
        CatalogEntry(PIN, ">=3.8.0,<3.9.0", "MIT"),
        CatalogEntry(ModelPin("en_tiny_trf", "3.7.10", SHA256, size_mb=436), ">=3.7.0", "GNU GPL 3.0"),
    ]
    assert listing.catalog_text(entries, has_hashes=False).splitlines() == [
        "name         version  spaCy             size  license",
        "en_tiny_sm   1.0.0    >=3.8.0,<3.9.0   12 MB  MIT",
        "en_tiny_trf  3.7.10   >=3.7.0         436 MB  GNU GPL 3.0",
    ]
    assert listing.catalog_text(entries, has_hashes=True).splitlines() == [
        "name         version  spaCy             size  license      sha256",
        f"en_tiny_sm   1.0.0    >=3.8.0,<3.9.0   12 MB  MIT          {SHA256}",
        f"en_tiny_trf  3.7.10   >=3.7.0         436 MB  GNU GPL 3.0  {SHA256}",
    ]


def test_entry_facts() -> None:
    """The JSON of `list --available` has the pin, the spaCy range and the license."""
    pin = ModelPin("ja_tiny_sm", "1.0.0", SHA256, requires=("sudachipy>=0.5.2",), size_mb=12)
    facts = listing.entry_facts(CatalogEntry(pin, ">=3.8.0,<3.9.0", "MIT"))
    assert json.loads(to_json(facts)) == {
        "name": "ja_tiny_sm",
        "version": "1.0.0",
        "sha256": SHA256,
        "url": URL.replace("en_", "ja_"),
        "requires": ["sudachipy>=0.5.2"],
        "size_mb": 12,
        "spacy": ">=3.8.0,<3.9.0",
        "license": "MIT",
    }


def test_installed_text(tmp_path: Path) -> None:
    """What is installed is a table, with what is wrong below the model that has it."""
    items = [
        _installed(tmp_path, "en_tiny_sm", installer="modelboot"),
        _installed(tmp_path, "fr_tiny_sm", installer="", is_damaged=True),
    ]
    assert installed.installed_text(items).splitlines() == [
        "name        version  state       installer  folder",
        f"en_tiny_sm  1.0.0    intact      modelboot  {tmp_path}",
        f"fr_tiny_sm  1.0.0    not intact  unknown    {tmp_path}",
        "  fr_tiny_sm/meta.json is missing",
    ]


def test_installed_text_nothing() -> None:
    """Where nothing is installed, the next step is named."""
    assert installed.installed_text([]) == (
        "no models are installed; `modelboot list --available` shows the models you can install"
    )


@pytest.mark.parametrize("issues", [[], ["en_tiny_sm/meta.json is missing"]], ids=["intact", "damaged"])
def test_installed_facts(tmp_path: Path, issues: list[str]) -> None:
    """The JSON of `list` has the state that its text has, whether that is intact, and if not, why."""
    model = _installed(tmp_path, "en_tiny_sm", installer="pip", is_damaged=bool(issues))
    facts = installed.installed_facts(model, installed.quick_issues(model))
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
    assert installed.issues_of(_installed(tmp_path / "official", official.name, version=official.version_label)) == [
        f"it came from a wheel with sha256 {SHA256}, the catalog pins {official.sha256}"
    ]
    assert installed.issues_of(_installed(tmp_path / "unknown", official.name, version="9.9.9")) == []


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("python", f'ModelPin("en_tiny_sm", "1.0.0", "{SHA256}", size_mb=12)'),
        ("requirements", f"en_tiny_sm @ {URL}#sha256={SHA256}"),
        ("uv", f'en_tiny_sm = {{ url = "{URL}#sha256={SHA256}" }}'),
    ],
)
def test_pin_format(form: str, line: str) -> None:
    """A pin in each format is this line."""
    assert PIN_FORMATS[form](PIN) == line


def test_pin_facts_without_secrets() -> None:
    """The JSON of a pin has its URL without a password."""
    url = "https://me:secret@example.org/en_tiny_sm-1.0.0-py3-none-any.whl?token=secret"
    facts = pin_facts(ModelPin("en_tiny_sm", "1.0.0", SHA256, url=url))
    assert facts["url"] == "https://example.org/en_tiny_sm-1.0.0-py3-none-any.whl"
    assert "secret" not in json.dumps(facts)


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

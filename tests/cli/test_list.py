"""`modelboot list`: what is installed and whether it is whole; with `--available`, the catalog."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot._catalog import resolve
from modelboot._versions import accepts_version
from support.commands import facts, output
from support.wheels import DIST_INFO, NAME, build_wheel

RELEASES = 192
HEADS = ["name", "version", "spaCy", "size", "license"]


@pytest.mark.parametrize("command", ["list", "verify"])
def test_list_of_nothing(command: str) -> None:
    """Where nothing is installed that is not a failure, and what to do is said; as JSON it is an empty list."""
    told = "no models are installed; `modelboot list --available` shows the models you can install\n"
    assert (output(command), facts(command)) == (told, [])


def test_list_of_installed_models(pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """Text and JSON have each model with its state; what is wrong with one is a result, not a failure."""
    ensure_model(build_wheel(tmp_path / "other", name="fr_tiny_sm", members={"fr_tiny_sm/__init__.py": b""}).pin)
    ensure_model(pin)
    (target / DIST_INFO / "INSTALLER").unlink()
    assert output("list").splitlines() == [
        "name        version  state       installer  folder",
        f"en_tiny_sm  1.0.0    not intact  unknown    {target}",
        f"  {DIST_INFO}/INSTALLER is missing",
        f"fr_tiny_sm  1.0.0    intact      modelboot  {target}",
    ]
    damaged, intact = facts("list")
    identity = {"name": NAME, "version": "1.0.0", "sha256": pin.sha256, "installer": "", "folder": str(target)}
    state = {"state": "not intact", "intact": False, "issues": [f"{DIST_INFO}/INSTALLER is missing"]}
    assert damaged == {**identity, **state}
    assert (intact["name"], intact["state"], intact["intact"], intact["issues"]) == ("fr_tiny_sm", "intact", True, [])


def test_available_is_the_whole_catalog() -> None:
    """With --all the table has every official release, the hash only where it is asked for, sizes at the right."""
    head, *rows = output("list", "--available", "--all").splitlines()
    assert (head.split(), len(rows)) == (HEADS, RELEASES)
    assert len({row.index(" MB  ") for row in rows}) == 1
    head, *rows = output("list", "--available", "--all", "--hashes").splitlines()
    assert (head.split(), len(rows)) == ([*HEADS, "sha256"], RELEASES)
    (default,) = [row.split() for row in rows if row.startswith("en_core_web_sm ") and " 3.8.0 " in row]
    assert default[-1] == "1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85"


def test_available_fits_a_terminal() -> None:
    """By default it shows what suits the installed spaCy, in 80 columns, without hashes."""
    head, *rows = output("list", "--available").splitlines()
    assert head.split() == HEADS
    assert 0 < len(rows) < RELEASES
    assert max(map(len, [head, *rows])) <= 80
    assert {accepts_version(row.split()[2], version("spacy")) for row in rows} == {True}


def test_available_json() -> None:
    """The JSON has every field of the pin, the spaCy range and the license."""
    entries = facts("list", "--available", "--all")
    assert len(entries) == RELEASES
    pin = resolve("ja_core_news_sm==3.8.0")
    (entry,) = [entry for entry in entries if entry["sha256"] == pin.sha256]
    own = {"url": pin.release_url, "requires": [*pin.requires], "spacy": ">=3.8.0,<3.9.0", "license": "CC BY-SA 4.0"}
    assert entry == {**asdict(pin), **own}
    assert pin.requires


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("fr_core", {"fr_core_news_lg", "fr_core_news_md", "fr_core_news_sm"}),
        ("EN-core-web-s*", {"en_core_web_sm"}),
        ("*_web_trf", {"en_core_web_trf", "zh_core_web_trf"}),
    ],
)
def test_available_of_a_pattern(pattern: str, names: set[str]) -> None:
    """A part of a name or a pattern as in a shell narrows the catalog down, also as JSON."""
    assert {entry["name"] for entry in facts("list", "--available", pattern)} == names
    assert {row.split()[0] for row in output("list", "--available", pattern).splitlines()[1:]} == names


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--available"], "the catalog has none for the installed spaCy; --all shows those for every spaCy\n"),
        (["--available", "--all"], "the catalog has no model of that name\n"),
        ([], "no installed model has a name like that\n"),
    ],
    ids=["available", "of every spaCy", "installed"],
)
def test_list_of_a_pattern_without_a_match(options: list[str], told: str, pin: ModelPin) -> None:
    """What cannot help is not offered, and that nothing is installed is not said where something is."""
    ensure_model(pin)
    assert output("list", *options, "nobody") == told
    assert facts("list", *options, "nobody") == []

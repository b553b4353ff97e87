"""`modelboot list`: what is installed and whether it is whole; with `--available`, the catalog."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot._catalog import resolve
from modelboot._versions import accepts_version
from modelboot.cli import main
from support.wheels import DIST_INFO, NAME, build_wheel, small_members

Capture = pytest.CaptureFixture[str]
RELEASES = 192
HEADS = ["name", "version", "spaCy", "size", "license"]


@pytest.mark.parametrize("command", ["list", "verify"])
def test_list_of_nothing(command: str, capsys: Capture) -> None:
    """Where nothing is installed that is no failure, and what to do is said; as JSON it is an empty list."""
    assert main([command]) == 0
    told = "no models are installed; `modelboot list --available` shows the models you can install\n"
    assert capsys.readouterr() == (told, "")
    assert main([command, "--json"]) == 0
    assert capsys.readouterr() == ("[]\n", "")


def test_list_of_installed_models(pin: ModelPin, target: Path, tmp_path: Path, capsys: Capture) -> None:
    """Text and JSON have each model with its state; what is wrong with one is a result, not a failure."""
    members = {path.replace(NAME, "fr_tiny_sm"): content for path, content in small_members().items()}
    other = build_wheel(tmp_path / "other", name="fr_tiny_sm", lang="fr", members=members)
    ensure_model(pin)
    ensure_model(other.pin)
    (target / DIST_INFO / "INSTALLER").unlink()
    assert main(["list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name        version  state       installer  folder",
        f"en_tiny_sm  1.0.0    not intact  unknown    {target}",
        f"  {DIST_INFO}/INSTALLER is missing",
        f"fr_tiny_sm  1.0.0    intact      modelboot  {target}",
    ]
    assert main(["list", "--json"]) == 0
    damaged, intact = json.loads(capsys.readouterr().out)
    assert damaged == {
        "name": "en_tiny_sm",
        "version": "1.0.0",
        "state": "not intact",
        "intact": False,
        "issues": [f"{DIST_INFO}/INSTALLER is missing"],
        "installer": "",
        "folder": str(target),
        "sha256": pin.sha256,
    }
    assert (intact["name"], intact["state"], intact["intact"], intact["issues"]) == ("fr_tiny_sm", "intact", True, [])


def test_available_is_the_whole_catalog(capsys: Capture) -> None:
    """With --all the table has every official release, the hash only where it is asked for, sizes at the right."""
    assert main(["list", "--available", "--all"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert (head.split(), len(rows)) == (HEADS, RELEASES)
    assert len({row.index(" MB  ") for row in rows}) == 1
    assert main(["list", "--available", "--all", "--hashes"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert (head.split(), len(rows)) == ([*HEADS, "sha256"], RELEASES)
    (default,) = [row.split() for row in rows if row.startswith("en_core_web_sm ") and " 3.8.0 " in row]
    assert default[-1] == "1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85"


def test_available_fits_a_terminal(capsys: Capture) -> None:
    """By default it shows what suits the installed spaCy, in 80 columns, without hashes."""
    assert main(["list", "--available"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == HEADS
    assert 0 < len(rows) < RELEASES
    assert max(map(len, [head, *rows])) <= 80
    installed = version("spacy")
    assert {accepts_version(row.split()[2], installed) for row in rows} == {True}


def test_available_json(capsys: Capture) -> None:
    """The JSON has every field of the pin, the spaCy range and the license."""
    assert main(["list", "--available", "--all", "--json"]) == 0
    entries = {f"{entry['name']} {entry['version']}": entry for entry in json.loads(capsys.readouterr().out)}
    assert len(entries) == RELEASES
    pin = resolve("ja_core_news_sm==3.8.0")
    assert entries[str(pin)] == {
        "name": "ja_core_news_sm",
        "version": "3.8.0",
        "sha256": pin.sha256,
        "url": pin.release_url,
        "requires": [*pin.requires],
        "size_mb": pin.size_mb,
        "spacy": ">=3.8.0,<3.9.0",
        "license": "CC BY-SA 4.0",
    }
    assert pin.requires


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("fr_core", {"fr_core_news_lg", "fr_core_news_md", "fr_core_news_sm"}),
        ("EN-core-web-s*", {"en_core_web_sm"}),
        ("*_web_trf", {"en_core_web_trf", "zh_core_web_trf"}),
        ("nobody", set()),
    ],
)
def test_available_of_a_pattern(capsys: Capture, pattern: str, names: set[str]) -> None:
    """A part of a name or a pattern as in a shell narrows the catalog down, also as JSON; nothing found is told."""
    assert main(["list", "--available", "--json", pattern]) == 0
    assert {entry["name"] for entry in json.loads(capsys.readouterr().out)} == names
    assert main(["list", "--available", pattern]) == 0
    out = capsys.readouterr().out
    assert {row.split()[0] for row in out.splitlines()[1:]} == names
    assert names or out.startswith("the catalog has none for the installed spaCy; --all shows ")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--available", "--all", "nobody"], "the catalog has no model of that name\n"),
        (["nobody"], "no installed model has a name like that\n"),
    ],
    ids=["of every spaCy", "installed"],
)
def test_list_of_a_pattern_without_a_match(options: list[str], told: str, capsys: Capture, pin: ModelPin) -> None:
    """What cannot help is not offered, and that nothing is installed is not said where something is."""
    ensure_model(pin)
    assert main(["list", *options]) == 0
    assert capsys.readouterr().out == told

"""The maintainer's script turns release metadata into the shipped catalog, or says what is wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import rebuild_catalog


def releases() -> Iterator[dict[str, Any]]:
    """Turn the shipped catalog's rows back into the publisher's metadata."""
    for row in csv.DictReader(rebuild_catalog.CATALOG.read_text("utf-8").splitlines()):
        lang, _, name = row["name"].partition("_")
        requirements = [each for each in row["requirements"].split(";") if each]
        checksum = f"sha256:{row['sha256'].upper()}"
        yield {**row, "lang": lang, "name": name, "checksum_whl": checksum, "requirements": requirements}


SOUND = next(releases())


def rebuild(folder: Path, *contents: object) -> int:
    """Write each release to a file of its own, in an order unlike that of the rows, and run the script."""
    for number, content in enumerate(reversed(contents)):
        (folder / f"{number:03}.json").write_text(json.dumps(content), "utf-8")
    return rebuild_catalog.main([str(folder), "--output", str(folder / "out.csv")])


def test_catalog_round_trip(tmp_path: Path) -> None:
    """The shipped catalog, taken apart and rebuilt, comes out byte for byte; releases of other series are left out."""
    assert rebuild(tmp_path, *releases(), {"version": "2.3.1"}, SOUND | {"version": "3.80.0"}) == 0
    assert (tmp_path / "out.csv").read_bytes() == rebuild_catalog.CATALOG.read_bytes()


def test_catalog_of_a_small_checkout(tmp_path: Path) -> None:
    """Rows come by name and then by version as numbers."""
    versions = ["3.7.9", "3.7.10", "3.8.9", "3.8.10"]
    assert rebuild(tmp_path, *(SOUND | {"version": version} for version in versions)) == 0
    heading, *lines = (tmp_path / "out.csv").read_text("utf-8").splitlines()
    assert heading == "name,version,sha256,spacy_version,license,size,requirements"
    assert [line.split(",")[1] for line in lines] == versions


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        *(({key: SOUND[key] for key in SOUND if key != lost}, f"no {lost}") for lost in ("lang", "version", "size")),
        (SOUND | {"checksum_whl": "abc"}, "ModelPin.sha256='abc' is not 64 hexadecimal digits"),
        (SOUND | {"size": "much"}, "no size in MB"),
        (SOUND | {"license": "MIT\nor so"}, "not texts on one line"),
        (SOUND | {"requirements": ["a;b"]}, "requirements is ['a;b'], not a list of texts without ';'"),
        ([1], "list"),
        (SOUND, "in 2 files"),
    ],
)
def test_release_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: object, complaint: str) -> None:
    """A malformed file is told, each of several, and so is a release that comes twice; nothing is written."""
    assert rebuild(tmp_path, {}, content, SOUND) == 1
    told = capsys.readouterr().err.splitlines()
    told.remove("002.json: no version")
    (line,) = told
    assert complaint in line
    assert not (tmp_path / "out.csv").exists()


def test_folder_without_releases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with nothing to list does not empty the catalog."""
    assert rebuild(tmp_path) == 1
    assert capsys.readouterr().err == f"{tmp_path}: no release of 3.7 or 3.8\n"

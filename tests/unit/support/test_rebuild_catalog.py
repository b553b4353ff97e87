"""The maintainer's script turns release metadata into the shipped catalog, or says what is wrong."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tools import rebuild_catalog

DIGEST = "0123456789abcdef" * 4
HEADER = "name,version,sha256,spacy_version,license,size,requirements"


def release(**changes: object) -> dict[str, Any]:
    """Give the metadata of a sound release with some keys changed."""
    return {
        "name": "core_web_sm",
        "lang": "en",
        "version": "3.8.0",
        "checksum_whl": DIGEST,
        "spacy_version": ">=3.8.0,<3.9.0",
        "size": "12 MB",
        "license": "MIT",
        **changes,
    }


def without(key: str) -> dict[str, Any]:
    """Give the metadata of a release that lacks a key."""
    return {name: value for name, value in release().items() if name != key}


@pytest.fixture
def meta(tmp_path: Path) -> Path:
    """Give an empty folder for metadata."""
    folder = tmp_path / "meta"
    folder.mkdir()
    return folder


def put(meta: Path, *releases: Mapping[str, Any]) -> None:
    """Write releases into a folder, a file each, in an order of names unlike that of the rows."""
    for number, content in enumerate(reversed(releases)):
        (meta / f"{number:03}.json").write_text(json.dumps(content), encoding="utf-8")


def rebuilt(meta: Path) -> list[str]:
    """Rebuild a catalog that must succeed and give its lines after the header."""
    output = meta.parent / "catalog.csv"
    assert rebuild_catalog.main([str(meta), "--output", str(output)]) == 0
    header, *lines = output.read_bytes().decode().split("\n")
    assert header == HEADER
    assert lines.pop() == ""
    return lines


def test_row_of_a_release(meta: Path) -> None:
    """A release becomes a row with its language in its name and nothing where requirements would be."""
    put(meta, release())
    assert rebuilt(meta) == [f'en_core_web_sm,3.8.0,{DIGEST},">=3.8.0,<3.9.0",MIT,12 MB,']


def test_requirements_several(meta: Path) -> None:
    """Requirements are joined by semicolons."""
    put(meta, release(requirements=["sudachipy>=0.5.2,!=0.6.1", "sudachidict-core"]))
    assert rebuilt(meta)[0].endswith(',"sudachipy>=0.5.2,!=0.6.1;sudachidict-core"')


def test_hash_prefixed(meta: Path) -> None:
    """The algorithm's name before a digest is dropped, and capitals are lowered."""
    put(meta, release(checksum_whl=f"sha256:{DIGEST.upper()}"))
    assert rebuilt(meta)[0].split(",")[2] == DIGEST


def test_order_by_name_then_number(meta: Path) -> None:
    """Rows are sorted by name and then by version as numbers."""
    others = [release(version=version) for version in ("3.8.10", "3.7.9", "3.8.9", "3.7.10")]
    put(meta, *others, release(lang="de", version="3.8.1"))
    rows = [line.split(",")[:2] for line in rebuilt(meta)]
    english = [["en_core_web_sm", version] for version in ("3.7.9", "3.7.10", "3.8.9", "3.8.10")]
    assert rows == [["de_core_web_sm", "3.8.1"], *english]


def test_series_other_is_left_out(meta: Path) -> None:
    """A release of another series is left out, even one that lacks today's keys."""
    old = {"name": "core_web_sm", "lang": "en", "version": "2.3.1"}
    put(meta, release(), release(version="3.6.0"), release(version="3.80.0"), old)
    assert [line.split(",")[1] for line in rebuilt(meta)] == ["3.8.0"]


def test_series_chosen(meta: Path) -> None:
    """The series to take can be chosen."""
    put(meta, release(), release(version="3.6.0"))
    rows, problems = rebuild_catalog.read_releases(meta, series=["3.6"])
    assert [row[1] for row in rows] == ["3.6.0"]
    assert not problems


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (without("version"), "no version"),
        (without("lang"), "no lang"),
        (without("checksum_whl"), "no checksum_whl"),
        (without("spacy_version"), "no spacy_version"),
        (release(checksum_whl="abc"), "checksum_whl is 'abc', not 64 hex digits"),
        (release(checksum_whl=f"md5:{DIGEST}"), f"checksum_whl is 'md5:{DIGEST}', not 64 hex digits"),
        (release(size=12), "size is 12, not a text"),
        (release(license="MIT\nor so"), "license is 'MIT\\nor so', not a text"),
        (release(requirements="jieba"), "requirements is 'jieba', not a list of texts without ';'"),
        (release(requirements=["a;b"]), "requirements is ['a;b'], not a list of texts without ';'"),
        ([1], "not a JSON object but list"),
    ],
)
def test_release_malformed(
    meta: Path, capsys: pytest.CaptureFixture[str], content: Mapping[str, Any], complaint: str
) -> None:
    """A malformed release is named on one line and nothing is written."""
    put(meta, content, release())
    assert rebuild_catalog.main([str(meta), "--output", str(meta / "out.csv")]) == 1
    assert capsys.readouterr().err == f"001.json: {complaint}\n"
    assert not (meta / "out.csv").exists()


def test_releases_malformed_together(meta: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every malformed file is reported, not only the first, and the catalog before stays."""
    output = meta / "out.csv"
    output.write_text("before")
    put(meta, without("size"), release(checksum_whl="abc"), release())
    (meta / "text.json").write_text("{")
    assert rebuild_catalog.main([str(meta), "--output", str(output)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["001.json", "002.json", "text.json"]
    assert output.read_text() == "before"


def test_release_given_twice(meta: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two files for one release are a problem, since only one can be right."""
    put(meta, release(), release(size="13 MB"))
    assert rebuild_catalog.main([str(meta), "--output", str(meta / "out.csv")]) == 1
    assert capsys.readouterr().err == "en_core_web_sm 3.8.0: in 2 files\n"


def test_folder_without_releases(meta: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder with nothing to list does not empty the catalog."""
    assert rebuild_catalog.main([str(meta), "--output", str(meta / "out.csv")]) == 1
    assert capsys.readouterr().err == f"{meta}: no release of 3.7 or 3.8\n"


def test_write_leaves_no_sibling(meta: Path) -> None:
    """A write that cannot be completed leaves no temporary file behind."""
    (meta / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        rebuild_catalog.write_atomically(meta / "taken", b"content")
    assert [path.name for path in meta.iterdir()] == ["taken"]


def test_script_as_a_program(meta: Path) -> None:
    """The script runs by its path and exits with the status it should."""
    put(meta, without("size"))
    command = [sys.executable, rebuild_catalog.__file__, str(meta), "--output", str(meta / "out.csv")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "000.json: no size\n")


def as_releases(catalog: bytes) -> Iterator[dict[str, Any]]:
    """Turn a catalog's rows back into the publisher's metadata."""
    for row in csv.DictReader(io.StringIO(catalog.decode(), newline="")):
        lang, _, name = row.pop("name").partition("_")
        requirements = row.pop("requirements")
        listed = {"requirements": requirements.split(";")} if requirements else {}
        yield {"lang": lang, "name": name, "checksum_whl": row.pop("sha256"), **row, **listed}


def test_catalog_round_trip(meta: Path, tmp_path: Path) -> None:
    """The shipped catalog, taken apart and rebuilt, comes out byte for byte."""
    shipped = rebuild_catalog.CATALOG.read_bytes()
    put(meta, *as_releases(shipped))
    output = tmp_path / "rebuilt.csv"
    assert rebuild_catalog.main([str(meta), "--output", str(output)]) == 0
    assert output.read_bytes() == shipped

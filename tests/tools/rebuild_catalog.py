"""Rebuild the catalog that ships with modelboot from a folder of the publisher's release metadata.

Usage: python tests/tools/rebuild_catalog.py META_FOLDER [--output FILE] [--series 3.7 3.8]
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

COLUMNS = ("name", "version", "sha256", "spacy_version", "license", "size", "requirements")
CATALOG = Path(__file__).resolve().parents[2] / "src" / "modelboot" / "catalog.csv"
SERIES = ("3.7", "3.8")

Row = tuple[str, ...]


class ReleaseError(Exception):
    """A release whose metadata cannot become a row."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script.

    Args:
        argv: The arguments, those of the process by default.

    Returns:
        The exit status: 0 when the catalog was written, 1 when a file was malformed and nothing was.
    """
    options = _parser().parse_args(argv)
    rows, problems = read_releases(options.folder, series=options.series)
    if problems:
        sys.stderr.write("".join(f"{problem}\n" for problem in problems))
        return 1
    write_atomically(options.output, catalog_bytes(rows))
    return 0


def read_releases(folder: Path, *, series: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Read every release of some series, and every problem rather than the first.

    Args:
        folder: Where the metadata is, a JSON file a release.
        series: The versions to take, each a start such as "3.8".

    Returns:
        The rows in the order of the files, and a line for each problem.
    """
    results = [_row(path, series) for path in sorted(folder.glob("*.json"))]
    rows = [result for result in results if isinstance(result, tuple)]
    problems = [result for result in results if isinstance(result, str)]
    if not rows and not problems:
        problems.append(f"{folder}: no release of {' or '.join(series)}")
    return rows, problems + _repeated(rows)


def catalog_bytes(rows: Iterable[Row]) -> bytes:
    """Word the catalog, sorted by name and then by the numbers of the version."""
    text, ordered = io.StringIO(newline=""), sorted(rows, key=_place)
    # The default dialect, line ends included: that of the catalog in the design.
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(ordered)
    return text.getvalue().encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    handle, sibling = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(sibling).chmod(0o644)
        Path(sibling).replace(path)
    except BaseException:
        Path(sibling).unlink(missing_ok=True)
        raise


def _parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(description="Rebuild modelboot's catalog from release metadata.")
    parser.add_argument("folder", type=Path, metavar="META_FOLDER", help="JSON files, one a release")
    parser.add_argument("--output", type=Path, default=CATALOG, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--series", nargs="+", default=SERIES, metavar="X.Y", help="default: 3.7 3.8")
    return parser


def _row(path: Path, series: Sequence[str]) -> Row | str | None:
    """Read one file: a row, a line on what is wrong, or nothing when the release is of another series."""
    try:
        return _covered(_release(path), series)
    except ReleaseError as error:
        return f"{path.name}: {error}"


def _covered(release: Mapping[str, Any], series: Sequence[str]) -> Row | None:
    """Make a release's row, unless it is of another series."""
    version = _text(release, "version")
    # Before all else: releases of old series lack keys that the covered ones have.
    if not any(version.startswith(f"{start}.") for start in series):
        return None
    name = f"{_text(release, 'lang')}_{_text(release, 'name')}"
    facts = tuple(_text(release, key) for key in ("spacy_version", "license", "size"))
    return (name, version, _sha256(release), *facts, _requirements(release))


def _release(path: Path) -> Mapping[str, Any]:
    """Read a JSON object."""
    try:
        release: object = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"not JSON: {error}"
        raise ReleaseError(msg) from error
    if not isinstance(release, dict):
        msg = f"not a JSON object but {type(release).__name__}"
        raise ReleaseError(msg)
    return release


def _text(release: Mapping[str, Any], key: str) -> str:
    """Give a text that must be there and stay on one line."""
    value = release.get(key)
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        msg = f"{key} is {value!r}, not a text" if key in release else f"no {key}"
        raise ReleaseError(msg)
    return value


def _sha256(release: Mapping[str, Any]) -> str:
    """Give the wheel's digest, in lower case and without a prefix."""
    checksum = _text(release, "checksum_whl")
    digest = checksum.removeprefix("sha256:").lower()
    if not re.fullmatch("[0-9a-f]{64}", digest):
        msg = f"checksum_whl is {checksum!r}, not 64 hex digits"
        raise ReleaseError(msg)
    return digest


def _requirements(release: Mapping[str, Any]) -> str:
    """Join the requirements; one with a marker would not survive that."""
    requirements = release.get("requirements") or []
    listed = isinstance(requirements, list) and all(isinstance(entry, str) for entry in requirements)
    if not listed or any(";" in entry for entry in requirements):
        msg = f"requirements is {requirements!r}, not a list of texts without ';'"
        raise ReleaseError(msg)
    return ";".join(requirements)


def _repeated(rows: Iterable[Row]) -> list[str]:
    """Name the releases that more than one file gives."""
    times = Counter(row[:2] for row in rows)
    return [f"{name} {version}: in {count} files" for (name, version), count in times.items() if count > 1]


def _place(row: Row) -> tuple[str, tuple[int, ...], str]:
    """Sort by name and then by the version's numbers, so that 3.7.10 comes behind 3.7.9."""
    name, version, *_ = row
    return name, tuple(int(number) for number in re.findall(r"\d+", version)), version


if __name__ == "__main__":
    sys.exit(main())

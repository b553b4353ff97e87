"""Rebuild the catalog that ships with modelboot from a folder of the publisher's release metadata.

Usage: python tests/tools/rebuild_catalog.py META_FOLDER [--output FILE]
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from modelboot import ModelPin, SettingsError
from modelboot._versions import version_key

SERIES = ("3.7.", "3.8.")
"""How the versions begin that are taken."""
COLUMNS = ("name", "version", "sha256", "spacy_version", "license", "size", "requirements")
CATALOG = Path(__file__).resolve().parents[2] / "src" / "modelboot" / "catalog.csv"

Row = tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the script.

    Args:
        argv: The arguments, those of the process by default.

    Returns:
        The exit status: 0 when the catalog was written, 1 when a file was malformed and nothing was.
    """
    parser = argparse.ArgumentParser(description="Rebuild modelboot's catalog from release metadata.")
    parser.add_argument("folder", type=Path, metavar="META_FOLDER", help="JSON files, one a release")
    parser.add_argument("--output", type=Path, default=CATALOG, metavar="FILE", help="default: %(default)s")
    options = parser.parse_args(argv)
    rows, problems = read_releases(options.folder)
    if problems:
        sys.stderr.write("".join(f"{problem}\n" for problem in problems))
        return 1
    text = io.StringIO(newline="")
    ordered = sorted(rows, key=lambda row: (row[0], version_key(row[1])))
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *ordered])
    whole = options.output.with_name(f".{options.output.name}.new")
    whole.write_bytes(text.getvalue().encode())
    os.replace(whole, options.output)
    return 0


def read_releases(folder: Path) -> tuple[list[Row], list[str]]:
    """Read every release of `SERIES`, and every problem rather than the first.

    Args:
        folder: Where the metadata is, a JSON file a release.

    Returns:
        The rows in the order of the files, and a line for each problem.
    """
    rows, problems = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            release = json.loads(path.read_text("utf-8"))
            # Before all else: releases of old series lack keys that the covered ones have.
            if release["version"].startswith(SERIES):
                rows.append(_row(release))
        except KeyError as error:
            problems.append(f"{path.name}: no {error.args[0]}")
        except (ValueError, TypeError, AttributeError) as error:
            problems.append(f"{path.name}: {error.message if isinstance(error, SettingsError) else error}")
    times = Counter(row[:2] for row in rows)
    problems += [f"{name} {version}: in {count} files" for (name, version), count in times.items() if count > 1]
    return rows, problems or ([] if rows else [f"{folder}: no release of 3.7 or 3.8"])


def _row(release: dict[str, str]) -> Row:
    """Turn the metadata of a release into a row, or raise an error that says why not."""
    requirements: object = release.get("requirements") or []
    if not isinstance(requirements, list) or ";" in "".join(requirements):  # a marker would not survive the join
        message = f"requirements is {requirements!r}, not a list of texts without ';'"
        raise ValueError(message)
    name, digest = f"{release['lang']}_{release['name']}", release["checksum_whl"].removeprefix("sha256:")
    pin = ModelPin(name, release["version"], digest, requires=tuple(requirements))
    facts = tuple(release[key] for key in ("spacy_version", "license", "size"))
    if not all(fact.isprintable() and fact.strip() for fact in facts) or not re.fullmatch("[0-9]+ MB", facts[-1]):
        message = f"not texts on one line, or no size in MB: {facts!r}"
        raise ValueError(message)
    return (pin.name, release["version"], pin.sha256, *facts, ";".join(requirements))


if __name__ == "__main__":
    sys.exit(main())

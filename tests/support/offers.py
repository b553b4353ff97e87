"""A catalog of the tests' own: wheels built on the spot take the place of the official releases."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import _catalog
from support.wheels import SPACY_RANGE

if TYPE_CHECKING:
    from support.wheels import BuiltWheel


def offer(
    monkeypatch: pytest.MonkeyPatch, mirror: Path, *wheels: BuiltWheel, spacy_range: str = SPACY_RANGE, size_mb: int = 1
) -> None:
    """Make these wheels all that the catalog knows, and have them fetched from a mirror at a file URL.

    Args:
        monkeypatch: Undoes it after the test.
        mirror: Folder to lay out as the release tree; made if missing.
        wheels: What the catalog has.
        spacy_range: Versions of spaCy the catalog says they were made for.
        size_mb: Size the catalog says they have, in megabytes.
    """
    rows: dict[str, list[dict[str, str]]] = {}
    for wheel in wheels:
        release = mirror / f"{wheel.name}-{wheel.version}"
        release.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel.path, release)
        row = {"name": wheel.name, "version": wheel.version, "sha256": wheel.sha256, "spacy_version": spacy_range}
        rows.setdefault(wheel.name, []).append(row | {"license": "MIT", "size": f"{size_mb} MB", "requirements": ""})
    monkeypatch.setattr(_catalog, "_rows", lambda: rows)
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.as_uri())

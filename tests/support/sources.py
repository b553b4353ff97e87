"""Wheels put where modelboot looks for them: in the catalog and its mirror, and on a package index."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import _catalog
from support.server import Reply
from support.wheels import SPACY_RANGE

if TYPE_CHECKING:
    from support.server import ModelServer
    from support.wheels import BuiltWheel


def publish(
    monkeypatch: pytest.MonkeyPatch, mirror: Path, *wheels: BuiltWheel, spacy_range: str = SPACY_RANGE, size_mb: int = 1
) -> Path:
    """Make these wheels all that the catalog knows, and have them fetched from a mirror at a file URL.

    Args:
        monkeypatch: Undoes it after the test.
        mirror: Folder to lay out as the release tree; made if missing.
        wheels: What the catalog has.
        spacy_range: Versions of spaCy the catalog says they were made for.
        size_mb: Size the catalog says they have, in megabytes.

    Returns:
        The folder of the mirror.
    """
    for wheel in wheels:
        (mirror / wheel.release_path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel.path, mirror / wheel.release_path)
    lines = catalog_lines(*wheels, spacy_range=spacy_range, size_mb=size_mb)
    monkeypatch.setattr(_catalog, "_lines", lambda: lines)
    monkeypatch.setenv("MODELBOOT_BASE_URL", mirror.as_uri())
    return mirror


def catalog_lines(*wheels: BuiltWheel, spacy_range: str = SPACY_RANGE, size_mb: int = 1) -> list[str]:
    """Return the lines of a catalog that knows these wheels alone; arguments as those of `publish`."""
    header = "name,version,sha256,spacy_version,license,size,requirements"
    rows = (f'{each.name},{each.version},{each.sha256},"{spacy_range}",MIT,{size_mb} MB,' for each in wheels)
    return [header, *rows]


def publish_to_index(server: ModelServer, wheel: Path) -> None:
    """Put a wheel on a package index, under the name and version its file name has, as PEP 503 lays it out.

    Args:
        server: The server that plays the index; its root is `<url>/simple/`.
        wheel: The file to put there.
    """
    project = wheel.name.partition("-")[0].replace("_", "-").lower()
    page = f'<!DOCTYPE html><html><body><a href="/files/{wheel.name}">{wheel.name}</a></body></html>'
    server.serve(f"/simple/{project}/", Reply(headers={"Content-Type": "text/html"}, body=page.encode()))
    server.serve(f"/files/{wheel.name}", Reply(body=wheel.read_bytes()))


def use_index_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the index asked, and pip's settings name one: no test has other settings of pip's or uv's from its start.

    Args:
        url: Base URL of the server that plays the index.
        monkeypatch: Undoes it.
    """
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple/")

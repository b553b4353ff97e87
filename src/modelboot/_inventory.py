"""What is installed: every spaCy pipeline in the folders modelboot looks in, whoever put it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelboot import _places, _store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from modelboot._settings import Settings
    from modelboot._store import DistInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One installed pipeline."""

    name: str
    version: str
    installer: str
    """The program that put it there; empty when it left no name."""
    folder: Path
    sha256: str | None
    """SHA-256 of the wheel it came from, where the installer recorded it."""
    damage: str | None
    """The first thing that keeps it from being whole; None for nothing."""


def inventory(settings: Settings) -> list[Item]:
    """List the installed pipelines, by name, version and folder.

    Args:
        settings: The settings in force: they say where to look.

    Returns:
        One item an installed distribution; a name can be there twice, in two folders or versions.
    """
    items = [_item(folder, info) for folder in _places.in_use(settings) for info in _pipelines(folder)]
    return sorted(items, key=lambda item: (item.name, item.version, item.folder))


def _pipelines(folder: Path) -> Iterator[DistInfo]:
    for info in _store.dist_infos_in(folder):
        if info.installer == _places.INSTALLER or info.is_pipeline:
            yield info


def _item(folder: Path, info: DistInfo) -> Item:
    return Item(
        name=info.name,
        version=info.version,
        installer=info.installer,
        folder=folder,
        sha256=info.sha256,
        damage=_store.missing(folder, info, folder / info.name),
    )

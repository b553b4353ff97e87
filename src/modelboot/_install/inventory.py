"""What is installed: every spaCy pipeline in the folders modelboot looks in, whoever put it there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelboot import _catalog
from modelboot._install import installed as _store
from modelboot._install import target as _places
from modelboot._install.installed import DistInfo, Found
from modelboot._pin import same_version
from modelboot._settings import Settings


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

    @property
    def found(self) -> Found:
        """Where its files are."""
        dist_info = self.folder / f"{self.name}-{self.version}.dist-info"
        return Found(self.folder, DistInfo(dist_info), self.folder / self.name)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def inventory(settings: Settings) -> list[Item]:
    """List the installed pipelines, by name, version and folder.

    Args:
        settings: The settings in force: they say where to look.

    Returns:
        One item an installed distribution; a name can be there twice, in two folders or versions.
    """
    items = [_item(folder, info) for folder in _places.in_use(settings) for info in _pipelines(folder)]
    return sorted(items, key=lambda item: (item.name, item.version, item.folder))


def installed(model: str, settings: Settings) -> list[Item]:
    """List the installed pipelines a user means by a name or by name==version.

    Args:
        model: The name, with or without a version; it need not be in the catalog.
        settings: The settings in force.

    Returns:
        All of that name and version, whoever installed them.
    """
    name, _, version = (part.strip() for part in model.partition("=="))
    return [
        item
        for item in inventory(settings)
        if item.name == name and (not version or same_version(item.version, version))
    ]


def audit(item: Item) -> list[str]:
    """Hash every file of an installed pipeline against its RECORD, and the wheel's hash against the catalog.

    Args:
        item: The pipeline.

    Returns:
        A phrase for each file that is altered, missing or extra; empty when all is as it was installed.

    Raises:
        OSError: A file could not be read.
    """
    issues = [] if item.damage is None else [item.damage]
    issues += [issue for issue in _store.altered(item.found) if issue not in issues]
    issues += [f"{path} is not in RECORD" for path in _store.unrecorded(item.found)]
    pins = [entry.pin.sha256 for entry in _catalog.entries(item.name) if entry.pin.version == item.version]
    if pins and item.sha256 not in {None, *pins}:
        issues.append(f"it came from a wheel with sha256 {item.sha256}, the catalog pins {pins[0]}")
    return issues


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

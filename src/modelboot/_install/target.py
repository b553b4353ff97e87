"""Where a model may lie: the folders to look in, and the one to install into.

A place is a folder that holds `<name>/` and its dist-info, with `.modelboot/` (locks and stages) on the same file
system. The store is different in one way: each wheel has a folder of its own there, which is published in one rename
and loaded by path.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from modelboot._pin import ModelPin
from modelboot._settings import Settings

WORK = ".modelboot"
"""Folder beside what is installed, for locks and stages."""
INSTALLER = "modelboot"
"""What the file INSTALLER (PEP 376) of a model says that modelboot put in place."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder models can be installed into."""

    label: str
    """What a person calls it: "MODELBOOT_TARGET", "environment", "user site", "store"."""
    folder: Path
    """Where the package and its dist-info lie."""
    work: Path
    """Where locks and stages lie, on the same file system."""

    @property
    def is_store(self) -> bool:
        """Whether the folder is this one wheel's own, published as a whole."""
        return self.work.parent != self.folder


def purelib() -> Path:
    """Return the folder this interpreter's environment keeps pure Python packages in."""
    return Path(sysconfig.get_path("purelib"))


def to_look_in(pin: ModelPin, settings: Settings) -> Iterator[Place]:
    """Yield the places a pinned model may already lie in, the likeliest first.

    Args:
        pin: The model.
        settings: The settings in force.

    Yields:
        Places whose folders need not exist.
    """
    yield from _shared(settings)
    if settings.home is not None:
        yield _store(pin, settings.home)


def in_use(settings: Settings) -> Iterator[Path]:
    """Yield every folder any model may lie in, the store's among them."""
    yield from (place.folder for place in _shared(settings))
    if settings.home is not None:
        yield from sorted(_folders_in(settings.home))


def _folders_in(home: Path) -> Iterator[Path]:
    """Yield the folders of single wheels in the store; none where this user may not look."""
    with suppress(OSError), os.scandir(home) as entries:
        for entry in entries:
            if entry.name != WORK and entry.is_dir():
                yield Path(entry.path)


def _working_folder() -> str:
    """Return the working directory with links resolved; nothing when it was deleted."""
    try:
        return os.path.realpath(os.getcwd())
    except FileNotFoundError:
        return ""


def to_install_into(pin: ModelPin, settings: Settings) -> Iterator[Place]:
    """Yield the places a model may be installed into, the first choice first.

    Args:
        pin: The model.
        settings: The settings in force.

    Yields:
        The target when one is set, else the environment and the user site; then the store.
    """
    if settings.target is not None:
        yield _target(settings.target)
    else:
        yield from _own()
    if settings.home is not None:
        yield _store(pin, settings.home)


def at(folder: Path) -> Place:
    """Return the place a folder is in which a model was found: its own, even if it is not one of those to choose from.

    A folder of the store is recognised by its neighbour `.modelboot`.
    """
    if (folder.parent / WORK).is_dir() and not (folder / WORK).is_dir():
        return Place("store", folder, folder.parent / WORK)
    return _site("where it lies", folder)


def _shared(settings: Settings) -> Iterator[Place]:
    """Yield the places many models may lie in.

    With a target set that is the target alone. Otherwise it is every folder on sys.path but the working directory,
    whose files are whatever somebody left there.
    """
    if settings.target is not None:
        yield _target(settings.target)
        return
    working = _working_folder()
    # Links are not resolved in what is yielded: the folder is shown to people, and named by links on purpose.
    others = [Path(os.path.normpath(os.path.join(working, folder))) for folder in sys.path if folder]
    seen = {working}
    for place in (*_own(), *(_site("sys.path", folder) for folder in others if folder.is_absolute())):
        real = os.path.realpath(place.folder)
        if real not in seen:
            seen.add(real)
            yield place


def _own() -> Iterator[Place]:
    """Yield the environment's folder, and the user's own where Python uses it: not in a virtual environment."""
    yield _site("environment", purelib())
    if site.ENABLE_USER_SITE:
        yield _site("user site", Path(site.getusersitepackages()))


def _target(folder: Path) -> Place:
    return _site("MODELBOOT_TARGET", folder)


def is_writable(place: Place) -> bool:
    """Tell whether this user could install there, without changing anything."""
    existing = place.work
    # Not Path.exists: that raises below a folder this user may not enter (HOME=/root in a container run as another).
    while not os.path.exists(existing) and existing != existing.parent:
        existing = existing.parent
    # Also the folder itself: the work folder may have been made while it was still writable.
    probes = {existing, place.folder} if os.path.exists(place.folder) else {existing}
    return all(os.path.isdir(probe) and os.access(probe, os.W_OK | os.X_OK) for probe in probes)


def _site(label: str, folder: Path) -> Place:
    return Place(label, folder, folder / WORK)


def _store(pin: ModelPin, home: Path) -> Place:
    return Place("store", home / f"{pin.name}-{pin.version}-{pin.sha256[:12]}", home / WORK)

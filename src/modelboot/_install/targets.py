"""Where models may lie, which of these places a new one goes to, and why not to the others.

A target is a folder that holds `<name>/` and its dist-info, with `.modelboot/` (locks and stages) on the same file
system. The store is different in one way: there each wheel has a folder of its own, which is published in one rename
and loaded by path.
"""

from __future__ import annotations

import os
import re
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from modelboot._environment import is_externally_managed
from modelboot._pin import ModelPin
from modelboot._settings import Settings

WORK = ".modelboot"
"""Folder beside what is installed, for locks and stages."""
INSTALLER = "modelboot"
"""Content of the file INSTALLER (PEP 376) of what modelboot installed."""

FOREIGN = "has one that modelboot may not replace or read"
RESERVED = "this Python is externally managed (PEP 668)"

Rename = tuple[Path, Path]
"""Source and destination."""


class Target(NamedTuple):
    """A folder that many packages share; a model in it is a package and a dist-info."""

    label: str
    """What a person calls it: "MODELBOOT_TARGET", "environment", "user site", "sys.path", "store"."""
    folder: Path
    """Where the package and its dist-info lie."""
    require_hash: bool = False
    """Whether a model counts as installed there only when its recorded hash is the pin's."""
    is_reserved: bool = False
    """Whether the environment is another program's to change, so that nothing new is put there (PEP 668)."""

    def __str__(self) -> str:
        return f"{self.folder} ({self.label})"

    @property
    def work(self) -> Path:
        """Where locks and stages lie, on the same file system."""
        return self.folder / WORK

    def lock_file(self, name: str) -> Path:
        """Return the lock file of one model."""
        return self.work / f"{name}.lock"

    @property
    def commit_folder(self) -> Path:
        """Folder whose entries change when a model comes or goes: it has to be flushed afterwards."""
        return self.folder

    def folders_of(self, *existing: Path) -> tuple[Path, ...]:
        """Return what leaves the target when a model does: its dist-infos and its package."""
        return existing

    def renames_out(self, existing: Iterable[Path], backup: Path) -> list[Rename]:
        """List the renames that move a model out of the target.

        Args:
            existing: Its dist-infos and its package, in this order: without a dist-info it counts as absent.
            backup: Folder they go to.
        """
        return [(path, backup / path.name) for path in existing]

    def renames_in(self, unpacked: Path, names: Iterable[str]) -> list[Rename]:
        """List the renames that move an unpacked model into the target.

        Args:
            unpacked: Folder that holds the package and its dist-info.
            names: Their names, the dist-info's last: with it the model counts as installed.
        """
        return [(unpacked / name, self.folder / name) for name in names]

    def moved_to(self, backup: Path) -> Target:
        """Return the target as which a folder can be read that a model was moved to by `renames_out`."""
        return self._replace(folder=backup)


class Store(Target):
    """A folder of the store, which is one wheel's own: it comes and goes as a whole."""

    @property
    def work(self) -> Path:
        """Where locks and stages lie, for all wheels of the store."""
        return self.folder.parent / WORK

    @property
    def commit_folder(self) -> Path:
        """The store itself."""
        return self.folder.parent

    def folders_of(self, *existing: Path) -> tuple[Path, ...]:  # noqa: ARG002 - all that is there
        """Return everything in the folder."""
        return tuple(self.folder.iterdir()) if os.path.isdir(self.folder) else ()

    def renames_out(self, existing: Iterable[Path], backup: Path) -> list[Rename]:  # noqa: ARG002 - all that is there
        """List the one rename that moves the folder out, if it exists."""
        return [(self.folder, backup / self.folder.name)] if os.path.lexists(self.folder) else []

    def renames_in(self, unpacked: Path, names: Iterable[str]) -> list[Rename]:  # noqa: ARG002 - all that is there
        """List the one rename that makes what is unpacked the folder."""
        return [(unpacked, self.folder)]

    def moved_to(self, backup: Path) -> Target:
        """Return the folder of the store that lies in there now."""
        return self._replace(folder=backup / self.folder.name)


def purelib() -> Path:
    """Return the folder this interpreter's environment keeps pure Python packages in."""
    return Path(sysconfig.get_path("purelib"))


def targets_to_search(pin: ModelPin, settings: Settings) -> Iterator[Target]:
    """Yield the targets a pinned model may already lie in, the likeliest first.

    Args:
        pin: The model.
        settings: The settings in force.

    Yields:
        Targets whose folders need not exist.
    """
    yield from _search_path(settings)
    if settings.home is not None:
        yield store_of(pin, settings.home)


def targets_in_use(settings: Settings) -> Iterator[Target]:
    """Yield every target any model may lie in, each wheel's folder of the store among them."""
    yield from _search_path(settings)
    if settings.home is not None:
        folders = sorted(_all_in(settings.home))
        yield from (Store("store", folder) for folder in folders if re.search(_STORE, folder.name))


def targets_to_install_into(pin: ModelPin, settings: Settings) -> Iterator[Target]:
    """Yield the targets a model may be installed into, the first choice first."""
    yield from _new_places(settings)
    if settings.home is not None:
        yield store_of(pin, settings.home)


def _new_places(settings: Settings) -> Iterator[Target]:
    """Yield the target that was set, else the environment and the user site."""
    if settings.target is not None:
        yield Target("MODELBOOT_TARGET", settings.target, settings.require_hash)
    else:
        yield from _environment_targets(settings)


class Choice(NamedTuple):
    """A place that a new model may go to."""

    target: Target
    why_not: str
    """Why it cannot go there, in words; empty when it can."""


def choices(
    pin: ModelPin, settings: Settings, is_free: Callable[[Target], bool], replacing: Target | None = None
) -> Iterator[Choice]:
    """Yield the places a model may go to, the first choice first. Nothing is changed.

    Args:
        pin: The model.
        settings: The settings in force.
        is_free: Tells whether a target holds nothing that has to stay.
        replacing: Where a damaged copy is to be replaced; else a new one goes to the target that was set, the
            environment or the user site. In any case the store comes last.

    Yields:
        Each place; an install takes the first that nothing speaks against.
    """
    places = [*_new_places(settings)] if replacing is None else [replacing]
    if settings.home is not None and places[0].folder != (store := store_of(pin, settings.home)).folder:
        places.append(store)
    for target in places:
        free = is_free(target)
        yield Choice(target, why_not(target) if free else FOREIGN)
        if free and replacing is None and settings.target is not None:  # "here and nowhere else"
            return


def why_not(target: Target) -> str:
    """Return why nothing new can be put into a target; empty when this user can install there."""
    if target.is_reserved:
        return RESERVED
    if not _is_writable(target):
        return f"user {os.getuid()} may not write there" if hasattr(os, "getuid") else "it may not be written"
    return ""


def _is_writable(target: Target) -> bool:
    existing = nearest_existing(target.work)
    # Also the folder itself: the work folder may have been made while it was still writable.
    probes = {existing, target.folder} if os.path.exists(target.folder) else {existing}
    return all(os.path.isdir(probe) and os.access(probe, os.W_OK | os.X_OK) for probe in probes)


def nearest_existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that exists; the topmost where none does, as on a drive that is gone."""
    # Not Path.exists: that raises below a folder this user may not enter (HOME=/root in a container run as another).
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _search_path(settings: Settings) -> Iterator[Target]:
    """Yield the targets many models may lie in.

    When a target is set, only that one. Otherwise every folder on sys.path but the working directory, which may hold
    anything.
    """
    if settings.target is not None:
        yield Target("MODELBOOT_TARGET", settings.target, settings.require_hash)
        return
    working = _working_directory()
    # Links are not resolved in what is yielded: the folder is shown to people, and named by links on purpose.
    # As Python reads it: what is not text is not a folder, whatever the type says, nor is one with a null byte.
    path: list[object] = [*sys.path]
    entries = [entry for entry in path if isinstance(entry, str) and entry and "\0" not in entry]
    others = [Path(os.path.normpath(os.path.join(working, folder))) for folder in entries]
    # Folders of the store are there, too, once a model was used from it.
    shared = (folder for folder in others if folder.is_absolute() and folder.parent != settings.home)
    seen = {working}
    for target in (
        *_environment_targets(settings),
        *(Target("sys.path", folder, settings.require_hash) for folder in shared),
    ):
        real = os.path.realpath(target.folder)
        if real not in seen:
            seen.add(real)
            yield target


def _environment_targets(settings: Settings) -> Iterator[Target]:
    """Yield the environment's folder, and the user's own where Python uses it: not in a virtual environment."""
    is_reserved = is_externally_managed()
    yield Target("environment", purelib(), settings.require_hash, is_reserved)
    if site.ENABLE_USER_SITE:
        yield Target("user site", Path(site.getusersitepackages()), settings.require_hash, is_reserved)


def store_of(pin: ModelPin, home: Path) -> Store:
    """Return the folder of the store that is one wheel's own."""
    return Store("store", home / f"{pin.name}-{pin.version or 'any'}-{pin.sha256[:12]}")


_STORE = r"-[0-9a-f]{12}$"
"""How the name of a folder of the store ends: other folders there are not modelboot's."""


def _all_in(home: Path) -> Iterator[Path]:
    """Yield what lies in the store; nothing when this user may not read it."""
    with suppress(OSError):
        yield from home.iterdir()


def _working_directory() -> str:
    """Return the working directory with links resolved; nothing when it was deleted."""
    try:
        return os.path.realpath(os.getcwd())
    except FileNotFoundError:
        return ""

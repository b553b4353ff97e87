"""Where models may be installed, and where they may lie already. Nothing here writes.

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
from collections.abc import Iterable, Iterator
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

    def failure_file(self, name: str) -> Path:
        """Return the file that has why a model could not be fetched, as long as others wait for its lock."""
        return self.work / f"{name}.failure"

    def left_file(self, name: str) -> Path:
        """Return the mark of one that failed and left what it had made to those that wait."""
        return self.work / f"{name}.left"

    @property
    def renamed_in(self) -> Path:
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


class Store(Target):
    """A folder of the store, which is one wheel's own: it comes and goes as a whole."""

    @property
    def work(self) -> Path:
        """Where locks and stages lie, for all wheels of the store."""
        return self.folder.parent / WORK

    @property
    def renamed_in(self) -> Path:
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
    yield from _shared(settings)
    if settings.home is not None:
        yield _store(pin, settings.home)


def targets_in_use(settings: Settings) -> Iterator[Target]:
    """Yield every target any model may lie in, each wheel's folder of the store among them."""
    yield from _shared(settings)
    if settings.home is not None:
        folders = sorted(_all_in(settings.home))
        yield from (Store("store", folder) for folder in folders if re.search(_STORE, folder.name))


def targets_to_install_into(pin: ModelPin, settings: Settings) -> Iterator[Target]:
    """Yield the targets a model may be installed into, the first choice first.

    Args:
        pin: The model.
        settings: The settings in force.

    Yields:
        The target that was set, else the environment and the user site; then the store.
    """
    if settings.target is not None:
        yield Target("MODELBOOT_TARGET", settings.target, settings.require_hash)
    else:
        yield from _own(settings)
    if settings.home is not None:
        yield _store(pin, settings.home)


def _shared(settings: Settings) -> Iterator[Target]:
    """Yield the targets many models may lie in.

    When a target is set, only that one. Otherwise every folder on sys.path but the working directory, which may hold
    anything.
    """
    if settings.target is not None:
        yield Target("MODELBOOT_TARGET", settings.target, settings.require_hash)
        return
    working = _working_directory()
    # Links are not resolved in what is yielded: the folder is shown to people, and named by links on purpose.
    # As Python reads it: no text is no folder, whatever the type says, nor is one with a null byte.
    path: list[object] = [*sys.path]
    entries = [entry for entry in path if isinstance(entry, str) and entry and "\0" not in entry]
    others = [Path(os.path.normpath(os.path.join(working, folder))) for folder in entries]
    # Folders of the store are there, too, once a model was used from it.
    shared = (folder for folder in others if folder.is_absolute() and folder.parent != settings.home)
    seen = {working}
    for target in (*_own(settings), *(Target("sys.path", folder, settings.require_hash) for folder in shared)):
        real = os.path.realpath(target.folder)
        if real not in seen:
            seen.add(real)
            yield target


def _own(settings: Settings) -> Iterator[Target]:
    """Yield the environment's folder, and the user's own where Python uses it: not in a virtual environment."""
    is_reserved = is_externally_managed()
    yield Target("environment", purelib(), settings.require_hash, is_reserved)
    if site.ENABLE_USER_SITE:
        yield Target("user site", Path(site.getusersitepackages()), settings.require_hash, is_reserved)


def _store(pin: ModelPin, home: Path) -> Store:
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

"""Room and rights: the place an install goes to, with its folders made, before a byte is fetched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelboot._install import installed as _store
from modelboot._install import target as _places
from modelboot._install.installed import Found
from modelboot._install.target import Place
from modelboot._pin import ModelPin
from modelboot._settings import Settings
from modelboot.errors import InstallError


@contextmanager
def prepared(pin: ModelPin, settings: Settings, *, instead_of: Found | None = None) -> Iterator[Place]:
    """Choose the first place that may be written and is not taken, and make its folders.

    Args:
        pin: The model.
        settings: The settings in force.
        instead_of: A model whose place is to be taken, and no other.

    Yields:
        The place. When the block fails, the folders made for it are removed, so that the target is as it was.

    Raises:
        InstallError: There is no such place; each that was refused is named with its reason.
    """
    made: list[Path] = []
    try:
        place = _choose(pin, settings, instead_of, made)
        lock = place.work / f"{pin.name}.lock"
        if not lock.exists():
            made.append(lock)  # the block is about to make it
        yield place
    except BaseException:
        _remove(made)
        raise


def _choose(pin: ModelPin, settings: Settings, instead_of: Found | None, made: list[Path]) -> Place:
    refused = []
    for place in [_places.at(instead_of.folder)] if instead_of else _places.to_install_into(pin, settings):
        if _store.look(place.folder, pin).state == "taken":
            refused.append(f"{place.folder} ({place.label}) holds one that is not modelboot's to replace or to read")
            continue  # the store stands in
        reason = _make(place, made)
        if reason is None:
            return place
        refused.append(f"{place.folder} ({place.label}): {reason}")
        if settings.target is not None:  # "here and nowhere else"
            break
    if settings.home is None:
        refused.append("MODELBOOT_HOME is not set and this user has no home folder")
    where = str(instead_of.folder if instead_of else settings.target or _places.purelib())
    raise InstallError(model=str(pin), path=where, fault="rights", reason="; ".join(refused))


def _make(place: Place, made: list[Path]) -> str | None:
    """Make a place's folders; return why that cannot be done."""
    if not _places.is_writable(place):
        return f"user {os.getuid()} may not write there" if hasattr(os, "getuid") else "it may not be written"
    try:
        for folder in reversed([place.work, *place.work.parents]):
            if not folder.exists():
                made.append(folder)  # before it is: Ctrl-C may come in between
                folder.mkdir(exist_ok=True)
    except OSError as error:  # the rights of a network file system show only when they are used
        _remove(made)
        made.clear()
        return error.strerror or str(error)
    return None


def _remove(made: list[Path]) -> None:
    """Remove what this call made, the last first, but for folders in which somebody else is at work by now."""
    for path in reversed(made):
        with suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()

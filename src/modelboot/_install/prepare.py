"""Choosing the target that a new model goes to, and making its folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from modelboot._install.lock import occupied, share_with_group
from modelboot._install.target import Target
from modelboot._pin import ModelPin
from modelboot.errors import InstallError

RESERVED = "this Python is externally managed (PEP 668)"
FOREIGN = "has one that modelboot may not replace or read"

_log = logging.getLogger(__name__)


def is_writable(target: Target) -> bool:
    """Return True if this user can install there, without changing anything."""
    for _ in range(_LOOKS):
        existing = nearest_existing(target.work)
        # Also the folder itself: the work folder may have been made while it was still writable.
        probes = {existing, target.folder} if os.path.exists(target.folder) else {existing}
        if all(os.path.isdir(probe) and os.access(probe, os.W_OK | os.X_OK) for probe in probes):
            return True
        if all(map(os.path.exists, probes)):  # else another process, the last one there, has just removed it
            return False
    return False


_LOOKS = 10


def nearest_existing(folder: Path) -> Path:
    """Return a folder, or the nearest above it that exists; the topmost where none does, as on a drive that is gone."""
    # Not Path.exists: that raises below a folder this user may not enter (HOME=/root in a container run as another).
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


@contextmanager
def prepared_target(
    pin: ModelPin, targets: Sequence[Target], *, foreign: Container[Target], has_home: bool
) -> Iterator[Target]:
    """Choose a target and make its folders, before a byte is fetched.

    Args:
        pin: The model.
        targets: Where it may go, the first choice first.
        foreign: Those of them that hold what is not modelboot's to replace or to read.
        has_home: Whether there is a folder for the store; for the message of the error.

    Yields:
        The first target that can be written. When the block fails, the folders made for it are removed, so that the
        target is as it was.

    Raises:
        InstallError: There is no such target; each that was refused is named with its reason.
    """
    made: list[Path] = []
    is_occupied = False
    try:
        target = _choose(pin, targets, foreign, made, has_home=has_home)
        lock = target.lock_file(pin.name)
        if not lock.exists():
            made.append(lock)  # the block is about to make it
        with occupied(target.work) as is_alone:
            is_occupied = True
            try:
                yield target
            except BaseException:
                _leave(target, pin, made, is_alone=is_alone())
                raise
    except BaseException:
        if not is_occupied:
            _remove(made)
        raise


def _leave(target: Target, pin: ModelPin, made: list[Path], *, is_alone: bool) -> None:
    """Remove what this call made; if others wait for its lock, the last of them does so, if they all fail."""
    lock = target.lock_file(pin.name)
    left = target.left_file(pin.name)
    if is_alone:
        _remove([*made, *([target.work, lock, left] if left.exists() else []), target.failure_file(pin.name)])
    elif lock in made:
        with suppress(OSError):
            left.touch()


def _choose(
    pin: ModelPin, targets: Sequence[Target], foreign: Container[Target], made: list[Path], *, has_home: bool
) -> Target:
    refused = []
    for target in targets:
        if target in foreign:
            refused.append(f"{target} {FOREIGN}")
        elif (reason := _make(target, made)) is None:
            if refused:
                _log.info("%s: %s; it goes to %s", pin, "; ".join(refused), target)
            return target
        else:
            refused.append(f"{target}: {reason}")
    if not has_home:
        refused.append("MODELBOOT_HOME is not set and this user has no home folder")
    raise InstallError(model=str(pin), path=str(targets[0].folder), fault="permissions", reason="; ".join(refused))


def _make(target: Target, made: list[Path]) -> str | None:
    """Make a target's folders; return why that cannot be done."""
    if target.is_reserved:
        return RESERVED
    if not is_writable(target):
        return f"user {os.getuid()} may not write there" if hasattr(os, "getuid") else "it may not be written"
    try:
        for folder in reversed([target.work, *target.work.parents]):
            if not folder.exists():
                made.append(folder)  # before it exists: Ctrl-C may come in between
                folder.mkdir(exist_ok=True)
        share_with_group(target.work)
    except OSError as error:  # the permissions of a network file system show only when they are used
        _remove(made)
        made.clear()
        return error.strerror or str(error)
    return None


def _remove(made: list[Path]) -> None:
    """Remove what this call made, the last first, except folders that another process uses by now."""
    for path in reversed(made):
        with suppress(OSError):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink()

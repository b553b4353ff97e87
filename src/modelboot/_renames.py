"""Changes to the disk that last and that are taken back when one of them fails: renames and flushes."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def rename_all(moves: list[tuple[Path, Path]]) -> None:
    """Rename one after another; take back those already made when one fails.

    Args:
        moves: Pairs of source and destination, in order.

    Raises:
        OSError: One failed; the earlier ones were taken back.
    """
    begun: list[tuple[Path, Path]] = []
    try:
        for source, destination in moves:
            begun.append((source, destination))
            os.rename(source, destination)  # noqa: PTH104 - the call the promise rests on, plainly
    except BaseException:
        _take_back(begun)
        raise


def _take_back(begun: list[tuple[Path, Path]]) -> None:
    """Undo renames, the last one first.

    The last one may or may not have been made: Ctrl-C can come between a rename and any note of it. One that cannot be
    undone ends it: a racer has put its own package there, and an old dist-info must not come back to lie beside that.
    """
    if begun and (os.path.lexists(begun[-1][0]) or not os.path.lexists(begun[-1][1])):
        begun.pop()
    with suppress(OSError):
        for source, destination in reversed(begun):
            os.rename(destination, source)  # noqa: PTH104


def flush_tree(root: Path) -> None:
    """Write every file and folder below a folder, and the folder itself, through to the disk."""
    for folder, _, files in os.walk(root, topdown=False):
        for file in files:
            _flush(os.path.join(folder, file))  # noqa: PTH118 - os.walk gives strings
        _flush(folder)


def flush_folder(folder: Path) -> None:
    """Write a folder's list of names through to the disk: that is what makes a rename durable."""
    _flush(folder)


def _flush(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
    finally:
        os.close(descriptor)


_NO_FLUSH = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""fsync(2): this kind of file cannot be flushed, such as a folder on some network file systems."""

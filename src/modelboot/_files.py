"""Files: hash them, a chunk at a time because a wheel may have half a gigabyte, and write them through to the disk."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

PIECE_BYTES = 1 << 18


def sha256_of(path: Path) -> bytes:
    """Hash a file.

    Args:
        path: The file.

    Returns:
        Its SHA-256, 32 bytes.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.digest()


def fsync_tree(root: Path) -> None:
    """Write every file and folder below a folder, and the folder itself, through to the disk."""
    for folder, _, files in os.walk(root, topdown=False):
        for file in files:
            _fsync(os.path.join(folder, file))
        _fsync(folder)


def fsync_folder(folder: Path) -> None:
    """Write a folder's list of names through to the disk: that is what makes a rename durable."""
    _fsync(folder)


def _fsync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""fsync(2): this kind of file cannot be flushed, such as a folder on some network file systems."""

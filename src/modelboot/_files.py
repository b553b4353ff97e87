"""Read and hash files, a chunk at a time because a wheel may have half a gigabyte; fsync files and folders."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Generator
from pathlib import Path

CHUNK_BYTES = 1 << 18


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
    for chunk in read_chunks(path):
        digest.update(chunk)
    return digest.digest()


def read_regular_file(path: Path) -> bytes:
    """Read a file; anything else of that name, such as a FIFO, on which a reader would wait, counts as missing.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: There is no regular file.
        OSError: It cannot be read.
    """
    return b"".join(read_chunks(path))


def read_chunks(path: Path) -> Generator[bytes, None, None]:
    """Read a regular file; anything else, such as a FIFO, on which a reader would wait, counts as missing."""
    with open(path, "rb", opener=_open_regular) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "not a regular file", path)


def fsync_tree(root: Path) -> None:
    """Fsync every file and folder below a folder, and the folder itself."""
    for folder, _, files in os.walk(root, topdown=False):
        for file in files:
            _fsync(os.path.join(folder, file))
        fsync_folder(folder)


def fsync_folder(folder: str | Path) -> None:
    """Fsync a folder: that makes a rename in it durable. Windows opens no folder; nothing is done there."""
    if _OPENS_FOLDERS:
        _fsync(folder)


def _fsync(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if _OPENS_FOLDERS else os.O_RDWR)  # Windows syncs what may be written
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


_OPENS_FOLDERS = os.name != "nt"
_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""fsync(2): this kind of file cannot be synced, such as a folder on some network file systems."""

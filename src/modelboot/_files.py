"""Read, hash, rename and fsync files, a chunk at a time because a wheel may have half a gigabyte."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO, NamedTuple

CHUNK_BYTES = 1 << 18
UNREADABLE_ERRNOS = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL}
)
"""What the system answers where there is no folder to read: an odd entry of sys.path, one this user may not read."""


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
    """Read a regular file, piece by piece; see `open_regular`."""
    with open_regular(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; anything else, such as a FIFO, on which a reader would wait, counts as missing."""
    return open(path, "rb", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "not a regular file", path)


class Identity(NamedTuple):
    """What tells a file from any other: what was hashed is what is opened later."""

    device: int
    inode: int
    owner: int


def identity_of(file: BinaryIO) -> Identity:
    """Return the identity of an open file."""
    status = os.fstat(file.fileno())
    return Identity(status.st_dev, status.st_ino, status.st_uid)


def open_same(path: Path, identity: Identity) -> BinaryIO:
    """Open the file that was hashed.

    Args:
        path: Where it was.
        identity: That of the file whose bytes were hashed, as they came.

    Raises:
        FileNotFoundError: It is not there, or another file has taken its place.
    """
    file = open_regular(path)
    if identity_of(file) == identity:
        return file
    file.close()
    raise FileNotFoundError(errno.ENOENT, "another file has taken its place", str(path))


def share(path: Path) -> None:
    """Give a private file the mode of a new one, which follows the umask as its folder's does.

    Args:
        path: The file; this process has made the folder it lies in.

    Raises:
        OSError: It cannot be changed.
    """
    os.chmod(path, stat.S_IMODE(path.parent.stat().st_mode) & 0o666)


def rename(source: str | Path, destination: str | Path, *, replacing: bool = False) -> None:
    """Rename a file or folder. Where Windows refuses because a program has it open, try again for a few seconds.

    What was written a moment ago is read by virus scanners and indexers, which let go of it soon.

    Args:
        source: What is renamed.
        destination: Its new path.
        replacing: A file of that name gives way, on Windows, too.

    Raises:
        OSError: It cannot be renamed.
    """
    change = os.replace if replacing else os.rename
    for pause_s in _PAUSES_S:
        try:
            change(source, destination)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
            time.sleep(pause_s)
        else:
            return
    change(source, destination)


_IN_USE = frozenset({5, 32})
"""ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION: how Windows says that a program has a file open."""
_PAUSES_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 1.28, 1.28)
"""Five seconds in all."""


def fsync_tree(root: Path) -> None:
    """Fsync every file and folder below a folder, and the folder itself."""
    for folder, _, files in os.walk(root):
        for file in files:
            _fsync_path(os.path.join(folder, file))
    fsync_folders(root)


def fsync_folders(root: Path) -> None:
    """Fsync a folder and every folder below it, whose files are on disk."""
    for folder, _, _ in os.walk(root, topdown=False):
        fsync_folder(folder)


def fsync_folder(folder: str | Path) -> None:
    """Fsync a folder: that makes a rename in it durable. Windows opens no folder; nothing is done there."""
    if _OPENS_FOLDERS:
        _fsync_path(folder)


def _fsync_path(path: str | Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if _OPENS_FOLDERS else os.O_RDWR)  # Windows syncs what may be written
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync(descriptor: int) -> None:
    """Have an open file or folder written to disk, where its kind can be."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise


_OPENS_FOLDERS = os.name != "nt"
_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""fsync(2): this kind of file cannot be synced, such as a folder on some network file systems."""

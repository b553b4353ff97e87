"""SHA-256 of files in wheelhouses: each is read once per process, however many threads and calls ask for it."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelboot._deadline import Deadline
from modelboot._files import read_chunks
from modelboot._network.response import RequestError


@dataclass(slots=True)
class KnownFile:
    """What this process knows of a file with these contents; the thread that has it locked may add to that."""

    sha256: str | None = None
    """Digest of its bytes; None before all of them are read."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


_known: dict[tuple[int, ...], KnownFile] = {}
"""By what changes with the contents: device, inode, size, and the times of its last changes."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_known.clear)  # a thread of the parent may hold a lock


@contextmanager
def known_file(file: Path, deadline: Deadline) -> Iterator[KnownFile]:
    """Lock what is known of a file for the length of a with block, in which one thread may read it.

    Args:
        file: The file.
        deadline: By when the thread that reads it must be done.

    Yields:
        What is known of it.

    Raises:
        RequestError: It is not there, or the deadline passed.
    """
    with _translating_errors(file):
        stat = os.stat(file)
    identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    known = _known.setdefault(identity, KnownFile())
    if not known.lock.acquire(timeout=deadline.remaining_s):
        raise RequestError(str(deadline), file.as_uri())
    try:
        yield known
    finally:
        known.lock.release()


def sha256_by(file: Path, deadline: Deadline) -> str:
    """Hash a file by a deadline, unless this process knows its digest.

    Args:
        file: The file.
        deadline: By when.

    Returns:
        Its SHA-256 in hexadecimal digits.

    Raises:
        RequestError: It cannot be read, or the deadline passed.
    """
    with known_file(file, deadline) as known:
        if known.sha256 is None:
            known.sha256 = hash_by(file, deadline)
        return known.sha256


def hash_by(file: Path, deadline: Deadline) -> str:
    """Hash a file by a deadline, whatever this process knows of it; otherwise as `sha256_by`."""
    digest = hashlib.sha256()
    with _translating_errors(file):
        for chunk in read_chunks(file):
            if deadline.remaining_s == 0:
                raise RequestError(str(deadline), file.as_uri())
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _translating_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RequestError(error.strerror or str(error), file.as_uri()) from error

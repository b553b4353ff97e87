"""The lock file of one model: it keeps processes from doing the same work twice.

Nothing depends on it: publishing by rename is correct without a lock, so where there is none the work goes on.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from modelboot._limits import Deadline
from modelboot.errors import InstallError

if sys.platform != "win32":
    import fcntl

LOG_EVERY_S = 10.0
"""How often a process that waits writes so to the log."""

_log = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, model: str, deadline: Deadline) -> Iterator[bool]:
    """Hold the lock of one model, waiting for another process no longer than the deadline.

    Args:
        path: The lock file; its folder exists. It stays behind: unlinking it would let two in at once.
        model: Name and version of the model, for messages.
        deadline: When to give up waiting.

    Yields:
        Whether the lock is held. It is not where the file system has no locks (ENOLCK, EOPNOTSUPP, EROFS) or the file
        is another user's.

    Raises:
        InstallError: Another process still holds it at the deadline.
    """
    try:
        _probe(path)
    except OSError as error:
        _log.debug("no lock for %s, going on without: %s", model, error)
        yield False
        return
    lock = FileLock(path)
    _acquire(lock, path, model, deadline)
    try:
        yield True
    finally:
        lock.release()


def _probe(path: Path) -> None:
    """Find out whether a lock can be taken there at all.

    filelock before 4 follows a symlink and empties what it leads to, and takes "no locks here" for "held by another":
    it would wait until the deadline. So the file is opened and locked here first, for a moment.

    Raises:
        OSError: No lock: the file system has none, the file is another user's, or a link stands in its place.
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD_BY_ANOTHER:
            raise
    finally:
        os.close(descriptor)


_HELD_BY_ANOTHER = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK})


def _acquire(lock: FileLock, path: Path, model: str, deadline: Deadline) -> None:
    while True:
        try:
            lock.acquire(timeout=min(LOG_EVERY_S, deadline.remaining_s))
        except Timeout:
            if deadline.remaining_s == 0:
                reason = f"another process has been installing it for {deadline.total_s:g} s"
                raise InstallError(model=model, path=str(path), fault="busy", reason=reason) from None
            _log.info("waiting for another process that is installing %s (%s)", model, path)
        else:
            return

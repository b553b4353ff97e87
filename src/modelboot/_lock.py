"""The lock that keeps processes from doing the same work twice.

Nothing rests on it: publishing by rename is what is right without it, so where no lock is to be had the work goes on.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from modelboot.errors import InstallError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from modelboot._deadline import Deadline
    from modelboot._pin import ModelPin

REMIND_EVERY_S = 10.0

_log = logging.getLogger(__name__)


@contextmanager
def held(path: Path, pin: ModelPin, deadline: Deadline) -> Iterator[bool]:
    """Hold the lock of one model, waiting for another process no longer than the deadline.

    Args:
        path: The lock file; its folder exists. It stays behind: unlinking it would let two in at once.
        pin: The model, for messages.
        deadline: When to give up waiting.

    Yields:
        Whether the lock is held. It is not where the file system has no locks (ENOLCK, EOPNOTSUPP, EROFS) or the file
        is another user's.

    Raises:
        InstallError: Another process still holds it at the deadline.
    """
    lock = FileLock(path)
    if not _acquire(lock, path, pin, deadline):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _acquire(lock: FileLock, path: Path, pin: ModelPin, deadline: Deadline) -> bool:
    while True:
        try:
            lock.acquire(timeout=min(REMIND_EVERY_S, deadline.remaining_s))
        except Timeout:
            if deadline.remaining_s == 0:
                reason = f"another process has been installing it for {deadline.total_s:g} s"
                raise InstallError(model=str(pin), path=str(path), fault="busy", reason=reason) from None
            _log.info("waiting for another process that is installing %s (%s)", pin, path)
        except (OSError, NotImplementedError) as error:
            _log.debug("no lock for %s, going on without: %s", pin, error)
            return False
        else:
            return True

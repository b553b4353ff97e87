"""Locks: the one of a model, so that no two processes do the same work, and those that show who is at work.

The model's lock (`Target.lock_file`) only saves work that would be done twice. Publishing by rename is safe without it,
so where no lock can be had the install goes on. A lock that is held until its process ends shows that the process is
alive, also to other containers and hosts, for which a process id says nothing.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from modelboot._deadline import Deadline
from modelboot.errors import InstallError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOG_EVERY_S = 10.0
"""How often a process that waits logs that it does."""
LOOK_EVERY_S = 0.05
"""How often one that has just begun to wait looks whether the lock is free; filelock looks as often."""
NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EROFS, errno.EINVAL})
"""What a file system without locks answers."""
_HELD_BY_ANOTHER = frozenset({errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK})

_log = logging.getLogger(__name__)
_held: set[int] = set()
"""Descriptors of the locks that this process holds: a forked child must not keep them alive."""


def _close_in_child() -> None:
    while _held:
        with suppress(OSError):
            os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class LockState(NamedTuple):
    """How the lock of a model was taken."""

    is_locked: bool
    waited_since: float | None
    """When the wait for another process began, in seconds since the epoch; None when there was none."""


@contextmanager
def locked(
    path: Path, model: str, deadline: Deadline, is_needless: Callable[[], bool] = lambda: False
) -> Iterator[LockState]:
    """Hold the lock of one model, and wait for another process no longer than the deadline.

    Args:
        path: The lock file; its folder exists. It stays behind: to remove it would let two in at once.
        model: Name and version of the model, for messages.
        deadline: When to give up waiting.
        is_needless: Tells, while another process holds it, that there is nothing more to wait for.

    Yields:
        Whether the lock is held, and since when this process waited for it. It is not held where it is needless, where
        the file system has none (ENOLCK, EOPNOTSUPP, EROFS), or where the file is another user's.

    Raises:
        InstallError: Another process still holds it at the deadline.
    """
    waited_since = None
    try:
        while (descriptor := try_lock(path)) is None:
            waited_since = waited_since or time.time()
            if is_needless():
                break
            _wait(path, model, deadline, waited_s=time.time() - waited_since)
    except InstallError:  # an OSError, too
        raise
    except OSError as error:
        _log.debug("no lock for %s, going on without: %s", model, error)
        yield LockState(is_locked=False, waited_since=None)
        return
    if descriptor is None:
        yield LockState(is_locked=False, waited_since=waited_since)
        return
    share_with_group(path)
    try:
        yield LockState(is_locked=True, waited_since=waited_since)
    finally:
        unlock(descriptor)


def _wait(path: Path, model: str, deadline: Deadline, *, waited_s: float) -> None:
    """Wait until another process lets go of a lock, and say now and then that this goes on.

    filelock is used only for a long wait, after our own attempts have shown that locks work here: before version 4 it
    follows a symlink and empties what it leads to, and takes "no locks here" for "held by another". Both use the same
    lock of the system. The lock that filelock gets is released at once: a child that is forked meanwhile would keep it.
    Most waits are short, and its import takes 18 ms, which the processor that installs lacks when 64 processes wait.

    Raises:
        InstallError: The deadline has passed.
    """
    if deadline.remaining_s == 0:
        reason = f"another process has been installing it for {deadline.total_s:g} s"
        raise InstallError(model=model, path=str(path), fault="busy", reason=reason)
    if waited_s < LOG_EVERY_S:
        time.sleep(min(LOOK_EVERY_S, deadline.remaining_s))
        return
    _log.info("waiting for another process that is installing %s (%s)", model, path)
    from filelock import FileLock, Timeout

    with suppress(Timeout), FileLock(path).acquire(timeout=min(LOG_EVERY_S, deadline.remaining_s)):
        pass


def try_lock(path: Path) -> int | None:
    """Lock a file for as long as its descriptor is open; it is made if it does not exist.

    Args:
        path: The file; its folder exists.

    Returns:
        The descriptor, for `unlock`; None when another process or thread holds the lock.

    Raises:
        OSError: No lock: the file system has none (`NO_LOCKS`), or this user may not open the file.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        _lock_now(descriptor)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, OSError) and error.errno in _HELD_BY_ANOTHER:
            return None
        raise
    _held.add(descriptor)
    return descriptor


if sys.platform == "win32":

    def _lock_now(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:

    def _lock_now(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock(descriptor: int) -> None:
    """Give up a lock of `try_lock`."""
    _held.discard(descriptor)
    with suppress(OSError):  # a forked child has closed it
        os.close(descriptor)


def is_same_file(descriptor: int, path: Path) -> bool:
    """Return True if a path still leads to an open file: another process may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


@contextmanager
def occupied(folder: Path) -> Iterator[Callable[[], bool]]:
    """Show that this process works in a folder, so that no other removes it.

    Args:
        folder: The folder; made again when another process has just removed it.

    Yields:
        A function that tells, at the end of the work, whether nobody else works there: then, until the block ends,
        nobody else can begin to.
    """
    if sys.platform == "win32":  # no folder can be removed in which a file is open
        yield lambda: True
    else:
        descriptor = _share(folder)
        try:
            yield lambda: _is_alone(descriptor)
        finally:
            if descriptor is not None:
                unlock(descriptor)


if sys.platform != "win32":

    def _share(folder: Path) -> int | None:
        """Take a shared lock of a folder; None where the file system has none."""
        for _ in range(_SHARE_ATTEMPTS):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # removed in between
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                os.close(descriptor)
                if error.errno not in _HELD_BY_ANOTHER:
                    return None
            else:
                if is_same_file(descriptor, folder):
                    _held.add(descriptor)
                    return descriptor
                os.close(descriptor)
            time.sleep(0.001)  # the process that removes it needs no longer
        return None

    def _is_alone(descriptor: int | None) -> bool:
        if descriptor is None:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


_SHARE_ATTEMPTS = 1000


def share_with_group(path: Path) -> None:
    """Let the group write a file or folder whose folder is shared by a group (setgid), whatever the umask says."""
    with suppress(OSError):  # it is another user's
        if os.stat(path.parent).st_mode & _GROUP_FOLDER == _GROUP_FOLDER:
            os.chmod(path, os.stat(path).st_mode | (_GROUP_FOLDER_MODE if path.is_dir() else _GROUP_FILE_MODE))


_GROUP_FOLDER = stat.S_ISGID | stat.S_IWGRP
_GROUP_FOLDER_MODE = stat.S_IRWXG
_GROUP_FILE_MODE = stat.S_IRGRP | stat.S_IWGRP

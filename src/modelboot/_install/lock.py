"""The lock of a model, and how waiting processes learn why the one before failed.

The lock file is `.modelboot/NAME.lock` in the target, beside the stages: see `targets.Target.lock_file`. The lock is
filelock's. It only saves work that would be done twice: publishing by rename is safe without it, so where no lock can
be had the install goes on.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelboot._deadline import Deadline
from modelboot._files import read_regular_file
from modelboot._turns import raise_if_from_signal
from modelboot.errors import Attempt, InstallError

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOG_EVERY_S = 10.0
"""How often a process that waits logs that it does."""
POLL_INTERVAL_S = 0.1
"""How often it tries again; filelock logs two lines at each attempt."""

_log = logging.getLogger(__name__)
_held: set[BaseFileLock] = set()


def _close_in_child() -> None:
    """Close what a forked child has of the locks of this process, which filelock does since version 4.

    To release one there would release the parent's, too, and to keep it open would keep it locked after the parent.
    """
    while _held:
        context = _held.pop()._context  # noqa: SLF001 - filelock 3 has no other way
        descriptor, context.lock_file_fd = context.lock_file_fd, None
        if descriptor is not None:
            os.close(descriptor)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class Turn(NamedTuple):
    """How the turn of this process came."""

    path: Path
    """The lock file."""
    is_locked: bool
    """Whether the lock is held, and known to keep others out."""
    waited_since: float | None
    """When the wait for another process began, in seconds since the epoch; None when there was none."""
    touched_ns: int = 0
    """When the lock file was last touched before this process had the lock."""

    def is_awaited(self) -> bool:
        """Return True if another process has begun to wait since: it touches the file."""
        return self.is_locked and _touched_ns(self.path) != self.touched_ns


@contextmanager
def locked(path: Path, model: str, deadline: Deadline, is_done: Callable[[], bool] = lambda: False) -> Iterator[Turn]:
    """Hold the lock of one model, and wait for another process no longer than the deadline.

    Args:
        path: The lock file; its folder exists. It stays behind, empty, where other processes wait for it.
        model: Name and version of the model, for messages.
        deadline: When to give up waiting.
        is_done: Tells, while another process holds it, that there is nothing more to wait for.

    Yields:
        Whether the lock is held, and since when this process waited for it. It is not held where the work is done,
        where the file system has no locks or none that keep others out, or where the file is another user's.

    Raises:
        InstallError: Another process still holds it at the deadline.
    """
    try:
        lock, waited_since = _acquire(path, model, deadline, is_done)
    except BaseException:
        with locked_if_free(path):  # which removes the file that an interrupted attempt has made
            raise
    if lock is None:
        yield Turn(path, is_locked=False, waited_since=waited_since)
        return
    with _holding(lock, path, waited_since) as turn:
        yield turn


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of one model if no other process does; yield whether it is held, and keeps others out."""
    try:
        lock = _try(path)
    except _NO_LOCK:  # or held by another process
        yield False
        return
    with _holding(lock, path, None) as turn:
        yield turn.is_locked


@contextmanager
def _holding(lock: BaseFileLock, path: Path, waited_since: float | None) -> Iterator[Turn]:
    """Release a lock when the block ends, and remove its file unless another process waits for it."""
    turn = None
    try:
        turn = Turn(path, _keeps_others_out(path), waited_since, _touched_ns(path))
        yield turn
    finally:
        with suppress(OSError):
            is_mine = lock in _held and stat.S_ISREG(os.lstat(path).st_mode)  # not in a forked child
            if is_mine and not (turn and turn.is_awaited()):
                path.unlink()  # one that has it open sees that: filelock takes no file without a name
        _release(lock)


_NO_LOCK = (OSError, NotImplementedError, RuntimeWarning)
"""What filelock raises where no lock can be had; the last two, by its version, on a system without flock."""


def _acquire(
    path: Path, model: str, deadline: Deadline, is_done: Callable[[], bool]
) -> tuple[BaseFileLock | None, float | None]:
    from filelock import Timeout

    waited_since, told_at_s = None, time.monotonic()
    while True:
        try:
            return _try(path), waited_since
        except Timeout:
            if waited_since is None:
                waited_since = time.time()
                with suppress(OSError):  # it is another user's
                    os.utime(path, follow_symlinks=os.utime not in os.supports_follow_symlinks)
        except _NO_LOCK as error:
            raise_if_from_signal(error)
            _log.debug("no lock for %s, going on without: %s", model, error)
            return None, None
        if is_done():
            return None, waited_since
        if deadline.remaining_s == 0:
            reason = f"another process has been installing it for {deadline.total_s:g} s"
            raise InstallError(model=model, path=str(path), fault="busy", reason=reason)
        if time.monotonic() - told_at_s >= LOG_EVERY_S:
            told_at_s = time.monotonic()
            _log.info("waiting for another process that is installing %s (%s)", model, path)
        time.sleep(min(POLL_INTERVAL_S, deadline.remaining_s))


def _try(path: Path) -> BaseFileLock:
    """Take the lock now; a `filelock.Timeout` says that another process, or another thread, holds it."""
    from filelock import FileLock

    # A group that shares the folder may write the file, whatever the umask says.
    if _is_shared(path.parent):
        lock = FileLock(path, mode=_GROUP_FILE_MODE, thread_local=False)
    else:
        lock = FileLock(path, thread_local=False)
    lock.acquire(blocking=False)
    _held.add(lock)
    return lock


def _keeps_others_out(path: Path) -> bool:
    """Return True if a second lock on the file is refused: on some network file systems locks do nothing."""
    from filelock import Timeout

    try:
        second = _try(path)
    except OSError as error:
        return isinstance(error, Timeout)
    _release(second)
    return False


def _release(lock: BaseFileLock) -> None:
    _held.discard(lock)
    lock.release()


def _touched_ns(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def share_with_group(folder: Path) -> None:
    """Let the group write a folder whose own folder is shared by a group (setgid), whatever the umask says."""
    with suppress(OSError):  # it is another user's
        if _is_shared(folder.parent):
            os.chmod(folder, os.stat(folder).st_mode | _GROUP_FOLDER_MODE)


def _is_shared(folder: Path) -> bool:
    return os.stat(folder).st_mode & _GROUP_FOLDER == _GROUP_FOLDER


_GROUP_FOLDER = stat.S_ISGID | stat.S_IWGRP
_GROUP_FOLDER_MODE = stat.S_IRWXG
_GROUP_FILE_MODE = 0o664


# --- why the process that held the lock failed


def save_failure(turn: Turn, asked: object, attempts: tuple[Attempt, ...]) -> None:
    """Save why a download failed, where other processes wait for the lock. Without it they find out for themselves.

    Args:
        turn: That of this process.
        asked: For what, and whom: as JSON has it.
        attempts: What failed.
    """
    if not turn.is_awaited():
        return
    facts = {"asked": asked, "time": time.time(), "attempts": [asdict(attempt) for attempt in attempts]}
    path = _failure_file(turn)
    with suppress(OSError):
        part = path.with_name(f"{path.name}.{os.getpid()}")
        with part.open("x", encoding="utf-8") as file:  # follows no link
            json.dump(facts, file)
        part.replace(path)


def failure_of_holder(turn: Turn, asked: object) -> tuple[Attempt, ...] | None:
    """Return why the process that was waited for failed, if it asked the same sources for the same wheel."""
    if turn.waited_since is None:
        return None
    try:
        facts = json.loads(read_regular_file(_failure_file(turn)))
        is_mine = facts["asked"] == asked and facts["time"] > turn.waited_since
        return tuple(Attempt(**attempt) for attempt in facts["attempts"]) if is_mine else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget_failure(turn: Turn) -> None:
    """Remove what a process that failed has left for those that waited: the model is installed now."""
    with suppress(OSError):
        _failure_file(turn).unlink()


def _failure_file(turn: Turn) -> Path:
    return turn.path.with_suffix(".failure")

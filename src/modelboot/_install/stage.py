"""Staging directories: private folders in which one install is prepared, and removal of stale ones.

A staging directory lies in `.modelboot/` on the target's own file system, so that everything leaves it by rename. Its
process holds a lock in it until the end. One of this host (all of its containers) whose lock is free is stale. One of
another host, or where locks do not work, is stale once it has not changed for ten minutes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelboot._files import UNREADABLE_ERRNOS
from modelboot._install.lock import NO_LOCKS, is_same_file, try_lock, unlock

SUFFIX = ".stage"
_NAME = r"[^.]+\.[0-9a-f]{8}\.[0-9a-f]{8}\.stage"
"""Model, host and a random token; what has another name is not modelboot's."""
LOCK = "lock"
"""The file in a staging directory that its process keeps locked."""
MIN_RESUMABLE_BYTES = 1 << 20
"""A smaller part of a wheel is not worth keeping: it is fetched again."""
UNKNOWN_STALE_S = 600.0
"""Where a free lock proves nothing, a staging directory that has not changed for so many seconds is stale."""
_ATTEMPTS = 1000
_REMOVE_ATTEMPTS = 50


@contextmanager
def staged(work: Path, name: str) -> Iterator[Path]:
    """Make a staging directory, and remove it at the end.

    Args:
        work: The `.modelboot` folder; made again when another process that failed has just removed it.
        name: Name of the model to be prepared.

    Yields:
        The new folder. Its mode follows the umask, as what is published from it must.

    Raises:
        OSError: It cannot be made: permissions, disk space.
    """
    staging = work / f"{name}.{_host()}.{os.urandom(4).hex()}{SUFFIX}"
    lock: list[int] = []
    try:
        _make(staging, lock)
        yield staging
    except Exception:
        _remove(staging, lock)
        raise
    except BaseException:  # Ctrl-C: what was received of a large wheel is worth keeping
        _remove(staging, lock, keep=resumable_parts(staging))
        raise
    else:
        _remove(staging, lock)


def _make(staging: Path, lock: list[int]) -> None:
    """Make a folder and lock it. Until it is locked, another process may take it for stale and remove it."""
    for _ in range(_ATTEMPTS):
        with suppress(FileNotFoundError):  # removed in between
            staging.parent.mkdir(parents=True, exist_ok=True)
            staging.mkdir(exist_ok=True)
            try:
                descriptor = try_lock(staging / LOCK)
            except OSError as error:
                if error.errno in NO_LOCKS:
                    return
                raise
            if descriptor is not None:
                lock.append(descriptor)
                if is_same_file(descriptor, staging / LOCK):
                    return
                unlock(lock.pop())
        time.sleep(0.001)
    raise FileNotFoundError(f"{staging}: another process removes it again and again")


def _remove(staging: Path, lock: list[int], keep: tuple[Path, ...] = ()) -> None:
    """Remove a staging directory, or all of it but some files; Ctrl-C in the middle is raised once that is done."""
    try:
        _clear(staging, keep)
    except BaseException:
        _clear(staging, keep)
        raise
    finally:
        while lock:
            unlock(lock.pop())


def _clear(staging: Path, keep: tuple[Path, ...]) -> None:
    if not keep:
        _remove_tree(staging)
        return
    for path in staging.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path not in keep:
            path.unlink(missing_ok=True)


def _remove_tree(staging: Path) -> None:
    """Remove a staging directory, even while another process makes the lock file anew to see whether it is stale."""
    for _ in range(_REMOVE_ATTEMPTS):
        shutil.rmtree(staging, ignore_errors=True)
        if not os.path.lexists(staging):
            return
        time.sleep(0.001)


def resumable_parts(staging: Path) -> tuple[Path, ...]:
    """List the part files that are worth resuming, and the notes beside them: regular files of this user alone."""
    parts = [part for part in staging.glob("*.part") if _is_own_file(part, MIN_RESUMABLE_BYTES)]
    notes = [note for part in parts if _is_own_file(note := part.with_name(f"{part.name}.json"), 0)]
    return (*parts, *notes)


def _is_own_file(path: Path, min_bytes: int) -> bool:
    """Return True if a file may be written to: no link, of no other user, and under no second name."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    is_own = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and is_own and status.st_size >= min_bytes


def concurrent(staging: Path) -> list[Path]:
    """List the directories in which other processes, or other threads of this one, prepare the same model right now."""
    others = [other for other in all_of(staging.parent, _model_of(staging)) if other.name != staging.name]
    return [other for other in others if not _is_stale(other)]


def stale(work: Path) -> list[Path]:
    """List the staging directories whose process has ended, of any model; one folder read where there is none."""
    return [staging for staging in _all_in(work) if _is_stale(staging)]


def remove_stale(work: Path, name: str, *, inherit_into: Path | None = None) -> None:
    """Remove the stale staging directories of one model. What this user may not remove stays for a user who may.

    Args:
        work: The `.modelboot` folder.
        name: Name of the model.
        inherit_into: A staging directory of the same model, to which the part files worth resuming are moved.
    """
    for staging in all_of(work, name):
        with _taken(staging) as is_stale:
            if is_stale:
                with suppress(OSError):
                    for path in resumable_parts(staging):
                        path.rename((inherit_into or staging) / path.name)
                shutil.rmtree(staging, ignore_errors=True)  # once: its process may be making it anew


def all_of(work: Path, name: str) -> list[Path]:
    """List the staging directories of one model, stale or not."""
    return [staging for staging in _all_in(work) if _model_of(staging) == name]


def _model_of(staging: Path) -> str:
    return staging.name.partition(".")[0]


def _all_in(work: Path) -> list[Path]:
    try:
        with os.scandir(work) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if entry.name.endswith(SUFFIX)
                and re.fullmatch(_NAME, entry.name)
                and entry.is_dir(follow_symlinks=False)
            ]
    except OSError as error:
        if error.errno in UNREADABLE_ERRNOS:
            return []
        raise


def _is_stale(staging: Path) -> bool:
    with _taken(staging) as is_stale:
        return is_stale


@contextmanager
def _taken(staging: Path) -> Iterator[bool]:
    """Take a staging directory whose process has ended, so that nobody else does; yield whether it could be taken."""
    try:
        descriptor = try_lock(staging / LOCK)
    except OSError as error:
        yield error.errno in NO_LOCKS and _is_old(staging)
        return
    if descriptor is None:
        yield False
        return
    if not is_same_file(descriptor, staging / LOCK):  # removed in between, and perhaps made anew by its process
        unlock(descriptor)
        yield False
        return
    try:
        yield (_is_of_this_host(staging) and _locks_work(staging)) or _is_old(staging)
    finally:
        unlock(descriptor)


def _locks_work(staging: Path) -> bool:
    """Return True if a lock that is held can be seen at all: on some network file systems it cannot."""
    with suppress(OSError):
        second = try_lock(staging / LOCK)
        if second is None:
            return True
        unlock(second)
    return False


def _is_old(staging: Path) -> bool:
    """Return True if no process has changed a staging directory, or anything in it, for a long time."""
    try:
        times = [os.lstat(staging).st_mtime]
        for folder, folders, files in os.walk(staging):
            times += [os.lstat(os.path.join(folder, name)).st_mtime for name in (*folders, *files) if name != LOCK]
    except OSError:  # its process is at work, or it is closed to this user
        return False
    return time.time() - max(times) > UNKNOWN_STALE_S


def _is_of_this_host(staging: Path) -> bool:
    """Return True if it belongs to a process under this kernel, where locks are sure to be seen."""
    return staging.name.split(".")[1] == _host()


def _host() -> str:
    """Name this boot of this host; containers on it have the same name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
    except OSError:
        import platform

        boot = platform.node()
    return hashlib.sha256(boot.encode()).hexdigest()[:8]

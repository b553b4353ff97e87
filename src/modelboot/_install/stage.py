"""Staging directories: private folders in which one install is prepared, their owners, and removal of stale ones.

A stage lies in `.modelboot/` on the target's own file system, so that everything leaves it by rename. Its name says
whose it is: model, host, process, the process's start time and a random token.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_own: set[str] = set()
"""Names of the stages in use by this process's threads."""

SUFFIX = ".stage"
_OWNER = re.compile(r"[^.]+\.([0-9a-f]{8})\.(\d{1,9})\.(\w+)\.[0-9a-f]+\.stage")
MIN_RESUMABLE_BYTES = 1 << 20
"""A smaller part of a wheel is not worth keeping: it is fetched again."""
OTHER_HOST_STALE_S = 3600.0
"""A stage of another host (or container) is stale once nothing in it was changed for so many seconds."""


@contextmanager
def staged(work: Path, name: str) -> Iterator[Path]:
    """Make a stage of this process, and remove it on the way out.

    Args:
        work: The `.modelboot` folder; made again when a neighbour that failed has just removed it.
        name: Name of the model to be prepared.

    Yields:
        The new, empty folder. Its mode follows the umask, as what is published from it must.

    Raises:
        OSError: It cannot be made: permissions, disk space.
    """
    stage = work / f"{name}.{_host()}.{os.getpid()}.{_process_start_time(os.getpid())}.{secrets.token_hex(4)}{SUFFIX}"
    try:  # from before it exists: Ctrl-C may come right after
        _own.add(stage.name)
        work.mkdir(parents=True, exist_ok=True)
        stage.mkdir()
        yield stage
    except Exception:
        _remove(stage)
        raise
    except BaseException:  # Ctrl-C: a large part of a wheel is worth keeping
        _remove(stage, but=resumable_parts(stage))
        raise
    else:
        _remove(stage)


def _remove(stage: Path, but: tuple[Path, ...] = ()) -> None:
    """Remove a stage, or all of it but some files; a Ctrl-C meanwhile takes effect afterwards."""
    # From now on it is stale: what is left all the same, the next call of this process removes.
    _own.discard(stage.name)
    try:
        _clear(stage, but)
    except BaseException:
        _clear(stage, but)
        raise


def _clear(stage: Path, but: tuple[Path, ...]) -> None:
    if not but:
        shutil.rmtree(stage, ignore_errors=True)
        return
    for path in stage.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path not in but:
            path.unlink(missing_ok=True)


def resumable_parts(stage: Path) -> tuple[Path, ...]:
    """List the part files of a stage that are worth resuming, and the notes beside them."""
    parts = [part for part in stage.glob("*.part") if part.stat().st_size >= MIN_RESUMABLE_BYTES]
    notes = [note for part in parts if (note := part.with_name(f"{part.name}.json")).exists()]
    return (*parts, *notes)


def concurrent(stage: Path) -> list[Path]:
    """List the stages in which other processes, or other threads of this one, prepare the same model right now."""
    name = stage.name.partition(".")[0]
    others = [other for other in _stages(stage.parent) if other.name.partition(".")[0] == name]
    return [other for other in others if other.name != stage.name and _is_alive(other)]


def stale(work: Path) -> list[Path]:
    """List the stages whose owner is gone, of any model."""
    return [stage for stage in _stages(work) if not _is_alive(stage)]


def remove_stale(work: Path, name: str, *, inherit_into: Path | None = None) -> None:
    """Remove the stale stages of one model. What this user may not remove stays for somebody who may.

    Args:
        work: The `.modelboot` folder.
        name: Name of the model.
        inherit_into: A stage of the same model, to which the part files worth resuming are moved.
    """
    for stage in stale(work):
        if stage.name.partition(".")[0] == name:
            with suppress(OSError):
                for path in resumable_parts(stage):
                    path.rename((inherit_into or stage) / path.name)
            shutil.rmtree(stage, ignore_errors=True)


def _stages(work: Path) -> list[Path]:
    try:
        with os.scandir(work) as entries:
            return [Path(entry.path) for entry in entries if entry.name.endswith(SUFFIX)]
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # there are none, or this user may not see them
        return []


def _is_alive(stage: Path) -> bool:
    owner = _OWNER.match(stage.name)
    if owner is None:  # not a stage of modelboot, so it stays
        return True
    host, pid, started = owner.groups()
    if (host, pid, started) == (_host(), str(os.getpid()), _process_start_time(os.getpid())):
        return stage.name in _own  # another thread's, or what an interrupted call of this process left
    if host != _host():
        return time.time() - _last_touched(stage) < OTHER_HOST_STALE_S
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs as another user
    # A process has that id; "0": whether it is the owner cannot be seen.
    return _process_start_time(int(pid)) in {started, "0"}


def _last_touched(stage: Path) -> float:
    """Return when anything in the stage last changed, in seconds since the epoch; now if that cannot be seen."""
    try:
        times = [os.lstat(stage).st_mtime]
        for folder, folders, files in os.walk(stage):
            times += [os.lstat(os.path.join(folder, name)).st_mtime for name in (*folders, *files)]
    except OSError:  # its owner is at work, or it is closed to this user
        return time.time()
    return max(times)


def _host() -> str:
    """Name this host and process-id namespace: containers share folders, but not process ids."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _process_start_time(pid: int) -> str:
    """Return when a process started, in clock ticks since boot: it tells a live owner from a reused process id.

    "0" where the kernel does not say; "ended" for a process that has ended but was not waited for.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return "0"
    after_name = stat.rpartition(")")[2].split()  # proc(5): the name may hold spaces and brackets; state follows it
    return "ended" if after_name[0] in {"Z", "X"} else after_name[19]

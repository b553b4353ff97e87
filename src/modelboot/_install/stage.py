"""Stages: private folders in which one install is prepared, and the removal of leftovers of dead processes.

A stage lies in `.modelboot/` on the target's own file system, so that everything leaves it by rename. Its name says
which boot of which host made it, and whether under the lock of its model. The process that holds that lock removes what
this host made under it; all else is removed once it has not changed for ten minutes.
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
from typing import NamedTuple

from modelboot._files import UNREADABLE_ERRNOS

_NAME = r"([^.]+)\.([0-9a-f]{8})\.[0-9a-f]{8}(\.locked)?\.stage"
"""Model, host, a random token, and whether it was made under a lock; what has another name is not modelboot's."""
MIN_RESUMABLE_BYTES = 1 << 20
"""A smaller part of an archive is not worth keeping: it is fetched again."""
STALE_S = 600.0
"""Where no lock tells, a stage that has not changed for so many seconds is of a dead process."""


class Stage(NamedTuple):
    """The folder of one install, and what is known of others of the same model."""

    folder: Path
    is_locked: bool
    """Whether this process holds the model's lock, and that keeps others out."""

    @property
    def unpacked(self) -> Path:
        """Folder of the unpacked model."""
        return self.folder / "unpacked"

    def rivals(self) -> list[Path]:
        """List the stages of the same model in which other processes, or other threads of this one, may be at work."""
        others = (other for other in stages_of(self.folder.parent, _model_of(self.folder)) if other != self.folder)
        return [other for other in others if not _is_dead(other, is_locked=self.is_locked)]


@contextmanager
def staged(work: Path, name: str, *, is_locked: bool) -> Iterator[Stage]:
    """Make a stage, and remove it at the end.

    Args:
        work: The `.modelboot` folder.
        name: Name of the model to be prepared.
        is_locked: Whether this process holds the model's lock, and that keeps others out.

    Yields:
        The stage. The mode of its folder follows the umask, as what is published from it must.

    Raises:
        OSError: It cannot be made: permissions, disk space.
    """
    stage = Stage(work / f"{name}.{_host()}.{os.urandom(4).hex()}{'.locked' * is_locked}.stage", is_locked)
    try:
        stage.folder.mkdir(parents=True)
        yield stage
    except Exception:
        _remove(stage.folder)
        raise
    except BaseException:  # Ctrl-C: what was received of a large archive is worth keeping
        _remove(stage.folder, keep=resumable_parts(stage.folder))
        raise
    else:
        _remove(stage.folder)


def _remove(folder: Path, keep: tuple[Path, ...] = ()) -> None:
    """Remove a stage, or all of it but some files; Ctrl-C in the middle is raised once that is done."""
    try:
        _clear(folder, keep)
    except BaseException:
        _clear(folder, keep)
        raise


def _clear(folder: Path, keep: tuple[Path, ...]) -> None:
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path not in keep:
            path.unlink(missing_ok=True)


def resumable_parts(folder: Path) -> tuple[Path, ...]:
    """List the part files that are worth resuming, and the notes beside them: regular files of this user alone."""
    parts = [part for part in folder.glob("*.part") if _is_own_file(part, MIN_RESUMABLE_BYTES)]
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


def remove_dead(work: Path, name: str, *, is_locked: bool, heir: Path | None = None) -> None:
    """Remove the stages of one model whose processes are dead. What this user may not remove stays.

    Args:
        work: The `.modelboot` folder.
        name: Name of the model.
        is_locked: Whether this process holds the model's lock, and that keeps others out.
        heir: The stage of this process, to which the part files worth resuming are moved.
    """
    for folder in stages_of(work, name):
        if folder == heir or not _is_dead(folder, is_locked=is_locked):
            continue
        if heir is not None:
            with suppress(OSError):
                for path in resumable_parts(folder):
                    path.rename(heir / path.name)
        shutil.rmtree(folder, ignore_errors=True)


def stages_of(work: Path, name: str) -> list[Path]:
    """List the stages of one model, dead or not; one folder is read where there is none."""
    try:
        with os.scandir(work) as entries:
            stages = [entry for entry in entries if entry.name.endswith(".stage")]
    except OSError as error:
        if error.errno in UNREADABLE_ERRNOS:
            return []
        raise
    matches = [(re.fullmatch(_NAME, entry.name), entry) for entry in stages]
    return [Path(entry) for match, entry in matches if match and match[1] == name and not entry.is_symlink()]


def _model_of(folder: Path) -> str:
    return folder.name.partition(".")[0]


def _is_dead(folder: Path, *, is_locked: bool) -> bool:
    """Return True if the process that made a stage is dead: the lock which it held is held here, or it is old."""
    match = re.fullmatch(_NAME, folder.name)
    is_of_this_lock = match is not None and match[2] == _host() and match[3] is not None
    return (is_locked and is_of_this_lock) or _is_old(folder)


def _is_old(folder: Path) -> bool:
    """Return True if a stage, with everything in it, has not changed for a long time."""
    try:
        times = [os.lstat(folder).st_mtime]
        for path, folders, files in os.walk(folder):
            times += [os.lstat(os.path.join(path, name)).st_mtime for name in (*folders, *files)]
    except OSError:  # its process is at work, or it is closed to this user
        return False
    return time.time() - max(times) > STALE_S


def _host() -> str:
    """Name this boot of this host; containers on it have the same name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
    except OSError:
        import platform

        boot = platform.node()
    return hashlib.sha256(boot.encode()).hexdigest()[:8]

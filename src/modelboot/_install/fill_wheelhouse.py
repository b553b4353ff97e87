"""Fill a wheelhouse with pinned wheels, laid out as the release tree.

The folder then serves as MODELBOOT_WHEELHOUSE, as file:// base URL, behind any static file server as a mirror, and, by
a link to each wheel at its top, to `pip install --no-index --find-links`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelboot._deadline import Deadline
from modelboot._files import fsync_folder, fsync_tree, rename, sha256_of, share
from modelboot._install.lock import locked
from modelboot._install.stage import remove_dead, staged
from modelboot._install.targets import WORK
from modelboot._pin import ModelPin
from modelboot._progress import make_progress
from modelboot._settings import Settings
from modelboot._sources.fetch import FetchedWheel, fetch_wheel, make_sources
from modelboot.errors import InstallError, ModelbootError, ReportedSource

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedWheel:
    """A verified wheel in a wheelhouse."""

    name: str
    version: str
    sha256: str
    path: Path
    source: ReportedSource
    """Where it came from: "present" if it was there already, else the source."""
    downloaded_bytes: int
    """Bytes that came over the network in this call."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def fill_wheelhouse(pin: ModelPin, dest: Path, settings: Settings) -> SavedWheel:
    """Put a pinned wheel into a wheelhouse unless it is there.

    Args:
        pin: The wheel.
        dest: Root of the wheelhouse; it need not exist.
        settings: The settings in force.

    Returns:
        Where the wheel is and how it got there.

    Raises:
        DownloadError: No source has it. HashMismatchError, OfflineError: as for `ensure_model`.
        InstallError: It cannot be written.
    """
    try:
        progress = make_progress(settings.progress)
        limits = settings.limits()
        fetch = partial(fetch_wheel, pin, sources=make_sources(settings), limits=limits, progress=progress)
        return _fill(pin, dest, fetch, limits.deadline)
    except InstallError as error:  # raised by code that usually installs
        error.action = "fetch"
        raise
    except ModelbootError:  # some are OSError, too
        raise
    except OSError as error:
        raise InstallError.from_os_error(error, model=str(pin), path=str(dest), action="fetch") from error


def _fill(pin: ModelPin, dest: Path, fetch: Callable[[Path], FetchedWheel], deadline: Deadline) -> SavedWheel:
    path = dest / pin.release_path
    wheel = partial(SavedWheel, name=pin.name, version=pin.version_label, sha256=pin.sha256, path=path)
    if _is_pinned(path, pin):
        _link_at_top(path, dest, pin)
        return wheel(source="present", downloaded_bytes=0)
    work = dest / WORK
    with (
        _leaving_no_empty_folder(dest),
        locked(work / f"{pin.name}.lock", str(pin), deadline) as turn,
        staged(work, pin.name, is_locked=turn.is_locked) as stage,
    ):
        remove_dead(work, pin.name, is_locked=turn.is_locked, heir=stage.folder)
        fetched = fetch(stage.folder)
        fetched.keep(moving=False)
        share(fetched.path)
        fsync_tree(stage.folder)
        path.parent.mkdir(exist_ok=True)
        rename(fetched.path, path, replacing=True)
        fsync_folder(path.parent)
        _link_at_top(path, dest, pin)
    return wheel(source=fetched.source, downloaded_bytes=fetched.downloaded_bytes)


@contextmanager
def _leaving_no_empty_folder(dest: Path) -> Iterator[None]:
    """Remove the work folder when it is not in use, and after a failure the folders that are still empty."""
    made = [folder for folder in (dest, *dest.parents) if not os.path.lexists(folder)]
    try:
        (dest / WORK).mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in (dest / WORK, *made):
            with suppress(OSError):  # not empty, so in use
                folder.rmdir()


def _is_pinned(path: Path, pin: ModelPin) -> bool:
    if not os.path.isfile(path):
        return False
    return sha256_of(path).hex() == pin.sha256


def _link_at_top(path: Path, dest: Path, pin: ModelPin) -> None:
    """Let pip's --find-links see the wheel: it searches one folder only. Not every file system has links.

    A wheel of that name with other bytes is not modelboot's and stays.
    """
    top = dest / path.name
    with suppress(OSError):
        if not os.path.exists(top):
            new = path.with_name(f"{path.name}.link")
            new.unlink(missing_ok=True)
            new.symlink_to(path.relative_to(dest))
            new.replace(top)
        elif not (os.path.samefile(top, path) or _is_pinned(top, pin)):
            _log.warning("%s has other bytes than %s: pip would find it first in this folder", top, path)

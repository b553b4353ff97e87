"""Stage -> target by rename, dist-info last; renames that are rolled back when one fails."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from modelboot._files import fsync_folder, rename
from modelboot._install.installed import Installed
from modelboot._install.look import Look, look
from modelboot._install.stage import Stage
from modelboot._install.targets import Rename, Target
from modelboot._pin import ModelPin
from modelboot.errors import InstallError

RACES = 20
"""How often publishing is tried when other installs come in between, as they may where locks do not work."""
RACE_GRACE_S = 5.0
"""How long a half-published model is left to the process that publishes it: two renames are microseconds apart."""
LOST_RACE = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT})

_log = logging.getLogger(__name__)


class CannotReplaceError(Exception):
    """A target holds what cannot be moved out of the way: the model has to go to the store."""

    def __init__(self, reason: str) -> None:
        """Keep the reason, as the end of a sentence."""
        super().__init__(reason)
        self.reason = reason


def publish(stage: Stage, target: Target, pin: ModelPin, *, is_repair: bool) -> Installed:
    """Put an unpacked model in place. Losing a race to an equal install is success.

    Args:
        stage: This install's own, with the complete package and dist-info unpacked and flushed to disk; all else in it
            is removed.
        target: Where the model goes.
        pin: The model.
        is_repair: Whether one that looks intact gives way, too.

    Returns:
        The model in its place.

    Raises:
        CannotReplaceError: The target holds something that is not modelboot's, or that cannot be renamed.
        OSError: It could not be put in place; what was there before is back.
        InstallError: Other programs keep changing that place.
    """
    _leave_only_unpacked(stage)
    for race in range(RACES):
        backup = stage.folder / f"backup{race}"
        backup.mkdir()
        seen = _look_until_whole(stage, target, pin)
        if seen.installed is not None and not is_repair:
            return seen.installed
        try:
            return _publish(stage.unpacked, backup, target, pin, seen)
        except CannotReplaceError:
            if race == RACES - 1 or not stage.rivals():  # else it may be another process's, half published
                raise
        except OSError as error:
            if error.errno == errno.EXDEV:  # a folder of a lower layer of an image (overlayfs)
                raise CannotReplaceError(f"what is there cannot be renamed ({error.strerror})") from error
            if error.errno not in LOST_RACE:
                raise
        is_repair = False  # what looks intact from now on is what another process has put there
    reason = f"other programs kept changing it, {RACES} tries in a row"
    raise InstallError(model=str(pin), path=str(target.folder), fault="busy", reason=reason)


def remove_half_published(stage: Stage, target: Target, pin: ModelPin) -> None:
    """Move what a killed install half-published out of the target, while its stage proves it to be ours.

    Args:
        stage: This install's own.
        target: Where the model goes.
        pin: The model.
    """
    seen = look(target, pin)
    if seen.is_ours and not look(target, pin, stages=()).is_ours and not stage.rivals():
        with suppress(OSError):  # publishing will say what is in the way
            orphans = stage.folder / "orphans"
            orphans.mkdir()
            rename_all(target.renames_out(seen.existing, orphans))


def _leave_only_unpacked(stage: Stage) -> None:
    """Remove the archive and all scratch files: what is gone before the commit cannot be left behind after it."""
    for path in stage.folder.iterdir():
        if path == stage.unpacked:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _look_until_whole(stage: Stage, target: Target, pin: ModelPin) -> Look:
    """Look at what the target holds of the model; wait while that may be half of what another process is publishing.

    There is such a process only where locks do not work: it has a package there, and no dist-info. If its package were
    moved away at that moment, its dist-info would be left alone in the folder. Only what was seen here is moved: what
    one more look would show could be such a half again.
    """
    until = time.monotonic() + RACE_GRACE_S
    while True:
        seen = look(target, pin, stage.rivals())
        is_half = [path.name for path in seen.existing] == [pin.name] and stage.rivals()
        if not is_half or time.monotonic() >= until:
            return seen
        time.sleep(0.002)


def _publish(unpacked: Path, backup: Path, target: Target, pin: ModelPin, seen: Look) -> Installed:
    """Rename: old dist-infos out, old package out, new package in, new dist-info in; in the store all at once."""
    if not seen.is_ours:
        raise CannotReplaceError("it has one that modelboot may not replace")
    (dist_info,) = (path for path in unpacked.iterdir() if path.name != pin.name)
    out = target.renames_out(seen.existing, backup)
    rename_all([*out, *target.renames_in(unpacked, (pin.name, dist_info.name))])
    try:
        fsync_folder(target.commit_folder)
    except OSError as error:  # the model is installed; only a power failure could undo that
        _log.warning("%s is in place, but %s could not be flushed: %s", pin, target.folder, error)
    return Installed(pin.name, target, target.folder / dist_info.name)


def rename_all(renames: list[Rename]) -> None:
    """Rename one after another; undo those already made when one fails.

    Where one is gone, another process has taken it, and goes on from there: an old dist-info must not come back beside
    what that one publishes.

    Args:
        renames: Pairs of source and destination, in order.

    Raises:
        FileNotFoundError: Another process has taken one of them; nothing was undone.
        OSError: One failed; the earlier ones were undone.
    """
    begun: list[Rename] = []
    try:
        for source, destination in renames:
            begun.append((source, destination))
            rename(source, destination)
    except FileNotFoundError:
        raise
    except BaseException:
        _roll_back(begun)
        raise


def _roll_back(begun: list[Rename]) -> None:
    """Undo renames, the last one first.

    The last one may or may not have been made: Ctrl-C can come between a rename and any note of it. The first that
    cannot be undone ends this: another process has put its own package there, and an old dist-info must not come back
    beside that.
    """
    if begun and (os.path.lexists(begun[-1][0]) or not os.path.lexists(begun[-1][1])):
        begun.pop()
    with suppress(OSError):
        for source, destination in reversed(begun):
            rename(destination, source)

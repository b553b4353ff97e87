"""Staging folder -> target by rename, dist-info last; uninstall; renames that are taken back when one fails."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from modelboot._files import fsync_folder
from modelboot._install import installed as _store
from modelboot._install import lock as _lock
from modelboot._install import stage as _stage
from modelboot._install import target as _places
from modelboot._install.installed import DistInfo, Found
from modelboot._install.inventory import Item
from modelboot._install.target import Place
from modelboot._limits import Deadline
from modelboot._pin import ModelPin
from modelboot._settings import Settings
from modelboot.errors import InstallError

RACES = 20
"""How often it is tried again when, without a working lock, somebody else's install came in between."""
COURTESY_S = 5.0
"""How long a half-published model is left to whoever is publishing it: between two renames lie microseconds."""
LOST_RACE = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT})

_log = logging.getLogger(__name__)


def publish(stage: Path, built: Path, place: Place, pin: ModelPin) -> Found:
    """Put a built model in place. Losing a race to an equal install is success.

    Args:
        stage: This install's own folder; all of it but `built` is removed.
        built: Folder in the stage with the complete package and dist-info, flushed to disk.
        place: Where the model goes. What `look` calls taken must not be there.
        pin: The model.

    Returns:
        The model in its place.

    Raises:
        OSError: It could not be put in place; what was there before is back.
        InstallError: Other programs keep changing that place.
    """
    _leave_only(stage, built)
    for race in range(RACES):
        aside = stage / f"aside{race}"
        aside.mkdir()
        _let_others_finish(stage, place, pin)
        try:
            return _publish(built, aside, place, pin)
        except OSError as error:
            if error.errno not in LOST_RACE:
                raise
        found = _store.look(place.folder, pin).found
        if found is not None:
            return found
    reason = f"other programs kept changing it, {RACES} tries in a row"
    raise InstallError(model=str(pin), path=str(place.folder), fault="busy", reason=reason)


def _leave_only(stage: Path, built: Path) -> None:
    """Remove the wheel and all scratch files: what is gone before the commit cannot be left behind after it."""
    for path in stage.iterdir():
        if path.is_dir() and path != built:
            shutil.rmtree(path)
        elif path != built:
            path.unlink()


def _let_others_finish(stage: Path, place: Place, pin: ModelPin) -> None:
    """Wait while a package without its dist-info may be another racer's, a rename away from being whole.

    Only where locks do nothing is there such a racer. Taking its package away in that moment would leave its dist-info
    alone in the folder.
    """
    until = time.monotonic() + COURTESY_S
    while (
        _stage.rivals(stage)
        and [path.name for path in _store.look(place.folder, pin).remains] == [pin.name]
        and time.monotonic() < until
    ):
        time.sleep(0.002)


def _publish(built: Path, aside: Path, place: Place, pin: ModelPin) -> Found:
    """Rename: old dist-infos out, old package aside, new package in, new dist-info in; in the store all at once."""
    (dist_info,) = (path.name for path in built.iterdir() if path.name != pin.name)
    if place.is_store:
        moves = [(place.folder, aside / "store")] if os.path.lexists(place.folder) else []
        moves.append((built, place.folder))
    else:
        moves = [(path, aside / path.name) for path in _store.look(place.folder, pin).remains]
        moves += [(built / name, place.folder / name) for name in (pin.name, dist_info)]
    rename_all(moves)
    try:
        fsync_folder(place.folder.parent if place.is_store else place.folder)
    except OSError as error:  # it is in place all the same; only a power failure could still undo it
        _log.warning("%s is in place, but %s could not be flushed: %s", pin, place.folder, error)
    return Found(place.folder, DistInfo(place.folder / dist_info), place.folder / pin.name)


def uninstall(item: Item, settings: Settings) -> None:
    """Remove a model, its dist-info first: a reader sees it whole or not at all.

    Nothing RECORD names is followed: what goes is the package's folder and the dist-info, both moved into a stage and
    deleted there.

    Args:
        item: The model.
        settings: The settings in force: how long to wait for another process.

    Raises:
        InstallError: Another program installed it, it holds files nobody recorded, or it may not be removed.
    """
    refusal = _refusal(item)
    if refusal is not None:
        raise InstallError(model=str(item), path=str(item.folder), fault="owner", reason=refusal, action="uninstall")
    place = _places.at(item.folder)
    lock = _lock.held(place.work / f"{item.name}.lock", str(item), Deadline.after(settings.deadline_s))
    try:
        with lock, _stage.staged(place.work, item.name) as stage:
            _stage.sweep(place.work, item.name)
            rename_all(_moves(item, place, stage))
            fsync_folder(item.folder.parent if place.is_store else item.folder)
    except OSError as error:
        raise InstallError.from_os_error(error, model=str(item), path=str(item.folder), action="uninstall") from error


def _refusal(item: Item) -> str | None:
    """Say why a model is not modelboot's to remove; None when it is."""
    if item.installer != _places.INSTALLER:
        return f"{item.installer or 'another program'} installed it"
    strangers = _store.unrecorded(item.found)
    return f"nobody recorded {', '.join(strangers)}" if strangers else None


def _moves(item: Item, place: Place, stage: Path) -> list[tuple[Path, Path]]:
    if place.is_store:
        return [(item.folder, stage / "store")]
    tops = (item.found.dist_info.path, item.found.package)
    return [(path, stage / path.name) for path in tops if path.exists()]


def rename_all(moves: list[tuple[Path, Path]]) -> None:
    """Rename one after another; take back those already made when one fails.

    Args:
        moves: Pairs of source and destination, in order.

    Raises:
        OSError: One failed; the earlier ones were taken back.
    """
    begun: list[tuple[Path, Path]] = []
    try:
        for source, destination in moves:
            begun.append((source, destination))
            os.rename(source, destination)
    except BaseException:
        _take_back(begun)
        raise


def _take_back(begun: list[tuple[Path, Path]]) -> None:
    """Undo renames, the last one first.

    The last one may or may not have been made: Ctrl-C can come between a rename and any note of it. One that cannot be
    undone ends it: a racer has put its own package there, and an old dist-info must not come back to lie beside that.
    """
    if begun and (os.path.lexists(begun[-1][0]) or not os.path.lexists(begun[-1][1])):
        begun.pop()
    with suppress(OSError):
        for source, destination in reversed(begun):
            os.rename(destination, source)

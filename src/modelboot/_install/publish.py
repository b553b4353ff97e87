"""A whole stage → its place, by rename, dist-info last."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from typing import TYPE_CHECKING

from modelboot import _renames as _disk
from modelboot._install import installed as _store
from modelboot._install import stage as _stage
from modelboot._install.installed import DistInfo, Found
from modelboot.errors import InstallError

if TYPE_CHECKING:
    from pathlib import Path

    from modelboot._install.target import Place
    from modelboot._pin import ModelPin

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
    _disk.rename_all(moves)
    try:
        _disk.flush_folder(place.folder.parent if place.is_store else place.folder)
    except OSError as error:  # it is in place all the same; only a power failure could still undo it
        _log.warning("%s is in place, but %s could not be flushed: %s", pin, place.folder, error)
    return Found(place.folder, DistInfo(place.folder / dist_info), place.folder / pin.name)

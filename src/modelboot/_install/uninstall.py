"""An installed model → gone: only what modelboot put there, and only inside the folder it lies in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelboot import _renames as _disk
from modelboot._install import installed as _store
from modelboot._install import lock as _lock
from modelboot._install import stage as _stage
from modelboot._install import target as _places
from modelboot._settings import Deadline
from modelboot.errors import InstallError

if TYPE_CHECKING:
    from pathlib import Path

    from modelboot._install.inventory import Item
    from modelboot._install.target import Place
    from modelboot._settings import Settings


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
            _disk.rename_all(_moves(item, place, stage))
            _disk.flush_folder(item.folder.parent if place.is_store else item.folder)
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

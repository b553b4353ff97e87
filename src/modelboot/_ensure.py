"""The order of an install: look, room and rights, lock, look again, sweep, get, unpack, publish."""

from __future__ import annotations

import errno
import importlib
import logging
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from modelboot import _install, _lock, _places, _stage, _store
from modelboot._catalog import DEFAULT_MODEL, check_requirements, resolve
from modelboot._deadline import Deadline
from modelboot._installed import Clock, InstalledModel
from modelboot._progress import make_progress
from modelboot._settings import as_folder, as_folders, read_settings
from modelboot._sources import Order, get_wheel
from modelboot.errors import InstallError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from modelboot._pin import ModelPin
    from modelboot._places import Place
    from modelboot._settings import Settings
    from modelboot._store import Found

RACES = 20
"""How often publishing is tried again when, without a working lock, somebody else's equal install came in between."""

_log = logging.getLogger(__name__)
logging.getLogger("modelboot").addHandler(logging.NullHandler())


def ensure_model(
    model: str | ModelPin = DEFAULT_MODEL,
    /,
    *,
    target: str | os.PathLike[str] | None = None,
    wheelhouse: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    offline: bool | None = None,
) -> InstalledModel:
    """Install a pinned pipeline unless it is there, without importing spaCy.

    An argument that is given beats the environment variable of that name; None leaves it in force.

    Args:
        model: A catalog name ("fr_core_news_sm"), a name with a version ("en_core_web_sm==3.7.1"), or a `ModelPin`.
        target: Folder to install into and nowhere else (MODELBOOT_TARGET).
        wheelhouse: Folder or folders searched first for the wheel (MODELBOOT_WHEELHOUSE).
        offline: Whether to keep off the network (MODELBOOT_OFFLINE).

    Returns:
        Where the model is, how it got there and what that cost.

    Raises:
        SettingsError: A variable or an argument cannot be used.
        UnknownModelError: The catalog has no such model.
        IncompatibleError: spaCy or a package the pipeline needs is missing or does not fit.
        OfflineError: It is not there and the network is switched off.
        HashMismatchError: A source gave other bytes, and no other source gave the wheel.
        DownloadError: No source gave the wheel.
        InstallError: The wheel could not be put in place.
    """
    settings = read_settings()
    if target is not None:
        settings = replace(settings, target=as_folder(target))
    if wheelhouse is not None:
        settings = replace(settings, wheelhouse=as_folders(wheelhouse))
    if offline is not None:
        settings = replace(settings, offline=offline)
    return ensure(resolve(model), settings)[0]


def ensure(pin: ModelPin, settings: Settings, *, instead_of: Found | None = None) -> tuple[InstalledModel, Found]:
    """Install a pin unless it is there; `ensure_model` for callers inside modelboot.

    Args:
        pin: What to install.
        settings: The settings in force.
        instead_of: A model that looks whole but was found to be altered: it does not count as there, and what is
            installed takes its place.

    Returns:
        What the caller is told, and where the files are.
    """
    clock = Clock()
    found = None if instead_of else _present(pin, settings)
    clock.lap("look")
    if found is not None:
        return clock.report(pin, found.data, "present"), found
    check_requirements(pin)
    deadline = Deadline.after(settings.deadline_s)
    place = _choose(pin, settings, instead_of)
    with _prepared(place, pin), _lock.held(place.work / f"{pin.name}.lock", pin, deadline):
        clock.lap("wait")
        found = _store.look(place.folder, pin).found
        if found is not None and not (instead_of and _store.altered(found)):
            return clock.report(pin, found.data, "present"), found
        _stage.sweep(place.work, pin.name)
        return _install_into(place, pin, settings, deadline, clock)


def _present(pin: ModelPin, settings: Settings) -> Found | None:
    """Look wherever it may lie, and sweep what a dead install left beside it."""
    for folder in _places.to_look_in(pin, settings):
        found = _store.look(folder, pin).found
        if found is not None:
            _stage.sweep(folder / _places.WORK, pin.name)
            return found
    return None


def _choose(pin: ModelPin, settings: Settings, instead_of: Found | None) -> Place:
    """Choose the first place that may be written and is not taken, before a byte is fetched."""
    refused = []
    for place in _places.to_install_into(pin, settings):
        if instead_of and instead_of.folder != place.folder:
            continue
        if _store.look(place.folder, pin).state == "foreign":
            refused.append(f"{place.label}: {place.folder} holds another version, which modelboot did not install")
            continue  # it is left alone, and the store stands in
        if _places.is_writable(place):
            return place
        refused.append(f"{place.label}: no right to write {place.folder}")
        if settings.target is not None:  # "here and nowhere else"
            break
    where = str(settings.target or _places.purelib())
    raise InstallError(model=str(pin), path=where, fault="rights", reason="; ".join(refused) or "no place to write")


@contextmanager
def _prepared(place: Place, pin: ModelPin) -> Iterator[None]:
    """Make the folders an install needs; when it fails, remove those it made, so that the target is as it was."""
    made: list[Path] = []
    try:
        for folder in reversed([place.work, *place.work.parents]):
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                made.append(folder)
        yield
    except OSError as error:
        _remove(made, place, pin)
        raise InstallError.from_os_error(error, model=str(pin), path=str(place.folder)) from error
    except BaseException:
        _remove(made, place, pin)
        raise


def _remove(made: list[Path], place: Place, pin: ModelPin) -> None:
    """Remove folders that this call made and nobody else uses by now."""
    if made:
        (place.work / f"{pin.name}.lock").unlink(missing_ok=True)
    for folder in reversed(made):
        try:
            folder.rmdir()
        except OSError:  # somebody else is at work in it
            return


def _install_into(
    place: Place, pin: ModelPin, settings: Settings, deadline: Deadline, clock: Clock
) -> tuple[InstalledModel, Found]:
    stage = _stage.create(place.work, pin.name)
    try:
        order = Order(pin=pin, folder=stage, settings=settings, deadline=deadline, progress=make_progress(settings))
        delivery = get_wheel(order)
        clock.lap("get")
        dist_info = _install.unpack(delivery.path, pin, stage / "built")
        clock.lap("unpack")
        _leave_only(stage, "built")
        found = _publish(stage, place, pin, dist_info)
        clock.lap("publish")
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    _forget_imports(pin, place)
    _log.debug("installed %s from %s into %s", pin, delivery.source, place.folder)
    return clock.report(pin, found.data, delivery.source, delivery.received_bytes), found


def _leave_only(stage: Path, kept: str) -> None:
    """Remove all but one folder of a stage: what is gone before the commit cannot be left behind after it."""
    for path in stage.iterdir():
        if path.name == kept:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _publish(stage: Path, place: Place, pin: ModelPin, dist_info: str) -> Found:
    """Put it in place. Losing a race to an equal install is success."""
    for _ in range(RACES):
        aside = stage / "aside"
        aside.mkdir(exist_ok=True)
        try:
            _store.publish(stage / "built", aside, place, pin, dist_info)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                raise
        found = _store.look(place.folder, pin).found
        if found is not None:
            return found
    reason = f"other programs kept changing it, {RACES} tries in a row"
    raise InstallError(model=str(pin), path=str(place.folder), fault="busy", reason=reason)


def _forget_imports(pin: ModelPin, place: Place) -> None:
    """Make Python see what is there now: not what it listed before, and not an older module of that name."""
    importlib.invalidate_caches()
    module = sys.modules.get(pin.name)
    package = str(place.folder / pin.name)
    if module is not None and package in {*getattr(module, "__path__", ())}:
        for name in [name for name in sys.modules if name == pin.name or name.startswith(f"{pin.name}.")]:
            del sys.modules[name]

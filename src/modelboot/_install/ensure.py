"""ensure_model: find, lock, fetch, unpack, publish, and report what it took."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot._catalog import DEFAULT_MODEL, check_requirements, resolve
from modelboot._fsync import fsync_tree
from modelboot._install import lock, stage
from modelboot._install.importable import append_to_sys_path
from modelboot._install.inspection import inspect, may_replace
from modelboot._install.installed import Installed
from modelboot._install.prepare import prepared_target
from modelboot._install.publish import CannotReplaceError, publish, take_orphans
from modelboot._install.report import InstalledModel, Timings
from modelboot._install.target import (
    Target,
    purelib,
    targets_to_install_into,
    targets_to_search,
)
from modelboot._parse import directories, directory
from modelboot._pin import ModelPin
from modelboot._progress import Progress, make_progress
from modelboot._settings import Settings, read_settings
from modelboot.errors import DownloadError, InstallError, ModelbootError

if TYPE_CHECKING:
    from modelboot._sources.fetch import FetchedWheel

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
    """Read the settings, apply the arguments, and install; see `modelboot.ensure_model`."""
    settings = read_settings()
    if target is not None:
        settings = replace(settings, target=directory(target))
    if wheelhouse is not None:
        settings = replace(settings, wheelhouse=directories(wheelhouse))
    if offline is not None:
        settings = replace(settings, offline=offline)
    report, installed = ensure(resolve(model, pins=settings.pins), settings)
    append_to_sys_path(installed.folder)
    return report


def ensure(
    pin: ModelPin, settings: Settings, *, replacing: Installed | None = None, progress: Progress | None = None
) -> tuple[InstalledModel, Installed]:
    """Install a pin unless it is there; `ensure_model` for callers inside modelboot.

    Args:
        pin: What to install.
        settings: The settings in force.
        replacing: A model that looks intact but has modified files: it does not count as installed, and is replaced
            if it is modelboot's own; else the pinned model is installed into the store.
        progress: Shows the download; as the settings say when None.

    Returns:
        The report for the caller, and where the files are.
    """
    timings = Timings()
    try:
        installed = _find(pin, targets_to_search(pin, settings), replacing)
        timings.mark("find")
        if installed is None:
            return _install(pin, settings, replacing, progress or make_progress(settings.progress), timings)
    except ModelbootError:  # some are OSError, too
        raise
    except OSError as error:  # whatever the system refused on the way
        where = settings.target or purelib()
        raise InstallError.from_os_error(error, model=str(pin), path=str(where)) from error
    _warn_unless_verified(pin, installed)
    return timings.report(pin, installed, "present"), installed


def _find(pin: ModelPin, targets: Iterable[Target], replacing: Installed | None) -> Installed | None:
    """Return the model from the first target that has it, and remove what killed installs left there and before it."""
    searched: list[Target] = []
    for target in targets:
        searched.append(target)
        installed = inspect(target, pin).installed
        if installed is not None and not (replacing and installed.modified_files()):
            for each in searched:  # an install that ended in the store may have begun in another target
                stage.remove_stale(each.work, pin.name)
            return installed
    return None


_warned: set[str] = set()


def _warn_unless_verified(pin: ModelPin, installed: Installed) -> None:
    """Log once per process that nothing proves an installed copy to be the pinned wheel."""
    if installed.sha256 is None and str(installed.dist_info) not in _warned:
        _warned.add(str(installed.dist_info))
        installer = installed.installer or "another program"
        _log.warning("%s: hash not recorded by %s; %s is used as it is", pin, installer, installed.folder)


def _install(
    pin: ModelPin, settings: Settings, replacing: Installed | None, progress: Progress, timings: Timings
) -> tuple[InstalledModel, Installed]:
    """Install a model, unless another process has done so in the meantime."""
    check_requirements(pin)
    limits = settings.limits()
    with (
        _prepared(pin, settings, replacing) as target,
        lock.locked(target.lock_file(pin.name), str(pin), limits.deadline) as state,
    ):
        timings.mark("lock")
        installed = _find(pin, targets_to_search(pin, settings), replacing)
        if installed is not None:
            return timings.report(pin, installed, "present"), installed
        # urllib3 opens a socket when it is imported, to see whether there is IPv6: not in a warm start.
        from modelboot._install.failure_for_waiters import forget_failures, raise_failure, save_failure
        from modelboot._sources.fetch import fetch_wheel, make_sources

        sources = make_sources(settings)
        raise_failure(target.work, pin, sources, state.waited_since)
        fetch = partial(fetch_wheel, pin, sources=sources, limits=limits, progress=progress)
        try:
            result = _install_into(target, pin, fetch, timings, store=_other_store(target, pin, settings))
        except DownloadError as error:
            save_failure(target.work, pin, sources, error)
            raise
        forget_failures(target.work, pin)
        return result


def _prepared(pin: ModelPin, settings: Settings, replacing: Installed | None) -> AbstractContextManager[Target]:
    """Inspect every target a model may go to, and prepare the first that can be used."""
    targets = [*targets_to_install_into(pin, settings)]
    if replacing is not None:
        targets = [replacing.target, *(target for target in targets[-1:] if target.folder != replacing.folder)]
    foreign = [target for target in targets if not _can_take(target, pin, replacing)]
    if settings.target is not None and replacing is None and targets[0] not in foreign:
        targets = targets[:1]  # "here and nowhere else"
    return prepared_target(pin, targets, foreign=foreign, has_home=settings.home is not None)


def _can_take(target: Target, pin: ModelPin, replacing: Installed | None) -> bool:
    """Tell whether nothing in a target has to stay."""
    if replacing is not None and target == replacing.target:
        return may_replace(target, pin)
    return inspect(target, pin).state != "foreign"


def _other_store(target: Target, pin: ModelPin, settings: Settings) -> Target | None:
    """Return the folder of the store, for a model that its target turns out not to take."""
    last = [*targets_to_install_into(pin, settings)][-1:]
    return next((store for store in last if settings.home is not None and store.folder != target.folder), None)


def _install_into(
    target: Target, pin: ModelPin, fetch: Callable[[Path], FetchedWheel], timings: Timings, *, store: Target | None
) -> tuple[InstalledModel, Installed]:
    from modelboot._install.unpack import unpack

    with stage.staged(target.work, pin.name) as staging:
        take_orphans(staging, target, pin)
        stage.remove_stale(target.work, pin.name, inherit_into=staging)
        fetched = fetch(staging)
        timings.mark("fetch")
        unpack(fetched.path, pin, staging / "unpacked")
        timings.mark("unpack")
        installed = _publish(staging, target, pin, store)
        timings.mark("publish")
    _invalidate_imports(installed)
    _log.debug("installed %s from %s into %s", pin, fetched.source, installed.folder)
    return timings.report(pin, installed, fetched.source, fetched.downloaded_bytes), installed


def _publish(staging: Path, target: Target, pin: ModelPin, store: Target | None) -> Installed:
    """Publish what is unpacked, in the store if the target has something that cannot be moved out of the way."""
    try:
        return publish(staging, staging / "unpacked", target, pin)
    except CannotReplaceError as error:
        if store is None:
            raise InstallError(
                model=str(pin), path=str(target.folder), fault="permissions", reason=error.reason
            ) from error
        _log.info("%s: %s: %s; it goes to the store, %s", pin, target, error.reason, store.folder)
    foreign = [store] if inspect(store, pin).state == "foreign" else []
    prepared = prepared_target(pin, [store], foreign=foreign, has_home=True)
    with prepared, stage.staged(store.work, pin.name) as own:
        stage.remove_stale(store.work, pin.name)
        shutil.copytree(staging / "unpacked", own / "unpacked", symlinks=True)
        fsync_tree(own / "unpacked")
        return publish(own, own / "unpacked", store, pin)


def _invalidate_imports(installed: Installed) -> None:
    """Make Python see what is there now: not what it listed before, and no older module from the same place."""
    importlib.invalidate_caches()
    package = str(installed.package)
    stale = [name for name, module in [*sys.modules.items()] if package in {*getattr(module, "__path__", ())}]
    for top in stale:
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]

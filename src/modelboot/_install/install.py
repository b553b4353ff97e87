"""Installing what is not there: choose a target, lock, fetch, unpack, publish.

Not imported where the model is present: a warm start pays for none of it.
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot._catalog import check_requirements
from modelboot._fsync import fsync_tree
from modelboot._install import lock, stage
from modelboot._install.find import find
from modelboot._install.inspection import inspect, may_replace
from modelboot._install.installed import Installed
from modelboot._install.outcome import Outcome, Timings
from modelboot._install.preload import preloading
from modelboot._install.prepare import prepared_target
from modelboot._install.publish import CannotReplaceError, publish, take_orphans
from modelboot._install.target import Target, targets_to_install_into, targets_to_search
from modelboot._pin import ModelPin
from modelboot._progress import make_progress
from modelboot._settings import Settings
from modelboot.errors import DownloadError, InstallError

if TYPE_CHECKING:
    from modelboot._sources.fetch import FetchedWheel

UNPACK = "modelboot._install.unpack"
"""Imported while the wheel travels: installer and what it needs take longer than small wheels do."""

_log = logging.getLogger(__name__)


def install(
    pin: ModelPin, settings: Settings, *, replacing: Installed | None, preload: Sequence[str], timings: Timings
) -> Outcome:
    """Install a model, unless another process has done so in the meantime.

    Args:
        pin: What to install.
        settings: The settings in force.
        replacing: A model with modified files that does not count as installed; see `ensure`.
        preload: Names of modules to import beside the download, after those that unpack the wheel.
        timings: Is told what each part took.

    Returns:
        Where the files are and how they got there.

    Raises:
        ModelbootError: It could not be fetched or put in place.
        OSError: What the system refused on the way.
    """
    check_requirements(pin)
    limits = settings.limits()
    with (
        # Begun first, as it may end last: nobody else waits for what this process imports.
        preloading([UNPACK, *preload], make_progress(settings.progress)) as progress,
        _prepared(pin, settings, replacing) as target,
        lock.locked(
            target.lock_file(pin.name), str(pin), limits.deadline, _publishing(target, pin, settings, replacing)
        ) as state,
    ):
        timings.mark("lock")
        installed = find(pin, targets_to_search(pin, settings), replacing)
        if installed is not None:
            return Outcome(installed)
        # urllib3 opens a socket when it is imported, to see whether there is IPv6: not in a warm start.
        from modelboot._install.failure_for_waiters import forget_failures, raise_failure, save_failure
        from modelboot._sources.fetch import fetch_wheel, make_sources

        sources = make_sources(settings)
        raise_failure(target, pin, sources, state.waited_since)
        fetch = partial(fetch_wheel, pin, sources=sources, limits=limits, progress=progress)
        try:
            outcome = _install_into(target, pin, fetch, timings, store=_other_store(target, pin, settings))
        except DownloadError as error:
            save_failure(target, pin, sources, error)
            raise
        forget_failures(target, pin)
        return outcome


def _publishing(target: Target, pin: ModelPin, settings: Settings, replacing: Installed | None) -> Callable[[], bool]:
    """Return what tells that another process has just published the model.

    The folder is looked at, and searched only when it has changed. Without this 64 processes that wait would take the
    lock one after another, each to see that the model is there.
    """
    seen = _changed_ns(target)

    def has_published() -> bool:
        nonlocal seen
        before, seen = seen, _changed_ns(target)
        return before != seen and find(pin, targets_to_search(pin, settings), replacing) is not None

    return has_published


def _changed_ns(target: Target) -> int:
    try:
        return os.stat(target.renamed_in).st_mtime_ns
    except OSError:
        return 0


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
) -> Outcome:
    with stage.staged(target.work, pin.name) as staging:
        take_orphans(staging, target, pin)
        stage.remove_stale(target.work, pin.name, inherit_into=staging)
        fetched = fetch(staging)
        timings.mark("fetch")
        from modelboot._install.unpack import unpack

        unpack(fetched.path, pin, staging / "unpacked", is_from_index=fetched.source == "index")
        fetched.keep()
        timings.mark("unpack")
        installed = _publish(staging, target, pin, store)
        timings.mark("publish")
    _invalidate_imports(installed)
    _log.debug("installed %s from %s into %s", pin, fetched.source, installed.folder)
    return Outcome(installed, fetched.source, fetched.downloaded_bytes)


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

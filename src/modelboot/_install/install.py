"""Installing what is not there: choose a target, lock, fetch, unpack, publish.

Not imported where the model is present: a warm start pays for none of it.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelboot._catalog import check_requirements
from modelboot._deadline import Limits
from modelboot._files import fsync_tree
from modelboot._install.installed import Installed
from modelboot._install.lock import Turn, failure_of_holder, forget_failure, locked, save_failure, share_with_group
from modelboot._install.look import look
from modelboot._install.outcome import Outcome, Timings
from modelboot._install.preload import preloading
from modelboot._install.publish import CannotReplaceError, publish, remove_half_published
from modelboot._install.stage import Stage, remove_dead, staged
from modelboot._install.targets import Choice, Target, choices, store_of
from modelboot._pin import ModelPin
from modelboot._progress import Progress, make_progress
from modelboot._settings import Settings
from modelboot._turns import raise_if_from_signal
from modelboot.errors import DownloadError, InstallError

if TYPE_CHECKING:
    from modelboot._sources.fetch import FetchedWheel

UNPACK = "modelboot._install.unpack"
"""Imported while the wheel travels: installer and what it needs take longer than small wheels do."""

_log = logging.getLogger(__name__)


class Request(NamedTuple):
    """What is to be installed."""

    pin: ModelPin
    settings: Settings
    """The settings in force."""
    limits: Limits
    """Of the whole call, whose deadline has begun."""
    replacing: Installed | None
    """A model with modified files that does not count as installed; see `ensure`."""
    preload: Sequence[str]
    """Names of modules to import beside the download, after those that unpack the wheel."""
    timings: Timings
    """Is told what each part took."""


def install(request: Request, find: Callable[[], Installed | None]) -> Outcome:
    """Install a model, unless another process has done so in the meantime.

    Args:
        request: What to install.
        find: Looks for the model, which was not there a moment ago.

    Returns:
        Where the files are and how they got there.

    Raises:
        ModelbootError: It could not be fetched or put in place.
        OSError: What the system refused on the way.
    """
    check_requirements(request.pin)
    with ExitStack() as folders:
        return _install_under_lock(_chosen_target(request, folders), request, find)


def _install_under_lock(target: Target, request: Request, find: Callable[[], Installed | None]) -> Outcome:
    pin, settings = request.pin, request.settings

    def is_published() -> bool:
        return request.replacing is None and find() is not None

    with (
        # Begun first, as it may end last: no other process waits for what this one imports.
        preloading([UNPACK, *request.preload], make_progress(settings.progress)) as progress,
        locked(target.lock_file(pin.name), str(pin), request.limits.deadline, is_published) as turn,
    ):
        request.timings.mark("lock")
        if (installed := find()) is not None:
            return Outcome(installed)
        try:
            return _fetch_and_install(target, request, turn, progress)
        except DownloadError:
            raise
        except OSError as error:  # another process may have taken this one, which was stopped for long, for dead
            raise_if_from_signal(error)
            if (installed := find()) is None:
                raise
            return Outcome(installed)


def _fetch_and_install(target: Target, request: Request, turn: Turn, progress: Progress) -> Outcome:
    """Install, unless the process that was waited for has just failed at it; save a failure for those that wait."""
    # urllib3 opens a socket when it is imported, to see whether there is IPv6: not in a warm start.
    from modelboot._sources.fetch import fetch_wheel, make_sources
    from modelboot._sources.source import download_error

    pin, sources = request.pin, make_sources(request.settings)
    asked = [pin.sha256, *([source.location(pin), source.disabled(pin)] for source in sources)]
    if attempts := failure_of_holder(turn, asked):
        raise download_error(pin, *attempts)
    fetch = partial(fetch_wheel, pin, sources=sources, limits=request.limits, progress=progress)
    try:
        outcome = _install_into(target, request, fetch, is_locked=turn.is_locked)
    except DownloadError as error:
        save_failure(turn, asked, error.attempts)
        raise
    forget_failure(turn)
    return outcome


def _chosen_target(request: Request, folders: ExitStack) -> Target:
    """Make the folders of the first target that can be used, before a byte is fetched.

    Args:
        request: What to install.
        folders: Removes them when its block fails.

    Raises:
        InstallError: There is none; each that was refused is named with its reason.
    """
    pin, settings, replacing = request.pin, request.settings, request.replacing
    refused: list[Choice] = []
    for choice in choices(pin, settings, lambda target: look(target, pin).is_ours, replacing and replacing.target):
        reason = choice.why_not or folders.enter_context(_made_folders(choice.target))
        if not reason:
            if refused:
                _log.info("%s: %s; it goes to %s", pin, _told(refused), choice.target)
            return choice.target
        refused.append(Choice(choice.target, reason))
    without = "" if settings.home else "; MODELBOOT_HOME is not set and this user has no home folder"
    folder = str(refused[0].target.folder)
    raise InstallError(model=str(pin), path=folder, fault="permissions", reason=f"{_told(refused)}{without}")


@contextmanager
def _made_folders(target: Target) -> Iterator[str]:
    """Make a target's folders, and remove them when the block fails, unless another process uses them by then.

    Yields:
        Why they cannot be made; empty when they are there.
    """
    missing = [folder for folder in (target.work, *target.work.parents) if not folder.exists()]
    try:
        yield _make_folders(target)
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()
        raise


def _make_folders(target: Target) -> str:
    try:
        target.work.mkdir(parents=True, exist_ok=True)
        share_with_group(target.work)
    except OSError as error:  # the permissions of a network file system show only when they are used
        raise_if_from_signal(error)
        return error.strerror or str(error)
    return ""


def _told(refused: Sequence[Choice]) -> str:
    return "; ".join(f"{target}: {reason}" for target, reason in refused)


def _install_into(
    target: Target, request: Request, fetch: Callable[[Path], FetchedWheel], *, is_locked: bool
) -> Outcome:
    pin, timings = request.pin, request.timings
    with staged(target.work, pin.name, is_locked=is_locked) as stage:
        remove_half_published(stage, target, pin)
        remove_dead(target.work, pin.name, is_locked=is_locked, heir=stage.folder)
        fetched = fetch(stage.folder)
        timings.mark("fetch")
        from modelboot._install.unpack import unpack

        unpack(fetched.path, fetched.identity, pin, stage.unpacked, is_from_index=fetched.source == "index")
        fetched.keep()
        timings.mark("unpack")
        try:
            installed = publish(stage, target, pin, is_repair=request.replacing is not None)
        except CannotReplaceError as error:
            installed = _publish_in_store(stage, target, request, error)
        timings.mark("publish")
    _invalidate_imports(installed)
    _log.debug("installed %s from %s into %s", pin, fetched.source, installed.folder)
    return Outcome(installed, fetched.source, fetched.downloaded_bytes)


def _publish_in_store(stage: Stage, target: Target, request: Request, error: CannotReplaceError) -> Installed:
    """Put what is unpacked into the store, as its target has something that cannot be moved out of the way."""
    pin, home = request.pin, request.settings.home
    store = store_of(pin, home) if home else target
    refused = partial(InstallError, model=str(pin), path=str(store.folder), fault="permissions")
    if store.folder == target.folder:
        raise refused(reason=error.reason) from error
    with _made_folders(store) as reason:
        if reason:
            raise refused(reason=reason) from error
        _log.info("%s: %s: %s; it goes to the store, %s", pin, target, error.reason, store.folder)
        try:
            return _publish_copy(stage, store, request)
        except CannotReplaceError as refusal:
            raise refused(reason=f"{store}: {refusal.reason}") from refusal


def _publish_copy(stage: Stage, store: Target, request: Request) -> Installed:
    """Publish what is unpacked on another file system."""
    pin = request.pin
    with (
        locked(store.lock_file(pin.name), str(pin), request.limits.deadline) as turn,
        staged(store.work, pin.name, is_locked=turn.is_locked) as own,
    ):
        remove_dead(store.work, pin.name, is_locked=turn.is_locked, heir=own.folder)
        shutil.copytree(stage.unpacked, own.unpacked)
        fsync_tree(own.unpacked)
        return publish(own, store, pin, is_repair=request.replacing is not None)


def _invalidate_imports(installed: Installed) -> None:
    """Make Python see what is there now: not what it listed before, and no older module from the same place."""
    importlib.invalidate_caches()
    package = str(installed.package)
    stale = [name for name, module in [*sys.modules.items()] if package in {*getattr(module, "__path__", ())}]
    for top in stale:
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]

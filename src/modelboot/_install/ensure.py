"""ensure_model: find, lock, fetch, unpack, publish, and report what it took."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from modelboot._catalog import DEFAULT_MODEL, check_requirements, resolve
from modelboot._install import lock, stage
from modelboot._install.importable import append_to_sys_path
from modelboot._install.installed import Installed, inspect
from modelboot._install.publish import publish
from modelboot._install.target import (
    Target,
    prepared_target,
    purelib,
    targets_to_install_into,
    targets_to_search,
)
from modelboot._pin import ModelPin
from modelboot._progress import make_progress
from modelboot._settings import Settings, directories, directory, read_settings
from modelboot.errors import InstallError, ModelbootError

if TYPE_CHECKING:
    from modelboot._sources.fetch import FetchedWheel

Source = Literal["present", "cache", "wheelhouse", "release", "index"]

_log = logging.getLogger(__name__)
logging.getLogger("modelboot").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model that is installed and intact, and what the call took."""

    name: str
    version: str
    path: Path
    """Folder of the pipeline's data: what `spacy.load` takes."""
    sha256: str
    """SHA-256 of the pinned wheel."""
    source: Source
    """Where it came from: "present" if it was installed already, else the source; a mirror counts as the release."""
    downloaded_bytes: int
    """Bytes that came over the network in this call."""
    seconds: float
    """Time this call took."""
    phases: tuple[tuple[str, float], ...]
    """Name and seconds of each part of the call, in order: "find", "lock", "fetch", "unpack", "publish"."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(slots=True)
class Timings:
    """Seconds of each part of a call."""

    started_s: float = field(default_factory=time.perf_counter)
    phases: list[tuple[str, float]] = field(default_factory=list)

    def mark(self, phase: str) -> None:
        """Note the time since the last mark as the seconds of a phase."""
        before = sum(seconds for _, seconds in self.phases)
        self.phases.append((phase, time.perf_counter() - self.started_s - before))

    def report(
        self,
        pin: ModelPin,
        installed: Installed,
        source: Source,
        downloaded_bytes: int = 0,
    ) -> InstalledModel:
        """Sum up for the caller."""
        return InstalledModel(
            name=pin.name,
            version=installed.version,
            path=installed.data_folder,
            sha256=pin.sha256,
            source=source,
            downloaded_bytes=downloaded_bytes,
            seconds=time.perf_counter() - self.started_s,
            phases=tuple(self.phases),
        )


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
    pin: ModelPin, settings: Settings, *, replacing: Installed | None = None
) -> tuple[InstalledModel, Installed]:
    """Install a pin unless it is there; `ensure_model` for callers inside modelboot.

    Args:
        pin: What to install.
        settings: The settings in force.
        replacing: A model that looks intact but has modified files: it does not count as installed and is replaced.

    Returns:
        The report for the caller, and where the files are.
    """
    timings = Timings()
    try:
        installed = None if replacing else _find(pin, targets_to_search(pin, settings))
        timings.mark("find")
        if installed is not None:
            return timings.report(pin, installed, "present"), installed
        return _install(pin, settings, replacing, timings)
    except ModelbootError:  # some are OSError, too
        raise
    except OSError as error:  # whatever the system refused on the way
        where = settings.target or purelib()
        raise InstallError.from_os_error(error, model=str(pin), path=str(where)) from error


def _find(pin: ModelPin, targets: Iterable[Target]) -> Installed | None:
    """Return the model from the first target that has it, and remove what a killed install left beside it."""
    for target in targets:
        installed = inspect(target, pin).installed
        if installed is not None:
            stage.remove_stale(target.work, pin.name)
            return installed
    return None


def _install(
    pin: ModelPin, settings: Settings, replacing: Installed | None, timings: Timings
) -> tuple[InstalledModel, Installed]:
    """Install a model, unless another process has done so in the meantime."""
    check_requirements(pin)
    limits = settings.limits()
    with (
        _prepared(pin, settings, replacing) as target,
        lock.locked(target.work / f"{pin.name}.lock", str(pin), limits.deadline),
    ):
        timings.mark("lock")
        installed = inspect(target, pin).installed
        if installed is not None and not (replacing and installed.modified_files()):
            return timings.report(pin, installed, "present"), installed
        # urllib3 opens a socket when it is imported, to see whether there is IPv6: not in a warm start.
        from modelboot._sources.fetch import fetch_wheel, make_sources

        progress = make_progress(settings.progress)
        fetch = partial(fetch_wheel, pin, sources=make_sources(settings), limits=limits, progress=progress)
        return _install_into(target, pin, fetch, timings)


def _prepared(pin: ModelPin, settings: Settings, replacing: Installed | None) -> AbstractContextManager[Target]:
    """Inspect every target a model may go to, and prepare the first that can be used."""
    targets = [replacing.target] if replacing else [*targets_to_install_into(pin, settings)]
    foreign = [target for target in targets if inspect(target, pin).state == "foreign"]
    if settings.target is not None and targets[0] not in foreign:
        targets = targets[:1]  # "here and nowhere else"
    return prepared_target(pin, targets, foreign=foreign, has_home=settings.home is not None)


def _install_into(
    target: Target, pin: ModelPin, fetch: Callable[[Path], FetchedWheel], timings: Timings
) -> tuple[InstalledModel, Installed]:
    from modelboot._install.unpack import unpack

    with stage.staged(target.work, pin.name) as staging:
        stage.remove_stale(target.work, pin.name, inherit_into=staging)
        fetched = fetch(staging)
        timings.mark("fetch")
        unpack(fetched.path, pin, staging / "unpacked")
        timings.mark("unpack")
        installed = publish(staging, staging / "unpacked", target, pin)
        timings.mark("publish")
    _invalidate_imports(installed)
    _log.debug("installed %s from %s into %s", pin, fetched.source, target.folder)
    return timings.report(pin, installed, fetched.source, fetched.downloaded_bytes), installed


def _invalidate_imports(installed: Installed) -> None:
    """Make Python see what is there now: not what it listed before, and no older module from the same place."""
    importlib.invalidate_caches()
    package = str(installed.package)
    stale = [name for name, module in [*sys.modules.items()] if package in {*getattr(module, "__path__", ())}]
    for top in stale:
        for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
            del sys.modules[name]

"""ensure_model: find, lock, fetch, unpack, publish, and what the caller is told of it."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from modelboot._catalog import DEFAULT_MODEL, check_requirements, resolve
from modelboot._install import installed as _store
from modelboot._install import lock as _lock
from modelboot._install import stage as _stage
from modelboot._install import target as _places
from modelboot._install.installed import Found
from modelboot._install.publish import publish
from modelboot._install.room import prepared
from modelboot._install.target import Place
from modelboot._limits import Deadline
from modelboot._pin import ModelPin
from modelboot._progress import make_progress
from modelboot._settings import Settings, directories, directory, read_settings
from modelboot.errors import InstallError

Source = Literal["present", "wheelhouse", "release", "index"]

_log = logging.getLogger(__name__)
logging.getLogger("modelboot").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """A model that is installed and whole, and what it took."""

    name: str
    version: str
    path: Path
    """Folder of the pipeline's data: what `spacy.load` takes."""
    sha256: str
    """SHA-256 of the pinned wheel."""
    source: Source
    """How it got there: it was there already, or the source that served it (a mirror counts as the release)."""
    downloaded_bytes: int
    """Bytes that came over the network in this call."""
    seconds: float
    """Time this call took."""
    phases: tuple[tuple[str, float], ...]
    """Name and seconds of each part of the call, in order: "look", "wait", "get", "unpack", "publish"."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(slots=True)
class Clock:
    """Seconds of each part of a call."""

    started_s: float = field(default_factory=time.perf_counter)
    laps: list[tuple[str, float]] = field(default_factory=list)

    def lap(self, phase: str) -> None:
        """Note what has passed since the last lap as the seconds of a phase."""
        before = sum(seconds for _, seconds in self.laps)
        self.laps.append((phase, time.perf_counter() - self.started_s - before))

    def report(
        self,
        pin: ModelPin,
        path: Path,
        source: Source,
        downloaded_bytes: int = 0,
    ) -> InstalledModel:
        """Sum up for the caller."""
        return InstalledModel(
            name=pin.name,
            version=pin.version,
            path=path,
            sha256=pin.sha256,
            source=source,
            downloaded_bytes=downloaded_bytes,
            seconds=time.perf_counter() - self.started_s,
            phases=tuple(self.laps),
        )


def ensure_model(
    model: str | ModelPin = DEFAULT_MODEL,
    /,
    *,
    target: str | os.PathLike[str] | None = None,
    wheelhouse: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    offline: bool | None = None,
) -> InstalledModel:
    """Read the settings, let arguments beat them, and install; `modelboot.ensure_model` says the rest."""
    settings = read_settings()
    if target is not None:
        settings = replace(settings, target=directory(target))
    if wheelhouse is not None:
        settings = replace(settings, wheelhouse=directories(wheelhouse))
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
    try:
        return _ensure(pin, settings, instead_of)
    except OSError as error:  # whatever the machine refused on the way
        where = settings.target or _places.purelib()
        raise InstallError.from_os_error(error, model=str(pin), path=str(where)) from error


def _ensure(pin: ModelPin, settings: Settings, instead_of: Found | None) -> tuple[InstalledModel, Found]:
    clock = Clock()
    found = None if instead_of else _present(pin, settings)
    clock.lap("look")
    if found is not None:
        return clock.report(pin, found.data, "present"), found
    check_requirements(pin)
    deadline = Deadline.after(settings.deadline_s)
    with (
        prepared(pin, settings, instead_of=instead_of) as place,
        _lock.held(place.work / f"{pin.name}.lock", str(pin), deadline),
    ):
        clock.lap("wait")
        found = _store.look(place.folder, pin).found
        if found is not None and not (instead_of and _store.altered(found)):
            return clock.report(pin, found.data, "present"), found
        return _install_into(place, pin, settings, deadline, clock)


def _present(pin: ModelPin, settings: Settings) -> Found | None:
    """Look wherever it may lie, and sweep what a dead install left beside it."""
    for place in _places.to_look_in(pin, settings):
        found = _store.look(place.folder, pin).found
        if found is not None:
            _stage.sweep(place.work, pin.name)
            return found
    return None


def _install_into(
    place: Place, pin: ModelPin, settings: Settings, deadline: Deadline, clock: Clock
) -> tuple[InstalledModel, Found]:
    # urllib3 opens a socket when it is imported, to see whether there is IPv6: not in a warm start.
    from modelboot._install import unpack as _install
    from modelboot._sources.fetch import Order, get_wheel

    with _stage.staged(place.work, pin.name) as stage:
        _stage.sweep(place.work, pin.name, heir=stage)
        order = Order(pin=pin, folder=stage, settings=settings, deadline=deadline, progress=make_progress(settings))
        delivery = get_wheel(order)
        clock.lap("get")
        _install.unpack(delivery.path, pin, stage / "built")
        clock.lap("unpack")
        found = publish(stage, stage / "built", place, pin)
        clock.lap("publish")
    _forget_imports(pin, place)
    _log.debug("installed %s from %s into %s", pin, delivery.source, place.folder)
    return clock.report(pin, found.data, delivery.source, delivery.received_bytes), found


def _forget_imports(pin: ModelPin, place: Place) -> None:
    """Make Python see what is there now: not what it listed before, and not an older module of that name."""
    importlib.invalidate_caches()
    module = sys.modules.get(pin.name)
    package = str(place.folder / pin.name)
    if module is not None and package in {*getattr(module, "__path__", ())}:
        for name in [name for name in sys.modules if name == pin.name or name.startswith(f"{pin.name}.")]:
            del sys.modules[name]

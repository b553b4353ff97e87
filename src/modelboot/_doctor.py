"""What `modelboot doctor` finds out: settings and their origin, places, locks, and which sources answer.

It changes nothing: no file is made, no lock file either.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelboot import _index, _places, _sources
from modelboot._catalog import DEFAULT_MODEL, resolve
from modelboot._deadline import Deadline
from modelboot._http import Client, HttpError
from modelboot._settings import origins
from modelboot.errors import ModelbootError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from modelboot._pin import ModelPin
    from modelboot._settings import Settings

if sys.platform != "win32":
    import fcntl

PROBE_S = 10.0
"""Seconds a source has for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    subject: str
    """What was looked at: a variable, a place, a source."""
    value: str
    """What was found, in words."""
    ok: bool
    detail: str = ""
    """Where a setting came from, or how long a source took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything the doctor found."""

    settings: tuple[Finding, ...]
    places: tuple[Finding, ...]
    sources: tuple[Finding, ...]


def diagnose(settings: Settings) -> Diagnosis:
    """Look at everything an install depends on, without changing anything.

    Args:
        settings: The settings in force.

    Returns:
        The findings, in the order an install meets them.
    """
    pin = resolve(DEFAULT_MODEL)
    return Diagnosis(
        settings=tuple(_settings(settings)),
        places=tuple(_place(place) for place in _places.to_install_into(pin, settings)),
        sources=tuple(_source_findings(pin, settings)),
    )


def _settings(settings: Settings) -> Iterator[Finding]:
    for variable, (value, origin) in origins(settings).items():
        yield Finding(subject=variable, value=value, ok=True, detail=origin)


def _place(place: _places.Place) -> Finding:
    writable = _places.is_writable(place)
    locks = _lock_support(place.folder)
    value = f"{place.folder}: {'writable' if writable else 'not writable'}, {locks}"
    return Finding(subject=place.label, value=value, ok=writable)


def _lock_support(folder: Path) -> str:
    """Try a lock on the nearest folder that exists: a folder can be locked without making a file."""
    while not folder.exists():
        folder = folder.parent
    if sys.platform == "win32":
        return "locks not tried on this system"
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        return f"locks not tried: {error.strerror}"
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "locks work"
    except OSError as error:
        return f"no locks ({error.strerror}), installs go on without"
    else:
        return "locks work"
    finally:
        os.close(descriptor)


def _source_findings(pin: ModelPin, settings: Settings) -> Iterator[Finding]:
    for folder in settings.wheelhouse:
        wheels = len([*folder.rglob("*.whl")]) if folder.is_dir() else None
        value = f"{folder}: {'no such folder' if wheels is None else f'{wheels} wheels'}"
        yield Finding(subject="wheelhouse", value=value, ok=wheels is not None)
    url = _sources.release_url(pin, settings)
    name = "mirror" if settings.base_url else "release"
    if settings.offline:
        yield Finding(subject=name, value="not asked: MODELBOOT_OFFLINE=1", ok=True)
        yield Finding(subject="index", value="not asked: MODELBOOT_OFFLINE=1", ok=True)
        return
    yield _release(name, url, settings)
    if settings.index:
        yield _package_index(pin)
    else:
        yield Finding(subject="index", value="not asked: MODELBOOT_INDEX=0", ok=True)


def _release(name: str, url: str, settings: Settings) -> Finding:
    started = time.perf_counter()
    shown = without_secrets(url)
    if urlsplit(url).scheme == "file":
        return Finding(subject=name, value=shown, ok=True)
    client = Client(settings)
    try:
        with client.opened(url) as body:
            next(iter(body.pieces), b"")
    except (HttpError, ModelbootError) as error:
        reason = error.message if isinstance(error, ModelbootError) else str(error)
        return Finding(subject=name, value=f"{shown}: {reason}", ok=False, detail=_since(started))
    finally:
        client.cancel()
        client.close()
    return Finding(subject=name, value=f"{shown}: answers", ok=True, detail=_since(started))


def _package_index(pin: ModelPin) -> Finding:
    started = time.perf_counter()
    reason = _index.why_not(pin, Deadline.after(PROBE_S))
    value = "pip download: answers" if reason is None else f"pip download: {reason}"
    return Finding(subject="index", value=value, ok=reason is None, detail=_since(started))


def _since(started: float) -> str:
    return f"{time.perf_counter() - started:.2f} s"

"""What `modelboot doctor` finds out: settings and their origin, places, locks, and which sources answer.

It changes nothing: no file is made, no lock file either.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from modelboot._install.target import Target, is_writable, targets_to_install_into
from modelboot._limits import Deadline
from modelboot._network.client import Client
from modelboot._network.response import Body, HttpError
from modelboot._network.trust_env import proxy_for
from modelboot._pin import ModelPin
from modelboot._settings import Settings, origins
from modelboot._sources import fetch as _sources
from modelboot._sources import pip as _index
from modelboot.errors import ModelbootError, without_secrets

if sys.platform != "win32":
    import fcntl

PROBE_S = 10.0
"""Seconds a source has for its answer."""
_MUST_EXIST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")
"""Variables that name a file; most programs say nothing when it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    """What it is: a variable, a place, a source."""
    value: str
    """What a variable is set to; folder, URL or program of a place or source. No secrets."""
    ok: bool | None
    """Whether it is of use; None for a source that is not asked, or whose use only an install shows."""
    found: str = ""
    """What was found there, in words."""
    origin: str = ""
    """Where a setting comes from."""
    through: str = ""
    """The proxy a source is asked through."""
    seconds: float | None = None
    """How long a source took to answer or to fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Everything the doctor found."""

    model: str
    """Name and version of the model that places and sources were tried for."""
    settings: tuple[Finding, ...]
    places: tuple[Finding, ...]
    sources: tuple[Finding, ...]

    @property
    def place(self) -> Finding | None:
        """Where an install would go: the first place of use."""
        return next((place for place in self.places if place.ok), None)

    @property
    def answering(self) -> tuple[Finding, ...]:
        """The sources of use, in the order an install asks them. Whether the index has the wheel only it knows."""
        return tuple(source for source in self.sources if source.ok)


def diagnose(pin: ModelPin, settings: Settings) -> Diagnosis:
    """Look at everything an install depends on, without changing anything.

    Args:
        pin: The model to ask the sources for.
        settings: The settings in force.

    Returns:
        The findings, in the order an install meets them.
    """
    return Diagnosis(
        model=str(pin),
        settings=tuple(_settings(settings)),
        places=tuple(_place(target) for target in targets_to_install_into(pin, settings)),
        sources=tuple(_source_findings(pin, settings)),
    )


def _settings(settings: Settings) -> Iterator[Finding]:
    for variable, (value, origin) in origins(settings).items():
        missing = variable in _MUST_EXIST and not os.path.exists(value)
        found = "no such file" if missing else ""
        yield Finding(subject=variable, value=value, ok=not missing, found=found, origin=origin)


def _place(target: Target) -> Finding:
    writable = is_writable(target)
    found = f"{'writable' if writable else 'not writable'}, {_lock_support(target.folder)}"
    return Finding(subject=target.label, value=str(target.folder), ok=writable, found=found)


def _lock_support(folder: Path) -> str:
    """Try a lock on the nearest folder that exists: a folder can be locked without making a file."""
    # Not Path.exists: that raises below a folder this user may not enter (HOME=/root in a container run as another).
    while not os.path.exists(folder):
        folder = folder.parent
    if sys.platform == "win32":
        return "locks not tried on this system"
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        return f"locks not tried ({error.strerror})"
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
        yield _wheelhouse(pin, folder)
    url = _sources.release_url(pin, settings)
    name = "mirror" if settings.base_url else "release"
    if urlsplit(url).scheme == "file":
        yield _file(name, url)
    elif settings.offline:
        yield _not_asked(name, without_secrets(url), "MODELBOOT_OFFLINE=1")
    else:
        yield _release(name, url, settings)
    if settings.offline or not settings.index:
        yield _not_asked("index", "pip download", "MODELBOOT_OFFLINE=1" if settings.offline else "MODELBOOT_INDEX=0")
    else:
        yield _package_index(pin)


def _not_asked(name: str, value: str, why: str) -> Finding:
    return Finding(subject=name, value=value, ok=None, found=f"not asked: {why}")


def _wheelhouse(pin: ModelPin, folder: Path) -> Finding:
    """Look for the file an install looks for first; it may have another name and the pinned hash, too."""
    named = [folder / pin.filename, folder / pin.release_path]
    try:
        wheels = [entry for entry in os.listdir(folder) if entry.endswith(".whl")]
    except OSError as error:
        return Finding(subject="wheelhouse", value=str(folder), ok=False, found=error.strerror or str(error))
    if any(os.path.isfile(path) for path in named):
        return Finding(subject="wheelhouse", value=str(folder), ok=True, found=f"has {pin.filename}")
    if wheels:
        found = f"no {pin.filename}, but wheels of other names ({len(wheels)}), which an install compares by hash"
        return Finding(subject="wheelhouse", value=str(folder), ok=None, found=found)
    return Finding(subject="wheelhouse", value=str(folder), ok=False, found=f"no {pin.filename}")


def _file(name: str, url: str) -> Finding:
    is_there = os.path.isfile(url2pathname(urlsplit(url).path))
    found = "the wheel is there" if is_there else "no such file"
    return Finding(subject=name, value=without_secrets(url), ok=is_there, found=found)


def _release(name: str, url: str, settings: Settings) -> Finding:
    """Ask for the wheel and take its first bytes only."""
    started = time.perf_counter()
    reason = _why_no_wheel(url, settings)
    return Finding(
        subject=name,
        value=without_secrets(url),
        ok=reason is None,
        found=reason or "answers",
        through=without_secrets(proxy_for(url) or ""),
        seconds=_since(started),
    )


def _why_no_wheel(url: str, settings: Settings) -> str | None:
    client = Client(replace(settings, timeout_s=min(settings.timeout_s, PROBE_S)))
    # A body that drips in is cut: no timeout between two bytes does that.
    alarm = threading.Timer(PROBE_S, client.cancel)
    alarm.daemon = True
    alarm.start()
    try:
        reason = _asked(client, url)
        return f"no answer within {PROBE_S:g} s" if reason and client.cancelled else reason
    finally:
        alarm.cancel()
        client.cancel()
        client.close()


def _asked(client: Client, url: str) -> str | None:
    try:
        with client.opened(url) as body:
            return _why_not_a_wheel(body)
    except HttpError as error:
        return str(error)
    except ModelbootError as error:
        return error.message


def _why_not_a_wheel(body: Body) -> str | None:
    first = next(iter(body.pieces), b"")
    if first.startswith(b"PK"):  # as every zip file does
        return None
    if not first:
        return "an empty answer"
    return f"something else came than a wheel ({body.content_type or 'no content type'})"


def _package_index(pin: ModelPin) -> Finding:
    started = time.perf_counter()
    reason = _index.why_not(pin, Deadline.after(PROBE_S))
    found = "answers" if reason is None else reason
    return Finding(subject="index", value="pip download", ok=reason is None, found=found, seconds=_since(started))


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 2)

"""What `modelboot doctor` finds out: settings and their origin, targets, locks, and which sources answer.

It changes nothing: no file is made, no lock file either.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelboot._catalog import check_requirements
from modelboot._deadline import Deadline, Limits
from modelboot._environment import installed_version, is_uv_environment
from modelboot._install.look import find_in, look
from modelboot._install.targets import Target, choices, nearest_existing, targets_to_install_into, targets_to_search
from modelboot._network.trust_env import trust_env_origins
from modelboot._pin import ModelPin
from modelboot._settings import Settings, origins
from modelboot._sources.fetch import make_sources, unique_sources
from modelboot._sources.source import Probe
from modelboot.errors import IncompatibleError

if sys.platform != "win32":
    import fcntl

PROBE_S = 10.0
"""Seconds a source has for its answer."""
_MUST_EXIST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")
"""Variables that name a file; most programs say nothing when it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything the doctor found."""

    model: str
    """Name and version of the model that targets and sources were tried for."""
    settings: tuple[Probe, ...]
    targets: tuple[Probe, ...]
    sources: tuple[Probe, ...]
    versions: tuple[Probe, ...]
    """The programs that take part."""
    installed: tuple[Probe, ...]
    """Where the model is installed already."""
    unmet: str
    """Which requirements of the model are not met, and what meets them; empty when all are."""
    advice: str
    """What to know about this kind of environment; empty for most."""


def diagnose(pin: ModelPin, settings: Settings, *, from_command_line: Container[str]) -> Findings:
    """Look at everything an install depends on, without changing anything.

    Args:
        pin: The model to ask the sources for.
        settings: The settings in force.
        from_command_line: Variables whose value an option has given.

    Returns:
        The findings, in the order an install meets them.
    """
    return Findings(
        model=str(pin),
        versions=tuple(_versions()),
        installed=tuple(_installed(pin, settings)),
        advice=_UV_SYNC if is_uv_environment() else "",
        settings=tuple(_settings(settings, from_command_line)),
        unmet=_unmet(pin),
        targets=tuple(_targets(pin, settings)),
        sources=tuple(_sources(pin, settings)),
    )


_UV_SYNC = (
    "uv made this environment: `uv sync` removes models, as the project does not list them; `uv run` and "
    "`uv sync --inexact` keep them. The next call installs a removed one again, from the cache. To avoid that, set "
    "MODELBOOT_TARGET to a folder outside of the environment."
)


def _versions() -> Iterator[Probe]:
    """Yield which programs take part, those that are not there, too."""
    yield Probe(subject="modelboot", value=installed_version("modelboot") or "not installed", ok=True)
    yield Probe(subject="Python", value=platform.python_version(), ok=True, found=sys.executable or "")
    spacy = installed_version("spacy")
    yield Probe(subject="spaCy", value=spacy or "not installed", ok=spacy is not None)
    pip = installed_version("pip")
    yield Probe(subject="pip", value=pip or "none", ok=True)
    uv = shutil.which("uv")
    yield Probe(subject="uv", value=installed_version("uv") or ("unknown" if uv else "none"), ok=True, found=uv or "")


def _installed(pin: ModelPin, settings: Settings) -> Iterator[Probe]:
    for target in targets_to_search(pin, settings):
        installed = find_in(target, pin)
        if installed is not None:
            yield Probe(subject=target.label, value=str(installed.folder), ok=True, found=installed.state)


def _settings(settings: Settings, from_command_line: Container[str]) -> Iterator[Probe]:
    for variable, (value, origin) in {**origins(settings), **trust_env_origins()}.items():
        found = _missing_files(variable, value)
        by = "command line" if variable in from_command_line else origin
        yield Probe(subject=variable, value=value, ok=not found, found=found, origin=by)


def _missing_files(variable: str, value: str) -> str:
    """Say that what a variable names is not there; SSL_CERT_DIR may name several folders, and each has to be."""
    if variable == "SSL_CERT_DIR":
        missing = [folder for folder in value.split(os.pathsep) if folder and not os.path.exists(folder)]
        return f"no such folder: {os.pathsep.join(missing)}" if missing else ""
    return "no such file" if variable in _MUST_EXIST and not os.path.exists(value) else ""


def _unmet(pin: ModelPin) -> str:
    """Say which requirements of the model are not met, and what meets them, as an install would before it begins."""
    try:
        check_requirements(pin)
    except IncompatibleError as error:
        return f"{error.message}: {error.hint}"
    return ""


def _targets(pin: ModelPin, settings: Settings) -> Iterator[Probe]:
    """Yield for each target whether an install can use it."""
    reasons = dict(choices(pin, settings, lambda target: _is_free(target, pin)))
    for target in targets_to_install_into(pin, settings):
        ok: bool | None = not reasons.get(target, "")
        found = reasons.get(target, "") or f"writable, {_flock_support(nearest_existing(target.folder))}"
        if target not in reasons:
            ok, found = None, "not used: MODELBOOT_TARGET is set"
        yield Probe(subject=target.label, value=str(target.folder), ok=ok, found=found)


def _is_free(target: Target, pin: ModelPin) -> bool:
    seen = look(target, pin)
    return seen.installed is not None or seen.is_ours


if sys.platform == "win32":

    def _flock_support(_: Path) -> str:
        return "locks not tried on this system"

else:

    def _flock_support(folder: Path) -> str:
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


def _sources(pin: ModelPin, settings: Settings) -> Iterator[Probe]:
    for source in unique_sources(make_sources(settings), pin):
        why = source.disabled(pin)
        if why:
            yield Probe(subject=source.name, value=source.location(pin), ok=None, found=f"not asked: {why}")
        else:
            timeout_s = min(settings.timeout_s, PROBE_S)
            yield from source.probe(pin, Limits(timeout_s=timeout_s, retries=0, deadline=Deadline.after(PROBE_S)))

"""`modelboot doctor`: find out settings and their origin, targets, locks, and which sources answer, and show it.

It changes nothing: no file is made, no lock file either.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from modelboot._catalog import installed_version
from modelboot._environment import is_uv_environment
from modelboot._install.inspection import inspect
from modelboot._install.prepare import RESERVED, is_writable
from modelboot._install.target import Target, targets_to_install_into, targets_to_search
from modelboot._limits import Deadline, Limits
from modelboot._pin import ModelPin
from modelboot._settings import Settings, origins
from modelboot._sources.fetch import each_once, make_sources
from modelboot._sources.pip_program import PipError, find_pip
from modelboot._sources.source import Probe
from modelboot.cli.output import aligned, filled, terminal_width, words

if sys.platform != "win32":
    import fcntl

PROBE_S = 10.0
"""Seconds a source has for its answer."""
_MUST_EXIST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")
"""Variables that name a file; most programs say nothing when it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    """Everything the doctor found."""

    model: str
    """Name and version of the model that targets and sources were tried for."""
    settings: tuple[Probe, ...]
    targets: tuple[Probe, ...]
    sources: tuple[Probe, ...]
    versions: tuple[Probe, ...] = ()
    """The programs that take part."""
    installed: tuple[Probe, ...] = ()
    """Where the model is installed already."""
    advice: str = ""
    """What to know about this kind of environment; empty for most."""

    @property
    def target(self) -> Probe | None:
        """Where an install would go: the first target of use."""
        return next((target for target in self.targets if target.ok), None)

    @property
    def answering(self) -> tuple[Probe, ...]:
        """The sources that have the wheel, in the order an install asks them."""
        return tuple(source for source in self.sources if source.ok)

    def text(self) -> str:
        """Return what `doctor` says: a block each for settings, targets and sources, and what comes of it."""
        lines = ["versions", *_rows([_version(each) for each in self.versions]), ""]
        lines += ["settings", *_rows([_setting(each) for each in self.settings]), ""]
        if self.installed:
            lines += [f"{self.model} is installed", *_probe_lines(self.installed), ""]
        lines += ["targets, in the order they are tried", *_probe_lines(self.targets), ""]
        lines += ["sources, in the order they are asked", *_probe_lines(self.sources), ""]
        if self.advice:
            lines += [*filled("", words(self.advice), _text_width()), ""]
        return "\n".join([*lines, *filled("", words(self._verdict()), _text_width())])

    def _verdict(self) -> str:
        if self.installed:
            return f"nothing to do: {self.model} is installed in: {self.installed[0].subject}"
        if self.target is None:
            return f"{self.model} cannot be installed here: no target can be written"
        if not self.answering:
            return f"{self.model} cannot be fetched now: no source has it"
        names = " or ".join(dict.fromkeys(source.subject for source in self.answering))
        return f"{self.model} would be fetched from {names} and installed into: {self.target.subject}"


_MARKS = {True: "ok", False: "no", None: "--"}
_MAX_TEXT_WIDTH = 100
"""Columns of sentences: longer lines are hard to read."""
_IN_SECONDS = ("MODELBOOT_TIMEOUT", "MODELBOOT_DEADLINE")
_SEPARATORS = {"MODELBOOT_BASE_URL": " ", "MODELBOOT_WHEELHOUSE": os.pathsep, "NO_PROXY": ",", "no_proxy": ","}
"""Separator of the items of a variable that may have several: a line may break after it and nowhere else."""


def _text_width() -> int:
    return min(terminal_width() or _MAX_TEXT_WIDTH, _MAX_TEXT_WIDTH)


def _value_width() -> int:
    """Return the width to fit paths and URLs into: none for a file, where they are searched for and copied from."""
    return terminal_width() or sys.maxsize


def _setting(probe: Probe) -> tuple[str, str, Sequence[str]]:
    """Return the variable, where its value comes from, and the value in pieces that are not to be broken."""
    separator = _SEPARATORS.get(probe.subject, "")
    value = f"{probe.value} s" if probe.subject in _IN_SECONDS else probe.value
    items = re.findall(rf"[^{separator}]+{separator}?", value) if separator else [value]
    return probe.subject, probe.origin, [*items, *_in_brackets(probe.found)]


def _version(probe: Probe) -> tuple[str, str, Sequence[str]]:
    """Return a program, its version, and where it is, which is one piece even with spaces in it, or what is wrong."""
    return probe.subject, probe.value, [probe.found] if probe.ok else words(probe.found)


def _in_brackets(text: str) -> list[str]:
    return [f" ({text})"] if text else []


def _rows(rows: Sequence[tuple[str, str, Sequence[str]]]) -> Iterator[str]:
    """Yield lines of three aligned columns; the last one goes on below itself, where a terminal is too narrow."""
    # Anything that is visible: aligned() cuts trailing spaces, which make the last column begin where it does.
    starts = aligned([(first, second, "|") for first, second, _ in rows])
    for start, (_, _, pieces) in zip(starts, rows, strict=True):
        yield from filled(f"  {start[:-1]}", pieces, _value_width())


def _probe_lines(probes: Sequence[Probe]) -> Iterator[str]:
    """Yield two lines or more for each: what and where, and below it what was found, which may be a long sentence.

    Where a path or URL is too wide to stand beside what it is, it stands below that, in the whole block.
    """
    beside = _BELOW + 2 + max((len(probe.subject) for probe in probes), default=0)
    is_beside = all(beside + len(_shortened(probe.value, _text_width() - beside)) <= _value_width() for probe in probes)
    column = beside if is_beside else _BELOW
    for probe in probes:
        start = f"  {_MARKS[probe.ok]}  {probe.subject}"
        value = _shortened(probe.value, _text_width() - column)
        yield from [f"{start:<{column}}{value}"] if is_beside else [start, " " * column + value]
        through = [f"through {probe.through}"] if probe.through else []
        took = [f"{probe.seconds:.2f} s"] if probe.seconds is not None else []
        found = "".join([probe.found, *_in_brackets(", ".join([*through, *took]))])
        yield from filled(" " * column, words(found), _text_width(), indent=column)


_BELOW = 6
"""Column where the subject of a line begins, after the mark."""


def _shortened(value: str, width: int) -> str:
    """Leave out of a long URL what stands between host and file, and most of a hash; the JSON has all of it."""
    if len(value) <= width:
        return value
    parts = urlsplit(value)
    if parts.scheme in {"http", "https"}:
        return f"{parts.scheme}://{parts.netloc}/.../{parts.path.rpartition('/')[2]}"
    return re.sub(r"([0-9a-f]{12})[0-9a-f]{52}", r"\1...", value)


def diagnose(pin: ModelPin, settings: Settings, *, from_command_line: Collection[str] = ()) -> DoctorReport:
    """Look at everything an install depends on, without changing anything.

    Args:
        pin: The model to ask the sources for.
        settings: The settings in force.
        from_command_line: Variables whose value an option has given.

    Returns:
        The findings, in the order an install meets them.
    """
    return DoctorReport(
        model=str(pin),
        versions=tuple(find_versions()),
        installed=tuple(_installed(pin, settings)),
        advice=_UV_SYNC if is_uv_environment() else "",
        settings=tuple(_settings(settings, from_command_line)),
        targets=tuple(_target(target) for target in targets_to_install_into(pin, settings)),
        sources=tuple(_sources(pin, settings)),
    )


_UV_SYNC = (
    "uv made this environment: `uv sync` removes models, as the project does not list them; `uv run` and "
    "`uv sync --inexact` keep them. The next call installs a removed one again, from the cache. To avoid that, set "
    "MODELBOOT_TARGET to a folder outside of the environment."
)


def find_versions() -> Iterator[Probe]:
    """Tell which programs take part; those that are not there are told, too."""
    yield Probe(subject="modelboot", value=installed_version("modelboot") or "not installed", ok=True)
    yield Probe(subject="Python", value=platform.python_version(), ok=True, found=sys.executable or "")
    spacy = installed_version("spacy")
    yield Probe(subject="spaCy", value=spacy or "not installed", ok=spacy is not None)
    try:
        pip = find_pip()
    except PipError as error:
        yield Probe(subject="pip", value="none", ok=False, found=f"{error.reason}{error.hint and f': {error.hint}'}")
    else:
        yield Probe(subject="pip", value=pip.version or "unknown", ok=True, found=pip.where)
    uv = shutil.which("uv")
    yield Probe(subject="uv", value=installed_version("uv") or ("unknown" if uv else "none"), ok=True, found=uv or "")


def _installed(pin: ModelPin, settings: Settings) -> Iterator[Probe]:
    for target in targets_to_search(pin, settings):
        installed = inspect(target, pin).installed
        if installed is not None:
            yield Probe(subject=target.label, value=str(installed.folder), ok=True, found=installed.state)


def _settings(settings: Settings, from_command_line: Collection[str]) -> Iterator[Probe]:
    for variable, (value, origin) in origins(settings).items():
        missing = variable in _MUST_EXIST and not os.path.exists(value)
        found = "no such file" if missing else ""
        by = "command line" if variable in from_command_line else origin
        yield Probe(subject=variable, value=value, ok=not missing, found=found, origin=by)


def _target(target: Target) -> Probe:
    if target.is_reserved:
        return Probe(subject=target.label, value=str(target.folder), ok=False, found=RESERVED)
    writable = is_writable(target)
    found = f"{'writable' if writable else 'not writable'}, {_lock_support(target.folder)}"
    return Probe(subject=target.label, value=str(target.folder), ok=writable, found=found)


def _lock_support(folder: Path) -> str:
    """Try a lock on the nearest folder that exists: a folder can be locked without making a file."""
    # Not Path.exists: that raises below a folder this user may not enter (HOME=/root in a container run as another).
    while not os.path.exists(folder):
        folder = folder.parent
    return _flock_support(folder)


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
    for source in each_once(make_sources(settings), pin):
        why = source.disabled(pin)
        if why:
            yield Probe(subject=source.name, value=source.location(pin), ok=None, found=f"not asked: {why}")
        else:
            timeout_s = min(settings.timeout_s, PROBE_S)
            yield from source.probe(pin, Limits(timeout_s=timeout_s, retries=0, deadline=Deadline.after(PROBE_S)))

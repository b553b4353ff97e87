"""What `modelboot doctor` found, and how it is laid out for a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from modelboot._sources.source import Probe
from modelboot.cli.output import align, terminal_width, words, wrap


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
    unmet: str = ""
    """Which requirements of the model are not met, and what meets them; empty when all are."""
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
            lines += [*wrap("", words(self.advice), _text_width()), ""]
        return "\n".join([*lines, *wrap("", words(self._verdict()), _text_width())])

    def _verdict(self) -> str:
        if self.installed:
            return f"nothing to do: {self.model} is installed in: {self.installed[0].subject}"
        if self.unmet:
            return self.unmet
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
_SEPARATORS = {
    "MODELBOOT_BASE_URL": " ",
    "MODELBOOT_WHEELHOUSE": os.pathsep,
    "NO_PROXY": ",",
    "SSL_CERT_DIR": os.pathsep,
}
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
    # Anything that is visible: align() cuts trailing spaces, which make the last column begin where it does.
    starts = align([(first, second, "|") for first, second, _ in rows])
    for start, (_, _, pieces) in zip(starts, rows, strict=True):
        yield from wrap(f"  {start[:-1]}", pieces, _value_width())


def _probe_lines(probes: Sequence[Probe]) -> Iterator[str]:
    """Yield two lines or more for each: what and where, and below it what was found, which may be a long sentence.

    Where a path or URL is too wide to stand beside what it is, it stands below that, in the whole block.
    """
    beside = _BELOW + 2 + max((len(probe.subject) for probe in probes), default=0)
    is_beside = all(beside + len(_shorten(probe.value, _text_width() - beside)) <= _value_width() for probe in probes)
    column = beside if is_beside else _BELOW
    for probe in probes:
        start = f"  {_MARKS[probe.ok]}  {probe.subject}"
        value = _shorten(probe.value, _text_width() - column)
        yield from [f"{start:<{column}}{value}"] if is_beside else [start, " " * column + value]
        through = [f"through {probe.through}"] if probe.through else []
        took = [f"{probe.seconds:.2f} s"] if probe.seconds is not None else []
        found = "".join([probe.found, *_in_brackets(", ".join([*through, *took]))])
        yield from wrap(" " * column, words(found), _text_width(), indent=column)


_BELOW = 6
"""Column where the subject of a line begins, after the mark."""


def _shorten(value: str, width: int) -> str:
    """Leave out of a long URL what stands between host and file, and most of a hash; the JSON has all of it."""
    if len(value) <= width:
        return value
    parts = urlsplit(value)
    if parts.scheme in {"http", "https"}:
        return f"{parts.scheme}://{parts.netloc}/.../{parts.path.rpartition('/')[2]}"
    return re.sub(r"([0-9a-f]{12})[0-9a-f]{52}", r"\1...", value)

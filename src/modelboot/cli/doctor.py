"""`modelboot doctor`: what was found, laid out for a terminal."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelboot._catalog import DEFAULT_MODEL, resolve
from modelboot._settings import read_settings
from modelboot.cli.output import align, print_result, terminal_width, words, wrap

if TYPE_CHECKING:
    from modelboot._sources.source import Probe
    from modelboot.cli.diagnose import Findings

SUMMARY = "show settings, targets, locks and which source has a model"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the model."""
    meaning = f"model to ask the sources for (default: {DEFAULT_MODEL})"
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=meaning)


def run(options: argparse.Namespace) -> None:
    """Look at everything an install depends on, and show it."""
    from modelboot.cli.diagnose import diagnose

    settings = read_settings()
    pin = resolve(options.model, pins=settings.pins)
    found = diagnose(pin, settings, from_command_line=vars(options))
    print_result(as_json=options.json, text=_text(found), facts=asdict(found))


def _text(found: Findings) -> str:
    """Return a block each for programs, settings, targets and sources, and what comes of it."""
    blocks = [
        ["versions", *_rows([_version(each) for each in found.versions])],
        ["settings", *_rows([_setting(each) for each in found.settings])],
        [f"{found.model} is installed", *_probe_lines(found.installed)] if found.installed else [],
        ["targets, in the order they are tried", *_probe_lines(found.targets)],
        ["sources, in the order they are asked", *_probe_lines(found.sources)],
        wrap("", words(found.advice), _text_width()) if found.advice else [],
        wrap("", words(_verdict(found)), _text_width()),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _verdict(found: Findings) -> str:
    """Say what an install would do: it takes the first target that can be used, and the sources that have the wheel."""
    if found.installed:
        return f"nothing to do: {found.model} is installed in: {found.installed[0].subject}"
    if found.unmet:
        return found.unmet
    target = next((target.subject for target in found.targets if target.ok), None)
    if target is None:
        return f"{found.model} cannot be installed here: no target can be written"
    sources = " or ".join(dict.fromkeys(source.subject for source in found.sources if source.ok))
    if not sources:
        return f"{found.model} cannot be fetched now: no source has it"
    return f"{found.model} would be fetched from {sources} and installed into: {target}"


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
    return min(terminal_width(), _MAX_TEXT_WIDTH)


def _setting(probe: Probe) -> tuple[str, str, Sequence[str]]:
    """Return the variable, where its value comes from, and the value in pieces that are not to be broken."""
    separator = _SEPARATORS.get(probe.subject, "")
    value = f"{probe.value} s" if probe.subject in _IN_SECONDS else probe.value
    items = re.findall(rf"[^{separator}]+{separator}?", value) if separator else [value]
    return probe.subject, probe.origin, [*items, f" ({probe.found})" if probe.found else ""]


def _version(probe: Probe) -> tuple[str, str, Sequence[str]]:
    """Return a program, its version, and where it is, which is one piece even with spaces in it, or what is wrong."""
    return probe.subject, probe.value, [probe.found] if probe.ok else words(probe.found)


def _rows(rows: Sequence[tuple[str, str, Sequence[str]]]) -> Iterator[str]:
    """Yield lines of three aligned columns; the last one goes on below itself, where a terminal is too narrow."""
    starts = align([(first, second) for first, second, _ in rows])
    width = max(map(len, starts))
    for start, (_, _, pieces) in zip(starts, rows, strict=True):
        yield from wrap(f"  {start:<{width}}  ", pieces, terminal_width())


def _probe_lines(probes: Sequence[Probe]) -> Iterator[str]:
    """Yield two lines or more for each: what and where, and below it what was found, which may be a long sentence.

    Where a path or URL is too wide to stand beside what it is, it stands below that, in the whole block.
    """
    beside = _BELOW + 2 + max((len(probe.subject) for probe in probes), default=0)
    is_beside = all(beside + len(_shorten(probe.value, _text_width() - beside)) <= terminal_width() for probe in probes)
    column = beside if is_beside else _BELOW
    for probe in probes:
        start = f"  {_MARKS[probe.ok]}  {probe.subject}"
        value = _shorten(probe.value, _text_width() - column)
        yield from [f"{start:<{column}}{value}"] if is_beside else [start, " " * column + value]
        how = [f"through {probe.through}"] if probe.through else []
        how += [f"{probe.seconds:.2f} s"] if probe.seconds is not None else []
        found = f"{probe.found} ({', '.join(how)})" if how else probe.found
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

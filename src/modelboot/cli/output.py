"""What commands print: results as text or JSON on stdout, laid out for the width of a terminal, log on stderr."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Container, Iterable, Sequence
from typing import TextIO, TypeVar

from modelboot._redact import printable

T = TypeVar("T")
Facts = dict[str, object]
"""What the JSON of one thing holds; paths are written as text."""


def print_result(*, as_json: bool, text: str, facts: object, has_title: bool = False) -> None:
    """Print a result, as JSON or as text, whose first line may be a title."""
    if as_json:
        sys.stdout.write(f"{to_json(facts)}\n")
        return
    first, *rest = map(printable, text.split("\n"))  # file names and servers have a say in it
    title = f"\x1b[1m{first}\x1b[0m" if has_title and _shows_bold() else first
    sys.stdout.write("\n".join([title, *rest, ""]))


def _shows_bold() -> bool:
    """Return True if stdout is a terminal that shows bold text, and its user wants that (no-color.org)."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def to_json(facts: object) -> str:
    """Write facts as JSON: paths as text, and all of it in ASCII, so that no encoding of stdout can spoil it."""
    return json.dumps(facts, indent=2, default=os.fspath)


def print_each(results: Iterable[T], *, as_json: bool, line: Callable[[T], str], facts: Callable[[T], object]) -> None:
    """Print results as they come, a line each; as JSON, all of them at the end, in one list."""
    done = []
    for result in results:
        if as_json:
            done.append(facts(result))
        else:
            print_result(as_json=False, text=line(result), facts=None)
    if as_json:
        print_result(as_json=True, text="", facts=done)


def download_size(downloaded_bytes: int) -> str:
    """Return how much was downloaded, to follow the name of a source; nothing when nothing was."""
    return f", {downloaded_bytes / 1e6:.1f} MB" if downloaded_bytes else ""


_RIGHT_ALIGNED = {"size"}
"""Heads of columns of numbers."""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns under their heads, leaving out those that are empty in every row; see `fit_columns`."""
    kept = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    right = {at for at, index in enumerate(kept) if heads[index] in _RIGHT_ALIGNED}
    return fit_columns([[row[index] for index in kept] for row in (heads, *rows)], right=right)


def fit_columns(lines: Sequence[Sequence[str]], *, right: Container[int] = ()) -> list[str]:
    """Align the columns of some lines; on a terminal that is too narrow for them the last one goes below, indented.

    A terminal would break a path or a hash in the middle instead.
    """
    whole, width = align(lines, right=right), terminal_width()
    if width is None or all(_width(line) <= width for line in whole) or len(lines[0]) == 1:
        return whole
    firsts = align([line[:-1] for line in lines], right=right)
    return [f"{first}\n  {line[-1]}" for first, line in zip(firsts, lines, strict=True)]


def align(lines: Sequence[Sequence[str]], *, right: Container[int] = ()) -> list[str]:
    """Align the columns of some lines, two spaces between them; those in `right` at their right edge."""
    columns = []
    for index, column in enumerate(zip(*lines, strict=True)):
        width = max(map(_width, column))
        columns.append([_pad(text, width, at_right=index in right) for text in column])
    return ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]


_FAR_LEFT = 4
"""Columns."""


def wrap(start: str, pieces: Sequence[str], width: int, *, indent: int | None = None) -> list[str]:
    """Fill lines with pieces, none of which is broken.

    Args:
        start: What the first line begins with.
        pieces: The text in parts, each with the spaces that follow it.
        width: Columns a line may have.
        indent: Columns before each line but the first. None aligns them with the first piece; where one (a path, a URL)
            is too wide for that, all begin below the start, further to the left.
    """
    lines = [start]
    if indent is None:
        indent = _width(start)
        if any(indent + _width(piece.rstrip()) > width for piece in pieces):
            indent = min(indent, _FAR_LEFT)
            lines = [start, " " * indent]
    for piece in pieces:
        if _width(lines[-1]) + _width(piece.rstrip()) > width and lines[-1].strip():
            lines.append(" " * indent)
        lines[-1] += piece
    return [line.rstrip() for line in lines]


def words(text: str) -> list[str]:
    """Part a text into words, as pieces to fill lines with."""
    return [f"{word} " for word in text.split()]


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Return how many columns a terminal has, stdout by default; None where the stream is none: it breaks no lines."""
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() else None


def _pad(text: str, width: int, *, at_right: bool) -> str:
    padding = " " * (width - _width(text))
    return f"{padding}{text}" if at_right else f"{text}{padding}"


def _width(text: str) -> int:
    """Count the columns a text takes: Chinese and Japanese characters take two, combining marks none."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def tolerate_stdout() -> None:
    """Let no command fail because of stdout: a character it cannot write is replaced, and it may be closed."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open as long as the program runs
    elif isinstance(sys.stdout, io.TextIOWrapper):  # not what a notebook puts in its place
        sys.stdout.reconfigure(errors="replace")


def log_to_stderr(level: int) -> None:
    """Show the log of modelboot from a level on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_LogLine())
    logger = logging.getLogger("modelboot")
    logger.handlers = [handler]
    logger.setLevel(level)


class _LogLine(logging.Formatter):
    """Write lines as the error lines are written: "warning: …"; on a terminal they break between words."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        start, text = f"{record.levelname.lower()}: ", super().format(record)
        width = terminal_width(sys.stderr)
        if width is None:
            return printable_lines(f"{start}{text}")
        # A progress bar may stand on this line. A dumb terminal knows no "clear line", and spaces do it, too.
        cleared = f"\r{' ' * (width - 1)}\r"
        first, *rest = text.split("\n")
        lines = wrap(start, words(printable(first)), width, indent=2)
        return cleared + "\n".join([*lines, *map(printable, rest)])


def fold(start: str, text: str) -> str:
    """Fold a text into one line of stderr, whatever it holds; on a terminal the line breaks between words only."""
    line = printable(" ".join(text.split()))
    width = terminal_width(sys.stderr)
    return start + line if width is None else "\n".join(wrap(start, words(line), width, indent=4))


def printable_lines(text: str) -> str:
    """Make each line of a text one that may be written to a terminal."""
    return "\n".join(map(printable, text.split("\n")))

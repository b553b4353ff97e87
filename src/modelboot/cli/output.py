"""What commands print: results as text or JSON on stdout, laid out for the width of a terminal, log on stderr."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TextIO, TypeVar

from modelboot._redact import printable

T = TypeVar("T")
Facts = dict[str, object]
"""What the JSON of one thing holds; paths are written as text."""


class CommandError(Exception):
    """A model that a command was asked about is not intact, or not there; nothing in the library has failed."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep what is wrong and what to do next, a line each."""
        super().__init__(message)
        self.lines, self.hint = (message,), hint


def print_result(*, as_json: bool, text: str, facts: object, has_title: bool = False) -> None:
    """Print a result, as JSON or as text, whose first line may be a title."""
    if as_json:
        # In ASCII, so that no encoding of stdout can spoil it.
        sys.stdout.write(f"{json.dumps(facts, indent=2, default=os.fspath)}\n")
        return
    first, *rest = map(printable, text.split("\n"))  # file names and servers have a say in it
    title = f"\x1b[1m{first}\x1b[0m" if has_title and _shows_bold() else first
    sys.stdout.write("\n".join([title, *rest, ""]))


def _shows_bold() -> bool:
    """Return True if stdout is a terminal that shows bold text, and its user wants that (no-color.org)."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")


def print_each(results: Iterable[T], *, as_json: bool, line: Callable[[T], str], facts: Callable[[T], object]) -> None:
    """Print results as they come, a line each; as JSON, all of them at the end, in one list."""
    if as_json:
        print_result(as_json=True, text="", facts=[*map(facts, results)])
        return
    for result in results:
        print_result(as_json=False, text=line(result), facts=None)


def download_size(downloaded_bytes: int) -> str:
    """Return how much was downloaded, to follow the name of a source; nothing when nothing was."""
    return f", {downloaded_bytes / 1e6:.1f} MB" if downloaded_bytes else ""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns under their heads, leaving out those that are empty in every row; see `fit_columns`."""
    columns = [column for column in zip(heads, *rows, strict=True) if any(column[1:])]
    return fit_columns([*zip(*map(_right_aligned, columns), strict=True)])


def _right_aligned(column: Sequence[str]) -> Sequence[str]:
    """Push the numbers of a column of sizes to the right; leave all others as they are."""
    return [text.rjust(max(map(len, column))) for text in column] if column[0] == "size" else column


def fit_columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns of some lines; on a terminal that is too narrow for them the last one goes below, indented.

    A terminal would break a path or a hash in the middle instead.
    """
    whole, width = align(lines), terminal_width()
    if all(_width(line) <= width for line in whole) or len(lines[0]) == 1:
        return whole
    firsts = align([line[:-1] for line in lines])
    return [f"{first}\n  {line[-1]}" for first, line in zip(firsts, lines, strict=True)]


def fit_line(*columns: str) -> str:
    """Join the columns of one line; see `fit_columns`."""
    return "\n".join(fit_columns([columns]))


def align(lines: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns of some lines, two spaces between them."""
    columns = []
    for column in zip(*lines, strict=True):
        width = max(map(_width, column))
        columns.append([text + " " * (width - _width(text)) for text in column])
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
    lines, used = [start], _width(start)
    if indent is None:
        indent = used
        if any(indent + _width(piece.rstrip()) > width for piece in pieces):
            indent = min(indent, _FAR_LEFT)
            lines, used = [start, " " * indent], indent
    for piece in pieces:
        if used + _width(piece.rstrip()) > width and lines[-1].strip():
            lines.append(" " * indent)
            used = indent
        lines[-1] += piece
        used += _width(piece)
    return [line.rstrip() for line in lines]


def words(text: str) -> list[str]:
    """Part a text into words, as pieces to fill lines with."""
    return [f"{word} " for word in text.split()]


def terminal_width(stream: TextIO | None = None) -> int:
    """Return how many columns a terminal has, stdout by default; a file has no end of them, as it breaks no lines."""
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() else sys.maxsize


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
        start = f"{record.levelname.lower()}: "
        first, *rest = map(printable, super().format(record).split("\n"))
        if sys.stderr.isatty():
            # A progress bar may stand on this line. A dumb terminal knows no "clear line", and spaces do it, too.
            start, first = f"\r{' ' * (terminal_width(sys.stderr) - 1)}\r", fold(start, first, indent=2)
        return "\n".join([start + first, *rest])


def fold(start: str, text: str, *, indent: int = 4) -> str:
    """Fold a text into one line of stderr, whatever it holds; on a terminal the line breaks between words only."""
    return "\n".join(wrap(start, [*map(printable, words(text))], terminal_width(sys.stderr), indent=indent))


def printable_lines(text: str) -> str:
    """Make each line of a text one that may be written to a terminal."""
    return "\n".join(map(printable, text.split("\n")))

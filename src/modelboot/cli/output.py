"""What commands print: results as text or JSON on stdout, tables as wide as a terminal shows them, log on stderr."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from modelboot.errors import printable

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
    """Tell whether stdout is a terminal that shows bold text, and its user wants that (no-color.org)."""
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


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns under their heads, leaving out those that are empty in every row."""
    kept = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    return aligned([[row[index] for index in kept] for row in (heads, *rows)])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns of some lines, two spaces between them."""
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(_padded, line, widths)).rstrip() for line in lines]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


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
    handler.setFormatter(_LowerCase("%(levelname)s: %(message)s"))
    logger = logging.getLogger("modelboot")
    logger.handlers = [handler]
    logger.setLevel(level)


class _LowerCase(logging.Formatter):
    """Write levels as the error lines are written: "warning:", not "WARNING:"."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        level, _, message = super().format(record).partition(":")
        return printable_lines(f"{level.lower()}:{message}")


def one_line(text: str) -> str:
    """Fold a text of several lines into one that may be written to a terminal."""
    return printable(" ".join(text.split()))


def printable_lines(text: str) -> str:
    """Make each line of a text one that may be written to a terminal."""
    return "\n".join(map(printable, text.split("\n")))

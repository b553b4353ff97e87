"""What commands print: tables as wide as a terminal shows them, results on stdout, the log on stderr."""

from __future__ import annotations

import io
import logging
import os
import sys
import unicodedata
from collections.abc import Sequence


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
    """Count the columns a text takes: Chinese and Japanese signs take two, marks on the sign before them none."""
    return sum(_columns(sign) for sign in text)


def _columns(sign: str) -> int:
    if unicodedata.category(sign) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in {"W", "F"} else 1


def make_stdout_forgiving() -> None:
    """Let nothing about stdout stand in the way: neither a sign it cannot write nor a caller who closed it."""
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
        return f"{level.lower()}:{message}"


def one_line(text: str) -> str:
    """Fold a text of several lines into one."""
    return " ".join(text.split())

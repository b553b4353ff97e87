"""What a terminal program owes its streams: results that always get out, and a log people can read."""

from __future__ import annotations

import io
import logging
import os
import sys


def make_stdout_forgiving() -> None:
    """Let nothing about stdout stand in the way: neither a sign it cannot write nor a caller who closed it."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the program runs
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

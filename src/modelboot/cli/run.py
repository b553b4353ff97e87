"""Running a command: exit status, and the one boundary where errors become two lines.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from modelboot._catalog import catalog
from modelboot._install.targets import WORK, targets_to_install_into
from modelboot._settings import read_settings
from modelboot.cli.options import override_settings
from modelboot.cli.output import CommandError, fold, log_to_stderr, printable_lines, tolerate_stdout
from modelboot.cli.parser import make_parser
from modelboot.errors import ModelbootError

DONE, FAILED = 0, 1  # 2 is wrong usage, with which argparse itself ends the program
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; see `modelboot.cli.main`."""
    options = make_parser(arguments).parse_args(arguments)
    tolerate_stdout()
    log_to_stderr(logging.DEBUG if options.debug else logging.INFO)
    with override_settings(options):
        status = _run(options)
    _drop_unwritten()
    return status


def _run(options: argparse.Namespace) -> int:
    """Run a command; whatever it raises becomes an exit status and two lines."""
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # `modelboot list --available | head`: the reader has seen enough
        return DONE
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a user gets two lines of a bug, too
        if options.debug:
            sys.stderr.write(printable_lines(traceback.format_exc()))
        (message, *details), hint = _lines_and_hint(error, options)
        for start, text in (("error: ", message), *(("  ", detail) for detail in details), ("hint: ", hint)):
            sys.stderr.write(f"{fold(start, text)}\n")
        return INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
    return DONE


def _lines_and_hint(error: BaseException, options: argparse.Namespace) -> tuple[Sequence[str], str]:
    """Return what failed, with details on lines of their own, and what to do next."""
    if isinstance(error, (ModelbootError, CommandError)):
        return error.lines, error.hint
    if isinstance(error, KeyboardInterrupt):
        return ["interrupted"], _interrupt_hint(options)
    if isinstance(error, OSError):  # a file that may not be read, a disk that cannot be
        path = f"{error.filename}: " if error.filename else ""
        return [f"{path}{error.strerror or error}"], "fix the cause named above and run it again"
    return [f"{type(error).__name__}: {error}"], ModelbootError().hint


def _interrupt_hint(options: argparse.Namespace) -> str:
    """Return what to do after Ctrl-C: how much of a download the next run need not fetch again."""
    kept_bytes = 0
    with suppress(ModelbootError, OSError):
        folders = {*_work_folders(options)}
        kept_bytes = sum(path.stat().st_size for folder in folders for path in folder.rglob("*.part"))
    if kept_bytes:
        return f"{kept_bytes / 1e6:.1f} MB of the download are kept; run it again to continue there"
    return "nothing unfinished was left; run it again"


def _work_folders(options: argparse.Namespace) -> Iterator[Path]:
    """Yield where a command that takes models keeps its unfinished work, which is the same for every model."""
    if "dest" in options:
        yield options.dest / WORK
    if "model" in options or "models" in options:
        yield from (target.work for target in targets_to_install_into(catalog()[0].pin, read_settings()))


def _drop_unwritten() -> None:
    """Discard what stdout could not take, which has been told: Python would try again at its end, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

"""Running a command: exit status, and the one boundary where errors become two lines.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Sequence

from modelboot.cli.command_error import CommandError
from modelboot.cli.interrupted import interrupt_hint
from modelboot.cli.output import fold, log_to_stderr, printable_lines, tolerate_stdout
from modelboot.cli.overrides import override_settings
from modelboot.cli.parser import make_parser
from modelboot.errors import ModelbootError

DONE, FAILED = 0, 1  # 2 is wrong usage, with which argparse itself ends the program
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def run(arguments: Sequence[str]) -> int:
    """Run one command; see `modelboot.cli.main`."""
    parser = make_parser(arguments)
    options = parser.parse_args(arguments)
    tolerate_stdout()
    if options.run is None:
        parser.print_help()
        return DONE
    log_to_stderr(logging.DEBUG if options.debug else logging.INFO)
    with override_settings(options):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    """Run a command; whatever it raises becomes an exit status and two lines."""
    try:
        options.run(options)
        sys.stdout.flush()
    except ModelbootError as error:
        return _fail(*error.lines, hint=error.hint, debug=options.debug)
    except CommandError as error:
        return _fail(error.message, hint=error.hint, debug=options.debug)
    except KeyboardInterrupt:
        return _fail("interrupted", hint=interrupt_hint(options), debug=options.debug) and INTERRUPTED
    except BrokenPipeError:  # `modelboot list --available | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a file that may not be read, a disk that cannot be
        return _fail(_refused(error), hint="fix the cause named above and run it again", debug=options.debug)
    except Exception as error:  # noqa: BLE001 - a bug; a user gets two lines of it, too
        return _fail(f"{type(error).__name__}: {error}", hint=ModelbootError().hint, debug=options.debug)
    return DONE


def _fail(message: str, *details: str, hint: str, debug: bool) -> int:
    """Print what failed, a line for each detail below it, and what to do next, and return the exit status."""
    if debug:
        sys.stderr.write(printable_lines(traceback.format_exc()))
    for start, text in (("error: ", message), *(("  ", detail) for detail in details), ("hint: ", hint)):
        sys.stderr.write(f"{fold(start, text)}\n")
    return FAILED


def _refused(error: OSError) -> str:
    """Describe what the operating system refused: the file first, if there is one."""
    path = f"{error.filename}: " if error.filename else ""
    return f"{path}{error.strerror or error}"

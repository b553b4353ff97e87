"""The command line: commands, exit status, and the one boundary where errors become two lines.

Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from modelboot._catalog import DEFAULT_MODEL
from modelboot.cli import commands
from modelboot.cli.cache import cache
from modelboot.cli.env import SHELLS, env
from modelboot.cli.manners import Parser, add_common_options, as_settings, what_is_kept
from modelboot.cli.output import log_to_stderr, one_line, printable_lines, tolerate_stdout
from modelboot.cli.pin import PIN_FORMATS, pin
from modelboot.errors import ModelbootError

NAMES = "name, name==version or name @ URL#sha256=HEX"
DONE, FAILED = 0, 1  # 2 is wrong usage, with which argparse itself ends the program
INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after the program's name; those of this process when None.

    Returns:
        Exit status: 0 done, 1 the operation failed, 130 interrupted.

    Raises:
        SystemExit: Status 2 for wrong usage, 0 for `--help`, as argparse does.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    tolerate_stdout()
    if options.run is None:
        parser.print_help()
        return DONE
    log_to_stderr(logging.DEBUG if options.debug else logging.INFO)
    with as_settings(options):
        return _run(options)


def _run(options: argparse.Namespace) -> int:
    """Run a command; whatever it raises becomes an exit status and two lines."""
    try:
        options.run(options)
        sys.stdout.flush()
    except ModelbootError as error:
        return _fail(*error.lines, hint=error.hint, debug=options.debug)
    except commands.CommandError as error:
        return _fail(error.message, hint=error.hint, debug=options.debug)
    except KeyboardInterrupt:
        return _fail("interrupted", hint=what_is_kept(options), debug=options.debug) and INTERRUPTED
    except BrokenPipeError:  # `modelboot list --available | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a file that may not be read, a disk that cannot be
        return _fail(
            _refused(error), hint="nothing was changed; fix the cause named above and run it again", debug=options.debug
        )
    except Exception as error:  # noqa: BLE001 - a bug; a user gets two lines of it, too
        return _fail(f"{type(error).__name__}: {error}", hint=ModelbootError().hint, debug=options.debug)
    return DONE


def _fail(message: str, *details: str, hint: str, debug: bool) -> int:
    """Print what failed, a line for each detail below it, and what to do next, and return the exit status."""
    if debug:
        sys.stderr.write(printable_lines(traceback.format_exc()))
    below = "".join(f"  {one_line(detail)}\n" for detail in details)
    sys.stderr.write(f"error: {one_line(message)}\n{below}hint: {one_line(hint)}\n")
    return FAILED


def _refused(error: OSError) -> str:
    """Describe what the operating system refused: the file first, if there is one."""
    path = f"{error.filename}: " if error.filename else ""
    return f"{path}{error.strerror or error}"


def _parser() -> Parser:
    parser = Parser(
        prog="modelboot",
        description="Pinned spaCy pipelines: fetched, verified by SHA-256, installed completely or not at all.",
        epilog="Settings are read from MODELBOOT_* variables. Exit status: 0 done, 1 failed, 2 wrong usage, "
        "130 interrupted.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"modelboot {_version()}")
    add_common_options(parser, is_command=False)
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    one_model = {"metavar": "MODEL", "nargs": "?", "default": DEFAULT_MODEL}

    install = _command(subparsers, "install", commands.install, "install models that are missing")
    install.add_argument("models", metavar="MODEL", nargs="*", help=f"{NAMES} ({DEFAULT_MODEL})")
    install.add_argument("-r", "--requirement", metavar="FILE", help="a pins file: one direct reference a line")

    check = _command(subparsers, "check", commands.check, "install, load and try a model, and show what was found")
    check.add_argument("model", **one_model, help=f"{NAMES} ({DEFAULT_MODEL})")  # type: ignore[arg-type]

    listing = _command(subparsers, "list", commands.list_models, "list installed models and their state")
    listing.add_argument("pattern", metavar="PATTERN", nargs="?", help="only names that hold or match this: fr, 'de_*'")
    listing.add_argument("--available", action="store_true", help="show the catalog for the installed spaCy instead")
    listing.add_argument("--all", action="store_true", help="with --available: the releases for every spaCy")
    listing.add_argument("--hashes", action="store_true", help="with --available: show the SHA-256 of each wheel")

    verify = _command(subparsers, "verify", commands.verify, "re-check the hash of every installed file")
    verify.add_argument("models", metavar="MODEL", nargs="*", help=f"{NAMES} (all that are installed)")

    uninstall = _command(subparsers, "uninstall", commands.uninstall, "remove models that modelboot installed")
    uninstall.add_argument("models", metavar="MODEL", nargs="+", help=f"{NAMES}")

    fetch = _command(subparsers, "fetch", commands.fetch, "put verified wheels into a wheelhouse")
    fetch.add_argument("models", metavar="MODEL", nargs="+", help=f"{NAMES}")
    fetch.add_argument("--dest", metavar="DIR", required=True, help="folder to save wheels in")

    kept = _command(subparsers, "cache", cache, "list the wheels kept for reuse")
    kept.add_argument("--prune", action="store_true", help="remove them")

    doctor = _command(
        subparsers, "doctor", commands.doctor, "show settings, places, locks and which source has a model"
    )
    doctor.add_argument("model", **one_model, help=f"model to ask the sources for ({DEFAULT_MODEL})")  # type: ignore[arg-type]

    pinning = _command(subparsers, "pin", pin, "print the line that pins a model")
    pinning.add_argument("model", **one_model, help=f"{NAMES}, or URL or file of a wheel ({DEFAULT_MODEL})")  # type: ignore[arg-type]
    pinning.add_argument("--format", choices=sorted(PIN_FORMATS), default="python", help="output format (python)")

    paths = _command(subparsers, "env", env, "print the shell line that lets other programs find the models")
    paths.add_argument("--shell", choices=sorted(SHELLS), default="sh", help="whose line to print (sh)")
    parser.commands = tuple(subparsers.choices)
    return parser


def _command(
    subparsers: argparse._SubParsersAction[Parser],
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
) -> Parser:
    """Add a command with the options that all have."""
    command = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    add_common_options(command, is_command=True)
    command.set_defaults(run=run)
    return command


def _version() -> str:
    import modelboot

    return str(modelboot.__version__)

"""The commands and their options: a new command is one function that runs it and one entry in `COMMANDS`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

from modelboot._catalog import DEFAULT_MODEL
from modelboot.cli import commands
from modelboot.cli.cache import cache
from modelboot.cli.env import SHELLS, env
from modelboot.cli.installed import uninstall, verify
from modelboot.cli.list import list_models
from modelboot.cli.pin import PIN_FORMATS, pin

NAMES = "name, name==version or name @ URL#sha256=HEX"


class Parser(argparse.ArgumentParser):
    """A parser that guesses which command was meant."""

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line that says what was meant."""
        wrong = re.search(r"COMMAND: invalid choice: '(.*?)'", message)
        if wrong is not None:
            import difflib

            near = difflib.get_close_matches(wrong[1], COMMANDS, n=2)
            guess = f"; did you mean {' or '.join(near)}?" if near else f", only {', '.join(COMMANDS)}"
            message = f"invalid choice: {wrong[1]!r} is no command{guess}"
        super().error(message)


class Command(NamedTuple):
    """What stands behind the name of a command."""

    run: Callable[[argparse.Namespace], None]
    summary: str
    add_options: Callable[[Parser], None]


def make_parser(arguments: Sequence[str]) -> Parser:
    """Make the parser.

    Args:
        arguments: What it is to parse: only the commands that occur there get their options, as each takes time.

    Returns:
        The parser; `run` of what it returns is the function to call, None where no command was named.
    """
    parser = Parser(
        prog="modelboot",
        description="Pinned spaCy pipelines: fetched, verified by SHA-256, installed completely or not at all.",
        epilog="Settings are read from MODELBOOT_* variables. Exit status: 0 done, 1 failed, 2 wrong usage, "
        "130 interrupted.",
    )
    parser.add_argument("-V", "--version", action=_ShowVersion, nargs=0, help="show modelboot's version and exit")
    _add_common_options(parser, is_command=False)
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        summary = command.summary
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name in arguments:
            _add_common_options(subparser, is_command=True)
            command.add_options(subparser)
            subparser.set_defaults(run=command.run)
    return parser


def _add_common_options(parser: argparse.ArgumentParser, *, is_command: bool) -> None:
    """Add the options that may stand before or after the command: one not given there overrides none given before."""
    options = (
        ("--json", "print the result as JSON"),
        ("--debug", "log everything and show tracebacks"),
        ("--offline", "never use the network"),
    )
    for name, meaning in options:
        default = argparse.SUPPRESS if is_command else False
        parser.add_argument(name, action="store_true", default=default, help=meaning)
    default_target = argparse.SUPPRESS if is_command else None
    parser.add_argument("--target", metavar="DIR", default=default_target, help="install here and nowhere else")


def _install_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="*", help=f"{NAMES} ({DEFAULT_MODEL})")
    meaning = "a pins file: one direct reference a line; may be given several times"
    parser.add_argument(
        "-r", "--requirement", metavar="FILE", dest="requirements", action="append", default=[], help=meaning
    )


def _check_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=f"{NAMES} ({DEFAULT_MODEL})")


def _list_options(parser: Parser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", help="only names that hold or match this: fr, 'de_*'")
    parser.add_argument("--available", action="store_true", help="show the catalog for the installed spaCy instead")
    parser.add_argument("--all", action="store_true", help="with --available: the releases for every spaCy")
    parser.add_argument("--hashes", action="store_true", help="with --available: show the SHA-256 of each wheel")


def _verify_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="*", help=f"{NAMES} (all that are installed)")


def _uninstall_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="+", help=NAMES)


def _fetch_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="+", help=NAMES)
    parser.add_argument("--dest", metavar="DIR", required=True, help="folder to save wheels in")


def _cache_options(parser: Parser) -> None:
    parser.add_argument("--prune", action="store_true", help="remove them")


def _doctor_options(parser: Parser) -> None:
    meaning = f"model to ask the sources for ({DEFAULT_MODEL})"
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=meaning)


def _pin_options(parser: Parser) -> None:
    meaning = f"{NAMES}, or URL or file of a wheel ({DEFAULT_MODEL})"
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=meaning)
    parser.add_argument("--format", choices=sorted(PIN_FORMATS), default="python", help="output format (python)")


def _env_options(parser: Parser) -> None:
    parser.add_argument("--shell", choices=sorted(SHELLS), default="sh", help="whose line to print (sh)")


COMMANDS = {
    "install": Command(commands.install, "install models that are missing", _install_options),
    "check": Command(commands.check, "install, load and try a model, and show what was found", _check_options),
    "list": Command(list_models, "list installed models and their state", _list_options),
    "verify": Command(verify, "re-check the hash of every installed file", _verify_options),
    "uninstall": Command(uninstall, "remove models that modelboot installed", _uninstall_options),
    "fetch": Command(commands.fetch, "put verified wheels into a wheelhouse", _fetch_options),
    "cache": Command(cache, "list the wheels kept for reuse", _cache_options),
    "doctor": Command(commands.doctor, "show settings, targets, locks and which source has a model", _doctor_options),
    "pin": Command(pin, "print the line that pins a model", _pin_options),
    "env": Command(env, "print the shell line that lets other programs find the models", _env_options),
}
"""Every command, in the order of the help."""


class _ShowVersion(argparse.Action):
    """Read the version only where it is asked for: that takes longer than parsing."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import modelboot

        text, stream = f"modelboot {modelboot.__version__}\n", sys.stdout or sys.stderr
        with suppress(AttributeError, OSError):  # both are closed, or the disk is full: argparse does so, too
            stream.write(text)
        parser.exit()

"""The commands and their options: a new command is one function that runs it and one entry in `COMMANDS`."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from modelboot._catalog import DEFAULT_MODEL
from modelboot._settings import directory
from modelboot.cli import commands
from modelboot.cli.cache import cache
from modelboot.cli.env import SHELLS, env
from modelboot.cli.installed import uninstall, verify
from modelboot.cli.list import list_models
from modelboot.cli.pin import PIN_FORMATS, pin
from modelboot.errors import SettingsError

NAMES = "name, name==version or name @ URL#sha256=HEX"


class Parser(argparse.ArgumentParser):
    """A parser that guesses which command was meant."""

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line that says what was meant."""
        wrong = re.search(r"COMMAND: invalid choice: '(.*?)'", message)
        if wrong is not None:
            import difflib

            near = difflib.get_close_matches(wrong[1], COMMANDS, n=2)
            guess = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(COMMANDS)}"
            message = f"unknown command {wrong[1]!r}; {guess}"
        super().error(message)


class Command(NamedTuple):
    """What stands behind the name of a command."""

    run: Callable[[argparse.Namespace], None]
    summary: str
    add_options: Callable[[Parser], None]
    details: str = ""
    """What its own help adds to the summary."""


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
        description = f"{command.summary[0].upper()}{command.summary[1:]}{command.details}."
        subparser = subparsers.add_parser(name, help=command.summary, description=description)
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
    meaning = "install here and nowhere else"
    parser.add_argument("--target", metavar="DIR", type=_folder, default=default_target, help=meaning)


def _folder(text: str) -> Path:
    """Read an option that names a folder; one that cannot be used is wrong usage."""
    try:
        return directory(text)
    except SettingsError as error:
        message = f"{error.value!r} is not {error.accepted}"
        raise argparse.ArgumentTypeError(message) from error


def _or_default(meaning: str, default: str) -> str:
    """Say what an argument means, and what counts where it is not given."""
    return f"{meaning} (default: {default})"


def _install_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="*", help=_or_default(NAMES, DEFAULT_MODEL))
    meaning = "a pins file: one direct reference a line; may be given several times"
    parser.add_argument(
        "-r", "--requirement", metavar="FILE", dest="requirements", action="append", default=[], help=meaning
    )


def _check_options(parser: Parser) -> None:
    meaning = _or_default(NAMES, DEFAULT_MODEL)
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=meaning)


def _list_options(parser: Parser) -> None:
    meaning = "only names that contain or match this: fr, 'de_*'"
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", help=meaning)
    parser.add_argument("--available", action="store_true", help="show the catalog for the installed spaCy instead")
    parser.add_argument("--all", action="store_true", help="with --available: the releases for every spaCy")
    parser.add_argument("--hashes", action="store_true", help="with --available: show the SHA-256 of each wheel")
    parser.set_defaults(usage_error=parser.error)


def _verify_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="*", help=_or_default(NAMES, "all that are installed"))


def _uninstall_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="+", help=NAMES)


def _fetch_options(parser: Parser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="+", help=NAMES)
    parser.add_argument("--dest", metavar="DIR", type=_folder, required=True, help="folder to save wheels in")


def _cache_options(parser: Parser) -> None:
    parser.add_argument("--prune", action="store_true", help="remove them")


def _doctor_options(parser: Parser) -> None:
    meaning = _or_default("model to ask the sources for", DEFAULT_MODEL)
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=meaning)


def _pin_options(parser: Parser) -> None:
    meaning = _or_default(f"{NAMES}, or URL or file of a wheel", DEFAULT_MODEL)
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=meaning)
    meaning = _or_default("output format", "python")
    parser.add_argument("--format", choices=sorted(PIN_FORMATS), default="python", help=meaning)


def _env_options(parser: Parser) -> None:
    meaning = _or_default("shell to print the line for", "sh")
    parser.add_argument("--shell", choices=sorted(SHELLS), default="sh", help=meaning)


COMMANDS = {
    "install": Command(commands.install, "install models that are missing", _install_options),
    "check": Command(commands.check, "install, load and try a model, and show what was found", _check_options),
    "list": Command(
        list_models, "list installed models and their state", _list_options, "; with --available, the catalog"
    ),
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

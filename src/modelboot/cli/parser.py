"""The parser: a new command is a file of its own beside this one, and its place in `COMMANDS`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NoReturn, Protocol

import modelboot
from modelboot.cli import cache, check, doctor, env, fetch, install, pin, uninstall, verify
from modelboot.cli import list as list_
from modelboot.cli.options import add_common_options


class Command(Protocol):
    """The module of a command, which has the command's name."""

    __name__: str
    SUMMARY: str
    """What it does, for the help of the program and its own."""

    def add_options(self, parser: argparse.ArgumentParser, /) -> None:
        """Add what it alone takes."""

    def run(self, options: argparse.Namespace, /) -> None:
        """Do it and print the result; raise what it fails on."""


_MODULES: tuple[Command, ...] = (install, check, list_, verify, uninstall, fetch, cache, doctor, pin, env)
COMMANDS = {module.__name__.rpartition(".")[2]: module for module in _MODULES}
"""Every command, in the order of the help."""


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


def make_parser(arguments: Sequence[str]) -> Parser:
    """Make the parser.

    Args:
        arguments: What it is to parse: only the commands that occur there get their options, as each takes time.

    Returns:
        The parser; `run` of what it returns is the function to call, which shows the help where no command was named.
    """
    parser = Parser(
        prog="modelboot",
        description="Pinned spaCy pipelines: fetched, verified by SHA-256, installed completely or not at all.",
        epilog="Settings are read from MODELBOOT_* variables. Exit status: 0 done, 1 failed, 2 wrong usage, "
        "130 interrupted.",
    )
    # To read the version takes longer than all else here.
    version = modelboot.__version__ if any(word.startswith(("-V", "--v")) for word in arguments) else ""
    meaning = "show modelboot's version and exit"
    parser.add_argument("-V", "--version", action="version", version=f"modelboot {version}", help=meaning)
    add_common_options(parser)
    parser.set_defaults(json=False, debug=False, run=lambda _: parser.print_help())
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        description = f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}."
        subparser = subparsers.add_parser(name, help=command.SUMMARY, description=description)
        if name in arguments:
            add_common_options(subparser)
            command.add_options(subparser)
            subparser.set_defaults(run=command.run)
    return parser

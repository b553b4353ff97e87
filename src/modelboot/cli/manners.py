"""How the command line treats people: options before or after the command, guesses at mistyped ones, Ctrl-C."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from modelboot._catalog import resolve
from modelboot._install.target import WORK, targets_to_install_into
from modelboot._settings import directory, read_settings
from modelboot.errors import ModelbootError

_AS_SETTINGS = {"offline": "MODELBOOT_OFFLINE", "target": "MODELBOOT_TARGET"}
"""Options that say for one run what a variable says for all, and that variable."""


class Parser(argparse.ArgumentParser):
    """A parser that guesses which command was meant."""

    commands: tuple[str, ...] = ()

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one line that says what was meant."""
        wrong = re.search(r"COMMAND: invalid choice: '(.*?)'", message)
        if wrong is not None:
            import difflib

            near = difflib.get_close_matches(wrong[1], self.commands, n=2)
            guess = f"; did you mean {' or '.join(near)}?" if near else f", only {', '.join(self.commands)}"
            message = f"invalid choice: {wrong[1]!r} is no command{guess}"
        super().error(message)


def add_common_options(parser: argparse.ArgumentParser, *, is_command: bool) -> None:
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


def variables_given(options: argparse.Namespace) -> dict[str, str]:
    """Return the variables that options stand in for, with the values they give them."""
    given = {"offline": "1" if options.offline else "", "target": options.target or ""}
    return {_AS_SETTINGS[name]: value for name, value in given.items() if value}


@contextmanager
def as_settings(options: argparse.Namespace) -> Iterator[None]:
    """Let options stand in for their variables inside the with block: whatever runs there finds them in force."""
    before = {variable: os.environ.get(variable) for variable in _AS_SETTINGS.values()}
    os.environ.update(variables_given(options))
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value


def what_is_kept(options: argparse.Namespace) -> str:
    """Return what to do after Ctrl-C: how much of a download the next run need not fetch again."""
    kept_bytes = 0
    with suppress(ModelbootError, OSError):
        kept_bytes = sum(path.stat().st_size for folder in _work_folders(options) for path in folder.rglob("*.part"))
    if kept_bytes:
        return f"{kept_bytes / 1e6:.1f} MB of the download are kept; run it again to continue there"
    return "nothing unfinished was left; run it again"


def _work_folders(options: argparse.Namespace) -> Iterator[Path]:
    """Yield where a command keeps its unfinished work."""
    if getattr(options, "dest", None):
        yield directory(options.dest) / WORK
    settings = read_settings()
    for model in getattr(options, "models", None) or [getattr(options, "model", None)]:
        if model:
            yield from (target.work for target in targets_to_install_into(resolve(model), settings))

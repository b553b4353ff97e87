"""Options that every command takes, what several say of a model, and the settings that some options stand in for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from modelboot._settings import directory
from modelboot.errors import SettingsError

MODEL = "name, name==version or name @ URL#sha256=HEX"
"""What a model may be called."""


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that may stand before or after the command: one not given there overrides none given before."""
    add = partial(parser.add_argument, default=argparse.SUPPRESS)
    add("--json", action="store_true", help="print the result as JSON")
    add("--debug", action="store_true", help="log everything and show tracebacks")
    add("--offline", dest="MODELBOOT_OFFLINE", action="store_const", const="1", help="never use the network")
    add("--target", dest="MODELBOOT_TARGET", metavar="DIR", type=folder, help="install here and nowhere else")


def folder(text: str) -> Path:
    """Read an option that names a folder; one that cannot be used is wrong usage."""
    try:
        return directory(text)
    except SettingsError as error:
        message = f"{error.value!r} is not {error.accepted}"
        raise argparse.ArgumentTypeError(message) from error


@contextmanager
def override_settings(options: argparse.Namespace) -> Iterator[None]:
    """Let options that are named like a variable stand in for it inside the with block, for all that runs there."""
    given = {name: str(value) for name, value in vars(options).items() if name.startswith("MODELBOOT_")}
    before = {name: os.environ[name] for name in given if name in os.environ}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            os.environ.pop(name, None)
        os.environ.update(before)

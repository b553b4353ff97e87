"""The command line run in this process, by a program or on a terminal."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from modelboot import ModelPin
from modelboot.cli import main

MAIN = "import sys; from modelboot.cli import main; sys.exit(main(sys.argv[1:]))"
"""The program, as a script for a process of its own."""


class Told(NamedTuple):
    """How a command ended and what it printed."""

    status: object
    out: str
    err: str


class Terminal(io.StringIO):
    """Keeps what a terminal would show."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def run(*words: str | Path, **env: str) -> Told:
    """Run a command with some variables set; on a terminal of so many columns, if COLUMNS is one of them."""
    out, err = (Terminal(), Terminal()) if env.get("COLUMNS") else (io.StringIO(), io.StringIO())
    with mock.patch.dict(os.environ, env), redirect_stdout(out), redirect_stderr(err):
        try:
            status: object = main([*map(str, words)])
        except SystemExit as ended:
            status = ended.code
    return Told(status, out.getvalue(), err.getvalue())


def output(*words: str | Path, **env: str) -> str:
    """Run a command that succeeds; return what it prints on stdout."""
    told = run(*words, **env)
    assert told.status == 0, told.err
    return told.out


def facts(*words: str | Path, **env: str) -> Any:  # noqa: ANN401 - whatever the command's JSON holds
    """Run a command that succeeds with --json; return what it prints on stdout."""
    return json.loads(output(*words, "--json", **env))


def failure(*words: str | Path, **env: str) -> list[str]:
    """Run a command that fails with nothing on stdout; return the lines on stderr, the last of which is the hint."""
    told = run(*words, **env)
    assert (told.status, told.out) == (1, "")
    return told.err.splitlines()


def reference(pin: ModelPin) -> str:
    """Return the direct reference that names a pin on the command line and in pins files."""
    return f"{pin.name} @ {pin.url}#sha256={pin.sha256}"

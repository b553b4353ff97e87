"""The command line run in this process, as a program without a terminal would run it."""

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


class Told(NamedTuple):
    """How a command ended and what it printed."""

    status: object
    out: str
    err: str


def run(*words: str | Path, **env: str) -> Told:
    """Run a command with some variables set."""
    with mock.patch.dict(os.environ, env), redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
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

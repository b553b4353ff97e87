"""Code run as a user without rights: root passes every permission test."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelboot

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
_UNPREPARED = {"HOME", "XDG_CACHE_HOME", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"}


def skip_unless_other_user() -> None:
    """Skip the test, saying why, where no child can be run as another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can run a child as another user")
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv to run a child as another user")
    if not _can_import():
        pytest.skip("another user may not read this Python or this repository")


def run_as_other_user(code: str, *arguments: object) -> str:
    """Run Python code as a user who owns nothing.

    Args:
        code: The program.
        arguments: What it finds in `sys.argv[1:]`.

    Returns:
        What it printed, without the white space around it.

    Raises:
        AssertionError: It ended with an error; what it printed is in the message.
    """
    done = _run(code, *map(str, arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@contextmanager
def public_folder() -> Iterator[Path]:
    """Make a folder that every user can reach: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@functools.cache
def _can_import() -> bool:
    done = _run(
        "import modelboot._install.lock, modelboot._install.target, modelboot._install.stage; print(modelboot.__file__)"
    )
    return done.stdout.strip() == modelboot.__file__


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in _UNPREPARED}
    env["PYTHONPATH"] = str(Path(modelboot.__file__).parents[1])  # the one under test, wherever it lies
    command = [*_NOBODY, sys.executable, "-s", "-B", "-c", code, *arguments]
    return subprocess.run(command, cwd="/", env=env, check=False, capture_output=True, text=True, timeout=60)

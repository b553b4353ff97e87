"""Processes that ask for a pipeline at the same moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modelboot import ModelPin

_TESTS = Path(__file__).parents[1]
_TIMEOUT_S = 120


def ask_at_once(
    pin: ModelPin,
    *,
    processes: int,
    cwd: Path,
    action: Literal["install", "load"] = "install",
    libraries: Sequence[Path] = (),
) -> list[dict[str, Any]]:
    """Let several processes ask for one pipeline, released together once all of them are ready.

    Args:
        pin: The pipeline; it has a URL.
        processes: How many are to ask.
        cwd: The folder they run in.
        action: "install" calls `ensure_model`, "load" calls `get_nlp` twice.
        libraries: Folders whose packages go before the installed ones.

    Returns:
        What each answers, see `support.asker`.
    """
    path = os.pathsep.join(filter(None, [*map(str, libraries), str(_TESTS), os.environ.get("PYTHONPATH")]))
    facts = [pin.name, pin.version, pin.sha256, str(pin.url)]
    command = [sys.executable, "-m", "support.asker", action, *facts]
    started = [_start(command, cwd, {**os.environ, "PYTHONPATH": path}) for _ in range(processes)]
    try:
        return list(_released(started))
    finally:
        for process in started:
            with process:
                process.kill()


def _start(command: Sequence[str], cwd: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=cwd, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def _released(processes: Sequence[subprocess.Popen[str]]) -> Iterator[dict[str, Any]]:
    """Wait until all are ready, let them go, and yield their answers."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate(timeout=_TIMEOUT_S)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        answer, complaint = process.communicate(timeout=_TIMEOUT_S)
        assert process.returncode == 0, complaint
        yield json.loads(answer)

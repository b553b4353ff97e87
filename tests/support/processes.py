"""Processes that ask for a pipeline at the same moment.

Each is this module run as a program: it says on stdout that it is ready, waits for a line on stdin, asks, and answers
with one line of JSON. stdout carries nothing else, so anything modelboot printed would be noticed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from modelboot import ModelbootError, ModelPin, ensure_model, get_nlp

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
        What each answers, as `_install` and `_load` do, and which libraries were at work.
    """
    path = os.pathsep.join(filter(None, [*map(str, libraries), str(_TESTS), os.environ.get("PYTHONPATH")]))
    facts = [pin.name, pin.version, pin.sha256, str(pin.url)]
    command = [sys.executable, "-m", "support.processes", action, *facts]
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


LIBRARIES = ("filelock", "installer")


def main(action: str, name: str, version: str, sha256: str, url: str) -> None:
    """Get ready, wait, ask and answer."""
    pin = ModelPin(name, version, sha256, url=url)
    if action == "load":
        import spacy  # noqa: F401 - slow, so before the start; those that only install need none
    _say("ready")
    sys.stdin.readline()
    try:
        facts = _ACTIONS[action](pin)
    except ModelbootError as error:
        facts = {"error": type(error).__name__, "message": error.message}
    _say(json.dumps({**facts, "libraries": {name: _library(name) for name in LIBRARIES}}))


def _install(pin: ModelPin) -> dict[str, object]:
    model = ensure_model(pin)
    return {"source": model.source, "path": str(model.path)}


def _load(pin: ModelPin) -> dict[str, object]:
    first, second = get_nlp(pin), get_nlp(pin)
    return {"version": first.meta["version"], "loads": get_nlp.cache_info().misses, "same": first is second}


_ACTIONS: dict[str, Callable[[ModelPin], dict[str, object]]] = {"install": _install, "load": _load}


def _library(name: str) -> list[str]:
    """Tell which version of a library was at work, and from which folder."""
    return [importlib.metadata.version(name), str(Path(str(importlib.import_module(name).__file__)).parents[1])]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

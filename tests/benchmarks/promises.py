"""`python promises.py REFERENCE DIR ROUNDS`: what each promise costs an install, in milliseconds, as JSON.

fsync runs beside the unpacking, so its cost is the difference to installs that do without; the others are timed where
they run. All installs are in one process, which has imported everything before.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from modelboot import InstalledModel, ensure_model
from modelboot._install import ensure, install, stage, unpack

CHECKS: list[tuple[str, Any, str]] = [
    ("the archive policy", unpack, "validate"),
    ("looks before and under the lock", ensure, "find"),
    ("looks before and under the lock", install, "find"),
    ("the stage's lock", stage, "try_lock"),
    ("removal of what dead installs left", stage, "remove_stale"),
]
"""Where each is called, by the name that is called there."""


def timed(function: Callable[..., Any], spent_s: list[float]) -> Callable[..., Any]:
    """Return a function that notes the seconds of each call."""

    def call(*arguments: object, **options: object) -> object:
        started_s = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent_s.append(time.perf_counter() - started_s)

    return call


def install_anew(reference: str, target: Path) -> InstalledModel:
    """Install from nothing."""
    shutil.rmtree(target, ignore_errors=True)
    return ensure_model(reference, target=target)


def main(reference: str, target: Path, rounds: int) -> dict[str, float]:
    """Measure all, round by round."""
    install_anew(reference, target)
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        installed = install_anew(reference, target)
        costs["an install in all"].append(installed.seconds)
        costs["target made ready, the model's lock"].append(dict(installed.phases)["lock"])
        with patch.object(os, "fsync", lambda fd: None):  # noqa: ARG005 - as it is called
            without_s = install_anew(reference, target).seconds
        costs["fsync of all files and folders"].append(installed.seconds - without_s)
        spent_s: dict[str, list[float]] = defaultdict(list)
        with ExitStack() as patches:
            for name, module, function in CHECKS:
                replacement = timed(getattr(module, function), spent_s[name])
                patches.enter_context(patch.object(module, function, replacement))
            install_anew(reference, target)
        for name, calls_s in spent_s.items():
            costs[name].append(sum(calls_s))
    return {name: 1e3 * statistics.median(values) for name, values in costs.items()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - a program's result

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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelboot import InstalledModel, ensure_model
from modelboot._install import ensure, stage, unpack

CHECKS: dict[str, tuple[Any, str]] = {
    "the archive policy": (unpack, "validate"),
    "looks before and under the lock": (ensure, "_find"),
    "the stage's lock": (stage, "try_lock"),
    "removal of what dead installs left": (stage, "remove_stale"),
}


class Timed:
    """A function that adds up the time it takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Take its place."""
        self.function, self.seconds = function, 0.0

    def __call__(self, *arguments: object, **options: object) -> object:
        """Call it."""
        started_s = time.perf_counter()
        try:
            return self.function(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - started_s


def install(reference: str, target: Path) -> InstalledModel:
    """Install from nothing."""
    shutil.rmtree(target, ignore_errors=True)
    return ensure_model(reference, target=target)


def main(reference: str, target: Path, rounds: int) -> dict[str, float]:
    """Measure all, round by round."""
    install(reference, target)
    real, differences, totals = os.fsync, [], []
    timed: dict[str, list[float]] = {}
    for _ in range(rounds):
        installed = install(reference, target)
        totals.append(1e3 * installed.seconds)
        timed.setdefault("target made ready, the model's lock", []).append(1e3 * dict(installed.phases)["lock"])
        os.fsync = lambda fd: None  # noqa: ARG005 - as it is called
        try:
            differences.append(totals[-1] - 1e3 * install(reference, target).seconds)
        finally:
            os.fsync = real
    for _ in range(rounds):
        functions = {name: Timed(getattr(*place)) for name, place in CHECKS.items()}
        for name, place in CHECKS.items():
            setattr(*place, functions[name])
        try:
            install(reference, target)
        finally:
            for name, place in CHECKS.items():
                setattr(*place, functions[name].function)
        for name, function in functions.items():
            timed.setdefault(name, []).append(1e3 * function.seconds)
    costs = {"fsync of all files and folders": statistics.median(differences)}
    costs |= {name: statistics.median(values) for name, values in timed.items()}
    return {"an install in all": statistics.median(totals), **costs}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - a program's result

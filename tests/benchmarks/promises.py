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
from modelboot._install import ensure, install, stage, unpack

CHECKS: dict[str, list[tuple[Any, str]]] = {
    "the archive policy": [(unpack, "validate")],
    "looks before and under the lock": [(ensure, "find"), (install, "find")],
    "the stage's lock": [(stage, "try_lock")],
    "removal of what dead installs left": [(stage, "remove_stale")],
}
"""Where each is called, by the name that is called there."""


class Timed:
    """A function that notes the seconds of each call."""

    def __init__(self, function: Callable[..., Any], spent_s: list[float]) -> None:
        """Take its place."""
        self.function, self._spent_s = function, spent_s

    def __call__(self, *arguments: object, **options: object) -> object:
        """Call it."""
        started_s = time.perf_counter()
        try:
            return self.function(*arguments, **options)
        finally:
            self._spent_s.append(time.perf_counter() - started_s)


def install_anew(reference: str, target: Path) -> InstalledModel:
    """Install from nothing."""
    shutil.rmtree(target, ignore_errors=True)
    return ensure_model(reference, target=target)


def _timed_install(reference: str, target: Path) -> dict[str, list[float]]:
    """Install with each check timed, and return the seconds of its calls."""
    spent_s: dict[str, list[float]] = {name: [] for name in CHECKS}
    places = [(*place, spent_s[name]) for name, found in CHECKS.items() for place in found]
    for module, function, calls_s in places:
        setattr(module, function, Timed(getattr(module, function), calls_s))
    try:
        install_anew(reference, target)
    finally:
        for module, function, _ in places:
            setattr(module, function, getattr(module, function).function)
    return spent_s


def main(reference: str, target: Path, rounds: int) -> dict[str, float]:
    """Measure all, round by round."""
    install_anew(reference, target)
    real, differences, totals = os.fsync, [], []
    timed: dict[str, list[float]] = {}
    for _ in range(rounds):
        installed = install_anew(reference, target)
        totals.append(1e3 * installed.seconds)
        timed.setdefault("target made ready, the model's lock", []).append(1e3 * dict(installed.phases)["lock"])
        os.fsync = lambda fd: None  # noqa: ARG005 - as it is called
        try:
            differences.append(totals[-1] - 1e3 * install_anew(reference, target).seconds)
        finally:
            os.fsync = real
    for _ in range(rounds):
        for name, spent_s in _timed_install(reference, target).items():
            timed.setdefault(name, []).append(1e3 * sum(spent_s))
    costs = {"fsync of all files and folders": statistics.median(differences)}
    costs |= {name: statistics.median(values) for name, values in timed.items()}
    return {"an install in all": statistics.median(totals), **costs}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - a program's result

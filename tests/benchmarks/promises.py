"""`python promises.py WHEEL DIR ROUNDS`: what each promise costs an install, in milliseconds, as JSON.

fsync runs beside the unpacking, so its cost is the difference to installs that do without; locks and looks are phases
of the install's own report. All installs are in one process, which has imported everything before.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path
from unittest.mock import patch

from modelboot import InstalledModel, ModelPin, ensure_model
from modelboot._files import sha256_of
from modelboot._install.archive import validate


def install_anew(pin: ModelPin, target: Path) -> InstalledModel:
    """Install from nothing."""
    shutil.rmtree(target, ignore_errors=True)
    return ensure_model(pin, target=target)


def main(wheel: Path, target: Path, rounds: int) -> dict[str, float]:
    """Measure all, round by round."""
    name, version, *_ = wheel.name.split("-")
    pin = ModelPin(name, version, sha256_of(wheel).hex(), url=wheel.as_uri())
    install_anew(pin, target)
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        installed = install_anew(pin, target)
        phases = dict(installed.phases)
        costs["an install in all"].append(installed.seconds)
        costs["the look before the lock"].append(phases["find"])
        costs["target made ready, the model's lock, the look under it"].append(phases["lock"])
        with patch.object(os, "fsync", lambda fd: None):  # noqa: ARG005 - as it is called
            without_s = install_anew(pin, target).seconds
        costs["fsync of all files and folders"].append(installed.seconds - without_s)
        started_s = time.perf_counter()
        with wheel.open("rb") as file:
            validate(file, pin)
        costs["the archive policy"].append(time.perf_counter() - started_s)
    return {name: 1e3 * statistics.median(values) for name, values in costs.items()}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - a program's result

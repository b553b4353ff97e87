"""The benchmark that names functions of the package still finds them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.wheels import BuiltWheel

PROMISES = Path(__file__).parents[1] / "benchmarks" / "promises.py"


def test_costs_of_the_promises_are_taken(tiny: BuiltWheel, tmp_path: Path) -> None:
    """Each check that an install makes is called in it, and takes time."""
    reference = f"{tiny.pin.name} @ {tiny.url}#sha256={tiny.sha256}"
    line = [sys.executable, str(PROMISES), reference, str(tmp_path / "target"), "1"]
    costs = json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout)
    fsync = costs.pop("fsync of all files and folders")  # a difference, which chance may make negative
    assert isinstance(fsync, float)
    assert len(costs) == 6
    assert all(costs.values())

"""After an install other programs find the model by its name, with `modelboot env`; promises/test_twin has this one."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.cli import main


def test_env_for_other_programs(pin: ModelPin, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A shell that has run the line of `modelboot env` starts programs that find the model."""
    ensure_model(pin)
    sys.path.remove(str(target))  # as in a new process
    assert main(["env"]) == 0
    line = capsys.readouterr().out
    code = f"import {pin.name}; print({pin.name}.__version__)"
    script = f"PYTHONPATH=/absent; {line}\n{shlex.join([sys.executable, '-c', code])}; echo $PYTHONPATH"
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert done.stdout == f"1.0.0\n/absent:{target}\n", done.stderr
    assert main(["env", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"PYTHONPATH": [str(target)]}
    assert main(["env", "--shell", "fish"]) == 0
    assert capsys.readouterr().out == f"set -gx PYTHONPATH $PYTHONPATH '{target}'\n"

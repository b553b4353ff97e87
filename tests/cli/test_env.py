"""`modelboot env`: what it adds for other programs hides nothing that their environment has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from modelboot import ModelPin, ensure_model
from support.children import environment
from support.wheels import NAME


def printed(**env: str) -> tuple[list[str], str]:
    """Return the folders that `env` adds in a process of its own, and what it logs."""
    command = [sys.executable, "-m", "modelboot", "env", "--json"]
    done = subprocess.run(command, env=environment(env), check=True, capture_output=True, text=True)
    return json.loads(done.stdout)["PYTHONPATH"], done.stderr


def test_env_adds_a_target_that_is_not_on_the_path(pin: ModelPin, target: Path) -> None:
    """A model in a target of its own is found by other programs once its folder is on PYTHONPATH."""
    ensure_model(pin)
    assert printed() == ([str(target)], "")


def test_env_hides_no_other_version(pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """A model that would hide what the environment has under its name is left out, and that is said."""
    ensure_model(pin)
    other = tmp_path / "environment"
    (other / NAME).mkdir(parents=True)
    (other / NAME / "__init__.py").write_text("")
    folders, log = printed(PYTHONPATH=str(other))
    assert folders == []
    assert log == f"warning: {target} is left out: it would hide the {NAME} of this environment\n"

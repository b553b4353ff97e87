"""`modelboot env`: other programs find the models, and what it adds hides nothing that their environment has."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import python
from support.commands import output, run
from support.wheels import NAME, OLDER, VERSION, build_wheel, small_wheel

Printed = Callable[..., tuple[list[str], str]]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """Return a function that runs `env` as a new process would, and gives the folders it adds and what it says."""
    path = sys.path[:]

    def env(*first: Path) -> tuple[list[str], str]:
        monkeypatch.setattr(sys, "path", [*map(str, first), *path])
        importlib.invalidate_caches()
        _, out, err = run("env", "--json")
        return json.loads(out)["PYTHONPATH"], err

    return env


def stored(tmp_path: Path, version: str) -> Path:
    """Install a version, which goes to the store for what a user has in the target; return its folder."""
    (tmp_path / "taken" / NAME).mkdir(parents=True, exist_ok=True)
    return ensure_model(small_wheel(tmp_path / version, version).pin, target=tmp_path / "taken").path.parents[1]


def test_env_for_other_programs(pin: ModelPin, target: Path) -> None:
    """A shell that has run the line starts programs that find the model, fish with its own; no model adds nothing."""
    assert run("env") == (0, "# nothing to add\n", "")
    ensure_model(pin)
    sys.path.remove(str(target))  # as in a new process
    program = shlex.join([sys.executable, "-c", f"import {NAME}; print({NAME}.__version__)"])
    script = f"PYTHONPATH=/absent; {output('env')}\n{program}; echo $PYTHONPATH"
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert done.stdout == f"{VERSION}\n/absent:{target}\n", done.stderr
    assert output("env", "--shell", "fish") == f"set -gx PYTHONPATH $PYTHONPATH '{target}'\n"


def test_env_hides_no_other_version(pin: ModelPin, target: Path, tmp_path: Path, printed: Printed) -> None:
    """A target is added unless it hides what the environment has under a name; a mere folder of it is not a package."""
    ensure_model(pin)
    other = tmp_path / "environment"
    (other / NAME).mkdir(parents=True)
    assert printed() == printed(other) == ([str(target)], "")
    (other / NAME / "__init__.py").touch()
    told = f"warning: left out: {NAME} {VERSION} in {target}, which would hide the {NAME} of this environment\n"
    assert printed(other) == ([], told)
    assert printed(target) == ([], "")  # it is found already


@pytest.mark.parametrize("name", ["a:b", "a\tb", "a\u202eb"], ids=["colon", "tab", "direction"])
def test_env_leaves_out_what_it_cannot_write(
    name: str, pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """A folder that PYTHONPATH would split, or that a terminal would show as another, is left out, and that is said."""
    monkeypatch.setenv("MODELBOOT_TARGET", str(tmp_path / name))
    ensure_model(pin)
    folders, told = printed()
    assert (folders, told.rpartition(", ")[2]) == ([], "which cannot be written in PYTHONPATH\n")


def test_env_gives_the_newest_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Printed) -> None:
    """Of two versions in the store the newer one is found, 3.10 and not 3.9, as long as it is intact."""
    monkeypatch.setenv("MODELBOOT_TARGET", "")
    older, newer = (stored(tmp_path, version) for version in ("3.9.0", "3.10.0"))
    assert printed() == ([str(newer)], f"warning: left out: {NAME} 3.9.0 in {older}, as 3.10.0 is in {newer}\n")
    (newer / NAME / "meta.json").unlink()
    assert printed() == ([str(older)], f"warning: left out: {NAME} 3.10.0 in {newer}, which is not intact\n")


def test_env_gives_the_newest_version_before_a_target_of_several_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Printed
) -> None:
    """A target that other models are found in comes behind the store's newer version of one of them."""
    target = tmp_path / "a"  # comes first in the alphabet
    monkeypatch.setenv("MODELBOOT_TARGET", str(target))
    ensure_model(small_wheel(tmp_path / "older", OLDER).pin)
    ensure_model(build_wheel(tmp_path / "other", name="af_tiny_sm", members={"af_tiny_sm/__init__.py": b""}).pin)
    newer = stored(tmp_path, VERSION)
    folders, told = printed()
    assert folders == [str(newer), str(target)]
    assert told == f"warning: left out: {NAME} {OLDER} in {target}, as {VERSION} is in {newer}\n"
    program = f"import af_tiny_sm, {NAME}; print({NAME}.__version__)"
    assert python(program, env={"PYTHONPATH": os.pathsep.join(folders)}).stdout == f"{VERSION}\n"

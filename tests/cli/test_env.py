"""`modelboot env`: what it adds for other programs hides nothing that their environment has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.cli import main
from support.children import environment
from support.wheels import NAME, OLDER, VERSION, build_wheel, small_wheel


def printed(cwd: Path | None = None, **env: str) -> tuple[list[str], str]:
    """Return the folders that `env` adds in a process of its own, and what it logs."""
    command = [sys.executable, "-m", "modelboot", "env", "--json"]
    done = subprocess.run(command, env=environment(env), check=True, capture_output=True, text=True, cwd=cwd)
    return json.loads(done.stdout)["PYTHONPATH"], done.stderr


def found(folders: list[str]) -> str:
    """Return the version that a program finds under the model's name, with folders as its PYTHONPATH."""
    command = [sys.executable, "-c", f"import {NAME}; print({NAME}.__version__)"]
    env = environment({"PYTHONPATH": os.pathsep.join(folders)})
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.strip()


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
    assert log == f"warning: left out: {NAME} {VERSION} in {target}, which would hide the {NAME} of this environment\n"


def test_env_is_not_misled_by_a_mere_folder(pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """A folder of the model's name in the working directory, without a module in it, is no package to be hidden."""
    ensure_model(pin)
    (tmp_path / "work" / NAME).mkdir(parents=True)
    assert printed(tmp_path / "work") == ([str(target)], "")


def test_env_gives_the_newest_version(tmp_path: Path) -> None:
    """Of two versions in the store other programs find the newer one, 3.10 and not 3.9, and the other is named."""
    older, newer = (stored(tmp_path, version) for version in ("3.9.0", "3.10.0"))
    folders, log = printed(MODELBOOT_TARGET="")
    assert folders == [str(newer)]
    assert log == f"warning: left out: {NAME} 3.9.0 in {older}, as 3.10.0 is in {newer}\n"
    assert found(folders) == "3.10.0"


def test_env_skips_what_is_not_intact(tmp_path: Path) -> None:
    """A newer version that is damaged does not stand in the way of an intact older one."""
    older, newer = (stored(tmp_path, version) for version in ("3.9.0", "3.10.0"))
    (newer / NAME / "meta.json").unlink()
    folders, log = printed(MODELBOOT_TARGET="")
    assert folders == [str(older)]
    assert log == f"warning: left out: {NAME} 3.10.0 in {newer}, which is not intact\n"


def test_env_gives_the_newest_version_before_a_target_of_several_models(tmp_path: Path) -> None:
    """A target that other models are found in comes behind the store's newer version of one of them."""
    target = tmp_path / "a"
    ensure_model(small_wheel(tmp_path / "older", OLDER).pin, target=target)
    ensure_model(build_wheel(tmp_path / "other", name="af_tiny_sm", lang="af").pin, target=target)
    newer = stored(tmp_path, VERSION)
    folders, log = printed(MODELBOOT_TARGET=str(target))
    assert folders == [str(newer), str(target)]
    assert log == f"warning: left out: {NAME} {OLDER} in {target}, as {VERSION} is in {newer}\n"
    assert found(folders) == VERSION


def test_env_with_nothing_to_add(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no model, nothing is said of models."""
    assert main(["env"]) == 0
    assert capsys.readouterr() == ("# nothing to add\n", "")


def stored(tmp_path: Path, version: str) -> Path:
    """Install a version, which goes to the store for what somebody has in the target; return its folder."""
    (tmp_path / "taken" / NAME).mkdir(parents=True, exist_ok=True)
    return ensure_model(small_wheel(tmp_path / version, version).pin, target=tmp_path / "taken").path.parents[1]

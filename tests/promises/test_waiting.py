"""Processes that wait for one another: nothing is removed from under them, and they learn of a failure at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot import ModelPin, ensure_model
from support.children import (
    OTHER,
    TIMEOUT_S,
    command,
    environment,
    pin_arguments,
    public_folder,
    python,
    skip_unless_other_user,
)
from support.folders import is_complete, names
from support.server import Reply

if TYPE_CHECKING:
    from support.server import ModelServer
    from support.wheels import BuiltWheel

ENSURE = """
import sys, time, modelboot
started = time.monotonic()
try:
    print(modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])).source, flush=True)
except modelboot.ModelbootError as error:
    print(type(error).__name__, error.attempts[0].reason, flush=True)
"""


def started(pin: ModelPin, **env: str) -> subprocess.Popen[str]:
    """Start a process that asks for a model."""
    settings = {"MODELBOOT_INDEX": "0", "MODELBOOT_RETRIES": "0", **env}
    return subprocess.Popen(
        command(ENSURE, *pin_arguments(pin)), env=environment(settings), stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    """Return what a process said in the end."""
    out, _ = process.communicate(timeout=TIMEOUT_S)
    return out.strip()


def test_first_process_that_fails_leaves_the_others_alone(wheel: BuiltWheel, server: ModelServer, target: Path) -> None:
    """The first, whose source fails, removes nothing from under those that wait: they have a good one."""
    bad = wheel.pin_at(f"{server.url}/bad/{wheel.path.name}")
    server.serve(f"/bad/{wheel.path.name}", Reply(stall="headers"))
    first = started(bad, MODELBOOT_TIMEOUT="2")
    server.wait_for(f"/bad/{wheel.path.name}")
    wheelhouse = str(wheel.path.parent)
    others = [started(bad, MODELBOOT_WHEELHOUSE=wheelhouse, MODELBOOT_TIMEOUT="2") for _ in range(4)]
    assert said(first) == "DownloadError no byte for 2 s"
    assert sorted(said(process) for process in others) == ["present"] * 3 + ["wheelhouse"]
    assert is_complete(target, wheel.pin)
    assert names(target / ".modelboot") == [f"{wheel.name}.lock"]


def test_waiting_processes_learn_of_a_failure(server: ModelServer, wheel: BuiltWheel, target: Path) -> None:
    """Eight processes and a silent server: all end with the same reason, for one request and about one time-out."""
    path = f"/{wheel.path.name}"
    pin = server.publish(wheel, Reply(stall="headers"))
    began_s = time.monotonic()
    first = started(pin, MODELBOOT_TIMEOUT="4")
    server.wait_for(path)
    others = [started(pin, MODELBOOT_TIMEOUT="4") for _ in range(7)]
    assert [said(process) for process in (first, *others)] == ["DownloadError no byte for 4 s"] * 8
    assert time.monotonic() - began_s < 4 * 4  # one after another would be 32 s
    assert server.count(path) <= 2  # one that was not yet waiting asks for itself
    assert not (target / ".modelboot").exists()


def test_wait_ends_when_the_model_is_there(
    wheel: BuiltWheel, server: ModelServer, target: Path, tmp_path: Path
) -> None:
    """Who waits goes on once the model is published, although whoever holds the lock still does."""
    path = f"/{wheel.path.name}"
    pin = server.publish(wheel, Reply(stall="headers"))
    holder = started(pin, MODELBOOT_TIMEOUT=str(TIMEOUT_S))
    server.wait_for(path)
    waiting = [started(pin) for _ in range(3)]
    ensure_model(wheel.pin, target=tmp_path / "other")
    for name in (wheel.name, f"{wheel.name}-{wheel.version}.dist-info"):
        shutil.move(tmp_path / "other" / name, target / name)
    assert [said(process) for process in waiting] == ["present"] * 3
    assert holder.poll() is None
    holder.kill()
    holder.communicate()
    assert server.count(path) == 1


def test_group_folder(wheel: BuiltWheel) -> None:
    """In a folder that a group shares the second user can lock, and replaces nothing of the first."""
    skip_unless_other_user()
    with public_folder() as folder:
        target, house = folder / "shared", folder / "house"
        target.mkdir()
        os.chown(target, 0, OTHER)
        target.chmod(0o2775)
        house.mkdir()
        (house / wheel.path.name).write_bytes(wheel.content)
        env: dict[str, str | None] = {
            "MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(folder / "home"),
            "MODELBOOT_WHEELHOUSE": str(house), "MODELBOOT_INDEX": "0",
        }  # fmt: skip
        arguments = pin_arguments(wheel.pin)
        assert python(ENSURE, *arguments, env=env).stdout.strip() == "wheelhouse"
        work = target / ".modelboot"
        assert (work.stat().st_mode & 0o7777, work.stat().st_gid) == (0o2775, OTHER)
        assert (work / f"{wheel.name}.lock").stat().st_mode & 0o777 == 0o664
        other = ModelPin("en_other_sm", "1.0.0", wheel.sha256, url=wheel.pin.url)
        done = python(ENSURE, *pin_arguments(other), user=OTHER, env={**env, "HOME": str(folder)})
        assert "may not write" not in done.stdout + done.stderr

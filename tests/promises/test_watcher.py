"""P2: a reader who looks at the target all the time never sees a model that is not complete."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.cli import main
from support.children import environment
from support.wheels import NAME, small_wheel

ROUNDS = 50
Looks = dict[str, Any]
"""Looks by what they saw, and the details of those that saw something torn."""


@pytest.fixture
def pins(tmp_path: Path) -> list[ModelPin]:
    """Return pins of ever newer versions, no two of which have files of equal size."""
    versions = [f"1.0.{patch}" for patch in range(ROUNDS + 1)]
    wheels = [small_wheel(tmp_path, version, weight_bytes=1000 + 7 * at) for at, version in enumerate(versions)]
    return [wheel.pin for wheel in wheels]


def test_watcher_during_installs_and_removals(target: Path, pins: list[ModelPin], count: Callable[..., None]) -> None:
    """50 installs with an uninstall after each: no look sees a model with a file missing or short."""
    with _watched(target) as looks:
        for _ in range(ROUNDS):
            ensure_model(pins[0])
            assert main(["uninstall", NAME]) == 0
    _count(count, f"looks during {ROUNDS} installs and as many removals", looks)
    assert looks["details"] == []
    assert looks["torn"] == 0
    assert looks["absent"] > 200
    assert looks["complete"] > 20


def test_watcher_during_replacements(target: Path, pins: list[ModelPin], count: Callable[..., None]) -> None:
    """50 replacements by the next version: a look may find it absent for a moment, never torn."""
    ensure_model(pins[0])
    with _watched(target) as looks:
        for pin in pins[1:]:
            ensure_model(pin)
    _count(count, f"looks during {ROUNDS} replacements", looks)
    assert looks["details"] == []
    assert looks["torn"] == 0
    assert looks["complete"] > 200


def test_watcher_of_a_hand_made_install(target: Path, pins: list[ModelPin]) -> None:
    """The watcher can fail: it sees an unpacking in place, dist-info first, as torn."""
    staged = target.with_name("staged")
    shutil.unpack_archive(pins[0].release_url.removeprefix("file://"), staged, "zip")
    target.mkdir()
    with _watched(target) as looks:
        for _ in range(ROUNDS):
            dist_info = f"{NAME}-1.0.0.dist-info"
            shutil.copytree(staged / dist_info, target / dist_info)
            shutil.copytree(staged / NAME, target / NAME)
            shutil.rmtree(target / dist_info)
            shutil.rmtree(target / NAME)
    assert looks["torn"] > 0


@contextmanager
def _watched(target: Path) -> Iterator[Looks]:
    """Have a process watch the target during the block; its counts are there afterwards."""
    command = [sys.executable, "-m", "support.folders", str(target), NAME]
    looks: Looks = {}
    with subprocess.Popen(command, env=environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == b"ready\n"
        try:
            yield looks
        finally:
            looks.update(json.loads(watcher.communicate()[0]))
    assert watcher.returncode == 0


def _count(count: Callable[..., None], what: str, looks: Looks) -> None:
    figures = {state: looks[state] for state in ("absent", "complete", "gone", "torn")}
    count(what, points=sum(figures.values()), **figures, wedged=0, left=0)

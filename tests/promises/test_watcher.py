"""P2: a reader who looks at the target all the time never sees a model that is not complete."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.cli import main
from support.children import environment
from support.wheels import DIST_INFO, NAME, BuiltWheel, small_wheel

ROUNDS = 50


@pytest.fixture(scope="module")
def pins(tmp_path_factory: pytest.TempPathFactory) -> list[ModelPin]:
    """Return pins of ever newer versions, no two of which have files of equal size."""
    folder, versions = tmp_path_factory.mktemp("wheels"), [f"1.0.{patch}" for patch in range(ROUNDS + 1)]
    return [small_wheel(folder, version, weight_bytes=1000 + 7 * at).pin for at, version in enumerate(versions)]


@pytest.mark.parametrize("rounds", [10, pytest.param(ROUNDS, marks=pytest.mark.exhaustive)])
def test_watcher_during_installs_removals_and_replacements(
    rounds: int, target: Path, pins: list[ModelPin], count: Callable[..., None]
) -> None:
    """No look sees a model with a file missing or short: the model is absent or complete, if only for a moment."""
    with watched(target) as (looks, torn):
        for _ in range(rounds):
            ensure_model(pins[0])
            assert main(["uninstall", NAME]) == 0
        for pin in pins[: rounds + 1]:
            ensure_model(pin)
    what = f"looks during {rounds} installs, as many removals and as many replacements"
    count(what, points=looks.total(), torn=len(torn), **looks)
    assert torn == []
    assert looks["absent"] > 0
    assert looks["complete"] > 0


def test_watcher_of_a_hand_made_install(target: Path, wheel: BuiltWheel) -> None:
    """The watcher can fail: it sees an unpacking in place, dist-info first, as torn."""
    staged = target.with_name("staged")
    shutil.unpack_archive(wheel.path, staged, "zip")
    with watched(target) as (looks, torn):
        shutil.copytree(staged / DIST_INFO, target / DIST_INFO)
    assert torn
    assert looks["complete"] == 0


@contextmanager
def watched(target: Path) -> Iterator[tuple[Counter[str], list[str]]]:
    """Have a process watch the target during the block, and yield what it saw how often, and what was torn."""
    command = [sys.executable, "-m", "support.folders", str(target), NAME]
    looks, torn = Counter[str](), list[str]()
    with subprocess.Popen(command, env=environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == b"ready\n"
        try:
            yield looks, torn
        finally:
            counts, found = json.loads(watcher.communicate()[0])
            looks.update(counts)
            torn.extend(found)

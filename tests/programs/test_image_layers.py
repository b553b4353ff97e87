"""A model in a lower layer of an image, on a real overlay mount: it cannot be renamed, so the store stands in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import ensure_model
from modelboot.cli import main
from support.folders import is_complete, snapshot
from support.wheels import NAME, OLDER, VERSION, BuiltWheel, small_wheel


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Return a lower layer and the folder at which an overlay of it is mounted by `mounted`."""
    lower, merged = tmp_path / "lower", tmp_path / "target"
    for folder in (lower, merged, tmp_path / "upper", tmp_path / "work"):
        folder.mkdir()
    yield lower, merged
    subprocess.run(["umount", str(merged)], check=False, capture_output=True)


def mounted(lower: Path, merged: Path) -> None:
    """Mount the overlay, or skip the test, saying why."""
    options = f"lowerdir={lower},upperdir={merged.parent / 'upper'},workdir={merged.parent / 'work'}"
    # An overlay on an overlay is refused, so upper and lower layers lie in memory where there is such a place.
    done = subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", options, str(merged)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder in memory: an overlay cannot be mounted on another."""
    import tempfile

    place = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - a test's own folder in there
    with tempfile.TemporaryDirectory(dir=place, prefix="modelboot-layers-") as folder:
        yield Path(folder)


def test_repair_of_a_model_in_a_lower_layer(layers: tuple[Path, Path], wheel: BuiltWheel, tmp_path: Path) -> None:
    """A damaged copy in the lower layer stays, and the pin comes from the store, warm the second time."""
    lower, merged = layers
    ensure_model(wheel.pin, target=lower)
    os.truncate(lower / NAME / f"{NAME}-{VERSION}" / "config.cfg", 1)
    mounted(lower, merged)
    before = snapshot(merged, without=[".modelboot"])
    assert ensure_model(wheel.pin, target=merged).path.is_relative_to(tmp_path / "home")
    assert snapshot(merged, without=[".modelboot"]) == before
    assert ensure_model(wheel.pin, target=merged).source == "present"


def test_newer_version_than_a_lower_layer_has(layers: tuple[Path, Path], wheel: BuiltWheel, tmp_path: Path) -> None:
    """An older version in the lower layer stays, and the pin comes from the store."""
    lower, merged = layers
    ensure_model(small_wheel(tmp_path / "older", OLDER).pin, target=lower)
    mounted(lower, merged)
    assert ensure_model(wheel.pin, target=merged).path.is_relative_to(tmp_path / "home")
    assert (merged / NAME).is_dir()


def test_uninstall_from_a_lower_layer(
    layers: tuple[Path, Path], wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model in the lower layer can be uninstalled: it is gone from what the container sees."""
    lower, merged = layers
    ensure_model(wheel.pin, target=lower)
    mounted(lower, merged)
    monkeypatch.setenv("MODELBOOT_TARGET", str(merged))
    assert main(["uninstall", NAME]) == 0
    assert sorted(path.name for path in merged.iterdir()) == [".modelboot"]
    assert is_complete(lower, wheel.pin)

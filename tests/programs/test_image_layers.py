"""A model in a lower layer of an image, on a real overlay mount: it cannot be renamed, so the store stands in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import InstallError, ensure_model
from modelboot._install.stage import _host as host
from modelboot.cli import main
from support import layers as overlay
from support.folders import is_complete, snapshot
from support.wheels import NAME, OLDER, VERSION, BuiltWheel, small_wheel


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Return a lower layer and the folder at which an overlay of it is to be mounted."""
    overlay.skip_without_overlay(tmp_path / "probe")
    yield tmp_path / "lower", tmp_path / "target"
    overlay.unmount(tmp_path / "target")


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
    overlay.mount(lower, merged)
    before = snapshot(merged, without=[".modelboot"])
    assert ensure_model(wheel.pin, target=merged).path.is_relative_to(tmp_path / "home")
    assert snapshot(merged, without=[".modelboot"]) == before
    assert ensure_model(wheel.pin, target=merged).source == "present"


def test_newer_version_than_a_lower_layer_has(layers: tuple[Path, Path], wheel: BuiltWheel, tmp_path: Path) -> None:
    """An older version in the lower layer stays, and the pin comes from the store."""
    lower, merged = layers
    ensure_model(small_wheel(tmp_path / "older", OLDER).pin, target=lower)
    overlay.mount(lower, merged)
    assert ensure_model(wheel.pin, target=merged).path.is_relative_to(tmp_path / "home")
    assert (merged / NAME).is_dir()


def test_store_that_may_not_be_replaced_either(layers: tuple[Path, Path], wheel: BuiltWheel, tmp_path: Path) -> None:
    """Where the model's folder of the store holds a user's own file, too, that is an error of the family."""
    lower, merged = layers
    ensure_model(small_wheel(tmp_path / "older", OLDER).pin, target=lower)
    overlay.mount(lower, merged)
    data = ensure_model(wheel.pin, target=merged).path
    (data / "config.cfg").unlink()
    (data / "notes.txt").write_text("mine")
    with pytest.raises(InstallError, match="modelboot may not replace"):
        ensure_model(wheel.pin, target=merged)
    assert (data / "notes.txt").read_text() == "mine"


def test_stage_of_a_killed_install_in_front_of_the_store(
    layers: tuple[Path, Path], wheel: BuiltWheel, tmp_path: Path
) -> None:
    """An install that was killed once the store stood in leaves a stage in the layer: the next call removes it."""
    lower, merged = layers
    ensure_model(small_wheel(tmp_path / "older", OLDER).pin, target=lower)
    overlay.mount(lower, merged)
    ensure_model(wheel.pin, target=merged)
    stage = merged / ".modelboot" / f"{NAME}.{host()}.00000000.stage"
    stage.mkdir()
    assert ensure_model(wheel.pin, target=merged).source == "present"
    assert not stage.exists()


def test_uninstall_from_a_lower_layer(
    layers: tuple[Path, Path], wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model in the lower layer can be uninstalled: it is gone from what the container sees."""
    lower, merged = layers
    ensure_model(wheel.pin, target=lower)
    overlay.mount(lower, merged)
    monkeypatch.setenv("MODELBOOT_TARGET", str(merged))
    assert main(["uninstall", NAME]) == 0
    assert sorted(path.name for path in merged.iterdir()) == [".modelboot"]
    assert is_complete(lower, wheel.pin)

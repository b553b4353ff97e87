"""A model in a lower layer of an image, on a real overlay mount: it cannot be renamed, so the store stands in.

Installs that are killed or refused there: the state "lower-layer" of promises/test_sweeps.py.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelboot import InstallError, ensure_model
from modelboot.cli import main
from support import layers as overlay
from support.folders import WORK, is_complete, names, snapshot
from support.wheels import NAME, OLDER, BuiltWheel, small_wheel


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Return a folder in memory: an overlay cannot be mounted on another."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 - a test's own folder in there
    with tempfile.TemporaryDirectory(dir=place, prefix="modelboot-layers-") as folder:
        yield Path(folder)


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Return a lower layer and the folder at which an overlay of it is to be mounted."""
    overlay.skip_without_overlay(tmp_path / "probe")
    yield tmp_path / "lower", tmp_path / "target"
    overlay.unmount(tmp_path / "target")


def install_older(lower: Path) -> None:
    """Install an older version."""
    ensure_model(small_wheel(lower.with_name("older"), OLDER).pin, target=lower)


def install_damaged(lower: Path) -> None:
    """Install the version that is wanted, with a file cut short."""
    model = ensure_model(small_wheel(lower.with_name("damaged")).pin, target=lower)
    os.truncate(model.path / "config.cfg", 1)


@pytest.mark.parametrize("install", [install_older, install_damaged])
def test_model_in_a_lower_layer_stays(
    install: Callable[[Path], None], layers: tuple[Path, Path], wheel: BuiltWheel, tmp_path: Path
) -> None:
    """An older or a damaged copy in the lower layer stays, and the pin comes from the store, warm the second time.

    Where the model's folder of the store then holds a user's own file, too, that is an error of the family.
    """
    lower, merged = layers
    install(lower)
    overlay.mount(lower, merged)
    before = snapshot(merged, without=[WORK])
    data = ensure_model(wheel.pin, target=merged).path
    assert data.is_relative_to(tmp_path / "home")
    assert snapshot(merged, without=[WORK]) == before
    assert ensure_model(wheel.pin, target=merged).source == "present"
    (data / "config.cfg").unlink()
    (data / "notes.txt").write_text("mine")
    with pytest.raises(InstallError, match="modelboot may not replace"):
        ensure_model(wheel.pin, target=merged)
    assert (data / "notes.txt").read_text() == "mine"


def test_uninstall_from_a_lower_layer(
    layers: tuple[Path, Path], wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model in the lower layer can be uninstalled: it is gone from what the container sees."""
    lower, merged = layers
    ensure_model(wheel.pin, target=lower)
    overlay.mount(lower, merged)
    monkeypatch.setenv("MODELBOOT_TARGET", str(merged))
    assert main(["uninstall", NAME]) == 0
    assert [name for name in names(merged) if name != WORK] == []
    assert is_complete(lower, wheel.pin)

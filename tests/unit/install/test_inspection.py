"""A target is judged when nobody is in the middle of publishing there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot._install.inspection import inspect
from modelboot._install.target import Target


@pytest.fixture
def dist_info(tiny_pin: ModelPin, target: Path, tmp_path: Path) -> Path:
    """Return the dist-info of an installed model, moved out of its target."""
    ensure_model(tiny_pin)
    (path,) = target.glob("*.dist-info")
    return path.rename(tmp_path / path.name)


def test_half_published_model_is_waited_for(
    tiny_pin: ModelPin, target: Path, dist_info: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package whose dist-info is still to come is nobody else's while another process is at work, however slow."""
    stage = target / ".modelboot" / f"{tiny_pin.name}.01234567.89abcdef.stage"
    stage.mkdir(parents=True)
    looks = 0

    def publish_at_last(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 50:
            dist_info.rename(target / dist_info.name)

    monkeypatch.setattr(time, "sleep", publish_at_last)
    assert inspect(Target("environment", target), tiny_pin).state == "intact"
    assert looks == 50


@pytest.mark.usefixtures("dist_info")
def test_package_of_others_is_not_waited_for(tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody is at work, the first look counts."""
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("it waits"))
    assert inspect(Target("environment", target), tiny_pin).state == "foreign"

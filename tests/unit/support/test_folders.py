"""What the tests take for a complete model: the judge can fail, and does so for each way to be torn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.folders import is_complete, snapshot
from support.wheels import DIST_INFO, NAME


def altered(path: str, alter: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    """Return what alters a file."""
    return lambda target: (target / path).write_bytes(alter((target / path).read_bytes()))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no-dist-info": lambda target: (target / DIST_INFO).rename(target / "gone"),
    "no-record": lambda target: (target / DIST_INFO / "RECORD").unlink(),
    "cut-record": altered(f"{DIST_INFO}/RECORD", lambda content: content[:-1]),
    "no-package": lambda target: (target / NAME).rename(target / "gone"),
    "missing": lambda target: (target / NAME / "__init__.py").unlink(),
    "short": altered(f"{NAME}/meta.json", lambda content: content[:-1]),
    "altered": altered(f"{NAME}/meta.json", bytes.swapcase),
    "more": lambda target: (target / NAME / "more.txt").touch(),
}
"""Ways to be torn."""


@pytest.mark.parametrize("damage", DAMAGES)
def test_is_complete_of_a_damaged_install(target: Path, pin: ModelPin, damage: str) -> None:
    """A model that lacks something, has other bytes or has more is not complete; nor is one of another wheel."""
    ensure_model(pin)
    assert is_complete(target, pin)
    assert not is_complete(target, ModelPin(pin.name, pin.version, "0" * 64))
    DAMAGES[damage](target)
    assert not is_complete(target, pin)


def test_snapshot_tells_rewritten_from_untouched(tmp_path: Path) -> None:
    """A file replaced by its like shows, unless copies are as good; one made and removed shows if it is strict."""
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("same", "utf-8")
    other.write_text("same", "utf-8")
    before, as_copy = snapshot(file), snapshot(file, copies=True)
    other.replace(file)
    assert snapshot(file) != before
    assert snapshot(file, copies=True) == as_copy
    before, strictly = snapshot(tmp_path), snapshot(tmp_path, strict=True)
    other.touch()
    other.unlink()
    assert snapshot(tmp_path) == before
    assert snapshot(tmp_path, strict=True) != strictly
    assert snapshot(other) == {}

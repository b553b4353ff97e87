"""P1: only the pinned bytes are ever called the pinned wheel, whatever gave them and checked them before."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import spacy

from modelboot import HashMismatchError, ModelPin, OfflineError, ensure_model, get_nlp
from support.folders import is_complete, leftovers
from support.wheels import NAME, VERSION, BuiltWheel, altered

if TYPE_CHECKING:
    from support.server import ModelServer

HANG_S = 30.0
"""After so many seconds a thread counts as hung."""


def with_digit_changed(sha256: str, position: int) -> str:
    """Return a digest that differs from another in one digit."""
    digits = [*sha256]
    digits[position] = "0" if digits[position] != "0" else "1"
    return "".join(digits)


@pytest.mark.parametrize(
    ("source", "position"), [("file", 0), ("file", 16), ("file", 63), ("server", 63), ("wheelhouse", 63)]
)
def test_digest_that_differs_in_one_digit(  # noqa: PLR0913, PLR0917 - most are fixtures
    source: str, position: int, wheel: BuiltWheel, target: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 64 digits count: a wheel whose digest is the pinned one but for a single digit is other bytes."""
    server.tree(wheel.path.parent)
    if source == "wheelhouse":
        monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(wheel.path.parent))
    url = wheel.url if source == "file" else f"{server.url}/{wheel.path.name}"
    pinned = with_digit_changed(wheel.sha256, position)
    with pytest.raises(HashMismatchError, match=f"expected sha256 {pinned}.*got sha256 {wheel.sha256}"):
        ensure_model(ModelPin(NAME, VERSION, pinned, url=url))
    assert leftovers(target) == []


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Return an empty wheelhouse."""
    (tmp_path / "house").mkdir()
    return tmp_path / "house"


def test_renamed_wheel_that_changes_in_place_is_hashed_anew(wheel: BuiltWheel, house: Path, tmp_path: Path) -> None:
    """What is remembered of a file does not outlive its bytes, not even where size and time of change are put back.

    It is found by its digest, in which every digit counts.
    """
    file, pin = house / "renamed.whl", wheel.pin_at(None)
    shutil.copy(altered(wheel, tmp_path / "altered"), file)
    before = file.stat()
    with pytest.raises(OfflineError, match="no wheel of that hash"):
        ensure_model(pin, wheelhouse=house, offline=True)
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the system's clock moves on in steps
        file.write_bytes(wheel.content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(OfflineError, match="no wheel of that hash"):
        ensure_model(ModelPin(NAME, VERSION, with_digit_changed(wheel.sha256, 63)), wheelhouse=house, offline=True)
    assert ensure_model(pin, wheelhouse=house, offline=True).source == "wheelhouse"


def test_file_that_vanishes_while_loading_is_damage(
    tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file found by the look and gone when spaCy reads it is missing: the same call installs again and loads."""
    config, really = ensure_model(tiny_pin).path / "config.cfg", spacy.load

    def load(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as spacy.load
        monkeypatch.setattr(spacy, "load", really)
        config.unlink()
        return really(*arguments, **options)

    monkeypatch.setattr(spacy, "load", load)
    assert get_nlp(tiny_pin).meta["version"] == tiny_pin.version
    assert is_complete(target, tiny_pin)

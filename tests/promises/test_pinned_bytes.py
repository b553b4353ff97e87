"""P1: only the pinned bytes are ever called the pinned wheel, whatever gave them and checked them before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import HashMismatchError, ModelPin, OfflineError, ensure_model
from support.folders import leftovers
from support.wheels import NAME, VERSION, BuiltWheel, altered

if TYPE_CHECKING:
    from support.server import ModelServer

FILE = f"{NAME}-{VERSION}-py3-none-any.whl"


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


@pytest.mark.parametrize("name", ["renamed.whl", FILE])
def test_wheel_that_changes_in_place_is_hashed_anew(name: str, wheel: BuiltWheel, tmp_path: Path) -> None:
    """What is remembered of a file does not outlive its bytes, not even where size and time of change are put back.

    One of another name is found by its digest, in which every digit counts.
    """
    file, pin = altered(wheel, tmp_path / "house").rename(tmp_path / "house" / name), wheel.pin_at(None)
    before = file.stat()
    refused = pytest.raises((HashMismatchError, OfflineError), match=r"no wheel of that hash|got sha256")
    with refused:
        ensure_model(pin, wheelhouse=file.parent, offline=True)
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the system's clock moves on in steps
        file.write_bytes(wheel.content)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    other = ModelPin(NAME, VERSION, with_digit_changed(wheel.sha256, 63))
    with refused:
        ensure_model(other, wheelhouse=file.parent, offline=True)
    assert ensure_model(pin, wheelhouse=file.parent, offline=True).source == "wheelhouse"

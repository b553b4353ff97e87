"""The pin of a wheel is what its METADATA says; `modelboot pin` as a whole is in cli/test_pin.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelboot._install import pin_from_file
from support.commands import facts, failure
from support.wheels import DIST_INFO, NAME, VERSION, Tampering, small_wheel

METADATA = f"{DIST_INFO}/METADATA"
TEXT = f"""\
Metadata-Version: 2.1
Name: en-.tiny.sm
Version: {VERSION}
Requires-Dist: sudachipy>=0.5
Requires-Dist: pytest; extra == "tests"
"""


def test_pin_of_what_the_metadata_says(tmp_path: Path) -> None:
    """The name is the package's however it is spelled, extras are not required, a part of a megabyte counts as one."""
    wheel = small_wheel(tmp_path, tampering=Tampering(extra={METADATA: TEXT.encode()}))
    pin = facts("pin", wheel.path)
    assert (pin["name"], pin["version"], pin["requires"], pin["size_mb"]) == (NAME, VERSION, ["sudachipy>=0.5"], 1)


@pytest.mark.parametrize(
    "tampering",
    [Tampering(omitted=[METADATA]), Tampering(extra={METADATA: TEXT.encode().ljust(1 << 20)})],
    ids=["missing", "a megabyte"],
)
def test_pin_without_metadata(tmp_path: Path, tampering: Tampering) -> None:
    """A wheel without METADATA, or with one too large to be any, is refused as such."""
    error, _ = failure("pin", small_wheel(tmp_path, tampering=tampering).path)
    assert error.endswith(": not a readable wheel: no METADATA")


@pytest.mark.parametrize(
    ("most", "told"), [(999_999, "sends more than 999,999 bytes"), (1_000_000, "not a readable wheel")]
)
def test_pin_of_what_has_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, told: str) -> None:
    """No more is read than the largest wheel of an unknown size may have."""
    monkeypatch.setattr(pin_from_file, "MAX_UNKNOWN_BYTES", most)
    (tmp_path / "x.whl").write_bytes(bytes(1_000_000))
    error, _ = failure("pin", tmp_path / "x.whl")
    assert told in error

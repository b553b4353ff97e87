"""What the tests take for a complete model: the judge can fail, and does so for each way to be torn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.folders import is_complete, snapshot

PACKAGE, INFO = "en_tiny_sm", "en_tiny_sm-1.0.0.dist-info"


def _name_another_wheel(target: Path) -> None:
    file = target / INFO / "direct_url.json"
    facts = json.loads(file.read_text("utf-8"))
    facts["archive_info"]["hashes"]["sha256"] = "0" * 64
    text = json.dumps(facts)
    file.write_text(text, "utf-8")
    record = target / INFO / "RECORD"
    lines = [line for line in record.read_text("utf-8").splitlines() if "direct_url" not in line]
    record.write_text("".join(f"{line}\n" for line in [*lines, f"{INFO}/direct_url.json,,"]), "utf-8")


def _cut_record(target: Path) -> None:
    record = target / INFO / "RECORD"
    record.write_bytes(record.read_bytes()[:-1])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no-dist-info": lambda target: (target / INFO).rename(target / "gone"),
    "no-record": lambda target: (target / INFO / "RECORD").unlink(),
    "cut-record": _cut_record,
    "no-package": lambda target: (target / PACKAGE).rename(target / "gone"),
    "missing": lambda target: (target / PACKAGE / "__init__.py").unlink(),
    "short": lambda target: (target / PACKAGE / "meta.json").write_text("{}", "utf-8"),
    "altered": lambda target: (target / PACKAGE / "meta.json").write_bytes(
        (target / PACKAGE / "meta.json").read_bytes().swapcase()
    ),
    "more": lambda target: (target / PACKAGE / "more.txt").write_text("", "utf-8"),
    "other-wheel": _name_another_wheel,
}
"""Ways to be torn."""


def test_is_complete_of_an_install(target: Path, tiny_pin: ModelPin) -> None:
    """An install is complete; one that is elsewhere is not here."""
    ensure_model(tiny_pin)
    assert is_complete(target, tiny_pin)
    assert not is_complete(target / "elsewhere", tiny_pin)


@pytest.mark.parametrize("damage", DAMAGES)
def test_is_complete_of_a_damaged_install(target: Path, tiny_pin: ModelPin, damage: str) -> None:
    """A model that lacks something, has other bytes, has more, or is of another wheel is not complete."""
    ensure_model(tiny_pin)
    DAMAGES[damage](target)
    assert not is_complete(target, tiny_pin)


def test_snapshot_tells_rewritten_from_untouched(tmp_path: Path) -> None:
    """A file replaced by its like is told from one left alone; a copy is equal where copies are as good."""
    file = tmp_path / "folder" / "file"
    file.parent.mkdir()
    file.write_text("same", "utf-8")
    before, as_copy = snapshot(file.parent), snapshot(file.parent, copies=True)
    other = tmp_path / "other"
    other.write_text("same", "utf-8")
    other.replace(file)
    assert snapshot(file.parent) != before
    assert snapshot(file.parent, copies=True) == as_copy
    assert snapshot(tmp_path / "absent") == {}


def test_snapshot_tells_what_was_made_and_removed(tmp_path: Path) -> None:
    """Where it is strict, a file that is there no more shows in the folder it was in."""
    before, strictly = snapshot(tmp_path), snapshot(tmp_path, strict=True)
    (tmp_path / "file").touch()
    (tmp_path / "file").unlink()
    assert snapshot(tmp_path) == before
    assert snapshot(tmp_path, strict=True) != strictly

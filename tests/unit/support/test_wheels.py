"""The wheels built for the tests are what they claim to be; that a breach is one, `test_archive` tells of each."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

from installer.sources import WheelFile

from support.wheels import DIST_INFO, NAME, altered, build_wheel, small_wheel

DATA = f"{NAME}/{NAME}-1.0.0"


def test_wheel_honest(tmp_path: Path) -> None:
    """An honest wheel passes installer's validation, has the facts of its file, and the same bytes each time."""
    wheel = build_wheel(tmp_path / "new", marker="mine")
    with WheelFile.open(wheel.path) as source:
        source.validate_record()
    assert wheel.sha256 == hashlib.sha256(wheel.path.read_bytes()).hexdigest()
    assert wheel.content == build_wheel(tmp_path / "again", marker="mine").content != build_wheel(tmp_path).content
    with zipfile.ZipFile(wheel.path) as archive:
        assert archive.namelist()[-1] == f"{DIST_INFO}/RECORD"
        assert archive.read(f"{DATA}/marker.txt") == b"mine"
        characters = json.loads(archive.read(f"{DATA}/sentencizer.json"))["punct_chars"]
    assert characters == sorted(characters)  # spaCy's own order differs from process to process


def test_altered_one_byte(tmp_path: Path) -> None:
    """An altered copy has the same name and size and exactly one other byte, in the middle."""
    wheel = small_wheel(tmp_path)
    copy = altered(wheel, tmp_path / "copy")
    pairs = zip(wheel.content, copy.read_bytes(), strict=True)
    assert [place for place, (old, new) in enumerate(pairs) if old != new] == [wheel.size_bytes // 2]
    assert copy.name == wheel.path.name

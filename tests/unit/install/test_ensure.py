"""What the machine refuses on the way is an InstallError that says what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from modelboot.errors import InstallError


def test_install_full_disk(tiny_pin: ModelPin, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while it is flushed leaves no target, and the error is about disk space."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InstallError, match="No space left on device") as refused:
        ensure_model(tiny_pin)
    assert refused.value.fault == "space"
    assert "free some disk space" in refused.value.hint
    assert not target.exists()


def test_install_target_and_nowhere_else(tiny_pin: ModelPin, target: Path, tmp_path: Path) -> None:
    """A target that was set but cannot be written is an error that names it alone; the store does not stand in."""
    target.touch()
    with pytest.raises(InstallError, match="may not write there") as refused:
        ensure_model(tiny_pin)
    assert (refused.value.fault, refused.value.path) == ("permissions", str(target))
    assert "(store)" not in refused.value.reason
    assert not (tmp_path / "home").exists()

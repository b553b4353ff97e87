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

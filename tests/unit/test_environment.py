"""What is installed in an environment; who made it: cli/test_doctor.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelboot._environment import installed_version
from modelboot._versions import is_version


def test_installed_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is that of the metadata, in any form; what an interrupted uninstall left empty does not count."""
    for stale in ("pytest-0.1.dist-info", "modelboot_no_such_thing-1.0.dist-info", "old_thing-1.2.egg-info"):
        (tmp_path / stale).mkdir()
    old_form = "Metadata-Version: 1.0\nName: old-thing\nVersion: 1.2\n"
    (tmp_path / "old_thing-1.2.egg-info" / "PKG-INFO").write_text(old_form)
    assert is_version(installed_version("pytest") or "")
    assert installed_version("modelboot-no-such-thing") is None
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("modelboot-no-such-thing") is None
    assert installed_version("old.thing") == "1.2"

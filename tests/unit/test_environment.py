"""What is installed in an environment, and who made it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelboot._environment import install_command, installed_version, is_uv_environment
from modelboot._versions import is_version


@pytest.mark.parametrize(
    ("text", "expected"), [("home = /usr/bin\nuv = 0.13.9\n", True), ("home = /usr/bin\n", False), (None, False)]
)
def test_is_uv_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, *, expected: bool
) -> None:
    """An environment that uv made says so itself."""
    if text is not None:
        (tmp_path / "pyvenv.cfg").write_text(text, "utf-8")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert is_uv_environment() is expected
    assert install_command() == ("uv pip install" if expected else "pip install")


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

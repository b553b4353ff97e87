"""Environments say themselves who made them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelboot._environment import install_command, is_uv_environment


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

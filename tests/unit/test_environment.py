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


def test_installed_version() -> None:
    """The version of a distribution is that of its metadata; what is not there has none."""
    assert is_version(installed_version("pytest") or "")
    assert installed_version("modelboot-no-such-thing") is None


def test_installed_version_beside_a_stale_dist_info(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty dist-info that comes first on sys.path, as an interrupted uninstall leaves it, hides nothing."""
    (tmp_path / "pytest-0.1.dist-info").mkdir()
    (tmp_path / "modelboot_no_such_thing-1.0.dist-info").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("modelboot-no-such-thing") is None


def test_installed_version_of_an_egg_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed in an older form is found, too."""
    egg_info = tmp_path / "old_thing-1.2.egg-info"
    egg_info.mkdir()
    (egg_info / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old-thing\nVersion: 1.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_version("old.thing") == "1.2"

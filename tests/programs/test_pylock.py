"""The lock file of `modelboot pin --format pylock` (PEP 751), read by the newest pip and by uv."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot.cli import main
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

Capture = pytest.CaptureFixture[str]
UV = (sys.executable, "-m", "uv", "--no-config", "--quiet")
Install = Callable[[Path, Path], int]
"""Installs a lock file into a folder; returns the exit status."""


def _run(*words: str | Path) -> int:
    return subprocess.run([str(word) for word in words], check=False, capture_output=True, timeout=120).returncode


@pytest.fixture(scope="module")
def newest_pip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with the newest pip of the index; skip where that does not answer."""
    folder = tmp_path_factory.mktemp("newest") / "env"
    assert _run(*UV, "venv", "--python", sys.executable, folder) == 0
    if _run(
        sys.executable, "-m", "uv", "--quiet", "pip", "install", "pip>=25.1", "--python", folder / "bin" / "python"
    ):
        pytest.skip("the package index does not answer")
    return folder / "bin" / "python"


def _pip(python: Path) -> Install:
    return lambda lock, folder: _run(
        *(python, "-m", "pip", "--isolated", "install", "--no-index", "--no-cache-dir", "--target", folder, "-r", lock)
    )


def _uv(*words: str) -> Install:
    return lambda lock, folder: _run(
        *UV, "pip", "--no-cache", *words[:1], "--no-index", "--target", folder, *words[1:], lock
    )


with_each = pytest.mark.parametrize(
    "tool", [pytest.param("pip", marks=pytest.mark.index), "uv pip sync", "uv pip install"]
)


@pytest.fixture
def install(tool: str, request: pytest.FixtureRequest) -> Install:
    """Return how a tool installs a lock file."""
    if tool == "pip":
        return _pip(request.getfixturevalue("newest_pip"))
    return _uv("sync") if tool == "uv pip sync" else _uv("install", "-r")


def _lock(place: str, folder: Path, capsys: Capture) -> Path:
    """Write what `modelboot pin` prints of a place into a lock file."""
    assert main(["pin", place, "--format", "pylock"]) == 0
    folder.mkdir(exist_ok=True)
    (folder / "pylock.toml").write_text(capsys.readouterr().out, "utf-8")
    return folder / "pylock.toml"


@with_each
def test_pylock_installs(install: Install, tiny: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """The tool installs the pinned wheel and, with another hash in the file, nothing."""
    lock = _lock(str(tiny.path), tmp_path, capsys)
    assert install(lock, tmp_path / "there") == 0
    assert (tmp_path / "there" / tiny.name / "__init__.py").is_file()
    lock.write_text(lock.read_text("utf-8").replace(tiny.sha256, "0" * 64), "utf-8")
    assert install(lock, tmp_path / "refused") != 0
    assert not (tmp_path / "refused" / tiny.name).exists()


@with_each
@pytest.mark.parametrize("name", ["en_tiny_sm-any-py3-none-any.whl", "4711"])
def test_pylock_of_a_url_without_a_version(  # noqa: PLR0913, PLR0917 - fixtures
    install: Install, tool: str, name: str, tiny: BuiltWheel, server: ModelServer, tmp_path: Path, capsys: Capture
) -> None:
    """Where the URL lacks a version, uv takes the name that the file gives beside it; pip refuses such URLs."""
    server.serve(f"/{name}", Reply(body=tiny.content))
    lock = _lock(f"{server.url}/{name}", tmp_path, capsys)
    assert f'name = "{tiny.path.name}", url = "{server.url}/{name}"' in lock.read_text("utf-8")
    assert (install(lock, tmp_path / "there") == 0) == (tool != "pip")

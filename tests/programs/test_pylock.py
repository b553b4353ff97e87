"""The lock file of `modelboot pin --format pylock` (PEP 751), read by a new pip and by uv."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

from modelboot.cli import main
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

pytestmark = pytest.mark.skipif(importlib.util.find_spec("uv") is None, reason="uv is not installed")
Capture = pytest.CaptureFixture[str]
UV = (sys.executable, "-m", "uv", "--quiet")
EXHAUSTIVE = pytest.mark.exhaustive
Tool = Sequence[str | Path]
"""The words that install a lock file into the folder, both of which follow."""


def run(*words: str | Path) -> int:
    """Run a program to its end and return its exit status."""
    return subprocess.run([*map(str, words)], check=False, capture_output=True, timeout=120).returncode


@pytest.fixture(scope="module")
def new_pip(tmp_path_factory: pytest.TempPathFactory) -> Path | str:
    """Return an interpreter whose pip reads lock files: this one, else one with the newest pip of the index."""
    if importlib.util.find_spec("pip") and Version(metadata.version("pip")) >= Version("25.1"):
        return sys.executable
    folder = tmp_path_factory.mktemp("newest") / "env"
    assert run(*UV, "--no-config", "venv", "--python", sys.executable, folder) == 0
    if run(*UV, "pip", "install", "pip>=25.1", "--python", folder / "bin" / "python"):
        pytest.skip("the package index does not answer")
    return folder / "bin" / "python"


@pytest.fixture
def tool(request: pytest.FixtureRequest) -> Tool:
    """Return what installs a lock file."""
    if request.param == "pip":
        python = request.getfixturevalue("new_pip")
        return [python, "-m", "pip", "--isolated", "install", "--no-index", "--no-cache-dir", "-r"]
    command, *options = request.param.split()
    return [*UV, "--no-config", "pip", "--no-cache", command, "--no-index", *options]


def lock(place: str, file: Path, capsys: Capture) -> Path:
    """Write what `modelboot pin` prints of a place into a lock file."""
    assert main(["pin", place, "--format", "pylock"]) == 0
    file.write_text(capsys.readouterr().out, "utf-8")
    return file


@pytest.mark.parametrize("tool", [pytest.param("pip", marks=pytest.mark.index), "sync", "install -r"], indirect=True)
def test_pylock_installs(tool: Tool, wheel: BuiltWheel, tmp_path: Path, capsys: Capture) -> None:
    """The tool installs the pinned wheel and, with another hash in the file, nothing."""
    file = lock(str(wheel.path), tmp_path / "pylock.toml", capsys)
    assert run(*tool, file, "--target", tmp_path / "there") == 0
    assert (tmp_path / "there" / wheel.name / "__init__.py").is_file()
    file.write_text(file.read_text("utf-8").replace(wheel.sha256, "0" * 64), "utf-8")
    assert run(*tool, file, "--target", tmp_path / "refused") != 0
    assert not (tmp_path / "refused" / wheel.name).exists()


@pytest.mark.parametrize(
    ("tool", "accepts"),
    [
        pytest.param("pip", False, marks=[pytest.mark.index, EXHAUSTIVE]),
        ("sync", True),
        pytest.param("install -r", True, marks=EXHAUSTIVE),
    ],
    indirect=["tool"],
)
@pytest.mark.parametrize("name", ["en_tiny_sm-any-py3-none-any.whl", "4711"])
def test_pylock_of_a_url_without_a_version(  # noqa: PLR0913, PLR0917 - fixtures
    tool: Tool, name: str, wheel: BuiltWheel, server: ModelServer, tmp_path: Path, capsys: Capture, *, accepts: bool
) -> None:
    """Where the URL lacks a version, uv takes the name that the file gives beside it; pip refuses such URLs."""
    server.serve(f"/{name}", Reply(body=wheel.content))
    file = lock(f"{server.url}/{name}", tmp_path / "pylock.toml", capsys)
    assert f'name = "{wheel.path.name}", url = "{server.url}/{name}"' in file.read_text("utf-8")
    assert (run(*tool, file, "--target", tmp_path / "there") == 0) == accepts

"""pip and uv understand what modelboot installed, and modelboot respects what they installed."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.folders import Entry, snapshot
from support.wheels import BuiltWheel, Tampering, small_wheel

pytestmark = pytest.mark.skipif(importlib.util.find_spec("uv") is None, reason="uv is not installed")
UV = (sys.executable, "-m", "uv", "--no-config", "--offline")
PIP = (sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check")
Run = subprocess.CompletedProcess[str]


def run(*command: str | Path) -> Run:
    """Run a program to its end."""
    return subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=120)


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment without spaCy, and what pip and uv do in it."""

    folder: Path

    @property
    def purelib(self) -> Path:
        """The folder of its packages."""
        (purelib,) = self.folder.glob("lib/python*/site-packages")
        return purelib

    def pip(self, command: str, *arguments: str) -> Run:
        """Run pip on it."""
        confirmed = ["--yes"] if command == "uninstall" else []
        return run(*PIP, "--python", self.folder / "bin" / "python", command, *confirmed, *arguments)

    def uv(self, command: str, *arguments: str) -> Run:
        """Run uv on it."""
        return run(*UV, "pip", command, *arguments, "--python", self.folder / "bin" / "python")

    def files(self) -> dict[str, Entry]:
        """Return every file but bytecode and modelboot's own, as it is now."""
        entries = snapshot(self.purelib).items()
        return {path: each for path, each in entries if stat.S_ISREG(each.mode) and not path.startswith(".modelboot/")}


Tool = Callable[..., Run]
with_both = pytest.mark.parametrize("tool", [Environment.pip, Environment.uv], ids=["pip", "uv"])


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new virtual environment, which uv made once; it is not to be changed."""
    folder = tmp_path_factory.mktemp("fresh") / "env"
    assert run(*UV, "venv", "--python", sys.executable, folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of the model."""
    return small_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(fresh: Path, wheel: BuiltWheel, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment into which modelboot has installed the model; it is not to be changed."""
    environment = Environment(tmp_path_factory.mktemp("installed") / "env")
    shutil.copytree(fresh, environment.folder, symlinks=True)
    ensure_model(wheel.pin, target=environment.purelib)
    return environment


@pytest.fixture
def environment(fresh: Path, tmp_path: Path) -> Environment:
    """Return a virtual environment that this test may change."""
    return Environment(Path(shutil.copytree(fresh, tmp_path / "env", symlinks=True)))


@with_both
def test_list_and_check_after_ensure_model(tool: Tool, installed: Environment) -> None:
    """The pipeline is listed once, with its version, and breaks nothing."""
    listed = json.loads(tool(installed, "list", "--format=json").stdout)
    assert [(row["name"].replace("-", "_"), row["version"]) for row in listed] == [("en_tiny_sm", "1.0.0")]
    done = tool(installed, "check")
    assert done.returncode == 0, done.stdout + done.stderr


@with_both
def test_freeze_after_ensure_model(tool: Tool, installed: Environment, wheel: BuiltWheel) -> None:
    """The line it prints installs these bytes and no others: it has URL and hash."""
    [line] = tool(installed, "freeze").stdout.splitlines()
    name, _, url = line.partition(" @ ")
    assert (name.replace("-", "_"), url) == ("en_tiny_sm", f"{wheel.url}#sha256={wheel.sha256}")


@with_both
def test_show_lists_every_installed_file(tool: Tool, installed: Environment) -> None:
    """The files it names, as RECORD does, are exactly those that came."""
    came = sorted(path for path in installed.files() if path.startswith("en_tiny_sm"))
    _, _, listed = tool(installed, "show", "--files", "en_tiny_sm").stdout.partition("\nFiles:\n")
    assert sorted(map(str.strip, listed.splitlines())) == came
    with (installed.purelib / "en_tiny_sm-1.0.0.dist-info" / "RECORD").open(newline="", encoding="utf-8") as record:
        assert sorted(row[0] for row in csv.reader(record)) == came


def test_inspect_names_the_installer_and_the_archive(installed: Environment, wheel: BuiltWheel) -> None:
    """Tools that read the metadata learn who put it there, at whose wish, and from which bytes."""
    [facts] = json.loads(installed.pip("inspect").stdout)["installed"]
    assert (facts["installer"], facts["requested"]) == ("modelboot", True)
    assert facts["direct_url"]["url"] == wheel.url
    assert facts["direct_url"]["archive_info"]["hashes"] == {"sha256": wheel.sha256}


@with_both
def test_check_when_the_pipeline_lacks_a_requirement(tool: Tool, environment: Environment, tmp_path: Path) -> None:
    """What the pipeline's own metadata require is looked at, as of any other package."""
    metadata = b"Metadata-Version: 2.1\nName: en_tiny_sm\nVersion: 1.0.0\nRequires-Dist: not-there>=1\n"
    tampering = Tampering(extra={"en_tiny_sm-1.0.0.dist-info/METADATA": metadata})
    ensure_model(small_wheel(tmp_path, tampering=tampering).pin, target=environment.purelib)
    done = tool(environment, "check")
    assert done.returncode == 1
    assert "not-there" in done.stdout + done.stderr


@with_both
def test_uninstall_removes_every_file(tool: Tool, environment: Environment, pin: ModelPin) -> None:
    """Nothing of the pipeline stays, nobody else's file goes, and it can come back."""
    before = environment.files()
    ensure_model(pin, target=environment.purelib)
    assert tool(environment, "uninstall", "en_tiny_sm").returncode == 0
    assert environment.files() == before
    assert not [*environment.purelib.glob("en_tiny_sm*")]
    assert ensure_model(pin, target=environment.purelib).source == "release"


@with_both
def test_ensure_model_finds_the_pinned_wheel_of_others(tool: Tool, environment: Environment, wheel: BuiltWheel) -> None:
    """A pipeline of the pinned version that another program installed is present: nothing is fetched or written."""
    assert tool(environment, "install", "--no-index", str(wheel.path)).returncode == 0
    before = environment.files()
    model = ensure_model(wheel.pin, target=environment.purelib, offline=True)
    assert (model.source, model.path) == ("present", environment.purelib / "en_tiny_sm" / "en_tiny_sm-1.0.0")
    assert environment.files() == before


@with_both
def test_ensure_model_leaves_another_version_of_others_alone(
    tool: Tool, environment: Environment, pin: ModelPin, tmp_path: Path
) -> None:
    """Another version that another program installed is neither used nor touched: the pin goes into the store."""
    assert (
        tool(environment, "install", "--no-index", str(small_wheel(tmp_path / "other", "0.9.0").path)).returncode == 0
    )
    before = environment.files()
    first, second = (ensure_model(pin, target=environment.purelib) for _ in range(2))
    assert (first.source, second.source) == ("release", "present")
    assert first.path == second.path
    assert first.path.is_relative_to(tmp_path / "home")
    assert environment.files() == before


def test_ensure_model_replaces_its_own_older_version(environment: Environment, pin: ModelPin, tmp_path: Path) -> None:
    """An older version that modelboot itself installed gives way, with every file of it."""
    ensure_model(pin, target=environment.purelib)
    ensure_model(small_wheel(tmp_path / "newer", "1.1.0").pin, target=environment.purelib)
    assert [path.name for path in environment.purelib.glob("en_tiny_sm-*")] == ["en_tiny_sm-1.1.0.dist-info"]
    assert [path.name for path in (environment.purelib / "en_tiny_sm").glob("en_tiny_sm-*")] == ["en_tiny_sm-1.1.0"]
    assert [*(tmp_path / "home").glob("*")] == []

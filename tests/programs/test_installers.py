"""pip and uv understand what modelboot installed and locked, and modelboot respects what they installed."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

from modelboot import ModelPin, ensure_model
from support.children import library_of
from support.commands import output
from support.folders import Entry, snapshot
from support.real import NAME
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel, Tampering, small_wheel

pytestmark = pytest.mark.skipif(importlib.util.find_spec("uv") is None, reason="uv is not installed")
UV = (sys.executable, "-m", "uv")
PIP = ("-m", "pip", "--isolated", "--disable-pip-version-check")
EXHAUSTIVE = pytest.mark.exhaustive
Run = subprocess.CompletedProcess[str]


def run(*words: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Run:
    """Run a program to its end."""
    command = [*map(str, words)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=cwd, env=env)


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment without spaCy, and what pip and uv do in it."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def purelib(self) -> Path:
        """The folder of its packages."""
        return library_of(self.folder)

    def pip(self, command: str, *arguments: str) -> Run:
        """Run pip on it."""
        confirmed = ["--yes"] if command == "uninstall" else []
        return run(sys.executable, *PIP, "--python", self.python, command, *confirmed, *arguments)

    def uv(self, command: str, *arguments: str) -> Run:
        """Run uv on it."""
        return run(*UV, "--no-config", "--offline", "pip", command, *arguments, "--python", self.python)

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
    assert run(*UV, "--no-config", "--offline", "venv", "--python", sys.executable, folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of the model."""
    return small_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(fresh: Path, wheel: BuiltWheel, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment into which modelboot has installed the model; it is not to be changed."""
    folder = tmp_path_factory.mktemp("installed") / "env"
    environment = Environment(Path(shutil.copytree(fresh, folder, symlinks=True)))
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
    requiring = b"Metadata-Version: 2.1\nName: en_tiny_sm\nVersion: 1.0.0\nRequires-Dist: not-there>=1\n"
    tampering = Tampering(extra={"en_tiny_sm-1.0.0.dist-info/METADATA": requiring})
    ensure_model(small_wheel(tmp_path, tampering=tampering).pin, target=environment.purelib)
    done = tool(environment, "check")
    assert done.returncode == 1
    assert "not-there" in done.stdout + done.stderr


@with_both
def test_uninstall_removes_every_file(tool: Tool, environment: Environment, pin: ModelPin) -> None:
    """Nothing of the pipeline stays, no file of others goes, and it can come back."""
    before = environment.files()
    ensure_model(pin, target=environment.purelib)
    assert tool(environment, "uninstall", "en_tiny_sm").returncode == 0
    assert environment.files() == before
    assert not [*environment.purelib.glob("en_tiny_sm*")]
    assert ensure_model(pin, target=environment.purelib).source == "release"


@with_both
def test_ensure_model_beside_what_others_installed(
    tool: Tool, environment: Environment, wheel: BuiltWheel, tmp_path: Path
) -> None:
    """A pipeline of another version, and one of the pinned version, that another program installed stays as it is.

    The other version is not used, so the store has the pin; the pinned version is present, so nothing is fetched.
    """
    for version in ("0.9.0", "1.0.0"):
        given = small_wheel(tmp_path / version, version)
        assert tool(environment, "install", "--no-index", str(given.path)).returncode == 0
        before = environment.files()
        first, second = (ensure_model(wheel.pin, target=environment.purelib) for _ in range(2))
        store = environment.purelib if version == "1.0.0" else tmp_path / "home"
        assert (first.source, second.source) == ("present" if version == "1.0.0" else "release", "present")
        assert first.path.is_relative_to(store)
        assert first.path == second.path
        assert environment.files() == before


SOURCE = Path(__file__).parents[2].as_uri()
PROJECT = f"""
[project]
name = "story"
version = "0"
requires-python = ">=3.10"
dependencies = ["modelboot @ {SOURCE}"]
"""
SCRIPT = f"""
from modelboot import ensure_model, get_nlp
model = ensure_model({NAME!r})
print(model.source, model.path, *get_nlp({NAME!r})("Elle dort."), sep="|")
"""


@EXHAUSTIVE
@pytest.mark.index
@pytest.mark.usefixtures("real_wheel")  # skips where the index does not answer
def test_project_of_uv(tmp_path: Path) -> None:
    """`uv run` finds the pipeline on the index on first use and parses; `uv sync` removes it, the cache brings it back.

    What `uv sync` did not touch needs no network, nor does the cache.
    """
    (tmp_path / "pyproject.toml").write_text(PROJECT, "utf-8")
    refused = "http://127.0.0.1:9"
    cut_off = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "HTTPS_PROXY": refused, "HTTP_PROXY": refused}
    unwanted = ("MODELBOOT_TARGET", "MODELBOOT_INDEX", "MODELBOOT_CACHE", "VIRTUAL_ENV", "PYTHONPATH")
    env = {name: value for name, value in os.environ.items() if name not in unwanted} | {"MODELBOOT_BASE_URL": refused}

    def asked(**changes: str) -> tuple[str, Path]:
        done = run(*UV, "run", "--python", sys.executable, "python", "-c", SCRIPT, cwd=tmp_path, env=env | changes)
        assert done.returncode == 0, done.stderr
        source, path, *tokens = done.stdout.strip().split("|")
        assert tokens == ["Elle", "dort", "."]
        return source, Path(path)

    source, path = asked()
    assert (source, path.is_relative_to(tmp_path / ".venv")) == ("index", True)
    assert asked(**cut_off) == ("present", path)
    assert run(*UV, "sync", "--python", sys.executable, cwd=tmp_path, env=env | cut_off).returncode == 0
    assert not path.exists()
    assert asked(**cut_off) == ("cache", path)


@pytest.fixture(scope="module")
def new_pip(tmp_path_factory: pytest.TempPathFactory) -> Path | str:
    """Return an interpreter whose pip reads lock files: this one, else one with the newest pip of the index."""
    if importlib.util.find_spec("pip") and Version(metadata.version("pip")) >= Version("25.1"):
        return sys.executable
    folder = tmp_path_factory.mktemp("newest") / "env"
    assert run(*UV, "--no-config", "venv", "--python", sys.executable, folder).returncode == 0
    if run(*UV, "pip", "install", "pip>=25.1", "--python", folder / "bin" / "python").returncode:
        pytest.skip("the package index does not answer")
    return folder / "bin" / "python"


Locked = Sequence["str | Path"]
"""The words that install a lock file into the folder, both of which follow."""


@pytest.fixture
def locked(request: pytest.FixtureRequest) -> Locked:
    """Return what installs a lock file (PEP 751)."""
    if request.param == "pip":
        return [request.getfixturevalue("new_pip"), *PIP, "install", "--no-index", "--no-cache-dir", "-r"]
    command, *options = request.param.split()
    return [*UV, "--no-config", "pip", "--no-cache", command, "--no-index", *options]


@pytest.mark.parametrize("locked", [pytest.param("pip", marks=pytest.mark.index), "sync", "install -r"], indirect=True)
def test_pylock_installs(locked: Locked, wheel: BuiltWheel, tmp_path: Path) -> None:
    """The tool installs the pinned wheel and, with another hash in the file, nothing."""
    file, text = tmp_path / "pylock.toml", output("pin", wheel.path, "--format", "pylock")
    file.write_text(text, "utf-8")
    assert run(*locked, file, "--target", tmp_path / "there").returncode == 0
    assert (tmp_path / "there" / wheel.name / "__init__.py").is_file()
    file.write_text(text.replace(wheel.sha256, "0" * 64), "utf-8")
    assert run(*locked, file, "--target", tmp_path / "refused").returncode != 0
    assert not (tmp_path / "refused" / wheel.name).exists()


PIP_ROW = pytest.param("pip", marks=[pytest.mark.index, EXHAUSTIVE])


@pytest.mark.parametrize("locked", [PIP_ROW, "sync", pytest.param("install -r", marks=EXHAUSTIVE)], indirect=True)
@pytest.mark.parametrize("name", ["en_tiny_sm-any-py3-none-any.whl", "4711"])
def test_pylock_of_a_url_without_a_version(
    locked: Locked, name: str, wheel: BuiltWheel, server: ModelServer, tmp_path: Path
) -> None:
    """Where the URL lacks a version, uv takes the name that the file gives beside it; pip refuses such URLs."""
    server.serve(f"/{name}", Reply(body=wheel.content))
    text = output("pin", f"{server.url}/{name}", "--format", "pylock")
    (tmp_path / "pylock.toml").write_text(text, "utf-8")
    assert f'name = "{wheel.path.name}", url = "{server.url}/{name}"' in text
    done = run(*locked, tmp_path / "pylock.toml", "--target", tmp_path / "there")
    assert (done.returncode == 0) == ("uv" in locked)

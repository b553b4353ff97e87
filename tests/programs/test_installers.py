"""pip and uv understand what modelboot installed, and modelboot respects what they installed."""

from __future__ import annotations

import csv
import json
import shutil
import stat
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.folders import Entry, snapshot
from support.wheels import BuiltWheel, Tampering, build_wheel

Run = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment of the test's own, with pip and without spaCy."""

    python: Path
    purelib: Path

    def pip(self, command: str, *arguments: str) -> Run:
        """Run this environment's own pip."""
        confirmed = ["--yes"] if command == "uninstall" else []
        return _run(str(self.python), "-m", "pip", "--disable-pip-version-check", command, *confirmed, *arguments)

    def uv(self, command: str, *arguments: str) -> Run:
        """Run uv on this environment."""
        on_this = ("--python", str(self.python))
        return _run(sys.executable, "-m", "uv", "--no-config", "pip", command, *arguments, *on_this)

    def files(self) -> dict[str, Entry]:
        """Return every file, bytecode left out, as it is now."""
        return {path: entry for path, entry in snapshot(self.purelib).items() if stat.S_ISREG(entry.mode)}

    def dist_infos(self) -> list[str]:
        """Name every dist-info of the tiny pipeline."""
        return sorted(path.name for path in self.purelib.glob("en_tiny_sm-*.dist-info"))


Tool = Callable[..., Run]
with_both = pytest.mark.parametrize("tool", [Environment.pip, Environment.uv], ids=["pip", "uv"])


def _run(*command: str) -> Run:
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new virtual environment, made once and copied for every test."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, symlinks=True, with_pip=True)
    return folder


@pytest.fixture
def environment(fresh: Path, tmp_path: Path) -> Environment:
    """Return a virtual environment that this test may change."""
    shutil.copytree(fresh, tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    purelib = Path(_run(str(python), "-Ic", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    assert purelib.is_relative_to(tmp_path)
    return Environment(python, purelib)


@with_both
def test_list_after_ensure_model(tool: Tool, environment: Environment, tiny_pin: ModelPin) -> None:
    """The pipeline is listed once, with its version."""
    ensure_model(tiny_pin, target=environment.purelib)
    listed = json.loads(tool(environment, "list", "--format=json").stdout)
    assert [(row["name"].replace("-", "_"), row["version"]) for row in listed if "tiny" in row["name"]] == [
        ("en_tiny_sm", "1.0.0")
    ]


@with_both
def test_check_after_ensure_model(tool: Tool, environment: Environment, tiny_pin: ModelPin) -> None:
    """What modelboot installed breaks nothing."""
    ensure_model(tiny_pin, target=environment.purelib)
    done = tool(environment, "check")
    assert done.returncode == 0, done.stdout + done.stderr


@with_both
def test_check_when_the_pipeline_lacks_a_requirement(tool: Tool, environment: Environment, tmp_path: Path) -> None:
    """What the pipeline's own metadata require is looked at, as of any other package."""
    metadata = b"Metadata-Version: 2.1\nName: en_tiny_sm\nVersion: 1.0.0\nRequires-Dist: not-there>=1\n"
    tampering = Tampering(extra={"en_tiny_sm-1.0.0.dist-info/METADATA": metadata})
    ensure_model(build_wheel(tmp_path, tampering=tampering).pin, target=environment.purelib)
    done = tool(environment, "check")
    assert done.returncode == 1
    assert "not-there" in done.stdout + done.stderr


@with_both
def test_freeze_after_ensure_model(tool: Tool, environment: Environment, tiny_pin: ModelPin) -> None:
    """The line it prints installs these bytes and no others: it has URL and hash."""
    ensure_model(tiny_pin, target=environment.purelib)
    [line] = [line for line in tool(environment, "freeze").stdout.splitlines() if "tiny" in line]
    name, _, url = line.partition(" @ ")
    assert (name.replace("-", "_"), url) == ("en_tiny_sm", f"{tiny_pin.url}#sha256={tiny_pin.sha256}")


@with_both
def test_show_lists_every_installed_file(tool: Tool, environment: Environment, tiny_pin: ModelPin) -> None:
    """The files it names are exactly those that came."""
    before = environment.files()
    ensure_model(tiny_pin, target=environment.purelib)
    _, _, listed = tool(environment, "show", "--files", "en_tiny_sm").stdout.partition("\nFiles:\n")
    came = environment.files().keys() - before.keys()
    assert sorted(map(str.strip, listed.splitlines())) == sorted(came - {".modelboot/en_tiny_sm.lock"})


@with_both
def test_uninstall_removes_every_file(tool: Tool, environment: Environment, tiny_pin: ModelPin) -> None:
    """Nothing of the pipeline stays but modelboot's own folder, nobody else's file goes, and it can come back."""
    before = environment.files()
    ensure_model(tiny_pin, target=environment.purelib)
    assert tool(environment, "uninstall", "en_tiny_sm").returncode == 0
    left = {path: entry for path, entry in environment.files().items() if not path.startswith(".modelboot/")}
    assert left == before
    assert not [*environment.purelib.glob("en_tiny_sm*")]
    assert ensure_model(tiny_pin, target=environment.purelib).source == "release"


def test_inspect_names_the_installer_and_the_archive(environment: Environment, tiny_pin: ModelPin) -> None:
    """Tools that read the metadata learn who put it there, at whose wish, and from which bytes."""
    ensure_model(tiny_pin, target=environment.purelib)
    installed = json.loads(environment.pip("inspect").stdout)["installed"]
    [facts] = [item for item in installed if item["metadata"]["name"] == "en_tiny_sm"]
    assert (facts["installer"], facts["requested"]) == ("modelboot", True)
    assert facts["direct_url"]["url"] == tiny_pin.url
    assert facts["direct_url"]["archive_info"]["hashes"] == {"sha256": tiny_pin.sha256}


@with_both
def test_ensure_model_finds_the_pinned_wheel_of_others(
    tool: Tool, environment: Environment, tiny: BuiltWheel, tiny_pin: ModelPin
) -> None:
    """A pipeline of the pinned version that another program installed is present: nothing is fetched or written."""
    assert tool(environment, "install", "--no-index", str(tiny.path)).returncode == 0
    before = environment.files()
    model = ensure_model(tiny_pin, target=environment.purelib, offline=True)
    assert (model.source, model.path) == ("present", environment.purelib / "en_tiny_sm" / "en_tiny_sm-1.0.0")
    assert environment.files() == before


@with_both
def test_ensure_model_leaves_another_version_of_others_alone(
    tool: Tool, environment: Environment, tiny_pin: ModelPin, tmp_path: Path
) -> None:
    """Another version that another program installed is neither used nor touched: the pin goes into the store."""
    other = build_wheel(tmp_path / "other", version="0.9.0")
    assert tool(environment, "install", "--no-index", str(other.path)).returncode == 0
    before = environment.files()
    first, second = (ensure_model(tiny_pin, target=environment.purelib) for _ in range(2))
    assert (first.source, second.source) == ("release", "present")
    assert first.path == second.path
    assert first.path.is_relative_to(tmp_path / "home")
    assert json.loads((first.path / "meta.json").read_text("utf-8"))["version"] == "1.0.0"
    assert environment.files() == before


def test_ensure_model_replaces_its_own_older_version(
    environment: Environment, tiny_pin: ModelPin, tmp_path: Path
) -> None:
    """An older version that modelboot itself installed gives way, with every file of it."""
    newer = build_wheel(tmp_path / "newer", version="1.1.0")
    ensure_model(tiny_pin, target=environment.purelib)
    ensure_model(newer.pin, target=environment.purelib)
    assert environment.dist_infos() == ["en_tiny_sm-1.1.0.dist-info"]
    assert [path.name for path in (environment.purelib / "en_tiny_sm").glob("en_tiny_sm-*")] == ["en_tiny_sm-1.1.0"]
    assert [*(tmp_path / "home").glob("*")] == []
    assert "en_tiny_sm 1.1.0" in " ".join(environment.pip("list").stdout.split())


def test_record_lists_every_file_as_the_installers_expect(environment: Environment, tiny_pin: ModelPin) -> None:
    """RECORD names each file below the two folders once, itself included."""
    ensure_model(tiny_pin, target=environment.purelib)
    [dist_info] = environment.dist_infos()
    with (environment.purelib / dist_info / "RECORD").open(newline="", encoding="utf-8") as record:
        recorded = [row[0] for row in csv.reader(record)]
    assert sorted(recorded) == sorted(path for path in environment.files() if path.startswith("en_tiny_sm"))

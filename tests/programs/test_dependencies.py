"""modelboot beside the versions of its dependencies that its users' other packages pin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from modelboot import ModelPin
from support import real
from support.children import environment, pin_arguments
from support.races import Answer, Race, run
from support.server import ModelServer
from support.wheels import Tampering, small_wheel

LIBRARIES = [
    pytest.param(("installer==0.7.0", "filelock==3.21.0"), id="lowest"),
    pytest.param(("installer<1.0", "filelock<4"), id="newest-below", marks=pytest.mark.exhaustive),
]
DEPENDENCIES = [item for line in metadata.requires("modelboot") or [] if (item := Requirement(line)).marker is None]
"""What modelboot needs to run: what its metadata declare outside of extras."""


@pytest.fixture(scope="module", params=LIBRARIES)
def libraries(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with these versions of installer and filelock, and nothing else."""
    folder = tmp_path_factory.mktemp("libraries")
    real.pip("install", "--quiet", "--no-deps", "--target", str(folder), *request.param)
    found = {str(item.metadata["Name"]): item.version for item in metadata.distributions(path=[str(folder)])}
    assert all(wanted.specifier.contains(found.pop(wanted.name)) for wanted in map(Requirement, request.param))
    assert not found
    return folder


@pytest.mark.index
def test_ensure_model_with_older_libraries(libraries: Path, pin: ModelPin, tmp_path: Path) -> None:
    """Two programs at once: one installs and one finds the result, with exactly those libraries in use."""
    target, answers = ask(pin, tmp_path, libraries, programs=2)
    assert sorted(answer.get("source", str(answer)) for answer in answers) == ["present", "release"]
    assert {each.name for each in target.iterdir()} - {".modelboot"} == {"en_tiny_sm", "en_tiny_sm-1.0.0.dist-info"}
    assert (target / "en_tiny_sm" / "en_tiny_sm-1.0.0" / "config.cfg").is_file()
    _, [warm] = ask(pin, tmp_path, libraries)
    assert warm.get("source") == "present", warm


@pytest.mark.index
@pytest.mark.exhaustive
def test_versions_of_filelock_beside_one_another(server: ModelServer, tmp_path: Path) -> None:
    """Programs that share a target take turns, also where one removes lock files: the server is asked once."""
    folders = [tmp_path / version for version in ("3.21.0", "3.29.0", "4.0.0")]
    for folder in folders:
        real.pip("install", "--quiet", "--no-deps", "--target", str(folder), f"filelock=={folder.name}")
    rounds = range(10)
    wheel = small_wheel(tmp_path / "served")
    published = server.publish(wheel)

    def race(folder: Path, number: int) -> list[Answer]:
        described = Race(
            pin=pin_arguments(published), folder=str(tmp_path / f"shared{number}"), programs=3, processes=1
        )
        env = {"PYTHONPATH": f"{folder}{os.pathsep}{environment({})['PYTHONPATH']}"}
        return [answer for answers in run(described, env=env) for answer in answers]

    for number in rounds:
        (tmp_path / f"shared{number}").mkdir()
        with ThreadPoolExecutor(len(folders)) as pool:
            answers = [answer for each in pool.map(race, folders, [number] * 3) for answer in each]
        assert sorted(answer.get("source", str(answer)) for answer in answers) == ["present"] * 8 + ["release"]
        assert {str(Path(answer["libraries"]["filelock"][1]).name) for answer in answers} == {
            folder.name for folder in folders
        }
    assert len(server.requests) == len(rounds)


@pytest.mark.index
def test_ensure_model_with_older_libraries_refuses_a_wheel_that_leaves_its_folder(
    libraries: Path, tmp_path: Path
) -> None:
    """Where installer 0.7 would write `../x`, as with every version, the archive is refused and nothing is written."""
    wheel = small_wheel(tmp_path / "hostile", tampering=Tampering(extra={"../x": b"escaped"}))
    target, [answer] = ask(wheel.pin, tmp_path, libraries)
    assert answer.get("error") == "InstallError", answer
    assert "path '../x' leaves its folder" in answer["message"]
    assert not target.exists()
    assert [*tmp_path.rglob("x")] == []


def ask(pin: ModelPin, folder: Path, libraries: Path, *, programs: int = 1) -> tuple[Path, list[Answer]]:
    """Ask for a model in programs that find these libraries first, and use no others; return target and answers."""
    race = Race(pin=pin_arguments(pin), folder=str(folder), programs=programs, processes=1)
    path = f"{libraries}{os.pathsep}{environment({})['PYTHONPATH']}"
    (answers,) = run(race, env={"PYTHONPATH": path})
    in_use = {place for answer in answers for _, place in answer["libraries"].values()}
    assert in_use == {str(libraries)}
    return race.target_of(0), answers


@pytest.mark.parametrize("beside", LIBRARIES)
@pytest.mark.index
def test_dependencies_resolve_beside_pins(beside: Sequence[str]) -> None:
    """The declared ranges leave room for the versions that others pin."""
    chosen = resolved(*map(str, DEPENDENCIES), *beside)
    assert {"spacy", "urllib3", "tqdm"} <= chosen.keys()
    assert all(requirement.specifier.contains(chosen[requirement.name]) for requirement in map(Requirement, beside))


def resolved(*requirements: str) -> dict[str, str]:
    """Choose versions that fit together, as an installer would; the test is skipped where uv gets no answer."""
    # For a Python that every package in question supports; resolving for it needs no download of it.
    options = ["--quiet", "--no-annotate", "--no-header", "--python-version=3.12", "--no-python-downloads"]
    command = [sys.executable, "-m", "uv", "--no-config", "pip", "compile", "-", f"--python={sys.executable}", *options]
    lines = "\n".join(requirements)
    done = subprocess.run(command, check=False, input=lines, capture_output=True, text=True, timeout=120)
    if done.returncode != 0 and "Failed to fetch" in done.stderr:
        pytest.skip(f"uv gets no answer from its package index: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    chosen = map(Requirement, done.stdout.splitlines())
    return {requirement.name: str(requirement.specifier).removeprefix("==") for requirement in chosen}

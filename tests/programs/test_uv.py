"""In environments that a real uv makes, which have no pip, the package index still gives the pipeline."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.children import STUB_SPACY, libraries, library_of, make_env, python
from support.peers import closed_port
from support.real import NAME
from support.server import ModelServer
from support.sources import point_pip_at, publish_to_index
from support.wheels import BuiltWheel

pytestmark = pytest.mark.skipif(importlib.util.find_spec("uv") is None, reason="uv is not installed")
SOURCE = Path(__file__).parents[2]
REFUSED = "http://127.0.0.1:9"
"""A release host behind a firewall: nobody listens there."""
INSTALL = """
import importlib.util, sys
from modelboot import ModelPin, ensure_model
assert importlib.util.find_spec("pip") is None
model = ensure_model(ModelPin(*sys.argv[1:]))
print(model.source, model.path)
"""


def test_environment_of_uv_installs_from_the_index(
    wheel: BuiltWheel, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where `uv venv` made the environment, which has no pip, the index gives the pipeline, and pip stays away."""
    env, library = make_env(tmp_path / "env"), tmp_path / "library"
    library.mkdir()
    for package in [entry for folder in libraries() for entry in Path(folder).iterdir()]:
        if not package.name.startswith("pip") and not (library / package.name).exists():
            (library / package.name).symlink_to(package)
    (library_of(tmp_path / "env") / "tests.pth").write_text(f"{library}\n", "utf-8")
    publish_to_index(server, wheel.path)
    point_pip_at(server.url, monkeypatch)
    for name in ("PIP_INDEX_URL", "MODELBOOT_TARGET"):
        monkeypatch.delenv(name)
    with closed_port() as port:
        index = {"UV_DEFAULT_INDEX": f"{server.url}/simple", "MODELBOOT_INDEX": "1", "MODELBOOT_RETRIES": "0"}
        changes = {**STUB_SPACY, **index, "MODELBOOT_BASE_URL": f"http://127.0.0.1:{port}"}
        done = python(INSTALL, wheel.name, wheel.version, wheel.sha256, env=changes, executable=str(env))
    assert done.returncode == 0, done.stderr
    source, _, path = done.stdout.strip().partition(" ")
    assert source == "index"
    assert Path(path).is_relative_to(tmp_path / "env")
    assert not [*(tmp_path / "env").glob("lib/*/site-packages/pip")]


PROJECT = f"""
[project]
name = "story"
version = "0"
requires-python = ">=3.10"
dependencies = ["modelboot @ {SOURCE.as_uri()}"]
"""
SCRIPT = f"""
from modelboot import ensure_model, get_nlp
model = ensure_model({NAME!r})
print(model.source, model.path, *get_nlp({NAME!r})("Elle dort."), sep="|")
"""
CUT_OFF = {"PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "HTTPS_PROXY": REFUSED, "HTTP_PROXY": REFUSED}
"""No way out: nobody listens wherever a program may turn."""


def uv(*arguments: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Run uv, which must succeed, with no settings of modelboot but these; return what it prints."""
    unwanted = ("MODELBOOT_TARGET", "MODELBOOT_INDEX", "MODELBOOT_CACHE", "VIRTUAL_ENV", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    words = [sys.executable, "-m", "uv", "--quiet", *arguments, "--python", sys.executable]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=cwd, env={**kept, **env}, timeout=300)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


@pytest.mark.exhaustive
@pytest.mark.index
@pytest.mark.usefixtures("real_wheel")  # skips where the index does not answer
def test_project_of_uv(tmp_path: Path) -> None:
    """`uv run` finds the pipeline on the index on first use and parses; `uv sync` removes it, the cache brings it back.

    What `uv sync` did not touch needs no network, nor does the cache.
    """
    (tmp_path / "pyproject.toml").write_text(PROJECT, "utf-8")

    def asked(**changes: str) -> tuple[str, Path]:
        printed = uv("run", "python", "-c", SCRIPT, cwd=tmp_path, env={"MODELBOOT_BASE_URL": REFUSED, **changes})
        source, path, *tokens = printed.strip().split("|")
        assert tokens == ["Elle", "dort", "."]
        return source, Path(path)

    source, path = asked()
    assert (source, path.is_relative_to(tmp_path / ".venv")) == ("index", True)
    assert asked(**CUT_OFF) == ("present", path)
    uv("sync", cwd=tmp_path, env=CUT_OFF)
    assert not path.exists()
    assert asked(**CUT_OFF) == ("cache", path)

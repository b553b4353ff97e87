"""No network at all, no name server, and the switch that says so: failure is quick, complete and useful."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modelboot import ModelPin, ensure_model
from support.children import pin_arguments, python
from support.sources import point_pip_at
from support.wheels import BuiltWheel

SECONDS = 15
"""More than pip takes for its own tries; a single timeout of ours would be 30."""
ASK = """
import json, sys, time
from modelboot import ModelbootError, ModelPin, ensure_model

sockets = []
sys.addaudithook(lambda event, _: sockets.append(event) if event.startswith("socket.") else None)
name, version, sha256 = sys.argv[1:]
started = time.monotonic()
try:
    facts = {"source": ensure_model(ModelPin(name, version, sha256)).source}
except ModelbootError as error:
    facts = {
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "sources": [attempt.source for attempt in error.attempts],
        "reasons": [attempt.reason for attempt in error.attempts],
    }
print(json.dumps({**facts, "seconds": time.monotonic() - started, "sockets": sockets}))
"""
NAMELESS = """
import socket

def getaddrinfo(host, *_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

socket.getaddrinfo = getaddrinfo
"""
PIP = importlib.util.find_spec("pip") is not None


@pytest.fixture(autouse=True)
def _pip_knows_only_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pip have an index it cannot reach and no other place to look."""
    point_pip_at("https://index.example.org", monkeypatch)


@pytest.fixture
def no_network() -> list[str]:
    """Return the words that run a command in an empty network namespace; skip where there can be none."""
    command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") is None:
        pytest.skip("not installed: unshare")
    done = subprocess.run([*command, "true"], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no network namespace can be made here: {done.stderr.strip()}")
    return command


@pytest.fixture
def no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let no process resolve a name, pip's included."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(NAMELESS, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return []


@pytest.mark.skipif(not PIP, reason="needs pip in this environment")
@pytest.mark.parametrize("around", ["no_network", "no_names"])
def test_gone_cold(
    around: str, request: pytest.FixtureRequest, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A cold call on a dead network fails within seconds, names every source with its reason, and leaves nothing."""
    command = request.getfixturevalue(around)
    empty = tmp_path / "wheels"
    empty.mkdir()
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(empty))
    answer = _ask(command, pin)
    assert answer["error"] == "DownloadError"
    assert answer["sources"] == ["wheelhouse", "release", "index"]
    wheelhouse, release, index = answer["reasons"]
    assert wheelhouse.startswith(f"no {pin.filename}")
    assert release.startswith("github.com: ")
    assert re.fullmatch(r"the index does not answer \(.+\)", index)
    assert str(empty) in answer["message"]
    assert pin.release_url in answer["message"]
    assert "modelboot doctor" in answer["hint"]
    assert answer["seconds"] < SECONDS
    assert not [*tmp_path.rglob("*.stage")]


@pytest.mark.parametrize("around", ["no_network", "no_names"])
def test_gone_without_the_index(around: str, request: pytest.FixtureRequest, pin: ModelPin) -> None:
    """What modelboot itself takes to give the release up is a few seconds."""
    answer = _ask(request.getfixturevalue(around), pin)
    assert answer["sources"] == ["release"]
    assert answer["seconds"] < 5


@pytest.mark.parametrize("around", ["no_network", "no_names"])
def test_gone_warm(around: str, request: pytest.FixtureRequest, wheel: BuiltWheel, pin: ModelPin) -> None:
    """A model that is there is found without a look at the network."""
    ensure_model(pin, wheelhouse=wheel.path.parent)
    answer = _ask(request.getfixturevalue(around), pin)
    assert (answer["source"], answer["sockets"]) == ("present", [])
    assert answer["seconds"] < 1


def test_offline_cold(pin: ModelPin, monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    """MODELBOOT_OFFLINE=1 makes no socket call, fails at once and gives the exact command that provisions the model."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    monkeypatch.setenv("MODELBOOT_INDEX", "1")
    answer = _ask([], pin)
    assert (answer["error"], answer["sockets"], answer["sources"]) == ("OfflineError", [], [])
    assert f"{pin} is not installed" in answer["message"]
    assert pin.release_url in answer["message"]
    assert f"`modelboot fetch {pin.name}=={pin.version} --dest wheelhouse`" in answer["hint"]
    assert "MODELBOOT_WHEELHOUSE" in answer["hint"]
    assert answer["seconds"] < 1
    assert not target.exists()


def test_offline_warm(wheel: BuiltWheel, pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off, a wheelhouse serves a cold call and a warm one needs nothing, both without a socket."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(wheel.path.parent))
    cold, warm = _ask([], pin), _ask([], pin)
    assert [cold["source"], warm["source"]] == ["wheelhouse", "present"]
    assert [cold["sockets"], warm["sockets"]] == [[], []]


def test_offline_file_mirror(tree: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror at a file URL is no network: it serves although the network is switched off, without a socket."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    monkeypatch.setenv("MODELBOOT_BASE_URL", tree.as_uri())
    answer = _ask([], pin)
    assert (answer["source"], answer["sockets"]) == ("release", [])


def test_sockets_are_seen(pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit of the tests above sees the sockets of a call that may use them."""
    monkeypatch.setenv("MODELBOOT_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    assert "socket.connect" in _ask([], pin)["sockets"]


def _ask(command: Sequence[str], pin: ModelPin) -> dict[str, Any]:
    """Ask for the model in a process of its own and return what came of it."""
    done = python(ASK, *pin_arguments(pin)[:3], prefix=command)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer

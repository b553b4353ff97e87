"""No network at all, no name server, and the switch that says so: failure is quick, complete and useful."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from modelboot import ModelPin
from support.children import STUB_SPACY, pin_arguments, python, without_network
from support.peers import closed_port
from support.sources import point_pip_at
from support.wheels import BuiltWheel

ASK = """
import json, os, sys, time
from modelboot import ModelbootError, ModelPin, ensure_model

sockets = []
sys.addaudithook(lambda event, _: sockets.append(event) if event.startswith("socket.") else None)
pin = ModelPin(*sys.argv[1:4])
for question in json.loads(sys.argv[4]):
    os.environ.update(question)
    sockets.clear()
    started = time.monotonic()
    try:
        facts = {"source": ensure_model(pin).source}
    except ModelbootError as error:
        facts = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        facts["attempts"] = [(each.source, [each.kind, each.reason]) for each in getattr(error, "attempts", ())]
    print(json.dumps({**facts, "seconds": time.monotonic() - started, "sockets": sockets}))
"""
NAMELESS = """
import socket

def getaddrinfo(host, *_, **__):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

socket.getaddrinfo = getaddrinfo
"""


def ask(
    pin: ModelPin, *questions: Mapping[str, str], prefix: Sequence[str] = (), path: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Ask for the model in a process of its own, once with each change of the environment; return what came of it."""
    env = {"PYTHONPATH": ":".join([*path, str(STUB_SPACY["PYTHONPATH"])])}
    done = python(ASK, *pin_arguments(pin)[:3], json.dumps(questions), env=env, prefix=prefix)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("gone", ["network", "names"])
def test_gone(gone: str, wheel: BuiltWheel, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cold call fails within seconds, names each source with its reason and leaves nothing; a warm one needs none."""
    point_pip_at("https://index.example.org", monkeypatch)
    (tmp_path / "sitecustomize.py").write_text(NAMELESS, "utf-8")  # for programs that are started, too
    cold = {"MODELBOOT_WHEELHOUSE": str(tmp_path)}
    asks_index = gone == "network" and importlib.util.find_spec("pip") is not None
    cold |= {"MODELBOOT_INDEX": "1", "MODELBOOT_RETRIES": "1"} if asks_index else {}
    failed, found, warm = ask(
        pin,
        cold,
        *({"MODELBOOT_WHEELHOUSE": str(folder)} for folder in (wheel.path.parent, "")),
        prefix=without_network() if gone == "network" else (),
        path=[str(tmp_path)] if gone == "names" else (),
    )
    assert failed["error"] == "DownloadError"
    reasons = dict(failed["attempts"])
    assert [*reasons] == ["wheelhouse", "release", *(["index"] if asks_index else [])]
    assert reasons["wheelhouse"][1].startswith(f"no {pin.filename}")
    assert reasons["release"][1].startswith("github.com: ")
    assert "missing" not in [kind for kind, _ in (reasons["release"], reasons.get("index", [""] * 2))]
    assert str(tmp_path) in failed["message"]
    assert pin.release_url in failed["message"]
    assert "modelboot doctor" in failed["hint"]
    assert failed["seconds"] < 30
    assert [found["source"], warm["source"]] == ["wheelhouse", "present"]
    assert [found["sockets"], warm["sockets"]] == [[], []]


def test_offline(wheel: BuiltWheel, pin: ModelPin, tmp_path: Path) -> None:
    """MODELBOOT_OFFLINE=1 opens no socket, whatever may be asked: what no file gives fails at once, and writes nothing.

    A wheelhouse and a mirror at a file URL are no network, and serve. The hint names what provides the wheel.
    """
    place = tmp_path / "tree" / wheel.release_path
    place.parent.mkdir(parents=True)
    place.write_bytes(wheel.content)
    tree, house = {"MODELBOOT_BASE_URL": (tmp_path / "tree").as_uri()}, {"MODELBOOT_WHEELHOUSE": str(place.parent)}
    with closed_port() as port:
        closed = {"MODELBOOT_BASE_URL": f"http://127.0.0.1:{port}", "MODELBOOT_RETRIES": "0"}
        offline = {**closed, "MODELBOOT_OFFLINE": "1", "MODELBOOT_INDEX": "1"}
        questions = [offline, house, tree | {"MODELBOOT_WHEELHOUSE": ""}, closed | {"MODELBOOT_OFFLINE": "0"}]
        targets = [{"MODELBOOT_TARGET": str(tmp_path / f"target-{number}")} for number in range(4)]
        failed, copied, filed, seen = ask(
            pin, *(question | at for question, at in zip(questions, targets, strict=True))
        )
    assert (failed["error"], failed["attempts"]) == ("OfflineError", [])
    assert f"{pin} is not installed" in failed["message"]
    assert f"{closed['MODELBOOT_BASE_URL']}/{pin.release_path}" in failed["message"]
    assert f"`modelboot fetch {pin.name}=={pin.version} --dest wheelhouse`" in failed["hint"]
    assert "MODELBOOT_WHEELHOUSE" in failed["hint"]
    assert not (tmp_path / "target-0").exists()
    assert [copied["source"], filed["source"]] == ["wheelhouse", "release"]
    assert [failed["sockets"], copied["sockets"], filed["sockets"]] == [[], [], []]
    assert "socket.connect" in seen["sockets"]  # so the others would be seen as well

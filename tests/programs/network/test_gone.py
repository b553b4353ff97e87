"""No network at all, no name server, and the switch that says so: failure is quick, complete and useful."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from modelboot import HashMismatchError, ModelPin, OfflineError, get_nlp
from modelboot.cli import main
from support.children import STUB_SPACY, pin_arguments, python, without_network
from support.peers import closed_port
from support.server import ModelServer
from support.sources import publish, use_index_at
from support.wheels import BuiltWheel, altered

ASK = """
import json, os, sys, time
from modelboot import ModelbootError, ModelPin, ensure_model

sockets = []
sys.addaudithook(lambda event, _: sockets.append(event) if event.startswith("socket.") else None)
pin = ModelPin(*sys.argv[1:4])
for question in json.loads(sys.argv[4]):
    os.environ.update(question)
    sockets.clear()
    try:
        facts = {"source": ensure_model(pin).source}
    except ModelbootError as error:
        facts = {"source": type(error).__name__, "message": error.message, "hint": error.hint}
        facts["attempts"] = [(each.source, [each.kind, each.reason]) for each in getattr(error, "attempts", ())]
    print(json.dumps({**facts, "sockets": sockets}))
"""


def ask(pin: ModelPin, *questions: Mapping[str, str], prefix: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Ask for the model in a process of its own, once with each change of the environment; return what came of it."""
    done = python(ASK, *pin_arguments(pin)[:3], json.dumps(questions), env=STUB_SPACY, prefix=prefix)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_gone(wheel: BuiltWheel, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A cold call fails, names each source with its reason and its hint; a warm one needs no network."""
    use_index_at("https://index.example.org", monkeypatch)
    monkeypatch.setenv("MODELBOOT_RETRIES", "1")
    houses = [{"MODELBOOT_WHEELHOUSE": str(folder)} for folder in (tmp_path, wheel.path.parent, "")]
    failed, found, warm = ask(pin, *houses, prefix=without_network())
    assert [each["source"] for each in (failed, found, warm)] == ["DownloadError", "wheelhouse", "present"]
    reasons = dict(failed["attempts"])
    assert [*reasons] == ["wheelhouse", "release", "index"]
    assert reasons["wheelhouse"][1].startswith(f"no {pin.filename}")
    assert reasons["release"][1].startswith("github.com: ")
    assert "missing" not in [kind for kind, _ in (reasons["release"], reasons["index"])]
    assert str(tmp_path) in failed["message"]
    assert pin.release_url in failed["message"]
    assert "modelboot doctor" in failed["hint"]
    assert [found["sockets"], warm["sockets"]] == [[], []]


def test_offline(wheel: BuiltWheel, pin: ModelPin, tmp_path: Path) -> None:
    """MODELBOOT_OFFLINE=1 opens no socket, whatever may be asked: what no file gives fails at once, and writes nothing.

    A wheelhouse and a mirror at a file URL are no network, and serve.
    """
    place = tmp_path / "tree" / wheel.release_path
    place.parent.mkdir(parents=True)
    shutil.copy(wheel.path, place)
    tree, house = (tmp_path / "tree").as_uri(), str(place.parent)
    with closed_port() as port:
        closed = f"http://127.0.0.1:{port}"
        asked = [
            {"MODELBOOT_OFFLINE": "1", "MODELBOOT_BASE_URL": closed, "MODELBOOT_INDEX": "1"},
            {"MODELBOOT_WHEELHOUSE": house},
            {"MODELBOOT_WHEELHOUSE": "", "MODELBOOT_BASE_URL": tree},
            {"MODELBOOT_OFFLINE": "0", "MODELBOOT_BASE_URL": closed, "MODELBOOT_INDEX": "0", "MODELBOOT_RETRIES": "0"},
        ]
        targets = [{"MODELBOOT_TARGET": str(tmp_path / f"target-{number}")} for number in range(len(asked))]
        answers = ask(pin, *(question | target for question, target in zip(asked, targets, strict=True)))
    assert [each["source"] for each in answers] == ["OfflineError", "wheelhouse", "release", "DownloadError"]
    assert answers[0]["attempts"] == []
    assert not (tmp_path / "target-0").exists()
    assert [each["sockets"] for each in answers[:3]] == [[], [], []]
    assert "socket.connect" in answers[3]["sockets"]  # so those of the others would be seen as well


def test_story_4_air_gapped_operator_forgot_the_model(
    server: ModelServer, tiny: BuiltWheel, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Story 4, "Air-gapped operator forgot the model".

    The error comes at once, asks no place, and gives a command; run where there is a network, it makes the folder that
    mends the fault. An altered copy in that folder is refused, and a wheel copied by hand under any name is enough.
    """
    publish(monkeypatch, tmp_path / "mirror", tiny)
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    with pytest.raises(OSError, match="en_tiny_sm") as caught:  # how a program that knew spaCy alone catches it
        get_nlp(tiny.name)
    assert isinstance(caught.value, OfflineError)
    for fact in (tiny.name, tiny.version, f"{server.url}/{tiny.release_path}"):
        assert fact in caught.value.message
    assert not target.exists()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with monkeypatch.context() as networked:
        networked.chdir(elsewhere)
        networked.setenv("MODELBOOT_OFFLINE", "0")
        networked.setenv("MODELBOOT_BASE_URL", (tmp_path / "mirror").as_uri())
        program, *words = caught.value.hint.split("`")[1].split()
        assert (program, main(words)) == ("modelboot", 0)
    usb = tmp_path / "usb"
    usb.mkdir()
    shutil.copy(tiny.path, usb / "from-the-stick.whl")

    get_nlp.cache_clear()
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(altered(tiny, tmp_path / "bad").parent))
    with pytest.raises(HashMismatchError, match="not the pinned bytes"):
        get_nlp(tiny.name)
    for house in (elsewhere / "wheelhouse", usb):
        get_nlp.cache_clear()
        monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(house))
        monkeypatch.setenv("MODELBOOT_TARGET", str(tmp_path / f"target of {house.name}"))
        assert get_nlp(tiny.name).meta["version"] == tiny.version
    assert server.requests == []

"""Stories of users on closed and absent networks, replayed from the first call to the loaded pipeline.

Story 7, "Hostile or broken server", is the table of tests/promises/test_network_faults; story 8, "Corporate desktop",
stands with the proxies in tests/programs/network.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modelboot import DownloadError, HashMismatchError, OfflineError, ensure_model, get_nlp
from modelboot.cli import main
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import BuiltWheel, altered


def test_story_4_air_gapped_operator_forgot_the_model(
    server: ModelServer, tiny: BuiltWheel, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Story 4, "Air-gapped operator forgot the model".

    The error comes at once, asks nobody, and gives a command; run where there is a network, it makes the folder that
    mends the fault. An altered copy in that folder is refused, and a wheel copied by hand under any name is enough.
    """
    publish(monkeypatch, tmp_path / "mirror", tiny)
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    try:
        get_nlp(tiny.name)
    except Exception as error:  # noqa: BLE001 - how a careless program catches it
        caught = error
    else:
        pytest.fail("a model came from nowhere")
    assert isinstance(caught, OfflineError)
    for fact in (tiny.name, tiny.version, f"{server.url}/{tiny.release_path}"):
        assert fact in caught.message
    assert not target.exists()

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with monkeypatch.context() as networked:
        networked.chdir(elsewhere)
        networked.setenv("MODELBOOT_OFFLINE", "0")
        networked.setenv("MODELBOOT_BASE_URL", (tmp_path / "mirror").as_uri())
        program, *words = caught.hint.split("`")[1].split()
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


def test_story_7_three_faults_have_three_hints(
    mirror: ModelServer, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Story 7: other bytes, a short body and a page are told apart, and each has a hint of its own."""
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    faults = {
        "not the pinned bytes": Reply(body=b"PK"),
        "cut short": Reply(body=wheel.content[:500], declared_length=wheel.size_bytes),
        "received an HTML page": Reply(headers={"Content-Type": "text/html"}, body=b"<!DOCTYPE html>"),
    }
    hints = set()
    for message, reply in faults.items():
        mirror.serve(f"/{wheel.release_path}", reply)
        with pytest.raises(DownloadError, match=message) as caught:
            ensure_model(wheel.pin_at(None))
        hints.add(caught.value.hint)
    assert len(hints) == len(faults)

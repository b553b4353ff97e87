"""No `except OSError` of the package swallows or wraps an error of its own, although many of those are OSError."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import spacy

from modelboot import LoadError, ModelPin, ensure_model, load
from modelboot._network.client import HttpClient
from modelboot._network.trust_env import read_trust_env
from modelboot._settings import Settings
from support.server import ModelServer
from support.wheels import BuiltWheel

OURS = LoadError(model="ours", reason="its own words")


@pytest.fixture(params=[0, 1], ids=["asking", "downloading"])
def raising(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one of ours raised in the middle of an install, when it says that it asks a source or begins to fetch."""
    lines = itertools.count()

    def act(record: logging.LogRecord) -> bool:
        if record.name.startswith("modelboot") and next(lines) >= request.param:
            raise OURS
        return True

    caplog.set_level(logging.INFO, "modelboot")
    monkeypatch.setattr(caplog.handler, "filters", [act])


@pytest.mark.usefixtures("raising")
@pytest.mark.parametrize("call", [ensure_model, load])
@pytest.mark.parametrize("is_local", [True, False], ids=["file", "server"])
def test_our_error_out_of_an_install(
    call: Callable[[ModelPin], object], wheel: BuiltWheel, server: ModelServer, *, is_local: bool
) -> None:
    """What a program's own code raises while it is called in the middle comes out as it is."""
    with pytest.raises(LoadError) as caught:
        call(wheel.pin if is_local else server.publish(wheel))
    assert caught.value is OURS


def test_our_error_while_a_body_is_read(settings: Settings, wheel: BuiltWheel, server: ModelServer) -> None:
    """The client takes for an error of the network only what the network raised."""
    url = server.publish(wheel).url
    with (
        pytest.raises(LoadError) as caught,
        HttpClient(settings.limits(), read_trust_env(settings)) as client,
        client.stream(str(url)),
    ):
        raise OURS
    assert caught.value is OURS


@pytest.mark.parametrize("calls", [1, 2], ids=["at once", "after a repair"])
def test_our_error_of_another_model(tiny_pin: ModelPin, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """A pipeline whose code asks for another model fails with that one's error, after a repair, too."""
    config = ensure_model(tiny_pin).path / "config.cfg"
    if calls == 2:
        config.write_bytes(bytes(config.stat().st_size))
    real, seen = spacy.load, []

    def asking(path: Path, **options: object) -> object:
        seen.append(path)
        if len(seen) == calls:
            raise OURS
        return real(path, **options)  # type: ignore[arg-type]  # whatever was given

    monkeypatch.setattr(spacy, "load", asking)
    with pytest.raises(LoadError) as caught:
        load(tiny_pin)
    assert (caught.value is OURS, len(seen)) == (True, calls)

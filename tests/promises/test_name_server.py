"""A name server that never answers is given up within seconds, also where nobody has set a time-out."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import DownloadError, ModelPin, ensure_model

if TYPE_CHECKING:
    from support.server import ModelServer

GIVEN_UP_S = 10.0
"""Whoever waits longer than this at the default settings thinks that the program hangs."""


def test_silent_name_server_is_given_up_within_seconds(
    target: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the default time-out of half a minute a name server that does not answer costs no more than some seconds."""
    asked, ended = threading.Event(), threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        asked.set()
        ended.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    pin = ModelPin("en_tiny_sm", "1.0.0", "0" * 64, url=f"{server.url}/x.whl")
    began_s = time.monotonic()
    try:
        with pytest.raises(DownloadError, match=r"(name|DNS) server"):
            ensure_model(pin)
        took_s = time.monotonic() - began_s
    finally:
        ended.set()
    assert asked.is_set()
    assert took_s < GIVEN_UP_S
    assert not server.requests
    assert not target.exists()

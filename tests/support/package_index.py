"""A package index of the tests' own, for pip to be pointed to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.server import Reply

if TYPE_CHECKING:
    from support.server import ModelServer


def offer(server: ModelServer, wheel: Path) -> None:
    """Offer a wheel on a server, under the name and version its file name has, as PEP 503 lays it out.

    Args:
        server: The server that plays the index; its root is `<url>/simple/`.
        wheel: The file to offer.
    """
    project = wheel.name.partition("-")[0].replace("_", "-").lower()
    page = f'<!DOCTYPE html><html><body><a href="/files/{wheel.name}">{wheel.name}</a></body></html>'
    server.serve(f"/simple/{project}/", Reply(headers={"Content-Type": "text/html"}, body=page.encode()))
    server.serve(f"/files/{wheel.name}", Reply(body=wheel.read_bytes()))


def point_pip_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set pip up with one index and nothing else: no configuration file, no cache, no other place to look.

    Args:
        url: Base URL of the server that plays the index.
        monkeypatch: Undoes it.
    """
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple/")
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)

"""What the tests of the network share: a private CA and a server whose certificate only it vouches for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.peers import Authority, make_authority
from support.server import ModelServer


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a private CA and a certificate of its for 127.0.0.1 and mirror.test."""
    return make_authority(tmp_path_factory.mktemp("ca"), ["mirror.test"])


@pytest.fixture
def tls_server(authority: Authority) -> Iterator[ModelServer]:
    """Return a scripted server that speaks TLS with the certificate of the private CA."""
    with ModelServer(authority=authority) as running:
        yield running

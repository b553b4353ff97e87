"""What the tests with real programs share, each started once: a private CA, a mirror it vouches for, two proxies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import ModelPin
from support import peers
from support.peers import Authority, Company, Peer
from support.wheels import BuiltWheel, small_wheel


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a CA that no system knows, and the mirror's certificate."""
    return peers.make_authority(tmp_path_factory.mktemp("authority"), peers.MIRROR_NAMES)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a small wheel that can be installed, though not loaded."""
    return small_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def pin(wheel: BuiltWheel) -> ModelPin:
    """Return the pin of the small wheel; it has no URL, so it comes from the mirror."""
    return wheel.pin_at(None)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for a release tree."""
    return tmp_path_factory.mktemp("tree")


@pytest.fixture(scope="session")
def mirror(tree: Path, authority: Authority) -> Iterator[Peer]:
    """Run nginx with TLS and a login before the release tree."""
    with peers.nginx(tree, authority=authority, login=peers.MIRROR_LOGIN) as running:
        yield running


@pytest.fixture(scope="session")
def squid(mirror: Peer) -> Iterator[Peer]:
    """Run squid with a login; whatever host is asked for, it leads to the TLS mirror."""
    with peers.squid(peers.PROXY_LOGIN, mirror) as running:
        yield running


@pytest.fixture(scope="session")
def tinyproxy() -> Iterator[Peer]:
    """Run tinyproxy with a login."""
    with peers.tinyproxy(peers.PROXY_LOGIN) as running:
        yield running


@pytest.fixture
def company(
    mirror: Peer, authority: Authority, tree: Path, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch
) -> Company:
    """Return the mirror, which has the small wheel."""
    company = Company(mirror, authority, tree, monkeypatch, len(mirror.asked))
    company.publish(wheel)
    return company

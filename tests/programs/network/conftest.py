"""What the tests with real programs share: a private CA, a mirror that only it vouches for, and a small wheel there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import ModelPin
from support.peers import (
    MIRROR_LOGIN,
    MIRROR_NAMES,
    Authority,
    Peer,
    Site,
    forget_network_settings,
    make_authority,
    nginx,
)
from support.wheels import BuiltWheel, small_wheel


@pytest.fixture(autouse=True)
def _bare_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test say itself which proxies, certificates and logins there are."""
    forget_network_settings(monkeypatch)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a CA nobody knows, and the mirror's certificate."""
    return make_authority(tmp_path_factory.mktemp("authority"), MIRROR_NAMES)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a small wheel that can be installed, though not loaded."""
    return small_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def pin(wheel: BuiltWheel) -> ModelPin:
    """Return the pin of the small wheel; it has no URL, so it comes from the mirror."""
    return wheel.pin_at(None)


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory, wheel: BuiltWheel, pin: ModelPin) -> Path:
    """Return a release tree with the small wheel."""
    root = tmp_path_factory.mktemp("tree")
    (root / pin.release_path).parent.mkdir()
    shutil.copy(wheel.path, root / pin.release_path)
    return root


@pytest.fixture(scope="session")
def mirror(tree: Path, authority: Authority) -> Iterator[Peer]:
    """Run nginx with TLS and a login before the release tree."""
    with nginx(Site(root=tree, authority=authority, login=MIRROR_LOGIN)) as running:
        yield running

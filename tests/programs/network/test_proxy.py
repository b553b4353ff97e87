"""Real forward proxies, tinyproxy and squid, that everything has to go through."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import DownloadError, ModelPin, ensure_model
from modelboot.cli import main
from support.peers import MIRROR_LOGIN, Authority, Peer, Site, nginx, squid, tinyproxy

if TYPE_CHECKING:
    from support.wheels import BuiltWheel

PROXY_LOGIN = "pat:pa55word-of-the-proxy"
SECRETS = ("pa55word-of-the-proxy", "pa55word-of-the-mirror")
HIDDEN = "https://mirror.example.org"
"""A host that only squid knows; no name server has it."""


class Connections(list[int]):
    """The ports this process connected to, and the names it looked up."""

    names: list[str]


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    """Write down every connection of this process, over the guard that lets it reach loopback alone."""
    seen = Connections()
    seen.names = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def noted(self: socket.socket, address: tuple[str, int]) -> None:
        seen.append(address[1])
        connect(self, address)

    def noted_name(host: str, *arguments: object, **options: object) -> object:
        seen.names.append(host)
        return look_up(host, *arguments, **options)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(socket.socket, "connect", noted)
    monkeypatch.setattr(socket, "getaddrinfo", noted_name)
    return seen


@pytest.fixture(scope="module")
def hidden(mirror: Peer) -> Iterator[Peer]:
    """Run squid with a login before the TLS mirror, which has one of its own."""
    with squid(PROXY_LOGIN, mirror) as running:
        yield running


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_proxy_tunnel(  # noqa: PLR0913, PLR0917 - fixtures
    variable: str,
    hidden: Peer,
    mirror: Peer,
    authority: Authority,
    pin: ModelPin,
    connections: Connections,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Through squid, with a login at the proxy and one at the mirror, a host nobody else can resolve is reached."""
    monkeypatch.setenv(variable, f"http://{PROXY_LOGIN}@127.0.0.1:{hidden.port}")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    monkeypatch.setenv("MODELBOOT_BASE_URL", HIDDEN.replace("://", f"://{MIRROR_LOGIN}@"))
    assert ensure_model(pin).source == "release"
    assert {*connections} == {hidden.port}
    assert "mirror.example.org" not in connections.names
    assert mirror.asked[-1].startswith("200 ann ")
    assert " CONNECT " in hidden.asked[-1]


@pytest.mark.parametrize("login", ["", "pat:wrong-pa55word@"], ids=["none", "wrong"])
@pytest.mark.parametrize("proxy", ["squid", "tinyproxy"])
def test_proxy_refuses_login(  # noqa: PLR0913, PLR0917 - fixtures
    login: str,
    proxy: str,
    hidden: Peer,
    mirror: Peer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """407 is told in words that name HTTPS_PROXY, at once, and no password is told.

    Tinyproxy answers a wrong password, other than none, with 401; that is told in the same words.
    """
    before = mirror.asked
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    monkeypatch.setenv("MODELBOOT_BASE_URL", HIDDEN.replace("://", f"://{MIRROR_LOGIN}@"))
    with tinyproxy(PROXY_LOGIN) as tiny:
        port = hidden.port if proxy == "squid" else tiny.port
        monkeypatch.setenv("HTTPS_PROXY", f"http://{login}127.0.0.1:{port}")
        assert main(["install", "fr_core_news_sm"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "proxy: " in err
    assert "Tunnel connection failed: 40" in err
    assert "give user:password in HTTPS_PROXY" in err
    assert [secret for secret in (*SECRETS, "wrong-pa55word") if secret in err] == []
    assert mirror.asked == before


def test_proxy_plain_http(
    wheel: BuiltWheel, tree: Path, pin: ModelPin, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror at an http URL is asked through HTTP_PROXY, with the proxy's login."""
    with nginx(Site(root=tree)) as plain, tinyproxy(PROXY_LOGIN) as proxy:
        connections.clear()  # those that waited for the proxy to listen
        monkeypatch.setenv("HTTP_PROXY", f"http://{PROXY_LOGIN}@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://{PROXY_LOGIN}@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://127.0.0.1:{plain.port}")
        assert ensure_model(pin).downloaded_bytes == wheel.size_bytes
        assert {*connections} == {proxy.port}
        assert any(f"GET http://127.0.0.1:{plain.port}/{pin.release_path}" in line for line in proxy.asked)
        assert len(plain.asked) == 1


def test_proxy_plain_http_refuses_login(tree: Path, pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over plain HTTP 407 is an answer like others, told in the same words."""
    with nginx(Site(root=tree)) as plain, tinyproxy(PROXY_LOGIN) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("MODELBOOT_BASE_URL", f"http://127.0.0.1:{plain.port}")
        with pytest.raises(DownloadError, match=r"HTTP 407 .*: give user:password in HTTPS?_PROXY"):
            ensure_model(pin)
        assert plain.asked == []


def test_proxy_tunnel_tinyproxy(
    mirror: Peer, authority: Authority, pin: ModelPin, connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also tinyproxy opens a tunnel, and the mirror is asked through nothing else."""
    with tinyproxy(PROXY_LOGIN) as proxy:
        connections.clear()  # as above
        monkeypatch.setenv("HTTPS_PROXY", f"http://{PROXY_LOGIN}@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        monkeypatch.setenv("MODELBOOT_BASE_URL", f"https://{MIRROR_LOGIN}@localhost:{mirror.port}")
        assert ensure_model(pin).source == "release"
        assert {*connections} == {proxy.port}
        assert any(f"CONNECT localhost:{mirror.port}" in line for line in proxy.asked)


@pytest.mark.parametrize(
    ("host", "exceptions", "is_direct"),
    [
        ("localhost", "localhost", True),
        ("localhost", "example.org, LOCALHOST", True),
        ("localhost", "localhost:{port}", True),
        ("localhost", "localhost:1", False),
        ("localhost", "example.org", False),
        ("localhost", "*", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.0/8,127.0.0.0/8", True),
        ("127.0.0.1", "10.0.0.0/8", False),
    ],
)
def test_proxy_bypassed(  # noqa: PLR0913, PLR0917 - three columns and what they work on
    host: str,
    exceptions: str,
    is_direct: bool,  # noqa: FBT001 - a column
    mirror: Peer,
    authority: Authority,
    pin: ModelPin,
    connections: Connections,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A host that NO_PROXY covers is asked directly, and the proxy never connected to; any other not at all."""
    with tinyproxy() as proxy:
        connections.clear()  # as above
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", exceptions.format(port=mirror.port))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
        monkeypatch.setenv("MODELBOOT_BASE_URL", f"https://{MIRROR_LOGIN}@{host}:{mirror.port}")
        assert ensure_model(pin).source == "release"
        assert {*connections} == {mirror.port if is_direct else proxy.port}


def test_proxy_not_there(pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that nobody runs is told as the proxy's failure, not the mirror's."""
    monkeypatch.setenv("HTTPS_PROXY", "http://pat:pa55word-of-the-proxy@127.0.0.1:9")
    monkeypatch.setenv("MODELBOOT_BASE_URL", HIDDEN)
    with pytest.raises(DownloadError, match="proxy: Connection refused") as caught:
        ensure_model(pin)
    assert "pa55word" not in f"{caught.value!s}{caught.value!r}"
    assert "HTTPS_PROXY" in caught.value.hint or "proxy" in caught.value.hint


def test_proxy_unknown_ca(
    hidden: Peer, mirror: Peer, pin: ModelPin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Through a proxy, too, a server that nobody vouches for is told as such and sees no password."""
    before = mirror.asked
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HTTPS_PROXY", f"http://{PROXY_LOGIN}@127.0.0.1:{hidden.port}")
    monkeypatch.setenv("MODELBOOT_BASE_URL", HIDDEN.replace("://", f"://{MIRROR_LOGIN}@"))
    with pytest.raises(DownloadError, match=r"certificate of mirror\.example\.org not accepted"):
        ensure_model(pin)
    assert mirror.asked == before

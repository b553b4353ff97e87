"""One request and its redirects: who is asked for what, who learns which secret, and what failed in words."""

from __future__ import annotations

import socket
import ssl
import traceback
from http.client import responses
from unittest.mock import Mock

import pytest

from modelboot._network import retry
from modelboot._network.client import HttpClient
from modelboot._network.response import RequestError
from modelboot._network.retry import is_retryable
from modelboot._network.trust_env import read_trust_env
from modelboot._settings import Settings
from support.peers import Authority
from support.server import ModelServer, Reply, basic

BODY = b"PK" * 1000
NOBODY, TLS_NOBODY = "http://release.invalid/x.whl", "https://release.invalid/x.whl"


def read(url: str, settings: Settings) -> tuple[bytes, str]:
    """Read a whole body; return it with its final URL."""
    with HttpClient(settings.limits(), read_trust_env(settings)) as client, client.stream(url) as response:
        return b"".join(response.chunks), response.url


def refusal(url: str, settings: Settings) -> RequestError:
    """Have a URL refused."""
    with pytest.raises(RequestError, match=r".") as refused:
        read(url, settings)
    return refused.value


def logins(*servers: ModelServer) -> list[str | None]:
    """Return the Authorization of each request."""
    return [request.headers.get("Authorization") for server in servers for request in server.requests]


def shown(error: RequestError) -> str:
    """Return all that is shown of an error, its causes included."""
    return "".join(traceback.format_exception(error)) + repr(error)


def test_request(server: ModelServer, settings: Settings) -> None:
    """The file is asked for as the server stores it, whole, and no login is sent unasked."""
    server.serve("/x.whl", Reply(body=BODY))
    assert read(f"{server.url}/x.whl?key=1#part", settings)[0] == BODY
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/x.whl?key=1")
    assert (request.headers["Accept-Encoding"], request.headers["User-Agent"]) == ("identity", "modelboot")
    assert not {"authorization", "range", "if-range", "proxy-authorization"} & {*map(str.lower, request.headers)}


def test_redirects_of_every_kind(server: ModelServer, settings: Settings) -> None:
    """Ten redirects are followed, whatever their kind."""
    for hop, status in enumerate([301, 302, 303, 307, 308] * 2):
        server.serve(f"/{hop}", Reply(status, {"Location": f"/{hop + 1}"}))
    server.serve("/10", Reply(body=BODY))
    assert read(f"{server.url}/0", settings) == (BODY, f"{server.url}/10")


@pytest.fixture
def trusting(authority: Authority, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings beside which the private CA is trusted."""
    monkeypatch.setenv("CURL_CA_BUNDLE", str(authority.ca))
    return settings


def test_redirect_from_https_to_http(server: ModelServer, tls_server: ModelServer, trusting: Settings) -> None:
    """A redirect to an encrypted address is followed; one back from there is refused before anything is asked."""
    server.serve("/x.whl", Reply(302, {"Location": f"{tls_server.url}/x.whl"}))
    tls_server.serve("/x.whl", Reply(body=BODY), Reply(302, {"Location": f"{server.url}/y.whl?token=s3cret"}))
    assert read(f"{server.url}/x.whl", trusting) == (BODY, f"{tls_server.url}/x.whl")
    refused = refusal(f"{server.url}/x.whl", trusting)
    assert str(refused) == f"redirects from https to {server.url}/y.whl"
    assert server.count("/y.whl") == 0


def test_login_stays_with_its_host(server: ModelServer, other_server: ModelServer, settings: Settings) -> None:
    """User and password go along within the host, decoded; another port or name of it gets neither them nor others."""
    server.serve("/x.whl", Reply(302, {"Location": "/y.whl"}))
    server.serve("/y.whl", Reply(302, {"Location": f"http://user:planted@127.0.0.1:{other_server.port}/z.whl"}))
    other_server.serve("/z.whl", Reply(302, {"Location": f"http://localhost:{server.port}/end.whl"}))
    server.serve("/end.whl", Reply(body=BODY))
    assert read(f"http://us%40er:p%3A%E2%82%AC%2F@127.0.0.1:{server.port}/x.whl", settings)[0] == BODY
    assert logins(server, other_server) == [basic("us@er:p:€/"), basic("us@er:p:€/"), None, None]


@pytest.mark.parametrize(("user", "sent"), [("me:pr%40xy", "me:pr@xy"), ("me", "me:")])
def test_proxy_gets_its_own_login_only(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, settings: Settings, user: str, sent: str
) -> None:
    """A proxy for plain http is asked for the whole URL, with its own login beside the server's."""
    monkeypatch.setenv("http_proxy", f"http://{user}@127.0.0.1:{server.port}")
    server.serve(NOBODY, Reply(body=BODY))
    assert read("http://user:s3cret@release.invalid/x.whl", settings)[0] == BODY
    assert server.requests[0].headers["Proxy-Authorization"] == basic(sent)
    assert logins(server) == [basic("user:s3cret")]


@pytest.mark.parametrize("proxy", ["socks5://user:s3cret@proxy:1080", "http://user:s3c#ret@proxy:80", "http://proxy:x"])
def test_proxy_of_no_use(monkeypatch: pytest.MonkeyPatch, settings: Settings, proxy: str) -> None:
    """A proxy that is none is told at once, its password not even in the causes."""
    monkeypatch.setenv("http_proxy", proxy)
    refused = refusal(NOBODY, settings)
    assert str(refused).startswith("the proxy ")
    assert str(refused).endswith("is not an http or https URL")
    assert not is_retryable(refused)
    assert "s3c" not in shown(refused)


@pytest.mark.parametrize("status", [401, 403, 407])
def test_proxy_refuses(server: ModelServer, monkeypatch: pytest.MonkeyPatch, settings: Settings, status: int) -> None:
    """A proxy that refuses is not asked again, nor are its words lost; one that wants a login says what to give."""
    monkeypatch.setenv("https_proxy", server.url)
    server.serve("release.invalid:443", Reply(status))
    refused = refusal(TLS_NOBODY, settings)
    hint, kind = ("", "other") if status == 403 else (": give user:password in HTTPS_PROXY", "auth")
    assert str(refused) == f"proxy: Tunnel connection failed: {status} {responses[status]}{hint}"
    assert (refused.kind, is_retryable(refused)) == (kind, False)


def test_proxy_with_tls(tls_server: ModelServer, monkeypatch: pytest.MonkeyPatch, trusting: Settings) -> None:
    """A proxy's certificate is judged by the CA that is trusted."""
    monkeypatch.setenv("https_proxy", tls_server.url)
    assert str(refusal(TLS_NOBODY, trusting)) == "proxy: Tunnel connection failed: 404 Not Found"


@pytest.mark.parametrize(
    "location",
    ["http://bad host/x?key=s3cret", "http://user:s3cret@%zz/x", f"http://{'a' * 64}.test/x?key=s3cret"],
    ids=["space", "percent", "label"],
)
def test_redirect_to_no_host(server: ModelServer, settings: Settings, location: str) -> None:
    """A host that cannot be is final, and no secret of it is told, not even in the causes."""
    server.serve("/x.whl", Reply(302, {"Location": location}))
    refused = refusal(f"{server.url}/x.whl", settings)
    assert not is_retryable(refused)
    assert str(refused).endswith(("is not a valid host name", ": invalid host name"))
    assert "s3cret" not in shown(refused)
    assert "Failed to parse" not in shown(refused)  # where older versions of urllib3 quote all of the URL


@pytest.mark.parametrize(
    ("failure", "within_s", "again"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "its own words"), 60.0, True),
        (socket.gaierror(socket.EAI_AGAIN, "its own words"), 0.0, False),
        (socket.gaierror(socket.EAI_NONAME, "its own words"), 60.0, False),
    ],
    ids=["passing", "passing-but-slow", "unknown"],
)
def test_unknown_host(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, failure: OSError, within_s: float, *, again: bool
) -> None:
    """A name server is asked again only after a passing failure that came soon; its own words are told."""
    monkeypatch.setattr(retry, "RETRY_WITHIN_S", within_s)
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=failure))
    refused = refusal(NOBODY, settings)
    assert (str(refused), is_retryable(refused)) == ("release.invalid: its own words", again)


def test_connection_after_the_deadline(server: ModelServer, settings: Settings) -> None:
    """A connection that comes about when all are to be ended is ended at once, so nothing is asked for."""
    server.serve("/x.whl", Reply(body=BODY))
    with HttpClient(settings.limits(), read_trust_env(settings)) as client:
        client.connections.shutdown()
        with pytest.raises(RequestError, match=r"."), client.stream(f"{server.url}/x.whl"):
            pytest.fail("a connection that was ended has answered")
    assert not server.requests


@pytest.mark.parametrize("own", [FileNotFoundError(2, "own\x1b"), ssl.SSLCertVerificationError("own")], ids=repr)
def test_failure_of_the_callers_own(server: ModelServer, settings: Settings, own: OSError) -> None:
    """Who asks while handling an error of its own is told what the server did; that error stays as it is."""
    server.serve("/x.whl", Reply(0))
    args = own.args
    try:
        raise own
    except OSError:
        refused = refusal(f"{server.url}/x.whl", settings)
    assert (str(refused), refused.kind) == ("Remote end closed connection without response", "other")
    assert own.args == args

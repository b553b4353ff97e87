"""A URL becomes a stream of bytes, or a reason in a few words."""

from __future__ import annotations

import base64
import io
import socket
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import urllib3

from modelboot._http import HttpError, opened
from support.server import ModelServer, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelboot._settings import Settings

BODY = bytes(range(256)) * 1024


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Return settings that give up on a silent server soon."""
    return replace(settings, timeout_s=0.2)


@pytest.fixture
def other_server() -> Iterator[ModelServer]:
    """Return a second server, which is another host to a client: its port differs."""
    with ModelServer() as running:
        yield running


def read(url: str, settings: Settings) -> tuple[bytes, str, int | None]:
    """Read a whole body; return it with its final URL and its declared length."""
    with opened(url, settings, lambda _: None) as body:
        return b"".join(body.pieces), body.url, body.declared_bytes


def refusal(url: str, settings: Settings) -> HttpError:
    """Have a URL refused."""
    with pytest.raises(HttpError, match=r".") as refused:
        read(url, settings)
    return refused.value


def login(text: str) -> str:
    """Word a header as RFC 7617 does."""
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_opened_plain(server: ModelServer, settings: Settings) -> None:
    """A body comes whole, with its URL and its declared length."""
    server.serve("/x.whl", Reply(body=BODY))
    assert read(f"{server.url}/x.whl", settings) == (BODY, f"{server.url}/x.whl", len(BODY))


def test_opened_asks_for_the_file_as_it_lies_there(server: ModelServer, settings: Settings) -> None:
    """No compression on the way is asked for, nothing is taken for compressed, and no login is sent unasked."""
    server.serve("/x.whl", Reply(headers={"Content-Encoding": "gzip"}, body=BODY))
    assert read(f"{server.url}/x.whl?key=1#part", settings)[0] == BODY
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/x.whl?key=1")
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["User-Agent"] == "modelboot"
    assert "Authorization" not in request.headers


def test_opened_without_declared_length(server: ModelServer, settings: Settings) -> None:
    """A chunked body comes whole, of unknown length."""
    server.serve("/x.whl", Reply(body=BODY, chunked=True))
    assert read(f"{server.url}/x.whl", settings) == (BODY, f"{server.url}/x.whl", None)


def test_opened_hands_out_every_socket(server: ModelServer, other_server: ModelServer, settings: Settings) -> None:
    """Each connection can be cut by another thread, that to the host of a redirect as well."""
    server.serve("/x.whl", Reply(302, {"Location": f"{other_server.url}/y.whl"}))
    other_server.serve("/y.whl", Reply(body=BODY))
    ports = []
    with opened(f"{server.url}/x.whl", settings, lambda connected: ports.append(connected.getpeername()[1])):
        pass
    assert ports == [server.port, other_server.port]


def test_opened_time_outs(server: ModelServer, settings: Settings) -> None:
    """Both the connection and every read wait as long as the settings say."""
    server.serve("/x.whl", Reply(body=BODY))
    waits: list[float | None] = []
    sockets: list[socket.socket] = []

    def connected(connection: socket.socket) -> None:
        waits.append(connection.gettimeout())
        sockets.append(connection)

    with opened(f"{server.url}/x.whl", replace(settings, timeout_s=12.5), connected):
        waits += [connection.gettimeout() for connection in sockets]
    assert waits == [12.5, 12.5]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_opened_redirect(server: ModelServer, settings: Settings, status: int) -> None:
    """Every kind of redirect is followed."""
    server.serve("/x.whl", Reply(status, {"Location": f"{server.url}/y.whl"}))
    server.serve("/y.whl", Reply(body=BODY))
    assert read(f"{server.url}/x.whl", settings)[:2] == (BODY, f"{server.url}/y.whl")


@pytest.mark.parametrize(
    ("location", "path"), [("y.whl", "/a/y.whl"), ("/y.whl", "/y.whl"), ("../y.whl?k=1", "/y.whl?k=1")]
)
def test_opened_redirect_relative(server: ModelServer, settings: Settings, location: str, path: str) -> None:
    """A relative redirect leads on from where it was given."""
    server.serve("/a/x.whl", Reply(302, {"Location": location}))
    server.serve(path.partition("?")[0], Reply(body=BODY))
    assert read(f"{server.url}/a/x.whl", settings)[:2] == (BODY, f"{server.url}{path}")


def test_opened_redirect_ten_times(server: ModelServer, settings: Settings) -> None:
    """Ten redirects are followed."""
    for hop in range(10):
        server.serve(f"/{hop}", Reply(302, {"Location": f"/{hop + 1}"}))
    server.serve("/10", Reply(body=BODY))
    assert read(f"{server.url}/0", settings)[0] == BODY


def test_opened_redirect_loop(server: ModelServer, settings: Settings) -> None:
    """A loop of redirects is given up."""
    server.serve("/x.whl", Reply(302, {"Location": "/x.whl"}))
    assert str(refusal(f"{server.url}/x.whl", settings)) == "redirects more than 10 times"
    assert server.count("/x.whl") == 11


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://user:secret@example.org/x", "redirects from http to ftp://example.org/x"),
        ("file:///etc/passwd", "redirects from http to file:///etc/passwd"),
        ("http://[secret", "redirects to what is no address: Invalid IPv6 URL"),
        ("http://example.org:99999/", "redirects to what is no address: Port out of range 0-65535"),
    ],
    ids=["ftp", "file", "brackets", "port"],
)
def test_opened_redirect_elsewhere(server: ModelServer, settings: Settings, location: str, reason: str) -> None:
    """A redirect to what is no web address is refused, in words without its credentials."""
    server.serve("/x.whl", Reply(302, {"Location": location}))
    refused = refusal(f"{server.url}/x.whl", settings)
    assert (str(refused), refused.url) == (reason, f"{server.url}/x.whl")


def answer_by_table(monkeypatch: pytest.MonkeyPatch, replies: dict[str, urllib3.HTTPResponse]) -> list[str]:
    """Answer from a table in place of a TLS server, which a test has no certificate for; list what is asked for."""
    asked: list[str] = []

    def request(_: object, __: str, url: str, **___: object) -> urllib3.HTTPResponse:
        asked.append(url)
        return replies[url]

    monkeypatch.setattr(urllib3.PoolManager, "request", request)
    return asked


def reply(status: int, location: str = "") -> urllib3.HTTPResponse:
    """Make an answer of urllib3's own."""
    headers = {"Location": location} if location else {}
    return urllib3.HTTPResponse(io.BytesIO(BODY), status=status, headers=headers, preload_content=False)


def test_opened_redirect_from_https_to_http(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """A redirect that would give up encryption is refused before it is followed, in words without its credentials."""
    asked = answer_by_table(monkeypatch, {"https://a/x": reply(302, "http://user:secret@b/y?token=secret")})
    refused = refusal("https://a/x", settings)
    assert (str(refused), refused.url) == ("redirects from https to http://b/y", "https://a/x")
    assert asked == ["https://a/x"]


def test_opened_redirect_to_https(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """A redirect to an encrypted address is followed, but not back from there."""
    table = {
        "http://a/x": reply(302, "https://a/x"),
        "https://a/x": reply(302, "https://b/y"),
        "https://b/y": reply(200),
    }
    asked = answer_by_table(monkeypatch, table)
    assert read("http://a/x", settings)[:2] == (BODY, "https://b/y")
    assert asked == [*table]


@pytest.mark.parametrize(
    ("user", "sent"), [("user:secret", "user:secret"), ("us%40er:p%3Aw%2F", "us@er:p:w/"), ("token", "token:")]
)
def test_opened_login(server: ModelServer, settings: Settings, user: str, sent: str) -> None:
    """User and password of the URL are sent as a header, decoded, and on a redirect within the host again."""
    server.serve("/x.whl", Reply(302, {"Location": "/y.whl"}))
    server.serve("/y.whl", Reply(body=BODY))
    read(f"{server.url.replace('//', f'//{user}@')}/x.whl", settings)
    assert [request.headers.get("Authorization") for request in server.requests] == [login(sent)] * 2


def test_opened_login_stays_with_its_host(server: ModelServer, other_server: ModelServer, settings: Settings) -> None:
    """Neither another port nor another name of the host gets the user and password."""
    server.serve("/x.whl", Reply(302, {"Location": f"{other_server.url.replace('//', '//user:planted@')}/y.whl"}))
    other_server.serve("/y.whl", Reply(302, {"Location": f"http://localhost:{server.port}/z.whl"}))
    server.serve("/z.whl", Reply(body=BODY))
    assert read(f"{server.url.replace('//', '//user:secret@')}/x.whl", settings)[0] == BODY
    first, last = server.requests
    assert first.headers["Authorization"] == login("user:secret")
    assert not [request for request in [last, *other_server.requests] if "Authorization" in request.headers]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (204, "HTTP 204 No Content"),
        (206, "HTTP 206 Partial Content"),
        (302, "HTTP 302 Found"),
        (401, "HTTP 401 Unauthorized"),
        (404, "HTTP 404 Not Found"),
        (500, "HTTP 500 Internal Server Error"),
        (599, "HTTP 599"),
    ],
)
def test_opened_other_status(server: ModelServer, settings: Settings, status: int, reason: str) -> None:
    """Anything but 200 is no wheel, a redirect to nowhere included; the status is told in words."""
    server.serve("/x.whl", Reply(status))
    assert str(refusal(f"{server.url}/x.whl", settings)) == reason


def test_opened_other_status_after_redirect(server: ModelServer, settings: Settings) -> None:
    """The URL that failed is the one that was redirected to."""
    server.serve("/x.whl", Reply(302, {"Location": "/y.whl"}))
    assert refusal(f"{server.url}/x.whl", settings).url == f"{server.url}/y.whl"


def test_opened_refused_port(settings: Settings) -> None:
    """A port nobody listens on is told in the system's words alone."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x.whl"
        assert str(refusal(url, settings)) == "Connection refused"


def test_opened_unknown_host(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """A name nobody knows is told in the resolver's words alone."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert str(refusal("http://release.invalid/x.whl", settings)) == "Name or service not known"


def test_opened_no_answer_to_connect(patient: Settings) -> None:
    """A host that drops packets is given up after the time-out."""
    with ExitStack() as stack:
        full = stack.enter_context(closing(socket.socket()))
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # the kernel drops what comes once the queue is full
            waiting = stack.enter_context(closing(socket.socket()))
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        reason = str(refusal(f"http://127.0.0.1:{full.getsockname()[1]}/x.whl", patient))
    assert reason == "no connection within 0.2 s"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Reply(stall="headers"), "no byte for 0.2 s"),
        (Reply(body=BODY, stall="body"), "no byte for 0.2 s"),
        (Reply(body=BODY, cut_after_bytes=1000, reset=True), "Connection reset by peer"),
        (Reply(body=BODY, cut_after_bytes=1000, chunked=True), "cut short"),
    ],
    ids=["stall-before-headers", "stall-in-body", "reset", "chunked-and-cut"],
)
def test_opened_broken_transfer(server: ModelServer, patient: Settings, fault: Reply, reason: str) -> None:
    """A transfer that stalls or breaks off is an error in a few words, also while the body is read."""
    server.serve("/x.whl", fault)
    assert str(refusal(f"{server.url}/x.whl", patient)) == reason


def test_opened_closed_without_answer(settings: Settings) -> None:
    """A server that hangs up on the request is told in words a person reads."""
    with closing(socket.create_server(("127.0.0.1", 0))) as rude, ExitStack() as stack:

        def hang_up(_: socket.socket) -> None:
            connection = stack.enter_context(rude.accept()[0])
            connection.shutdown(socket.SHUT_WR)

        url = f"http://127.0.0.1:{rude.getsockname()[1]}/x.whl"
        with (
            pytest.raises(HttpError, match=r"^Remote end closed connection without response$"),
            opened(url, settings, hang_up),
        ):
            pass


def test_opened_short_body_is_the_readers_to_count(server: ModelServer, settings: Settings) -> None:
    """A body shorter than declared comes as it is, with the length declared."""
    server.serve("/x.whl", Reply(body=BODY, cut_after_bytes=1000))
    assert read(f"{server.url}/x.whl", settings) == (BODY[:1000], f"{server.url}/x.whl", len(BODY))

"""A URL becomes a stream of bytes, or a reason in a few words."""

from __future__ import annotations

import base64
import gzip
import io
import socket
import threading
import time
import traceback
from contextlib import ExitStack, closing, suppress
from http import HTTPStatus
from pathlib import Path
from types import SimpleNamespace

import pytest
import urllib3

from modelboot._network import connections
from modelboot._network import response as network_response
from modelboot._network.client import HttpClient
from modelboot._network.response import RequestError
from modelboot._settings import Settings
from modelboot._trust_env import TrustEnv
from support.server import ModelServer, Reply

BODY = bytes(range(256)) * 1024


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Return settings that give up on a silent server soon."""
    return settings._replace(timeout_s=0.2)


def client_of(settings: Settings) -> HttpClient:
    """Return a client with the limits of some settings."""
    return HttpClient(settings.limits(), settings.trust_env)


def read(url: str, settings: Settings) -> tuple[bytes, str, int | None]:
    """Read a whole body; return it with its final URL and its declared length."""
    with client_of(settings) as client, client.stream(url) as response:
        return b"".join(response.chunks), response.url, response.total_bytes


def refusal(url: str, settings: Settings) -> RequestError:
    """Have a URL refused."""
    with pytest.raises(RequestError, match=r".") as refused:
        read(url, settings)
    return refused.value


def login(text: str) -> str:
    """Word a header as RFC 7617 does."""
    return f"Basic {base64.b64encode(text.encode()).decode()}"


def test_stream_plain(server: ModelServer, settings: Settings) -> None:
    """A body comes whole, with its URL and its declared length."""
    server.serve("/x.whl", Reply(body=BODY))
    assert read(f"{server.url}/x.whl", settings) == (BODY, f"{server.url}/x.whl", len(BODY))


def test_stream_asks_for_the_file_as_it_lies_there(server: ModelServer, settings: Settings) -> None:
    """No compression on the way is asked for, nor a part of the file, and no login is sent unasked."""
    server.serve("/x.whl", Reply(body=BODY))
    assert read(f"{server.url}/x.whl?key=1#part", settings)[0] == BODY
    (request,) = server.requests
    assert (request.method, request.path) == ("GET", "/x.whl?key=1")
    assert request.headers["Accept-Encoding"] == "identity"
    assert request.headers["User-Agent"] == "modelboot"
    assert not {"authorization", "range", "if-range", "proxy-authorization"} & {*request.headers}


def test_stream_without_declared_length(server: ModelServer, settings: Settings) -> None:
    """A chunked body comes whole, of unknown length."""
    server.serve("/x.whl", Reply(body=BODY, chunked=True))
    assert read(f"{server.url}/x.whl", settings) == (BODY, f"{server.url}/x.whl", None)


def test_client_shut_down_after_redirect(server: ModelServer, other_server: ModelServer, settings: Settings) -> None:
    """The connection to the host of a redirect can be ended by another thread as well."""
    server.serve("/x.whl", Reply(302, {"Location": f"{other_server.url}/y.whl"}))
    other_server.serve("/y.whl", Reply(body=BODY, stall="body"))
    with client_of(settings) as client, suppress(RequestError), client.stream(f"{server.url}/x.whl") as response:
        threading.Timer(0, client.connections.shutdown).start()
        assert len(b"".join(response.chunks)) < len(BODY)


def test_client_shut_down_while_reading(server: ModelServer, settings: Settings) -> None:
    """A body that another thread cuts ends there, with an error or without, however long the server would go on."""
    server.serve("/x.whl", Reply(endless=True))
    came = []
    with client_of(settings) as client, suppress(RequestError), client.stream(f"{server.url}/x.whl") as response:
        for chunk in response.chunks:
            came.append(chunk)
            client.connections.shutdown()
    assert came


def test_client_shut_down_before(server: ModelServer, settings: Settings) -> None:
    """A connection that comes about after the cut is cut at once, so nothing is asked for."""
    server.serve("/x.whl", Reply(body=BODY))
    with client_of(settings) as client:
        client.connections.shutdown()
        with pytest.raises(RequestError, match=r"."), client.stream(f"{server.url}/x.whl"):
            pytest.fail("a connection that was cut has answered")
    assert not server.requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_stream_redirect(server: ModelServer, settings: Settings, status: int) -> None:
    """Every kind of redirect is followed."""
    server.serve("/x.whl", Reply(status, {"Location": f"{server.url}/y.whl"}))
    server.serve("/y.whl", Reply(body=BODY))
    assert read(f"{server.url}/x.whl", settings)[:2] == (BODY, f"{server.url}/y.whl")


@pytest.mark.parametrize(
    ("location", "path"), [("y.whl", "/a/y.whl"), ("/y.whl", "/y.whl"), ("../y.whl?k=1", "/y.whl?k=1")]
)
def test_stream_redirect_relative(server: ModelServer, settings: Settings, location: str, path: str) -> None:
    """A relative redirect leads on from where it was given."""
    server.serve("/a/x.whl", Reply(302, {"Location": location}))
    server.serve(path.partition("?")[0], Reply(body=BODY))
    assert read(f"{server.url}/a/x.whl", settings)[:2] == (BODY, f"{server.url}{path}")


def test_stream_redirect_ten_times(server: ModelServer, settings: Settings) -> None:
    """Ten redirects are followed."""
    for hop in range(10):
        server.serve(f"/{hop}", Reply(302, {"Location": f"/{hop + 1}"}))
    server.serve("/10", Reply(body=BODY))
    assert read(f"{server.url}/0", settings)[0] == BODY


def test_stream_redirect_loop(server: ModelServer, settings: Settings) -> None:
    """A loop of redirects is given up."""
    server.serve("/x.whl", Reply(302, {"Location": "/x.whl"}))
    assert str(refusal(f"{server.url}/x.whl", settings)) == "redirects more than 10 times"
    assert server.count("/x.whl") == 11


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://user:secret@example.org/x", "redirects from http to ftp://example.org/x"),
        ("file:///etc/passwd", "redirects from http to file:///etc/passwd"),
        ("http://[secret", "redirects to an invalid URL: Invalid IPv6 URL"),
        ("http://example.org:99999/", "redirects to an invalid URL: Port out of range 0-65535"),
    ],
    ids=["ftp", "file", "brackets", "port"],
)
def test_stream_redirect_elsewhere(server: ModelServer, settings: Settings, location: str, reason: str) -> None:
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
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    return asked


def reply(status: int, location: str = "") -> urllib3.HTTPResponse:
    """Make an answer of urllib3's own."""
    headers = {"Location": location} if location else {}
    return urllib3.HTTPResponse(io.BytesIO(BODY), status=status, headers=headers, preload_content=False)


def test_stream_redirect_from_https_to_http(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """A redirect that would give up encryption is refused before it is followed, in words without its credentials."""
    asked = answer_by_table(monkeypatch, {"https://a/x": reply(302, "http://user:secret@b/y?token=secret")})
    refused = refusal("https://a/x", settings)
    assert (str(refused), refused.url) == ("redirects from https to http://b/y", "https://a/x")
    assert asked == ["https://a/x"]


def test_stream_redirect_to_https(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
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
def test_stream_login(server: ModelServer, settings: Settings, user: str, sent: str) -> None:
    """User and password of the URL are sent as a header, decoded, and on a redirect within the host again."""
    server.serve("/x.whl", Reply(302, {"Location": "/y.whl"}))
    server.serve("/y.whl", Reply(body=BODY))
    read(f"{server.url.replace('//', f'//{user}@')}/x.whl", settings)
    assert [request.headers.get("Authorization") for request in server.requests] == [login(sent)] * 2


def test_stream_login_stays_with_its_host(server: ModelServer, other_server: ModelServer, settings: Settings) -> None:
    """Neither another port nor another name of the host gets the user and password."""
    server.serve("/x.whl", Reply(302, {"Location": f"{other_server.url.replace('//', '//user:planted@')}/y.whl"}))
    other_server.serve("/y.whl", Reply(302, {"Location": f"http://localhost:{server.port}/z.whl"}))
    server.serve("/z.whl", Reply(body=BODY))
    assert read(f"{server.url.replace('//', '//user:secret@')}/x.whl", settings)[0] == BODY
    first, last = server.requests
    assert first.headers["Authorization"] == login("user:secret")
    assert not [request for request in [last, *other_server.requests] if "Authorization" in request.headers]


def test_stream_login_of_any_letters(server: ModelServer, settings: Settings) -> None:
    """A password may hold what Latin-1 does not: it is sent as UTF-8, as curl does."""
    server.serve("/x.whl", Reply(body=BODY))
    read(f"{server.url.replace('//', '//user:%E2%82%AC%C5%81@')}/x.whl", settings)
    assert server.requests[0].headers["Authorization"] == login("user:€Ł")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (204, "HTTP 204 No Content"),
        (206, "sends a part of the file without saying which: Content-Range ''"),
        (302, "HTTP 302 Found"),
        (
            401,
            (
                "HTTP 401 Unauthorized: give user:password in the URL or .netrc, "
                "MODELBOOT_TOKEN at mirrors, or HF_TOKEN at the hub"
            ),
        ),
        (
            403,
            (
                "HTTP 403 Forbidden: give user:password in the URL or .netrc, "
                "MODELBOOT_TOKEN at mirrors, or HF_TOKEN at the hub"
            ),
        ),
        (407, "HTTP 407 Proxy Authentication Required: give user:password in HTTPS_PROXY"),
        (404, "HTTP 404 Not Found"),
        (500, "HTTP 500 Internal Server Error"),
        (599, "HTTP 599"),
    ],
)
def test_stream_other_status(server: ModelServer, settings: Settings, status: int, reason: str) -> None:
    """Anything but 200 is no wheel, a redirect to nowhere included; the status is told in words."""
    server.serve("/x.whl", Reply(status))
    assert str(refusal(f"{server.url}/x.whl", settings)) == reason


def test_stream_other_status_after_redirect(server: ModelServer, settings: Settings) -> None:
    """The URL that failed is the one that was redirected to."""
    server.serve("/x.whl", Reply(302, {"Location": "/y.whl"}))
    assert refusal(f"{server.url}/x.whl", settings).url == f"{server.url}/y.whl"


def test_stream_refused_port(settings: Settings) -> None:
    """A port nobody listens on is told in the system's words alone."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/x.whl"
        assert str(refusal(url, settings)) == "Connection refused"


def test_stream_unknown_host(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """A name nobody knows is told in the resolver's words alone."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert str(refusal("http://release.invalid/x.whl", settings)) == "release.invalid: Name or service not known"


def test_stream_no_answer_to_connect(patient: Settings) -> None:
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
def test_stream_broken_transfer(server: ModelServer, patient: Settings, fault: Reply, reason: str) -> None:
    """A transfer that stalls or breaks off is an error in a few words, also while the body is read."""
    server.serve("/x.whl", fault)
    assert str(refusal(f"{server.url}/x.whl", patient)) == reason


def test_stream_closed_without_answer(settings: Settings) -> None:
    """A server that hangs up on the request is told in words a person reads."""
    with closing(socket.create_server(("127.0.0.1", 0))) as rude, ExitStack() as stack:

        def hang_up() -> None:
            stack.enter_context(rude.accept()[0]).shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=hang_up)
        thread.start()
        stack.callback(thread.join)
        reason = str(refusal(f"http://127.0.0.1:{rude.getsockname()[1]}/x.whl", settings))
    assert reason == "Remote end closed connection without response"


def test_stream_short_body_is_the_readers_to_count(server: ModelServer, settings: Settings) -> None:
    """A body shorter than declared comes as it is, with the length declared."""
    server.serve("/x.whl", Reply(body=BODY, cut_after_bytes=1000))
    assert read(f"{server.url}/x.whl", settings) == (BODY[:1000], f"{server.url}/x.whl", len(BODY))


def resumed(url: str, settings: Settings, *, start: int, validator: str | None = None) -> tuple[bytes, int, int | None]:
    """Read a body from an offset; return it with where it starts and the length of the whole."""
    with client_of(settings) as client, client.stream(url, start=start, validator=validator) as response:
        return b"".join(response.chunks), response.start, response.total_bytes


@pytest.mark.parametrize(
    ("validator", "sent"), [(None, None), ('"a"', '"a"')], ids=["without-validator", "with-validator"]
)
def test_stream_resumes(server: ModelServer, settings: Settings, validator: str | None, sent: str | None) -> None:
    """What is here already is not asked for again, as long as it is of the same file."""
    server.serve("/x.whl", Reply(headers={"ETag": '"a"'}, body=BODY, ranged=True))
    assert resumed(f"{server.url}/x.whl", settings, start=1000, validator=validator) == (BODY[1000:], 1000, len(BODY))
    headers = server.requests[0].headers
    assert (headers["Range"], headers.get("If-Range")) == ("bytes=1000-", sent)


def test_stream_resumes_after_redirect(server: ModelServer, settings: Settings) -> None:
    """The host that has the file is asked for the rest, too."""
    server.serve("/x.whl", Reply(302, {"Location": "/y.whl"}))
    server.serve("/y.whl", Reply(headers={"ETag": '"a"'}, body=BODY, ranged=True))
    assert resumed(f"{server.url}/x.whl", settings, start=1000, validator='"a"')[1] == 1000
    assert [request.headers.get("If-Range") for request in server.requests] == ['"a"', '"a"']


@pytest.mark.parametrize("validator", ['"a"', None])
def test_stream_cannot_resume(server: ModelServer, settings: Settings, validator: str | None) -> None:
    """A server that has another file now, or knows no ranges, sends the whole, and that is said."""
    server.serve("/x.whl", Reply(headers={"ETag": '"b"'}, body=BODY, ranged=validator is not None))
    assert resumed(f"{server.url}/x.whl", settings, start=9, validator=validator) == (BODY, 0, len(BODY))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(206, {"Content-Range": "bytes 8-9/10"}, b"x"), "sends from byte 8, asked from 9"),
        (
            Reply(206, {"Content-Range": "pages 9-10/10"}, b"x"),
            "sends a part of the file without saying which: Content-Range 'pages 9-10/10'",
        ),
        (Reply(206, body=b"x"), "sends a part of the file without saying which: Content-Range ''"),
        (
            Reply(206, {"Content-Range": f"bytes {'9' * 5000}-/*"}, b"x"),
            f"sends a part of the file without saying which: Content-Range 'bytes {'9' * 5000}-/*'",
        ),
        (
            Reply(206, {"Content-Range": "bytes 9-10/10", "Content-Encoding": "gzip"}, b"x"),
            "sends the file compressed (gzip), although asked not to",
        ),
        (Reply(416), f"HTTP 416 {HTTPStatus(416).phrase}"),
    ],
    ids=["other-start", "other-unit", "no-range", "absurd-range", "compressed", "416"],
)
def test_stream_resumes_wrongly(server: ModelServer, settings: Settings, reply: Reply, reason: str) -> None:
    """A wrong part is an error that calls for the whole file."""
    server.serve("/x.whl", reply)
    with pytest.raises(RequestError, match=r"^(sends|HTTP 416)") as failed:
        resumed(f"{server.url}/x.whl", settings, start=9)
    assert (str(failed.value), failed.value.discard_partial) == (reason, True)


def test_stream_range_refused_that_was_not_asked_for(server: ModelServer, settings: Settings) -> None:
    """A server that answers 416 to a request for the whole file is not asked again: it is an error of 4xx."""
    server.serve("/x.whl", Reply(416))
    refused = refusal(f"{server.url}/x.whl", settings)
    assert (refused.retryable, refused.discard_partial) == (False, False)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"a"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, '"a"'),
        ({"ETag": 'W/"a"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, "Wed, 21 Oct 2015 07:28:00 GMT"),
        ({"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}, "Wed, 21 Oct 2015 07:28:00 GMT"),
        ({"ETag": 'W/"a"'}, None),
        ({}, None),
    ],
    ids=["etag", "weak-etag-and-date", "date", "weak-etag", "none"],
)
def test_stream_validator(
    server: ModelServer, settings: Settings, headers: dict[str, str], validator: str | None
) -> None:
    """Only what If-Range takes is kept to resume by."""
    server.serve("/x.whl", Reply(headers=headers, body=BODY))
    with client_of(settings) as client, client.stream(f"{server.url}/x.whl") as response:
        assert response.validator == validator


@pytest.mark.parametrize("encoding", ["gzip", "br", " GZIP ", "x-unknown"])
def test_stream_compressed(server: ModelServer, settings: Settings, encoding: str) -> None:
    """A server that compresses although asked not to is refused in words: the hash is over the file itself."""
    server.serve("/x.whl", Reply(headers={"Content-Encoding": encoding}, body=gzip.compress(BODY)))
    refused = refusal(f"{server.url}/x.whl", settings)
    assert str(refused) == f"sends the file compressed ({encoding.strip().lower()}), although asked not to"
    assert (refused.retryable, refused.discard_partial) == (False, False)


def test_stream_identity_encoding(server: ModelServer, settings: Settings) -> None:
    """A server that says that it does not compress is believed."""
    server.serve("/x.whl", Reply(headers={"Content-Encoding": "identity"}, body=BODY))
    assert read(f"{server.url}/x.whl", settings)[0] == BODY


@pytest.mark.parametrize(
    ("status", "again"),
    [(s, True) for s in (408, 429, 500, 502, 503, 504)]
    + [(s, False) for s in (400, 401, 403, 404, 407, 409, 410, 416, 425, 451, 501, 505)],
)
def test_stream_worth_another_try(server: ModelServer, settings: Settings, status: int, again: bool) -> None:  # noqa: FBT001 - a column
    """Only what may be otherwise in a moment is worth another try."""
    server.serve("/x.whl", Reply(status))
    assert refusal(f"{server.url}/x.whl", settings).retryable is again


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wednesday, 21-Oct-15 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 09:28:30 +0200", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:30 GMT", None),
    ],
)
def test_stream_retry_after(
    server: ModelServer, settings: Settings, monkeypatch: pytest.MonkeyPatch, text: str, after_s: float | None
) -> None:
    """Seconds and dates are read, one that has passed as "now"; anything else counts for nothing."""
    clock = SimpleNamespace(time=lambda: 1445412480.0, monotonic=time.monotonic)  # 21 October 2015, 07:28
    monkeypatch.setattr(network_response, "time", clock)
    server.serve("/x.whl", Reply(503, {"Retry-After": text}))
    assert refusal(f"{server.url}/x.whl", settings).retry_after_s == after_s


def test_stream_error_names_where_it_happened(server: ModelServer, patient: Settings) -> None:
    """A host that was redirected to and says nothing is the one that is named."""
    server.serve("/x.whl", Reply(302, {"Location": "/y.whl?signature=secret"}))
    server.serve("/y.whl", Reply(stall="headers"))
    refused = refusal(f"{server.url}/x.whl", patient)
    assert (str(refused), refused.url) == ("no byte for 0.2 s", f"{server.url}/y.whl")


@pytest.mark.parametrize(
    "location",
    ["http://bad host/x?signature=secret", "http://user:secret@%zz/x", f"http://{'a' * 64}.test/x?signature=secret"],
    ids=["space", "percent", "label"],
)
def test_stream_redirect_to_no_host(
    server: ModelServer, settings: Settings, capsys: pytest.CaptureFixture[str], location: str
) -> None:
    """A host that cannot be is final, keeps secrets back in the whole traceback, and prints nothing."""
    server.serve("/x.whl", Reply(302, {"Location": location}))
    refused = refusal(f"{server.url}/x.whl", settings)
    assert not refused.retryable
    assert "secret" not in "".join(traceback.format_exception(refused)) + repr(refused) + repr(refused.args)
    assert capsys.readouterr() == ("", "")


def test_stream_redirect_to_no_host_through_a_proxy(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Where it is the proxy that looks hosts up, one that cannot be is final and keeps secrets back, too."""
    monkeypatch.setenv("http_proxy", server.url)
    server.serve("http://release.invalid/x.whl", Reply(302, {"Location": "http://bad host/x?signature=secret"}))
    refused = refusal("http://release.invalid/x.whl", settings)
    assert (str(refused), refused.retryable) == ("is no address", False)
    assert "secret" not in "".join(traceback.format_exception(refused)) + repr(refused)


@pytest.mark.parametrize(
    ("number", "took_s", "again"),
    [
        (socket.EAI_AGAIN, 0.0, True),
        (socket.EAI_AGAIN, 2.0, False),
        (socket.EAI_NONAME, 0.0, False),
        (socket.EAI_FAIL, 0.0, False),
    ],
    ids=["passing", "passing-but-slow", "unknown", "failed"],
)
def test_stream_unknown_host_again(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, number: int, took_s: float, *, again: bool
) -> None:
    """A name server is asked again only after a passing failure that came soon."""
    clock = SimpleNamespace(now_s=0.0)

    def fails(*_: object, **__: object) -> None:
        clock.now_s += took_s
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    monkeypatch.setattr(socket, "getaddrinfo", fails)
    refused = refusal("http://release.invalid/x.whl", settings)
    assert (refused.retryable, refused.unreachable) == (again, True)


@pytest.mark.parametrize(("timeout_s", "given_up_s"), [(0.2, 0.2), (30.0, 0.4)], ids=["time-out", "longest"])
def test_stream_name_server_without_answer(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, timeout_s: float, given_up_s: float
) -> None:
    """A name server that says nothing is given up, also before a long time-out, so that other sources get a turn."""
    answered = threading.Event()
    monkeypatch.setattr(connections, "DNS_TIMEOUT_S", 0.4)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [*[answered.wait(30)][1:]])
    refused = refusal("http://release.invalid/x.whl", settings._replace(timeout_s=timeout_s))
    answered.set()
    assert str(refused) == f"no answer from the DNS server for release.invalid within {given_up_s:g} s"
    assert (refused.retryable, refused.unreachable) == (False, True)


@pytest.mark.parametrize("proxy", ["socks5://user:secret@proxy:1080", "http://user:sec#ret@proxy:80", "http://proxy:x"])
def test_stream_proxy_of_no_use(monkeypatch: pytest.MonkeyPatch, settings: Settings, proxy: str) -> None:
    """A proxy that is none is told at once, without its password."""
    monkeypatch.setenv("http_proxy", proxy)
    refused = refusal("http://release.invalid/x.whl", settings)
    assert str(refused).startswith("the proxy ")
    assert str(refused).endswith("is not an http or https URL")
    assert not refused.retryable
    assert "sec" not in "".join(traceback.format_exception(refused))


def test_stream_proxy_gets_its_own_login_only(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """A proxy for plain http is asked for the whole URL, with its own login beside the server's."""
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:pr%40xy@"))
    server.serve("http://release.invalid/x.whl", Reply(body=BODY))
    assert read("http://user:secret@release.invalid/x.whl", settings)[0] == BODY
    headers = server.requests[0].headers
    assert (headers["Proxy-Authorization"], headers["Authorization"]) == (login("me:pr@xy"), login("user:secret"))


def test_stream_netrc_login_of_each_host(
    server: ModelServer, other_server: ModelServer, settings: Settings, tmp_path: Path
) -> None:
    """On a redirect to another host that host's own login of .netrc is sent, and no other."""
    (tmp_path / "netrc").write_text("machine localhost login me password local\n", "utf-8")
    server.serve("/x.whl", Reply(302, {"Location": f"http://localhost:{other_server.port}/y.whl"}))
    other_server.serve("/y.whl", Reply(302, {"Location": f"{other_server.url}/z.whl"}))
    other_server.serve("/z.whl", Reply(body=BODY))
    read(
        f"{server.url.replace('//', '//user:secret@')}/x.whl",
        settings._replace(trust_env=TrustEnv(netrc=tmp_path / "netrc")),
    )
    sent = [request.headers.get("Authorization") for request in [*server.requests, *other_server.requests]]
    assert sent == [login("user:secret"), login("me:local"), None]

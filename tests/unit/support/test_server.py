"""The scripted server does what each of its replies says, and closes whatever it is in the middle of."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path

import pytest

from support.server import ModelServer, Reply, Request

BODY = bytes(range(256)) * 1000
# Long enough for any machine; only a failing test waits for it.
TIMEOUT_S = 30
# How long a stalled reply is watched for a byte that must not come.
WATCH_S = 0.05


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Give a running server and check that it leaves no thread."""
    before = set(threading.enumerate())
    with ModelServer() as running:
        yield running
    assert set(threading.enumerate()) == before


@pytest.fixture
def client(server: ModelServer) -> Iterator[HTTPConnection]:
    """Give a connection to the server that is kept until the test ends."""
    with contextlib.closing(HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S)) as connection:
        yield connection


def get(client: HTTPConnection, path: str, **headers: str) -> HTTPResponse:
    """Ask for a path; underscores in the names of headers stand for hyphens."""
    client.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return client.getresponse()


def read(client: HTTPConnection, path: str, **headers: str) -> tuple[int, bytes]:
    """Ask for a path and read all of the answer."""
    response = get(client, path, **headers)
    return response.status, response.read()


def ask(server: ModelServer, path: str) -> socket.socket:
    """Ask for a path on a bare socket."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_S)
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def read_headers(sock: socket.socket) -> bytes:
    """Read up to the end of the headers and no further."""
    received = b""
    while not received.endswith(b"\r\n\r\n") and (byte := sock.recv(1)):
        received += byte
    return received


def read_exactly(sock: socket.socket, size_bytes: int) -> bytes:
    """Read so many bytes and no further, fewer if the server closes."""
    received = b""
    while len(received) < size_bytes and (piece := sock.recv(size_bytes - len(received))):
        received += piece
    return received


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the server closes in order."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_replies_in_turn(server: ModelServer, client: HTTPConnection) -> None:
    """Replies are given in turn on one connection, and the last one repeats."""
    server.serve("/a", Reply(503, {"Retry-After": "2"}), Reply(body=b"one"), Reply(body=b"two"))
    assert get(client, "/a").getheader("Retry-After") == "2"
    client.close()
    assert [read(client, "/a") for _ in range(3)] == [(200, b"one"), (200, b"two"), (200, b"two")]


def test_path_unknown(server: ModelServer, client: HTTPConnection) -> None:
    """A path without a reply is not found."""
    assert read(client, "/nothing")[0] == 404
    assert server.count("/nothing") == 1


def test_requests_recorded(server: ModelServer, client: HTTPConnection) -> None:
    """Requests are recorded in order, their headers found in any case, and counted whatever the query."""
    server.serve("/a", Reply())
    read(client, "/a?x=1", If_Range='"x"')
    client.request("HEAD", "/a")
    client.getresponse().read()
    assert [(request.method, request.path) for request in server.requests] == [
        ("GET", "/a?x=1"),
        ("HEAD", "/a"),
    ]
    assert server.requests[0].headers["if-range"] == server.requests[0].headers["If-Range"] == '"x"'
    assert server.count("/a") == 2


def test_request_as_to_a_proxy(server: ModelServer, client: HTTPConnection) -> None:
    """A whole URL, as a proxy is asked, is answered by its path."""
    server.serve("/a", Reply(body=b"a"))
    assert read(client, "http://example.invalid/a") == (200, b"a")
    assert isinstance(server.requests[0], Request)
    assert server.count("/a") == server.count("http://example.invalid/a") == 1


def test_wait_for_requests(server: ModelServer) -> None:
    """Waiting ends with the request, or tells that it did not come."""
    server.serve("/a", Reply(stall="headers"))
    assert not server.wait_for("/a", timeout_s=0)
    with ask(server, "/a"):
        assert server.wait_for("/a", timeout_s=TIMEOUT_S)
        assert not server.wait_for("/a", requests=2, timeout_s=0)


def test_length_declared_too_long(server: ModelServer, client: HTTPConnection) -> None:
    """A body shorter than declared ends with the connection."""
    server.serve("/a", Reply(body=b"abc", declared_length=10))
    with pytest.raises(IncompleteRead) as caught:
        read(client, "/a")
    assert (caught.value.partial, caught.value.expected) == (b"abc", 7)


def test_length_declared_too_short(server: ModelServer) -> None:
    """A body longer than declared is sent all the same."""
    server.serve("/a", Reply(body=b"abc", declared_length=1))
    with ask(server, "/a") as sock:
        assert b"Content-Length: 1\r\n" in read_headers(sock)
        assert read_to_end(sock) == b"abc"


@pytest.mark.parametrize("cut_after_bytes", [0, 1, 100_000])
def test_cut(server: ModelServer, client: HTTPConnection, cut_after_bytes: int) -> None:
    """A cut body stops at exactly that byte, and the next reply comes whole."""
    server.serve("/a", Reply(body=BODY, cut_after_bytes=cut_after_bytes), Reply(body=BODY))
    with pytest.raises(IncompleteRead) as caught:
        read(client, "/a")
    assert caught.value.partial == BODY[:cut_after_bytes]
    client.close()
    assert read(client, "/a") == (200, BODY)


def test_cut_with_reset(server: ModelServer) -> None:
    """A reset is an error to the client, not an end of the body."""
    server.serve("/a", Reply(body=BODY, cut_after_bytes=10, reset=True))
    with ask(server, "/a") as sock, pytest.raises(ConnectionResetError):
        read_to_end(sock)


def test_chunked(server: ModelServer, client: HTTPConnection) -> None:
    """A chunked body comes whole, without a length, and the connection goes on."""
    server.serve("/a", Reply(body=BODY, chunked=True))
    for _ in range(2):
        response = get(client, "/a")
        assert response.getheader("Content-Length") is None
        assert response.read() == BODY


def test_chunked_cut(server: ModelServer, client: HTTPConnection) -> None:
    """A chunked body can be cut as well."""
    server.serve("/a", Reply(body=BODY, chunked=True, cut_after_bytes=10))
    with pytest.raises(IncompleteRead) as caught:
        read(client, "/a")
    assert caught.value.partial == BODY[:10]


def test_stall_before_headers(server: ModelServer) -> None:
    """Nothing comes of a reply that stalls before its headers, and closing ends it."""
    server.serve("/a", Reply(stall="headers"))
    with ask(server, "/a") as sock:
        sock.settimeout(WATCH_S)
        with pytest.raises(TimeoutError):
            sock.recv(1)


@pytest.mark.parametrize(("cut_after_bytes", "sent_bytes"), [(None, 5), (2, 2), (0, 0)])
def test_stall_in_body(server: ModelServer, cut_after_bytes: int | None, sent_bytes: int) -> None:
    """A reply that stalls in its body sends its first part and then nothing."""
    server.serve("/a", Reply(body=b"0123456789", stall="body", cut_after_bytes=cut_after_bytes))
    with ask(server, "/a") as sock:
        assert b"Content-Length: 10\r\n" in read_headers(sock)
        assert read_exactly(sock, sent_bytes) == b"0123456789"[:sent_bytes]
        sock.settimeout(WATCH_S)
        with pytest.raises(TimeoutError):
            sock.recv(1)


def test_stall_ends_with_the_server() -> None:
    """Closing the server ends a stalled reply short."""
    with ModelServer() as server:
        server.serve("/a", Reply(body=b"0123456789", stall="body"))
        sock = ask(server, "/a")
        read_headers(sock)
        assert read_exactly(sock, 5) == b"01234"
    with sock:
        assert read_to_end(sock) == b""


def test_drip() -> None:
    """A dripping body comes byte by byte, and closing the server ends it short."""
    with ModelServer() as server:
        server.serve("/a", Reply(body=BODY, drip_bytes_per_s=20))
        sock = ask(server, "/a")
        assert f"Content-Length: {len(BODY)}\r\n".encode() in read_headers(sock)
        assert read_exactly(sock, 2) == BODY[:2]
    with sock:
        assert len(read_to_end(sock)) < 1000


def test_drip_whole(server: ModelServer, client: HTTPConnection) -> None:
    """A dripping body that is waited for comes whole."""
    server.serve("/a", Reply(body=BODY, drip_bytes_per_s=10_000_000))
    assert read(client, "/a") == (200, BODY)


@pytest.mark.parametrize("body", [b"", b"abc"])
def test_endless(server: ModelServer, body: bytes) -> None:
    """An endless body goes on beyond any length it could have had, and the client may leave."""
    server.serve("/a", Reply(body=body, endless=True))
    with ask(server, "/a") as sock:
        assert b"Content-Length" not in read_headers(sock)
        received = read_exactly(sock, 300_000)
    assert received == ((body or b"\0") * 300_000)[:300_000]


def test_endless_with_a_length(server: ModelServer) -> None:
    """An endless body can lie about its length, and closing the server ends it."""
    server.serve("/a", Reply(body=b"abc", endless=True, declared_length=3))
    with ask(server, "/a") as sock:
        assert b"Content-Length: 3\r\n" in read_headers(sock)
        assert read_exactly(sock, 9) == b"abcabcabc"


def test_ranged_after_a_cut(server: ModelServer, client: HTTPConnection) -> None:
    """A scripted body can be resumed where it was cut, unless it is another one by now."""
    cut = Reply(headers={"ETag": '"1"'}, body=BODY, cut_after_bytes=10, ranged=True)
    server.serve("/a", cut, Reply(headers={"ETag": '"1"'}, body=BODY, ranged=True))
    with pytest.raises(IncompleteRead):
        read(client, "/a")
    client.close()
    assert read(client, "/a", Range="bytes=10-", If_Range='"1"') == (206, BODY[10:])
    assert read(client, "/a", Range="bytes=10-", If_Range='"2"') == (200, BODY)


@pytest.fixture
def tree(server: ModelServer, tmp_path: Path) -> Path:
    """Give the folder the server serves, with one file and one secret beside it."""
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "tree"
    (folder / "a b").mkdir(parents=True)
    (folder / "a b" / "file").write_bytes(BODY)
    (folder / "empty").touch()
    server.tree(folder)
    return folder


@pytest.mark.usefixtures("tree")
def test_tree_whole_file(client: HTTPConnection) -> None:
    """A file of the tree comes whole with its length and a tag."""
    response = get(client, "/a%20b/file")
    assert response.read() == BODY
    assert response.getheader("Content-Length") == str(len(BODY))
    assert response.getheader("ETag")


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("asked", "status", "content_range", "body"),
    [
        ("bytes=10-", 206, "bytes 10-255999/256000", BODY[10:]),
        ("bytes=10-19", 206, "bytes 10-19/256000", BODY[10:20]),
        ("bytes=255990-999999", 206, "bytes 255990-255999/256000", BODY[-10:]),
        ("bytes=-5", 206, "bytes 255995-255999/256000", BODY[-5:]),
        ("bytes=256000-", 416, "bytes */256000", b""),
        ("bytes=-", 200, None, BODY),
        ("lines=1-2", 200, None, BODY),
    ],
)
def test_tree_range(client: HTTPConnection, asked: str, status: int, content_range: str | None, body: bytes) -> None:
    """A range is answered with that part, a bad one as the standard says."""
    response = get(client, "/a%20b/file", Range=asked)
    assert (response.status, response.getheader("Content-Range")) == (status, content_range)
    assert response.read() == body


def test_tree_range_of_a_changed_file(client: HTTPConnection, tree: Path) -> None:
    """A range of a file that changed in between is answered with all of the new one."""
    etag = get(client, "/a%20b/file").getheader("ETag", "")
    client.close()
    assert read(client, "/a%20b/file", Range="bytes=1-", If_Range=etag) == (206, BODY[1:])
    (tree / "a b" / "file").write_bytes(b"new")
    assert read(client, "/a%20b/file", Range="bytes=1-", If_Range=etag) == (200, b"new")


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("path", "status"),
    [("/empty", 200), ("/a%20b", 404), ("/", 404), ("/../secret", 404), ("/%2e%2e/secret", 404)],
)
def test_tree_edges(client: HTTPConnection, path: str, status: int) -> None:
    """An empty file is a file; folders and what lies outside are not found."""
    assert read(client, path)[0] == status


@pytest.mark.usefixtures("tree")
def test_tree_below_a_script(server: ModelServer, client: HTTPConnection) -> None:
    """A scripted reply comes before the file of that path."""
    server.serve("/empty", Reply(body=b"scripted"))
    assert read(client, "/empty") == (200, b"scripted")


def test_close_with_idle_clients() -> None:
    """Closing does not wait for clients that keep their connection."""
    with ModelServer() as server:
        server.serve("/a", Reply(body=b"a"))
        clients = [HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT_S) for _ in range(40)]
        assert {read(client, "/a") for client in clients} == {(200, b"a")}
    for client in clients:
        client.close()


def test_close_unused() -> None:
    """A server that was never asked closes at once."""
    with ModelServer() as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
    assert server.requests == []

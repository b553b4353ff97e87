"""The scripted server does what each of its replies says, so that a test sees the fault that it names."""

from __future__ import annotations

import contextlib
from http.client import HTTPConnection
from pathlib import Path

from support.server import ModelServer, Reply

BODY = bytes(range(256)) * 1000


def read(server: ModelServer, path: str = "/a", method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Ask for a path and read all of the answer; underscores in the names of headers stand for hyphens."""
    with contextlib.closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as client:
        client.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = client.getresponse()
        return response.status, response.read()


def test_replies_and_requests(server: ModelServer) -> None:
    """Replies are given in turn, the last one repeating; requests are recorded, and counted whatever the query."""
    server.serve("/a", Reply(503), Reply(body=b"one"))
    assert [read(server)[0], read(server, "/nothing")[0]] == [503, 404]
    assert read(server, "/a?x=1", If_Range='"x"') == (200, b"one")
    assert read(server, "http://b/a", "HEAD") == (200, b"")
    assert [request.method for request in server.requests] == ["GET", "GET", "GET", "HEAD"]
    assert server.requests[2].headers["if-range"] == server.requests[2].headers["If-Range"] == '"x"'
    assert (server.count("/a"), server.count("http://b/a"), server.count("/nothing")) == (3, 1, 1)
    assert server.wait_for("/a", requests=3)
    assert not server.wait_for("/a", requests=4, timeout_s=0)


def test_ranges(server: ModelServer, tmp_path: Path) -> None:
    """A reply or a file of the tree can be resumed unless it is another by now; nothing beside the tree is given."""
    (tmp_path / "secret").touch()
    (tmp_path / "tree" / "a b").mkdir(parents=True)
    (tmp_path / "tree" / "a b" / "file").write_bytes(BODY)
    server.tree(tmp_path / "tree")
    server.serve("/a", Reply(headers={"ETag": '"1"'}, body=BODY, ranged=True))
    assert read(server, Range="bytes=10-", If_Range='"1"') == (206, BODY[10:])
    assert read(server, Range="bytes=10-", If_Range='"2"') == read(server, "/a%20b/file") == (200, BODY)
    assert read(server, "/a%20b/file", Range="bytes=255990-") == (206, BODY[-10:])
    assert read(server, Range="bytes=256000-") == (416, b"")
    assert [read(server, path)[0] for path in ("/", "/a%20b", "/../secret", "/%2e%2e/secret")] == [404] * 4

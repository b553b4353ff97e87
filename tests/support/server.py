"""A loopback HTTP server that answers by script, misbehaves on demand and records every request."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import re
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self

    from modelboot import ModelPin
    from support.wheels import BuiltWheel

_CHUNK_BYTES = 64 * 1024
_DRIPS_PER_S = 20
# Linger on, for no time: closing drops what is unsent and sends a reset.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Headers(Mapping[str, str]):
    """A request's headers, found in any letter case."""

    def __init__(self, items: Mapping[str, str]) -> None:
        """Keep the headers as received."""
        self._values = {name.lower(): value for name, value in items.items()}

    def __getitem__(self, name: str) -> str:
        """Return a header's value."""
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        """Yield the names in lower case."""
        return iter(self._values)

    def __len__(self) -> int:
        """Count the headers."""
        return len(self._values)

    def __repr__(self) -> str:
        """Show the headers in a failed assertion."""
        return f"Headers({self._values!r})"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as received.

    Attributes:
        method: GET, HEAD or CONNECT.
        path: The request line's target, verbatim: query included, a whole URL when asked as a proxy.
        headers: The headers, found in any letter case.
    """

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and what to do wrong.

    Attributes:
        status: The status code.
        reason: The words that follow it; the usual ones when None.
        headers: Headers beside those that frame the body.
        body: The body, repeated for ever when `endless`.
        declared_length: A Content-Length other than the body's; the connection is closed after the body.
        cut_after_bytes: Close the connection after so many bytes of the body.
        reset: End the connection with a reset in place of an orderly close, after what there is to send.
        stall: "headers" answers nothing until the server closes; "body" stops after `cut_after_bytes` of
            the body, or half of it when that is not given.
        drip_bytes_per_s: The body's pace; 0 is as fast as it goes.
        chunked: Send the body in chunks, with no Content-Length.
        endless: Send the body over and over until the client leaves or the server closes; there is no
            Content-Length unless one is declared.
        ranged: Honour Range and If-Range against the ETag among the headers, or else one of the body.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    declared_length: int | None = None
    cut_after_bytes: int | None = None
    reset: bool = False
    stall: Literal["", "headers", "body"] = ""
    drip_bytes_per_s: int = 0
    chunked: bool = False
    endless: bool = False
    ranged: bool = False
    reason: str | None = None


class ModelServer:
    """A server on 127.0.0.1 for the length of a `with` block; closing releases the clients it keeps waiting."""

    def __init__(self) -> None:
        """Bind a free port; answering starts with the `with` block."""
        self._script = _Script()
        self._http = _Server(self._script)
        serve = functools.partial(self._http.serve_forever, poll_interval=0.01)
        self._thread = threading.Thread(target=serve, name="model-server")

    def __enter__(self) -> Self:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop answering, drop every connection and wait for the last thread."""
        self._script.closing.set()
        self._http.shutdown()
        self._http.drop_connections()
        self._http.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        """The port in use."""
        return self._http.server_port

    @property
    def url(self) -> str:
        """The base URL, with no slash at its end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in order; a copy."""
        with self._script.changed:
            return list(self._script.requests)

    def serve(self, path: str, *replies: Reply) -> None:
        """Answer a path with these replies in turn, the last one repeating; replaces what it had.

        Args:
            path: As in the URL, with no query; "host:port" for a CONNECT.
            replies: One at least.
        """
        with self._script.changed:
            self._script.replies[path] = list(replies)

    def publish(self, wheel: BuiltWheel, *replies: Reply) -> ModelPin:
        """Answer for a wheel, under its file name.

        Args:
            wheel: The wheel.
            replies: As in `serve`; the wheel itself when there are none.

        Returns:
            The wheel's pin, at its URL here.
        """
        path = f"/{wheel.path.name}"
        self.serve(path, *(replies or [Reply(body=wheel.content)]))
        return wheel.pin_at(f"{self.url}{path}")

    def tree(self, folder: Path) -> None:
        """Serve a folder's files under "/" with ETag and ranges, where no reply is scripted."""
        self._script.folder = folder.resolve()

    def count(self, path: str) -> int:
        """Count the requests for a path, whatever their query."""
        return sum(_asks_for(request, path) for request in self.requests)

    def wait_for(self, path: str, *, requests: int = 1, timeout_s: float = 30) -> bool:
        """Wait until a path was asked for so many times.

        Args:
            path: As in the URL, with no query.
            requests: How many to wait for.
            timeout_s: Seconds after which to give up.

        Returns:
            Whether they came in time.
        """
        script = self._script
        with script.changed:
            return script.changed.wait_for(
                lambda: sum(_asks_for(request, path) for request in script.requests) >= requests, timeout_s
            )


class _Script:
    """What the threads share: the replies to send and the requests received."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self.folder: Path | None = None
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []

    def take(self, request: Request) -> Reply | None:
        """Record a request and take its reply, if one is scripted."""
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
            replies = self.replies.get(request.path) or self.replies.get(_path(request))
            if not replies:
                return None
            return replies.pop(0) if len(replies) > 1 else replies[0]

    def file(self, request: Request) -> Path | None:
        """Find the file of the tree a request is for, never one outside of it."""
        if self.folder is None:
            return None
        file = (self.folder / unquote(_path(request)).lstrip("/")).resolve()
        return file if file.is_relative_to(self.folder) and file.is_file() else None


def _path(request: Request) -> str:
    """Cut the query off a request's target, and the host when asked as a proxy."""
    return urlsplit(request.path).path


def _asks_for(request: Request, path: str) -> bool:
    """Return whether a request is for a path."""
    return path in (request.path, _path(request))


class _Server(ThreadingHTTPServer):
    """Keeps its connections, so that closing can end each and wait for its thread."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, script: _Script) -> None:
        self.script = script
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name, which may ask the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """Note a connection before its thread starts, so that closing cannot miss it."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as inherited
        """End a connection; one to be reset must not be shut down in order first."""
        with self._lock:
            self._connections.discard(request)
            if _is_to_be_reset(request):
                self.close_request(request)
            else:
                super().shutdown_request(request)

    def drop_connections(self) -> None:
        """Wake every thread that reads from or writes to a client."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


def _is_to_be_reset(connection: socket.socket) -> bool:
    """Return whether closing a connection will send a reset."""
    options = connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET_ON_CLOSE))
    return options == _RESET_ON_CLOSE


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        """Answer until the client leaves, by a reset or in order."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Answer by script, else from the tree, else that there is no such thing."""
        request = Request(self.command, self.path, Headers(dict(self.headers.items())))
        reply, file = self.server.script.take(request), self.server.script.file(request)
        if reply is None and file is not None:
            self._send_file(file, request.headers)
        else:
            reply = reply or Reply(404, body=b"not found\n")
            self._send(_in_range(reply, request.headers) if reply.ranged else reply)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the body."""
        self.do_GET()

    def do_CONNECT(self) -> None:
        """Answer as to GET; no tunnel is ever opened."""
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Keep quiet: the requests are recorded."""

    def _send(self, reply: Reply) -> None:
        """Send a scripted reply, with the faults it asks for."""
        if reply.stall == "headers":
            self._hold()
            return
        self._send_headers(reply.status, {**reply.headers, **_framing(reply)}, reply.reason)
        if self.command == "HEAD":
            return
        whole = self._send_body(reply)
        if reply.stall == "body":
            self._hold()
        self._end(reply, whole=whole)

    def _send_headers(self, status: int, headers: Mapping[str, str], reason: str | None = None) -> None:
        """Send the status line and the headers."""
        self.send_response_only(status, reason)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_body(self, reply: Reply) -> bool:
        """Send the body at its pace, up to where it is cut; return whether all of it went."""
        for piece in _pieces(reply):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked else piece)
            if self._pause(len(piece), reply.drip_bytes_per_s):
                return False
        whole = _limit_bytes(reply) is None
        if whole and reply.chunked:
            self.wfile.write(b"0\r\n\r\n")
        return whole

    def _pause(self, sent_bytes: int, drip_bytes_per_s: int) -> bool:
        """Keep the pace; return whether the server is closing."""
        pause_s = sent_bytes / drip_bytes_per_s if drip_bytes_per_s else 0
        return self.server.script.closing.wait(pause_s)

    def _hold(self) -> None:
        """Leave the client waiting until the server closes."""
        self.server.script.closing.wait()
        self.close_connection = True

    def _end(self, reply: Reply, *, whole: bool) -> None:
        """Close the connection after a reply that the client cannot have understood as whole."""
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if reply.reset or reply.declared_length is not None or not whole:
            self.close_connection = True

    def _send_file(self, file: Path, headers: Mapping[str, str]) -> None:
        """Send a file of the tree, or the part of it that is asked for."""
        stat = file.stat()
        etag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
        window = _window(headers, size_bytes=stat.st_size, etag=etag)
        length = {"Content-Length": str(window.length_bytes)}
        self._send_headers(window.status, {**window.headers, **length})
        if self.command != "HEAD" and window.length_bytes:
            with file.open("rb") as stream:
                self.connection.sendfile(stream, window.start, window.length_bytes)


def _framing(reply: Reply) -> dict[str, str]:
    """Return the header that tells where the body ends, if any does."""
    if reply.chunked:
        return {"Transfer-Encoding": "chunked"}
    if reply.declared_length is not None:
        return {"Content-Length": str(reply.declared_length)}
    return {} if reply.endless else {"Content-Length": str(len(reply.body))}


def _limit_bytes(reply: Reply) -> int | None:
    """Return the bytes of the body after which nothing more is sent, none when all of it is."""
    if reply.cut_after_bytes is None and reply.stall == "body":
        return len(reply.body) // 2
    return reply.cut_after_bytes


def _pieces(reply: Reply) -> Iterator[bytes]:
    """Split the body into what is written at once, up to where it is cut."""
    left_bytes, step_bytes = _limit_bytes(reply), _CHUNK_BYTES
    if reply.drip_bytes_per_s:
        step_bytes = max(1, reply.drip_bytes_per_s // _DRIPS_PER_S)
    for body in repeat(_round(reply.body)) if reply.endless else [reply.body]:
        for start in range(0, len(body), step_bytes):
            piece = body[start : start + step_bytes][:left_bytes]
            if not piece:
                return
            yield piece
            left_bytes = None if left_bytes is None else left_bytes - len(piece)


def _round(body: bytes) -> bytes:
    """Repeat a body until a round of it is worth a write; nulls when there is none."""
    return (body or b"\0") * (_CHUNK_BYTES // max(1, len(body)) + 1)


@dataclass(frozen=True, slots=True)
class _Window:
    """The part of a body that answers a request."""

    status: int
    start: int
    length_bytes: int
    headers: Mapping[str, str]


def _in_range(reply: Reply, headers: Mapping[str, str]) -> Reply:
    """Cut a reply's body to the range asked for."""
    etag = reply.headers.get("ETag", f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"')
    window = _window(headers, size_bytes=len(reply.body), etag=etag)
    body = reply.body[window.start : window.start + window.length_bytes]
    status = reply.status if window.status == 200 else window.status
    return replace(reply, status=status, body=body, headers={**reply.headers, **window.headers})


def _window(headers: Mapping[str, str], *, size_bytes: int, etag: str) -> _Window:
    """Decide which part of a body answers a request: RFC 9110, sections 13.1.5 and 14.2."""
    fixed = {"Accept-Ranges": "bytes", "ETag": etag}
    asked = re.fullmatch(r"bytes=(?:(\d+)-(\d*)|-(\d+))", headers.get("Range", ""))
    if asked is None or headers.get("If-Range", etag) != etag:
        return _Window(200, 0, size_bytes, fixed)
    first, last, suffix = asked.groups()
    start = int(first) if first else max(0, size_bytes - int(suffix))
    stop = min(int(last) + 1, size_bytes) if last else size_bytes
    if start >= stop:
        return _Window(416, 0, 0, {**fixed, "Content-Range": f"bytes */{size_bytes}"})
    return _Window(206, start, stop - start, {**fixed, "Content-Range": f"bytes {start}-{stop - 1}/{size_bytes}"})

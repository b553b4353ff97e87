"""A loopback HTTP server that answers by script, misbehaves on demand and records every request."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self

    from modelboot import ModelPin
    from support.peers import Authority
    from support.wheels import BuiltWheel

_CHUNK_BYTES = 64 * 1024
_DRIPS_PER_S = 20
# Linger on, for no time: closing drops what is unsent and sends a reset.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def basic(login: str) -> str:
    """Return the header of a login, user:password (RFC 7617)."""
    return f"Basic {base64.b64encode(login.encode()).decode()}"


class Headers(HTTPMessage):
    """A request's headers, found in any letter case."""

    def __repr__(self) -> str:
        """Show the headers, in a failed assertion and to a test that looks for secrets in them."""
        return str(self)


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
    headers: Headers

    @property
    def bare_path(self) -> str:
        """The target without its query, and without the host when asked as a proxy."""
        return urlsplit(self.path).path


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and what to do wrong.

    Attributes:
        status: The status code; 0 closes the connection without an answer.
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
    """A server on loopback for the length of a `with` block; closing releases the clients it keeps waiting."""

    def __init__(self, host: str = "127.0.0.1", *, authority: Authority | None = None) -> None:
        """Bind a free port; answering starts with the `with` block.

        Args:
            host: The address to listen on; ::1 is one as well.
            authority: The certificate for TLS; plain HTTP without.
        """
        self._http = _Server(host, authority)
        self._thread = threading.Thread(target=self._http.serve_forever, args=[0.01], name="model-server")

    def __enter__(self) -> Self:
        """Start answering."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop answering, drop every connection and wait for the last thread."""
        self._http.closing.set()
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
        return self._http.url

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in order; a copy."""
        with self._http.changed:
            return list(self._http.requests)

    def serve(self, path: str, *replies: Reply) -> None:
        """Answer a path with these replies in turn, the last one repeating; replaces what it had.

        Args:
            path: As in the URL, with no query; "host:port" for a CONNECT.
            replies: One at least.
        """
        with self._http.changed:
            self._http.replies[path] = list(replies)

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
        self._http.folder = folder.resolve()

    def count(self, path: str) -> int:
        """Count the requests for a path, whatever their query."""
        return sum(path in {request.path, request.bare_path} for request in self.requests)

    def wait_for(self, path: str) -> bool:
        """Wait until a path, which has no query, is asked for; return False if it is not within 30 s."""
        with self._http.changed:  # it may be taken twice by the same thread
            return self._http.changed.wait_for(lambda: self.count(path) > 0, 30)


class _Server(ThreadingHTTPServer):
    """Keeps its connections, so that closing can end each and wait for its thread, and what these threads share."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, host: str, authority: Authority | None) -> None:
        self.changed = threading.Condition()
        self.closing = threading.Event()
        self.folder: Path | None = None
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}"
        if authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.certificate, authority.key)
            # Hands are shaken in each connection's own thread, not in the one that accepts all.
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
            self.url = self.url.replace("http", "https")

    def reply_to(self, request: Request) -> Reply:
        """Record a request and take its reply: by script, else from the tree, else that there is no such thing."""
        with self.changed:
            self.requests.append(request)
            self.changed.notify_all()
            replies = self.replies.get(request.path) or self.replies.get(request.bare_path)
            if replies:
                return replies.pop(0) if len(replies) > 1 else replies[0]
        file = Path(f"{self.folder}/{unquote(request.bare_path)}").resolve()
        if self.folder and file.is_relative_to(self.folder) and file.is_file():
            return Reply(body=file.read_bytes(), ranged=True)
        return Reply(404, body=b"not found\n")

    def server_bind(self) -> None:
        """Bind without the look-up of the host's name, which may ask the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as inherited
        """Note a connection before its thread starts, so that closing cannot miss it."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - as inherited
        """End a connection; one to be reset must not be shut down in order first."""
        lingering = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET_ON_CLOSE))
        with self._lock:
            self._connections.discard(request)
            if lingering == _RESET_ON_CLOSE:
                self.close_request(request)
            else:
                super().shutdown_request(request)

    def drop_connections(self) -> None:
        """Wake every thread that reads from or writes to a client."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version, MessageClass = "HTTP/1.1", Headers
    headers: Headers
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        """Answer until the client leaves, by a reset, in order or because it does not trust the certificate."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            super().handle()

    def do_GET(self) -> None:
        """Answer; HEAD without the body, CONNECT without ever opening a tunnel."""
        request = Request(self.command, self.path, self.headers)
        reply = self.server.reply_to(request)
        self._send(_in_range(reply, request.headers) if reply.ranged else reply)

    do_HEAD = do_CONNECT = do_GET  # noqa: N815 - the names that the base class looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Keep quiet: the requests are recorded."""

    def _send(self, reply: Reply) -> None:
        """Send a reply, with the faults it asks for."""
        if reply.stall == "headers":
            self.server.closing.wait()
        if reply.stall == "headers" or not reply.status:
            self.close_connection = True
            return
        self.send_response_only(reply.status, reply.reason)
        for name, value in {**reply.headers, **_framing(reply)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(reply)

    def _send_body(self, reply: Reply) -> None:
        """Send a body at its pace, up to where it is cut, and leave the client in the state that the reply asks for."""
        is_whole = _limit_bytes(reply) is None
        for piece in _pieces(reply):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.chunked else piece)
            if self.server.closing.wait(len(piece) / reply.drip_bytes_per_s if reply.drip_bytes_per_s else 0):
                is_whole = False
                break
        if is_whole and reply.chunked:
            self.wfile.write(b"0\r\n\r\n")
        if reply.stall == "body":
            self.server.closing.wait()
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        if reply.reset or reply.declared_length is not None or not is_whole:
            self.close_connection = True


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
    step_bytes = max(1, reply.drip_bytes_per_s // _DRIPS_PER_S) if reply.drip_bytes_per_s else _CHUNK_BYTES
    body = reply.body[: _limit_bytes(reply)]
    if reply.endless:
        body = (body or b"\0") * (_CHUNK_BYTES // max(1, len(body)) + 1)
    for _ in repeat(None) if reply.endless else [None]:
        for start in range(0, len(body), step_bytes):
            yield body[start : start + step_bytes]


def _in_range(reply: Reply, headers: Headers) -> Reply:
    """Cut a body to what is asked for from some byte on (RFC 9110, 13.1.5 and 14.2); other ranges get all of it."""
    etag = reply.headers.get("ETag", f'"{hashlib.sha256(reply.body).hexdigest()[:16]}"')
    tagged, size_bytes = {**reply.headers, "ETag": etag}, len(reply.body)
    asked = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
    if asked is None or headers.get("If-Range", etag) != etag:
        return replace(reply, headers=tagged)
    start = int(asked[1])
    if start >= size_bytes:
        return replace(reply, status=416, body=b"", headers={**tagged, "Content-Range": f"bytes */{size_bytes}"})
    part = {**tagged, "Content-Range": f"bytes {start}-{size_bytes - 1}/{size_bytes}"}
    return replace(reply, status=206, body=reply.body[start:], headers=part)

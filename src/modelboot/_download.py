"""A URL → a verified file. The only module that speaks HTTP.

The transfer runs in a thread of its own while the caller waits for it no longer than the deadline: a slow name server
or a body that drips in cannot be interrupted in any other way. On the way out the caller cuts the connections, and the
thread ends by itself.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from modelboot.errors import Attempt, DownloadError, HashMismatchError, InstallError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import BinaryIO, Literal

    from typing_extensions import Self

    from modelboot._catalog import ModelPin
    from modelboot._deadline import Deadline
    from modelboot._progress import Progress
    from modelboot._settings import Settings

PIECE_BYTES = 1 << 16
MAX_REDIRECTS = 10
UNKNOWN_CAP_BYTES = 4 << 30
"""Most bytes taken when neither the pin nor the server says how large the wheel is."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Job:
    """One wheel to be fetched from one URL."""

    pin: ModelPin
    source: Literal["wheelhouse", "release", "mirror", "index"]
    url: str
    """http, https or file URL; may carry user:password."""
    to: Path
    """Where the verified wheel appears; its folder exists, and it lies beside a `.part` file until it is verified."""

    def failed(self, reason: str, where: str | None = None) -> DownloadError:
        """Word why this source did not give the wheel."""
        attempt = Attempt(source=self.source, where=without_secrets(where or self.url), reason=reason)
        return DownloadError(**_facts(self.pin), attempts=(attempt,))

    def refused(self, got_sha256: str, got_bytes: int, where: str) -> HashMismatchError:
        """Word that the bytes that came are not the pinned ones."""
        attempt = Attempt(
            source=self.source,
            where=without_secrets(where),
            reason=f"got sha256 {got_sha256} in {got_bytes:,} bytes",
            got_sha256=got_sha256,
            got_bytes=got_bytes,
        )
        return HashMismatchError(**_facts(self.pin), attempts=(attempt,))


def _facts(pin: ModelPin) -> dict[str, str]:
    return {"name": pin.name, "version": pin.version, "sha256": pin.sha256}


def fetch(job: Job, settings: Settings, deadline: Deadline, progress: Progress) -> int:
    """Fetch one wheel and verify it.

    Args:
        job: What to fetch, from where, and where to put it.
        settings: The settings in force.
        deadline: When to give up, whatever the server does.
        progress: Follows the transfer.

    Returns:
        Bytes received. The file at `job.to` is the pinned wheel.

    Raises:
        DownloadError: This source does not give the wheel.
        HashMismatchError: It gives other bytes.
        InstallError: The file cannot be written.
    """
    transfer = _Transfer(job, settings, progress)
    thread = threading.Thread(target=transfer.run, name=f"modelboot-{job.pin.name}", daemon=True)
    thread.start()
    try:
        finished = transfer.done.wait(deadline.remaining_s)
    finally:
        transfer.cancel()
        progress.close()
    if not finished:
        raise job.failed(str(deadline))
    if transfer.error is not None:
        raise transfer.error
    return transfer.received_bytes


@dataclass(slots=True)
class _Transfer:
    """One transfer in a thread of its own; `done` is set when it has ended, `error` when it has failed."""

    job: Job
    settings: Settings
    progress: Progress
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    received_bytes: int = 0
    cancelled: bool = False
    sockets: list[socket.socket] = field(default_factory=list)

    def run(self) -> None:
        try:
            self._fetch()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.error = error
        finally:
            self.done.set()

    def cancel(self) -> None:
        """Stop the thread wherever it reads; it writes nothing more."""
        self.cancelled = True
        for connected in self.sockets:
            # Past any TLS layer, which is not made to be used by two threads; one that is closed is as good.
            with suppress(OSError, ValueError):
                socket.socket.shutdown(connected, socket.SHUT_RDWR)

    def _fetch(self) -> None:
        if urlsplit(self.job.url).scheme == "file":
            self._save(_file_body(self.job))
            return
        with _client(self.settings, self.sockets.append) as client:
            try:
                self._fetch_over_http(client)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise self.job.failed(_in_words(error, self.settings.timeout_s)) from error

    def _fetch_over_http(self, client: urllib3.PoolManager) -> None:
        response, url = _follow(client, self.job)
        try:
            pieces = response.stream(PIECE_BYTES, decode_content=False)
            self._save(_Body(url, pieces, _declared_bytes(response)))
        finally:
            response.close()

    def _save(self, body: _Body) -> None:
        """Write and hash a body as it comes in; the file gets its name only when the hash has matched."""
        cap_bytes = self._cap_bytes(body)
        self.progress.start(str(self.job.pin), body.declared_bytes)
        digest = hashlib.sha256()
        with _Part(self.job) as part:
            for piece in body.pieces:
                if self.cancelled:
                    return
                self.received_bytes += len(piece)
                if self.received_bytes > cap_bytes:
                    raise self.job.failed(f"sends more than the {cap_bytes:,} bytes expected", body.url)
                digest.update(piece)
                part.write(piece)
                self.progress.advance(len(piece))
            if body.declared_bytes is not None and self.received_bytes < body.declared_bytes:
                came = f"{self.received_bytes:,} of {body.declared_bytes:,} bytes came"
                raise self.job.failed(f"cut short: {came}", body.url)
            if digest.hexdigest() != self.job.pin.sha256:
                raise self.job.refused(digest.hexdigest(), self.received_bytes, body.url)
            part.publish()

    def _cap_bytes(self, body: _Body) -> int:
        """Return the most bytes to take: what the server declares, if the pin makes that believable."""
        size_mb = self.job.pin.size_mb
        # The catalog rounds to whole megabytes; a quarter more and 2 MiB leave room for any rounding.
        believable = UNKNOWN_CAP_BYTES if size_mb is None else (size_mb + 2) * (1 << 20) * 5 // 4
        if body.declared_bytes is None:
            return believable
        if body.declared_bytes > believable:
            reason = f"declares {body.declared_bytes:,} bytes, at most {believable:,} are believable"
            raise self.job.failed(reason, body.url)
        return body.declared_bytes


@dataclass(frozen=True, slots=True)
class _Body:
    """What a source sends."""

    url: str
    """Where it came from in the end, after redirects."""
    pieces: Iterable[bytes]
    declared_bytes: int | None


class _Part:
    """The file a body is written to; removed unless it is published. A full disk is not the source's fault."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._path = job.to.with_name(f"{job.to.name}.part")

    def __enter__(self) -> Self:
        with self._blaming_the_disk():
            self._file = self._path.open("wb")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        with self._blaming_the_disk():
            self._file.write(piece)

    def publish(self) -> None:
        with self._blaming_the_disk():
            self._file.close()
            self._path.replace(self._job.to)

    @contextmanager
    def _blaming_the_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InstallError.from_os_error(error, model=str(self._job.pin), path=str(self._path)) from error


def _file_body(job: Job) -> _Body:
    path = Path(url2pathname(urlsplit(job.url).path))
    try:
        return _Body(job.url, _pieces(path.open("rb")), path.stat().st_size)
    except OSError as error:
        raise job.failed(error.strerror or str(error)) from error


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece


@contextmanager
def _client(settings: Settings, on_connect: Callable[[socket.socket], None]) -> Iterator[urllib3.PoolManager]:
    """Make a client that hands every connection's socket out, so that another thread can cut it."""

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            on_connect(self.sock)

    class Tls(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            on_connect(self.sock)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Tls

    timeout = urllib3.Timeout(connect=settings.timeout_s, read=settings.timeout_s)
    client = urllib3.PoolManager(timeout=timeout, retries=False)
    client.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    try:
        yield client
    finally:
        client.clear()


def _follow(client: urllib3.PoolManager, job: Job) -> tuple[urllib3.BaseHTTPResponse, str]:
    """Ask for the wheel, following redirects, and return the answer that carries it with its URL."""
    url = job.url
    for _ in range(MAX_REDIRECTS + 1):
        response = _ask(client, url, job)
        location = response.headers.get("Location")
        if response.status not in REDIRECTS or not location:
            break
        response.close()
        target = urljoin(url, location)
        if urlsplit(target).scheme not in {"https", urlsplit(url).scheme}:
            raise job.failed(f"redirects from https to {without_secrets(target)}", url)
        url = target
    else:
        raise job.failed(f"redirects more than {MAX_REDIRECTS} times", url)
    if response.status != HTTPStatus.OK:
        response.close()
        raise job.failed(f"HTTP {response.status} {response.reason or ''}".strip(), url)
    return response, url


def _ask(client: urllib3.PoolManager, url: str, job: Job) -> urllib3.BaseHTTPResponse:
    """Send one request. Identity encoding: the hash is over the file as it lies on the server."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "modelboot"}
    parts, asked = urlsplit(url), urlsplit(job.url)
    same_host = (parts.scheme, parts.hostname, parts.port) == (asked.scheme, asked.hostname, asked.port)
    if asked.username is not None and same_host:
        login = f"{unquote(asked.username)}:{unquote(asked.password or '')}"
        headers.update(urllib3.make_headers(basic_auth=login))
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    return client.request("GET", bare, headers=headers, preload_content=False, redirect=False)


def _declared_bytes(response: urllib3.BaseHTTPResponse) -> int | None:
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _in_words(error: BaseException, timeout_s: float) -> str:
    """Say in a few words why a connection failed; urllib3's own text is its whole call stack in one line."""
    refused = isinstance(error, urllib3.exceptions.NewConnectionError)  # urllib3 2 counts it among the time-outs
    if isinstance(error, urllib3.exceptions.ConnectTimeoutError) and not refused:
        return f"no connection within {timeout_s:g} s"
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        return f"no byte for {timeout_s:g} s"
    roots = [cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror]
    return roots[-1] if roots else str(error)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and everything it came from; urllib3 keeps some causes only as an argument."""
    while error is not None:
        yield error
        inner = [arg for arg in error.args if isinstance(arg, BaseException)]
        error = inner[-1] if inner else error.__cause__ or error.__context__

"""A URL → a verified file.

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
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from modelboot._attempts import failure
from modelboot._http import PIECE_BYTES, Body, HttpError, opened
from modelboot.errors import Attempt, InstallError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO, Literal

    from typing_extensions import Self

    from modelboot._deadline import Deadline
    from modelboot._pin import ModelPin
    from modelboot._progress import Progress
    from modelboot._settings import Settings
    from modelboot.errors import DownloadError

UNKNOWN_CAP_BYTES = 4 << 30
"""Most bytes taken when neither the pin nor the server says how large the wheel is."""
LEAVING_S = 1.0
"""How long to wait for a cut transfer to remove its part file; only a slow name server keeps it for longer."""


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
        return failure(self.pin, Attempt(source=self.source, where=without_secrets(where or self.url), reason=reason))

    def refused(self, got_sha256: str, got_bytes: int, where: str) -> DownloadError:
        """Word that the bytes that came are not the pinned ones."""
        attempt = Attempt(
            source=self.source,
            where=without_secrets(where),
            reason=f"got sha256 {got_sha256} in {got_bytes:,} bytes",
            got_sha256=got_sha256,
            got_bytes=got_bytes,
        )
        return failure(self.pin, attempt)


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
        thread.join(LEAVING_S)
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
            _cut(connected)

    def _connected(self, connected: socket.socket) -> None:
        """Take note of a connection; one that came about too late is cut at once."""
        self.sockets.append(connected)
        if self.cancelled:
            _cut(connected)

    def _fetch(self) -> None:
        if urlsplit(self.job.url).scheme == "file":
            with _opened_file(self.job) as body:
                self._save(body)
            return
        try:
            with opened(self.job.url, self.settings, self._connected) as body:
                self._save(body)
        except HttpError as error:
            raise self.job.failed(str(error), error.url) from error

    def _save(self, body: Body) -> None:
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

    def _cap_bytes(self, body: Body) -> int:
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
        with suppress(OSError):  # a full disk again: it has been told
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


def _cut(connected: socket.socket) -> None:
    # Past any TLS layer, which is not made to be used by two threads; one that is closed is as good.
    with suppress(OSError, ValueError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


@contextmanager
def _opened_file(job: Job) -> Iterator[Body]:
    path = Path(url2pathname(urlsplit(job.url).path))
    try:
        with path.open("rb") as file:
            yield Body(job.url, _pieces(file), path.stat().st_size)
    except OSError as error:
        raise job.failed(error.strerror or str(error)) from error


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece

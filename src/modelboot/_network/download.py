"""A URL → a verified file.

The transfer runs in a thread of its own while the caller waits for it no longer than the deadline: a slow name server
or a body that drips in cannot be interrupted in any other way. On the way out the caller cuts the connections, and the
thread ends by itself.
"""

from __future__ import annotations

import codecs
import logging
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from modelboot._limits import Deadline
from modelboot._network import local as _local
from modelboot._network.partial import Part
from modelboot._network.response import Body, HttpError
from modelboot._network.retry import Tries
from modelboot._pin import ModelPin
from modelboot._progress import Progress
from modelboot._settings import Settings
from modelboot._sources.source import failure
from modelboot.errors import Attempt, DownloadError, Kind, without_secrets

if TYPE_CHECKING:
    from modelboot._network.client import Client

UNKNOWN_CAP_BYTES = 4 << 30
"""Most bytes taken when neither the pin nor the server says how large the wheel is."""
LEAVING_S = 1.0
"""How long to wait for a cut transfer to close its part file; only a slow name server keeps it for longer."""
WHEEL_STARTS = b"PK"
"""Every zip file starts so; what starts otherwise is told apart from a wheel with other bytes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One wheel to be fetched from one URL."""

    pin: ModelPin
    source: Literal["wheelhouse", "release", "mirror", "index"]
    url: str
    """http, https or file URL; may carry user:password."""
    to: Path
    """Where the verified wheel appears; its folder exists, and it lies beside a `.part` file until it is verified."""

    def failed(self, reason: str, where: str | None = None, kind: Kind = "other") -> DownloadError:
        """Word why this source did not give the wheel."""
        place = without_secrets(where or self.url)
        return failure(self.pin, Attempt(source=self.source, where=place, reason=reason, kind=kind))

    def refused(self, part: Part, where: str, content_type: str) -> DownloadError:
        """Word that the bytes that came are not the pinned ones."""
        attempt = Attempt(
            source=self.source,
            where=without_secrets(where),
            reason=f"got sha256 {part.sha256} in {part.size_bytes:,} bytes{content_type and f' of {content_type}'}",
            kind="bytes",
            got_sha256=part.sha256,
            got_bytes=part.size_bytes,
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
        SettingsError: The certificates that are to be trusted cannot be read.
    """
    transfer = _Transfer(job, settings, deadline, progress)
    thread = threading.Thread(target=transfer.run, name=f"modelboot-{job.pin.name}", daemon=True)
    try:  # from before it runs: Ctrl-C may come while it is being started
        thread.start()
        finished = transfer.done.wait(deadline.remaining_s)
    finally:
        transfer.cancel()
        _see_off(thread, transfer)
        progress.close()
    if not finished:
        raise job.failed(str(deadline))
    if transfer.error is not None:
        raise transfer.error
    return transfer.received_bytes


def _see_off(thread: threading.Thread, transfer: _Transfer) -> None:
    """Wait until a cut transfer has let go of its part file, also one that is only just being started."""
    until_s = time.monotonic() + LEAVING_S
    while not (thread.is_alive() or transfer.done.is_set()) and time.monotonic() < until_s:
        time.sleep(0.001)
    if thread.is_alive():
        thread.join(LEAVING_S)


@dataclass(slots=True)
class _Transfer:
    """One transfer in a thread of its own; `done` is set when it has ended, `error` when it has failed."""

    job: Job
    settings: Settings
    deadline: Deadline
    progress: Progress
    client: Client | None = None
    done: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None
    received_bytes: int = 0
    started_over: bool = False
    """Whether what was put together did not match before."""

    def run(self) -> None:
        try:
            if urlsplit(self.job.url).scheme == "file":
                self._copy()
            else:
                self._fetch()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.error = error
        finally:
            if self.client is not None:
                self.client.close()
            self.done.set()

    def cancel(self) -> None:
        """Stop the thread wherever it reads or waits; it writes nothing more."""
        self.cancelled.set()
        if self.client is not None:
            self.client.cancel()

    def _copy(self) -> None:
        path = self.job.to.with_name(f"{self.job.to.name}.copy")
        try:
            with _local.opened(self.job.url) as body, Part(path, str(self.job.pin)) as part:
                self._receive(body, part)
                self._judge(body, part)
        except HttpError as error:  # or it is shortened while it is read
            raise self.job.failed(error.reason, kind=error.kind) from error

    def _fetch(self) -> None:
        """Try, and try again: from where it broke off, and from zero when what was put together does not match."""
        # urllib3 opens a socket when it is imported, to see whether there is IPv6: not where only files are copied.
        from modelboot._network.client import Client

        self.client = client = Client(self.settings)
        tries = Tries(self.settings.retries)
        path = self.job.to.with_name(f"{self.job.to.name}.part")
        with Part(path, str(self.job.pin)) as part:
            if part.sha256 == self.job.pin.sha256:  # all had come when an earlier call was killed
                part.publish(self.job.to)
                return
            while not self.cancelled.is_set():
                try:
                    with client.opened(self.job.url, start=part.size_bytes, validator=part.validator) as body:
                        self._receive(body, part)
                    if self._judge(body, part):
                        return
                except HttpError as error:
                    if self.cancelled.is_set():  # it is we who cut the connection; what has come stays
                        return
                    if error.restart and part.size_bytes:  # to ask for the whole file is no further try
                        part.restart()
                    else:
                        self._pause(error, tries)

    def _pause(self, error: HttpError, tries: Tries) -> None:
        """Wait before the next try; raise when there is none."""
        pause_s = tries.pause_s(error, self.deadline.remaining_s)
        if pause_s is None:
            raise self.job.failed(tries.told_with(error), error.url, error.kind) from error
        self.progress.note(f"{self.job.pin}: {error}; trying again in {pause_s:.1f} s")
        self.cancelled.wait(pause_s)

    def _receive(self, body: Body, part: Part) -> None:
        """Write and hash a body as it comes in."""
        if body.start != part.size_bytes:
            part.restart()
        part.resumed = part.size_bytes > 0
        part.begin(body.validator)
        cap_bytes = self._cap_bytes(body)
        self.progress.start(str(self.job.pin), body.total_bytes, part.size_bytes)
        for piece in body.pieces:
            if self.cancelled.is_set():
                return
            if part.size_bytes == 0 and not piece.startswith(WHEEL_STARTS[: len(piece)]):
                self._refuse_page(body, piece)
            if part.size_bytes + len(piece) > cap_bytes:
                raise self.job.failed(f"sends more than the {cap_bytes:,} bytes expected", body.url)
            part.write(piece)
            self.received_bytes += len(piece)
            self.progress.advance(len(piece))
        if body.total_bytes is not None and part.size_bytes < body.total_bytes:
            came = f"{part.size_bytes:,} of {body.total_bytes:,} bytes came"
            raise HttpError(f"cut short: {came}", body.url, kind="short", again=True)

    def _refuse_page(self, body: Body, piece: bytes) -> None:
        """Tell a page of a portal or proxy from a file with other bytes."""
        if body.is_page or piece.removeprefix(codecs.BOM_UTF8).lstrip()[:1] in {b"<", b"{"}:
            reason = f"a page came instead of the file ({body.content_type or 'no content type'})"
            raise self.job.failed(reason, body.url, "page")

    def _judge(self, body: Body, part: Part) -> bool:
        """Publish the pinned bytes; return False when a file that was put together is to be fetched from zero."""
        if self.cancelled.is_set():
            return True
        if part.sha256 == self.job.pin.sha256:
            part.publish(self.job.to)
            return True
        if self.started_over or not part.resumed:
            raise self.job.refused(part, body.url, body.content_type)
        _log.info("%s: what was put together from parts does not match; fetching it from the start", self.job.pin)
        part.restart()
        self.started_over = True
        return False

    def _cap_bytes(self, body: Body) -> int:
        """Return the most bytes to take: what the server declares, if the pin makes that believable."""
        size_mb = self.job.pin.size_mb
        # The catalog rounds to whole megabytes; a quarter more and 2 MiB leave room for any rounding.
        believable = UNKNOWN_CAP_BYTES if size_mb is None else (size_mb + 2) * (1 << 20) * 5 // 4
        if body.total_bytes is None:
            return believable
        if body.total_bytes > believable:
            reason = f"declares {body.total_bytes:,} bytes, at most {believable:,} are believable"
            raise self.job.failed(reason, body.url)
        return body.total_bytes

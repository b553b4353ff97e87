"""A URL -> a verified file: here the hash of a download is compared with the pin's.

It runs in the caller's thread: Ctrl-C goes through, and what was received stays.
"""

from __future__ import annotations

import codecs
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelboot._deadline import Deadline, Limits
from modelboot._files import CHUNK_BYTES, Identity
from modelboot._network.file_url import is_file_url, open_file
from modelboot._network.partial import PartialFile
from modelboot._network.response import RequestError, Response
from modelboot._network.retry import RetryBudget
from modelboot._network.trust_env import ContextAhead, TrustEnv
from modelboot._progress import Progress

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from modelboot._network.client import HttpClient

MAX_UNKNOWN_BYTES = 4 << 30
"""Most bytes taken when neither the caller nor the server says how large the file is."""
ZIP_MAGIC = b"PK"
"""Every zip file starts so; what starts otherwise is not a wheel."""

_log = logging.getLogger(__name__)


class Download(NamedTuple):
    """A file that is wanted: by its hash, wherever it comes from."""

    label: str
    """What people call it: name and version of the model."""
    sha256: str
    size_mb: int | None
    """Rough size in megabytes, which limits what is taken; None when unknown."""
    path: Path
    """Where the verified file appears, private to this user; its folder exists, and a `.part` file lies beside it."""
    limits: Limits
    progress: Progress

    @property
    def max_bytes(self) -> int:
        """Most bytes taken for it. The catalog rounds to megabytes; a quarter more and 2 MiB leave room for that."""
        return MAX_UNKNOWN_BYTES if self.size_mb is None else (self.size_mb + 2) * (1 << 20) * 5 // 4


class Received(NamedTuple):
    """A verified file: this process has written it, and hashed its bytes as they came."""

    identity: Identity
    """What tells the file from another that takes its place."""
    downloaded_bytes: int
    """Bytes received over the network; a copy of a file counts as none."""


def download(
    url: str, wanted: Download, trust_env: TrustEnv, context: Callable[[], ssl.SSLContext] | None = None
) -> Received:
    """Download a file and verify it.

    Args:
        url: http, https or file URL; may carry user:password.
        wanted: What to download, where to put it, and by when.
        trust_env: The user's .netrc and CA bundle.
        context: As for `HttpClient`.

    Returns:
        The file at `wanted.path`, which has the wanted hash.

    Raises:
        RequestError: This URL does not give the file; `got_sha256` says that it gives other bytes.
        InstallError: The file cannot be written.
        SettingsError: The certificates that are to be trusted cannot be read.
    """
    if is_file_url(url):
        return copy(url, wanted)
    context = context or (ContextAhead(trust_env) if url.startswith("https:") else None)
    # urllib3 opens a socket when it is imported, to see whether there is IPv6: not where only files are copied.
    from modelboot._network.client import HttpClient

    transfer = _Transfer(wanted)
    try:
        with HttpClient(wanted.limits, trust_env, context) as client:
            return Received(transfer.run(url, client), transfer.received_bytes)
    finally:
        wanted.progress.close()


def copy(url: str, wanted: Download) -> Received:
    """Copy a file of this machine and verify the copy: it is neither resumed nor retried; otherwise as `download`."""
    transfer, path = _Transfer(wanted), wanted.path.with_name(f"{wanted.path.name}.copy")
    try:
        with open_file(url) as response, PartialFile(path, wanted.label) as partial:
            transfer.write_body(response, partial)
            transfer.verify(response, partial)
            return Received(partial.rename(wanted.path), 0)
    finally:
        wanted.progress.close()


@dataclass(slots=True)
class _Transfer:
    """One download: as many attempts as its retries allow."""

    wanted: Download
    received_bytes: int = 0
    discarded: bool = False
    """Whether what was put together from parts did not match before."""

    @property
    def deadline(self) -> Deadline:
        return self.wanted.limits.deadline

    def run(self, url: str, client: HttpClient) -> Identity:
        """Attempt, and retry: from where it broke off, and from zero when what was put together does not match."""
        retries = RetryBudget(self.wanted.limits.retries)
        path = self.wanted.path.with_name(f"{self.wanted.path.name}.part")
        with PartialFile(path, self.wanted.label) as partial:
            if partial.sha256 == self.wanted.sha256:  # an earlier call received all of it and was killed
                return partial.rename(self.wanted.path)
            while True:
                try:
                    self._check_deadline(url)
                    with client.stream(url, start=partial.size_bytes, validator=partial.validator) as response:
                        self.write_body(response, partial)
                    if self.verify(response, partial):
                        return partial.rename(self.wanted.path)
                except RequestError as error:
                    self._check_deadline(error.url, error)  # then the timer has cut the connection
                    if error.discard_partial and partial.size_bytes:  # to ask for the complete file is not a retry
                        partial.discard()
                    else:
                        self._wait(error, retries)

    def _check_deadline(self, url: str, cause: RequestError | None = None) -> None:
        if self.deadline.remaining_s == 0:
            raise RequestError(str(self.deadline), url) from cause

    def _wait(self, error: RequestError, retries: RetryBudget) -> None:
        """Wait before the next attempt; raise when there is none."""
        delay_s = retries.next_delay_s(error, self.deadline.remaining_s)
        if delay_s is None:
            raise replace(error, reason=retries.describe(error)) from error
        self.wanted.progress.note(f"{self.wanted.label}: {error}; next attempt in {delay_s:.1f} s")
        time.sleep(delay_s)

    def write_body(self, response: Response, partial: PartialFile) -> None:
        """Write and hash a body as it comes in."""
        if response.start != partial.size_bytes:
            partial.discard()
        partial.resumed = partial.size_bytes > 0
        partial.set_validator(response.validator)
        max_bytes = self._max_bytes(response)
        self.wanted.progress.start(self.wanted.label, response.total_bytes, partial.size_bytes)
        # One byte more than may come tells that there is more.
        while chunk := response.read(max(1, min(CHUNK_BYTES, max_bytes - partial.size_bytes + 1))):
            self._check_deadline(response.url)
            if partial.size_bytes == 0 and not chunk.startswith(ZIP_MAGIC[: len(chunk)]):
                _reject_html(response, chunk)
            if partial.size_bytes + len(chunk) > max_bytes:
                raise RequestError(f"sends more than the {max_bytes:,} bytes expected", response.url)
            partial.write(chunk)
            self.received_bytes += len(chunk)
            self.wanted.progress.advance(len(chunk))
        self._check_deadline(response.url)
        if response.total_bytes is not None and partial.size_bytes < response.total_bytes:
            reason = f"cut short: {partial.size_bytes:,} of {response.total_bytes:,} bytes received"
            raise RequestError(reason, response.url, kind="short", broken=True)

    def verify(self, response: Response, partial: PartialFile) -> bool:
        """Return True if the hash is right, and False when a file put together from parts is to start from zero."""
        if partial.sha256 == self.wanted.sha256:
            return True
        if self.discarded or not partial.resumed:
            content_type = f" of {response.content_type}" if response.content_type else ""
            raise RequestError(
                f"got sha256 {partial.sha256} in {partial.size_bytes:,} bytes{content_type}",
                response.url,
                kind="bytes",
                got_sha256=partial.sha256,
                got_bytes=partial.size_bytes,
            )
        _log.info("%s: the resumed download does not match its hash; downloading from the start", self.wanted.label)
        partial.discard()
        self.discarded = True
        return False

    def _max_bytes(self, response: Response) -> int:
        """Return the most bytes to take: what the server declares, if that fits the size of the file."""
        max_bytes = self.wanted.max_bytes
        if response.total_bytes is None:
            return max_bytes
        if response.total_bytes > max_bytes:
            reason = f"declares {response.total_bytes:,} bytes, more than the {max_bytes:,} expected"
            raise RequestError(reason, response.url)
        return response.total_bytes


def _reject_html(response: Response, chunk: bytes) -> None:
    """Tell a page of a portal or proxy from a file with other bytes."""
    first = chunk.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if response.is_html or first in {b"<", b"{"}:
        what = "a JSON document" if "json" in response.content_type or first == b"{" else "an HTML page"
        reason = f"received {what} instead of the wheel ({response.content_type or 'no content type'})"
        raise RequestError(reason, response.url, kind="not_a_wheel")

"""Reading a response: what a status means, Content-Range, validators, and the body as it comes in.

`Response` and `RequestError` are shared by all transfers, over HTTP or from a file.
"""

from __future__ import annotations

import email.utils
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin, urlsplit

from modelboot._files import CHUNK_BYTES
from modelboot._redact import printable, without_secrets
from modelboot._turns import raise_if_from_signal
from modelboot.errors import Kind

if TYPE_CHECKING:
    import urllib3

RECORD_BYTES = 1 << 14
"""Most bytes that TLS hands out at once."""
WAITING_BYTES = 1 << 16
"""Most bytes that are waited for, so that they are not lost when no more come."""
HTML_TYPES = ("text/html", "application/xhtml+xml", "application/json", "application/problem+json")
_KINDS: dict[int, Kind] = {401: "auth", 403: "auth", 404: "missing", 407: "auth", 410: "missing"}
"""What a status says about what to do next."""
MAX_DIGITS = 20
"""Numbers of more digits are nonsense, and Python refuses to read those of thousands."""
PROXY_LOGIN_HINT = ": give user:password in HTTPS_PROXY"


@dataclass(eq=False)
class RequestError(Exception):
    """A URL did not give the file that was asked for."""

    reason: str
    """Why, as the end of a sentence."""
    url: str
    """Where it happened, after redirects."""
    kind: Kind = "other"
    broken: bool = False
    """Whether the connection broke, or was silent for too long, before all had come."""
    unreachable_after_s: float | None = None
    """Seconds until a host or its name server refused, perhaps for a moment only; None where there was a connection."""
    discard_partial: bool = False
    """Whether what has been received so far is of no use to the next attempt."""
    status: int | None = None
    """What the server answered, where it did and that is why."""
    retry_after_s: float | None = None
    """Seconds the server asks to wait before the next attempt."""
    got_sha256: str | None = None
    """Digest of what was received instead of the pinned file; None when nothing was hashed."""
    got_bytes: int | None = None
    """Length of what was received, in bytes; None when nothing was hashed."""

    def __post_init__(self) -> None:
        """Forget secrets and control characters: this error, or what it led to, is printed in full."""
        self.url = printable(without_secrets(self.url))
        self.reason = printable(self.reason)
        self.args = (self.reason,)

    def __str__(self) -> str:
        return self.reason


class Response(NamedTuple):
    """What a URL sends."""

    url: str
    """Where it came from in the end, after redirects."""
    read: Callable[[int], bytes]
    """Reads at most so many bytes as they come in: what has come is not lost when the rest does not."""
    total_bytes: int | None = None
    """Length of the complete file as the server declares it."""
    start: int = 0
    """Offset of the first chunk in the file: not 0 where the server resumes."""
    validator: str | None = None
    """What identifies this very file on the server (a strong ETag, else its date), to resume it later."""
    content_type: str = ""

    @property
    def chunks(self) -> Iterator[bytes]:
        """The body as it comes in, for who takes all of it."""
        return iter(partial(self.read, CHUNK_BYTES), b"")

    @property
    def is_html(self) -> bool:
        """Whether the server says that this is HTML or JSON, which no wheel is."""
        return self.content_type.partition(";")[0].strip().lower() in HTML_TYPES


def redirect_target(url: str, location: str) -> str:
    """Return where a redirect leads.

    Args:
        url: Where the response came from.
        location: Its header of that name.

    Raises:
        RequestError: It leads from https to http, or to what is not a web address.
    """
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # brackets that do not match, a port beyond 65535
        raise RequestError(f"redirects to an invalid URL: {error}", url) from error
    if not is_address or parts.scheme not in {"https", urlsplit(url).scheme}:
        raise RequestError(f"redirects from {urlsplit(url).scheme} to {without_secrets(target)}", url)
    return target


def error_for_status(response: urllib3.BaseHTTPResponse, url: str, *, is_resuming: bool) -> RequestError:
    """Return the error for a status that brings no file.

    Args:
        response: The response.
        url: Where it came from, after redirects.
        is_resuming: Whether a part of the file was asked for.
    """
    status = response.status
    reason = f"HTTP {status} {response.reason or ''}".strip()
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        reason += ": give user:password in the URL or .netrc, MODELBOOT_TOKEN at mirrors, or HF_TOKEN at the hub"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        reason += PROXY_LOGIN_HINT
    cannot_resume = is_resuming and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    return RequestError(
        reason,
        url,
        kind=_KINDS.get(status, "other"),
        discard_partial=cannot_resume,
        status=status,
        retry_after_s=_retry_after_s(response.headers.get("Retry-After", "").strip()),
    )


def _retry_after_s(text: str) -> float | None:
    """Read Retry-After: seconds or a date (RFC 9110, 10.2.3); None for neither."""
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):  # a year that no clock knows
        return None


def parse_response(response: urllib3.BaseHTTPResponse, url: str, requested_start: int) -> Response:
    """Read what the headers say of the file.

    Args:
        response: The response, whose body is still to come.
        url: Where it came from, after redirects.
        requested_start: Offset that was asked for.

    Raises:
        RequestError: It is another part of the file than was asked for, or it is compressed.
    """
    headers, is_part = response.headers, response.status == HTTPStatus.PARTIAL_CONTENT
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:  # what the pin's hash is over is not sent, although it was asked for
        reason = f"sends the file compressed ({encoding}), although asked not to"
        raise RequestError(reason, url, discard_partial=is_part)
    start, total_bytes = 0, _number(headers.get("Content-Length", ""))
    if is_part:
        start, total_bytes = _content_range(headers.get("Content-Range", ""), url)
        if start != requested_start:
            reason = f"sends from byte {start:,}, asked from {requested_start:,}"
            raise RequestError(reason, url, discard_partial=True)
    return Response(
        url=url,
        read=_reader(response),
        total_bytes=total_bytes,
        start=start,
        validator=_validator(headers.get("ETag", ""), headers.get("Last-Modified", "")),
        content_type=headers.get("Content-Type", ""),
    )


def _reader(response: urllib3.BaseHTTPResponse) -> Callable[[int], bytes]:
    """Return what reads the body."""
    if hasattr(response, "read1"):
        return _gathering(response)
    # urllib3 before 2.2 waits for as many bytes as are asked for.
    return lambda most_bytes: response.read(min(most_bytes, WAITING_BYTES))


def _gathering(response: urllib3.BaseHTTPResponse) -> Callable[[int], bytes]:
    """Return what reads the records of TLS that have come before they are hashed and written: one by one takes longer.

    Nothing is waited for but the first, and what came before a failure is not lost: the next read fails in its place.
    """
    failures: list[Exception] = []

    def read(most_bytes: int) -> bytes:
        if failures:
            raise failures.pop()
        gathered = bytearray(response.read1(min(RECORD_BYTES, most_bytes)))
        while gathered and len(gathered) < most_bytes and _is_more_here(response):
            try:
                part = response.read1(min(RECORD_BYTES, most_bytes - len(gathered)))
            except Exception as error:  # noqa: BLE001 - raised by the next read
                raise_if_from_signal(error)
                failures.append(error)
                break
            if not part:
                break
            gathered += part
        return bytes(gathered)

    return read


def _is_more_here(response: urllib3.BaseHTTPResponse) -> bool:
    """Return True if bytes of a response have come that are not read yet."""
    try:
        return bool(select.select([response.fileno()], [], [], 0)[0])
    except (AttributeError, OSError, ValueError) as error:  # the end of the body, or a number too large for select
        raise_if_from_signal(error)
        return False


def _validator(etag: str, last_modified: str) -> str | None:
    """Choose what If-Range takes: a weak ETag is not allowed there (RFC 9110, 13.1.5)."""
    if etag and not etag.startswith("W/"):
        return etag
    return last_modified or None


def _content_range(text: str, url: str) -> tuple[int, int | None]:
    """Read Content-Range: where the part starts, and the length of the complete file if that is known."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    start = _number(span.partition("-")[0])
    if unit != "bytes" or start is None:
        reason = f"sends a part of the file without saying which: Content-Range {text!r}"
        raise RequestError(reason, url, discard_partial=True)
    return start, _number(total)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < MAX_DIGITS else None

"""Reading an answer: Content-Range, Content-Encoding, validators, status -> a body, another URL, or an error.

Reads headers only. The error and the body are shared by all who fetch, whatever they fetch over.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from modelboot.errors import Kind, without_secrets

if TYPE_CHECKING:
    import urllib3


PIECE_BYTES = 1 << 16
PAGES = ("text/html", "application/xhtml+xml", "application/json", "application/problem+json")
TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""Answers that may be another in a moment; every other 4xx and 5xx is final."""
MOST_DIGITS = 20
"""Numbers of more digits are nonsense, and Python refuses to read those of thousands."""
PROXY_LOGIN_HINT = ": give user:password in HTTPS_PROXY"


@dataclass(eq=False)
class HttpError(Exception):
    """The server did not answer with a wheel."""

    reason: str
    """Why, as the end of a sentence."""
    url: str
    """Where it happened, after redirects."""
    kind: Kind = "other"
    again: bool = False
    """Whether a further try may succeed."""
    unreachable: bool = False
    """Whether there was no connection at all, so that other sources should soon get their turn."""
    restart: bool = False
    """Whether what has come so far is of no use to the next try."""
    after_s: float | None = None
    """Seconds the server asks to wait before the next try."""

    def __post_init__(self) -> None:
        """Forget the secrets of the URL: whoever prints this error, or what it led to, prints it whole."""
        self.url = without_secrets(self.url)
        self.args = (self.reason,)

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """What a source sends."""

    url: str
    """Where it came from in the end, after redirects."""
    pieces: Iterable[bytes]
    total_bytes: int | None = None
    """Length of the whole file as the source declares it."""
    start: int = 0
    """Offset of the first piece in the file: not 0 where the server resumes."""
    validator: str | None = None
    """What the server knows this very file by (a strong ETag, else its date), to resume it later."""
    content_type: str = ""

    @property
    def is_page(self) -> bool:
        """Whether the server says that this is text for a person or a program, which no wheel is."""
        return self.content_type.partition(";")[0].strip().lower() in PAGES


def redirected(url: str, location: str) -> str:
    """Return where a redirect leads.

    Args:
        url: Where the answer came from.
        location: Its header of that name.

    Raises:
        HttpError: It leads from https to http, or to what is no web address.
    """
    try:
        target = urljoin(url, location)
        parts = urlsplit(target)
        is_address = bool(parts.hostname) and parts.port != 0
    except ValueError as error:  # brackets that do not match, a port beyond 65535
        raise HttpError(f"redirects to what is no address: {error}", url) from error
    if not is_address or parts.scheme not in {"https", urlsplit(url).scheme}:
        raise HttpError(f"redirects from {urlsplit(url).scheme} to {without_secrets(target)}", url)
    return target


def refusal(response: urllib3.BaseHTTPResponse, url: str, *, is_resuming: bool) -> HttpError:
    """Word an answer that is no file.

    Args:
        response: The answer.
        url: Where it came from, after redirects.
        is_resuming: Whether a part of the file was asked for.
    """
    status = response.status
    reason = f"HTTP {status} {response.reason or ''}".strip()
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        reason += ": give user:password in MODELBOOT_BASE_URL or .netrc"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        reason += PROXY_LOGIN_HINT
    cannot_resume = is_resuming and status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    again = status in TRANSIENT or cannot_resume
    return HttpError(reason, url, again=again, restart=cannot_resume, after_s=_retry_after_s(response))


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    """Read Retry-After: seconds or a date (RFC 9110, 10.2.3); None for neither."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def body(response: urllib3.BaseHTTPResponse, url: str, asked_start: int) -> Body:
    """Read what a file's headers say of it.

    Args:
        response: The answer, whose body is still to come.
        url: Where it came from, after redirects.
        asked_start: Offset the file was asked from.

    Raises:
        HttpError: It is another part of the file than was asked for.
    """
    headers = response.headers
    encoded = headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}
    start, total = 0, _number(headers.get("Content-Length", ""))
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        start, total = _range(headers.get("Content-Range", ""), url)
        if start != asked_start:
            raise HttpError(f"sends from byte {start:,}, asked from {asked_start:,}", url, again=True, restart=True)
        if encoded:  # what was counted is the file; what it counts is what it compressed
            raise HttpError("sends a part of the file, compressed", url, again=True, restart=True)
    return Body(
        url=url,
        pieces=_decoded(response, url) if encoded else response.stream(PIECE_BYTES, decode_content=False),
        # A server that compresses against our word declares the length of what it sends, not of the file.
        total_bytes=None if encoded else total,
        start=start,
        validator=None if encoded else _validator(headers.get("ETag", ""), headers.get("Last-Modified", "")),
        content_type=headers.get("Content-Type", ""),
    )


def _decoded(response: urllib3.BaseHTTPResponse, url: str) -> Iterator[bytes]:
    """Yield what was compressed. Only here can be told that it was cut: nobody knows the length of the file itself."""
    yield from response.stream(PIECE_BYTES, decode_content=True)
    if response.length_remaining:
        raise HttpError("cut short", url, kind="short", again=True)


def _validator(etag: str, last_modified: str) -> str | None:
    """Choose what If-Range takes: a weak ETag is not allowed there (RFC 9110, 13.1.5)."""
    if etag and not etag.startswith("W/"):
        return etag
    return last_modified or None


def _range(text: str, url: str) -> tuple[int, int | None]:
    """Read Content-Range: where the piece starts, and the length of the whole file if that is known."""
    unit, _, rest = text.partition(" ")
    span, _, total = rest.partition("/")
    start = _number(span.partition("-")[0])
    if unit != "bytes" or start is None:
        raise HttpError(
            f"sends a part of the file without saying which: Content-Range {text!r}", url, again=True, restart=True
        )
    return start, _number(total)


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < MOST_DIGITS else None

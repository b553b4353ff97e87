"""What the headers of a response mean: where to go on, whether to come again, and which part of which file it is."""

from __future__ import annotations

import io
import time
from http.client import responses

import pytest
import urllib3

from modelboot._network.response import RequestError, error_for_status, parse_response, redirect_target
from modelboot._network.retry import is_retryable

URL = "http://a/x/y.whl"
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
DATE_S = 1445412480.0
LOGIN_HINT = ": give user:password in the URL or .netrc, MODELBOOT_TOKEN at mirrors, or HF_TOKEN at the hub"
HINTS = {401: LOGIN_HINT, 403: LOGIN_HINT, 407: ": give user:password in HTTPS_PROXY"}
KINDS = {401: "auth", 403: "auth", 404: "missing", 407: "auth", 410: "missing"}


def answer(status: int, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    """Make a response without a body."""
    reason = responses.get(status)
    return urllib3.HTTPResponse(io.BytesIO(), headers, status, reason=reason, preload_content=False)


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("z.whl", "http://a/x/z.whl"),
        ("../z.whl?k=1", "http://a/z.whl?k=1"),
        ("//b:8080/z.whl", "http://b:8080/z.whl"),
    ],
)
def test_redirect(location: str, target: str) -> None:
    """A redirect leads on from where it was given."""
    assert redirect_target(URL, location) == target


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "redirects from http to file:///etc/passwd"),
        ("http://b:0/z", "redirects from http to http://b:0/z"),
        ("http://:80/z", "redirects from http to http://:80/z"),
        ("http://[s3cret", "redirects to an invalid URL: Invalid IPv6 URL"),
        ("http://b:99999/", "redirects to an invalid URL: Port out of range 0-65535"),
    ],
)
def test_redirect_refused(location: str, reason: str) -> None:
    """A redirect that leads to what is not a web address is refused without its secrets."""
    with pytest.raises(RequestError, match=r"^redirects") as refused:
        redirect_target(URL, location)
    assert (str(refused.value), refused.value.url, is_retryable(refused.value)) == (reason, URL, False)


@pytest.mark.parametrize(
    ("status", "again"),
    [(status, True) for status in (408, 429, 500, 502, 503, 504)]
    + [(status, False) for status in (204, 302, 400, 401, 403, 404, 407, 409, 410, 416, 425, 451, 501, 505, 599)],
)
def test_status(status: int, again: bool) -> None:  # noqa: FBT001 - a column
    """Only what may be another in a moment is worth a retry; the status is told in words, with what to give."""
    error = error_for_status(answer(status, {}), URL, is_resuming=False)
    assert error.reason == f"HTTP {status} {responses.get(status, '')}".strip() + HINTS.get(status, "")
    assert (is_retryable(error), error.kind) == (again, KINDS.get(status, "other"))


@pytest.mark.parametrize(
    ("text", "after_s"),
    [
        ("7", 7.0),
        ("1.5", None),
        ("Wed, 21 Oct 2015 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 99 Oct 2015 07:28:30 GMT", None),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("9" * 400, float("inf")),
    ],
)
def test_retry_after(monkeypatch: pytest.MonkeyPatch, text: str, after_s: float | None) -> None:
    """Seconds and dates are read, one that has passed as "now"; anything else counts for nothing."""
    monkeypatch.setattr(time, "time", lambda: DATE_S)
    error = error_for_status(answer(503, {"Retry-After": text}), URL, is_resuming=False)
    assert error.retry_after_s == after_s


@pytest.mark.parametrize(
    ("status", "headers", "start", "total_bytes"),
    [
        (206, {"Content-Range": "bytes 9-9/10"}, 9, 10),
        (206, {"Content-Range": "bytes 9-9/*"}, 9, None),
        (206, {"Content-Range": f"bytes 9-9/{'9' * 5000}"}, 9, None),
        (200, {"Content-Length": "10", "Content-Encoding": "identity"}, 0, 10),
        (200, {"Content-Length": "ten", "Content-Encoding": ""}, 0, None),
    ],
)
def test_part(status: int, headers: dict[str, str], start: int, total_bytes: int | None) -> None:
    """A response says where it starts and how long the complete file is; an absurd number counts for nothing."""
    part = parse_response(answer(status, headers), URL, 9)
    assert (part.start, part.total_bytes) == (start, total_bytes)


UNNAMED = "sends a part of the file without saying which: Content-Range"
COMPRESSED = "sends the file compressed ({}), although asked not to"


@pytest.mark.parametrize(
    ("status", "headers", "reason"),
    [
        (206, {"Content-Range": "bytes 8-9/10"}, "sends from byte 8, asked from 9"),
        (206, {"Content-Range": "pages 9-10/10"}, f"{UNNAMED} 'pages 9-10/10'"),
        (206, {"Content-Range": f"bytes {'9' * 5000}-/*"}, f"{UNNAMED} 'bytes {'9' * 5000}-/*'"),
        (206, {}, f"{UNNAMED} ''"),
        (206, {"Content-Range": "bytes 9-9/10", "Content-Encoding": "gzip"}, COMPRESSED.format("gzip")),
        (200, {"Content-Encoding": " GZIP "}, COMPRESSED.format("gzip")),
    ],
)
def test_part_of_no_use(status: int, headers: dict[str, str], reason: str) -> None:
    """Another part than was asked for, or a compressed file, is refused; the complete file may be had all the same."""
    with pytest.raises(RequestError, match=r"^sends") as refused:
        parse_response(answer(status, headers), URL, 9)
    assert str(refused.value) == reason
    assert is_retryable(refused.value) is refused.value.discard_partial is (status == 206)


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"a"', "Last-Modified": DATE}, '"a"'),
        ({"ETag": 'W/"a"', "Last-Modified": DATE}, DATE),
        ({"ETag": 'W/"a"'}, None),
    ],
)
def test_validator(headers: dict[str, str], validator: str | None) -> None:
    """Only what If-Range takes is kept to resume by."""
    assert parse_response(answer(200, headers), URL, 0).validator == validator

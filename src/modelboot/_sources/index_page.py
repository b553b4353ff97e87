"""What a page of a package index lists: links to files, in JSON (PEP 691) or HTML (PEP 503)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from modelboot._deadline import Deadline
from modelboot._network.file_url import is_file_url
from modelboot._network.response import RequestError, Response

MAX_PAGE_BYTES = 32 << 20
"""Largest page that is read: a page of links may list all files of a site."""
MAX_ENTRIES = 500_000
"""Most lists and objects of a page in JSON: Python needs a hundred bytes for an empty one."""
FEED_CHARACTERS = 1 << 16
_SHA256 = r"[0-9a-fA-F]{64}"
_HASH = r"(?i)(?:^|&)sha256=([0-9a-f]{64})(?:&|$)"


class Link(NamedTuple):
    """A file that a page lists."""

    url: str
    filename: str
    sha256: str | None
    """The hash it is listed with, in lower case; None where none is listed."""


def links_of(response: Response, deadline: Deadline) -> list[Link]:
    """Read a page and return the files that it lists; entries that cannot be read are left out.

    Args:
        response: The page.
        deadline: By when it is to be parsed.

    Raises:
        RequestError: It is not a page of an index, but that of a portal; it is too large, or was cut short.
    """
    page = _read(response)
    kind = response.content_type.partition(";")[0].strip().lower()
    if kind == "application/vnd.pypi.simple.v1+json":
        return [*_links_of_json(response.url, page)]
    if kind in {"", "text/html", "application/vnd.pypi.simple.v1+html"}:
        return [*_links_of_html(response.url, page.decode(errors="replace"), deadline)]
    raise RequestError(f"is not a package index ({kind})", response.url, kind="not_a_wheel")


def _read(response: Response) -> bytes:
    page = bytearray()
    for chunk in response.chunks:
        page += chunk
        if len(page) > MAX_PAGE_BYTES:
            raise RequestError(f"lists more than {MAX_PAGE_BYTES:,} bytes", response.url)
    if response.total_bytes is not None and len(page) < response.total_bytes:
        raise RequestError("cut short", response.url, kind="short", broken=True)
    return bytes(page)


def _links_of_json(url: str, page: bytes) -> Iterator[Link]:
    if page.count(b"{") + page.count(b"[") > MAX_ENTRIES:
        raise RequestError(f"lists more than {MAX_ENTRIES:,} entries", url)
    try:
        files = [file for file in json.loads(page)["files"] if isinstance(file, dict)]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise RequestError("is not a package index (JSON without files)", url, kind="not_a_wheel") from error
    for file in files:
        filename, href, hashes = file.get("filename"), file.get("url"), file.get("hashes")
        sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
        if isinstance(filename, str) and isinstance(href, str) and (target := _joined(url, href)):
            is_hash = isinstance(sha256, str) and re.fullmatch(_SHA256, sha256)
            yield Link(target, filename, str(sha256).lower() if is_hash else None)


def _links_of_html(url: str, page: str, deadline: Deadline) -> Iterator[Link]:
    from html.parser import HTMLParser  # takes 2 ms, and most pages are JSON

    bases, hrefs = list[str](), list[str]()

    class Anchors(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            href = dict(attrs).get("href")
            if href and tag in {"a", "base"}:
                (hrefs if tag == "a" else bases).append(href)

    parser = Anchors()
    for start in range(0, len(page), FEED_CHARACTERS):
        if deadline.remaining_s == 0:  # a page can be made so that the parser reads it again and again
            raise RequestError(str(deadline), url)
        try:
            parser.feed(page[start : start + FEED_CHARACTERS])
        except AssertionError as error:  # Python's own, on a declaration that is never made
            raise RequestError("is not a package index (HTML that cannot be read)", url, kind="not_a_wheel") from error
    base = (_joined(url, bases[0]) if bases else "") or url
    for href in hrefs:
        if ".whl" in href and (target := _joined(base, href)):  # joining takes time, and a page may have a million
            yield link_to(target)


def link_to(url: str) -> Link:
    """Return what a link says of a file: its name, and perhaps its hash as the fragment."""
    parts = urlsplit(url)
    listed = re.search(_HASH, parts.fragment)
    filename = unquote(parts.path.rpartition("/")[2])
    return Link(urlunsplit(parts._replace(fragment="")), filename, listed and listed[1].lower())


def _joined(url: str, href: str) -> str:
    """Return the web or file address that a link leads to; empty where it leads to none, or from the web to a file."""
    schemes = ("http", "https", "file") if is_file_url(url) else ("http", "https")
    try:
        target = urljoin(url, href)
    except ValueError:  # brackets that do not match
        return ""
    return target if is_place(target, schemes) else ""


def is_place(url: str, schemes: Sequence[str]) -> bool:
    """Return True if a URL names a file, or a host with a port that there can be."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and (parts.scheme == "file" or bool(parts.hostname and parts.port != 0))
    except ValueError:  # brackets that do not match, a port beyond 65535
        return False

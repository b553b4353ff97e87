"""What a source sends, and the error for what it does not: shared by all who fetch, whatever they fetch over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelboot.errors import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelboot.errors import Kind

PIECE_BYTES = 1 << 16
PAGES = ("text/html", "application/xhtml+xml", "application/json", "application/problem+json")


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

"""What may be shown of texts from outside: URLs without secrets, words without control characters."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit, urlunsplit


def without_secrets(url: str) -> str:
    """Remove user, password, query and fragment from a URL: any of them may be a credential.

    Args:
        url: Any URL or plain path. A mistyped URL, whose parts cannot be recognised, loses all up to its last "@".

    Returns:
        The URL as it may be shown and written to disk.
    """
    try:
        parts = urlsplit(url)
        host_known = parts.port is not None or bool(parts.netloc)
    except ValueError:  # brackets without an address between them, a port that is not a number
        return _after_last_at(url)
    if not (host_known or parts.scheme == "file" or url.startswith("/")):
        return _after_last_at(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _after_last_at(text: str) -> str:
    return re.split(r"[?#]", text.rpartition("@")[2])[0]


def printable(text: str) -> str:
    r"""Make one line of a text from outside, without a character that a terminal obeys instead of showing.

    Args:
        text: What a server, a program or a file name says; it may hold escape sequences, or bytes that are not UTF-8.

    Returns:
        The text: whitespace that breaks lines is a space, other control characters are written as `\x1b`.
    """
    return text if text.isprintable() else "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character in "\t\n\v\f\r":
        return " "
    is_unsafe = character in _TEXT_DIRECTION or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}
    return character.encode("unicode_escape").decode() if is_unsafe else character


_TEXT_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What makes a terminal show a text in another order than it has."""


def is_secret(variable: str) -> bool:
    """Return True if the value of a variable is not to be shown."""
    return variable.endswith("_TOKEN")

"""What may be shown of a text from outside: no login, no token, nothing that a terminal obeys."""

from __future__ import annotations

import pytest

from modelboot._redact import printable, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a/b.whl", "https://host/a/b.whl"),
        ("https://user:pw@host/b.whl", "https://host/b.whl"),
        ("https://token@host:8443/b.whl", "https://host:8443/b.whl"),
        ("https://us@er:p@w@host/b.whl", "https://host/b.whl"),
        ("https://host/b.whl?token=pw", "https://host/b.whl"),
        ("https://host/b.whl#token=pw", "https://host/b.whl"),
        ("https://host/pkg@1.0/b.whl", "https://host/pkg@1.0/b.whl"),
        ("https://[::1]:80/b.whl", "https://[::1]:80/b.whl"),
        ("file:///srv/a@b/c.whl", "file:///srv/a@b/c.whl"),
        ("/srv/a@b/c.whl", "/srv/a@b/c.whl"),
        ("wheels", "wheels"),
        ("user:pw@host/b.whl#token=pw", "host/b.whl"),
        ("https:/user:pw@host/b.whl", "host/b.whl"),
        ("https//user:pw@host/b.whl?token=pw", "host/b.whl"),
        ("https://user:p/w@host/b.whl", "host/b.whl"),
        ("https://user:pw@[host/b.whl", "[host/b.whl"),
    ],
)
def test_without_secrets(url: str, shown: str) -> None:
    """User, password, query and fragment are cut, from mistyped URLs as well; all else stays."""
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    "character",
    [
        *("\0", "\x07", "\x08", "\x1b", "\x7f", "\x85", "\x9b", "\x9d"),  # controls of both sets
        *("\ud800", "\udc9b", "\udfff"),  # what bytes that are not UTF-8 become
        *("\u2028", "\u2029"),  # ends of lines and paragraphs
        *("\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"),  # directions
    ],
    ids=ascii,
)
def test_printable_of_what_a_terminal_obeys(character: str) -> None:
    """It is written as an escape, wherever it stands."""
    escape = character.encode("unicode_escape").decode()
    assert printable(f"a{character}é{character}") == f"a{escape}é{escape}"
    assert printable(character).isascii()


@pytest.mark.parametrize(
    ("text", "shown"), [("a\r\nb\tc\vd\fe\n", "a  b c d e "), ("plain é 日本 😀 %", "plain é 日本 😀 %")]
)
def test_printable_of_other_text(text: str, shown: str) -> None:
    """White space that breaks lines is a space, so that the text is one line; words of any language stay."""
    assert printable(text) == shown

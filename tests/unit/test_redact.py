"""What is cut from a URL before it is shown."""

from __future__ import annotations

import pytest

from modelboot._redact import without_secrets


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
        ("user:pw@host/b.whl", "host/b.whl"),
        ("https:/user:pw@host/b.whl", "host/b.whl"),
        ("https//user:pw@host/b.whl?token=pw", "host/b.whl"),
        ("https://user:p/w@host/b.whl", "host/b.whl"),
        ("https://user:pw@[host/b.whl", "[host/b.whl"),
    ],
)
def test_without_secrets(url: str, shown: str) -> None:
    """User, password, query and fragment are cut, from mistyped URLs as well; all else stays."""
    assert without_secrets(url) == shown

"""Who a server is told we are."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from modelboot._network.logins import login_for

if TYPE_CHECKING:
    from pathlib import Path

NETRC = """\
machine mirror.test
  login ann
  password "of the mirror"
machine token.test password only
machine named.test login bob
default login anybody password everywhere
"""
BARE, ASKED = "https://mirror.test/x.whl", "https://user:pw@mirror.test/x.whl"


@pytest.fixture
def netrc(tmp_path: Path) -> Path:
    """Return a .netrc file."""
    path = tmp_path / "netrc"
    path.write_text(NETRC, "utf-8")
    return path


@pytest.mark.parametrize(
    ("url", "asked_url", "login"),
    [
        (BARE, BARE, None),
        (ASKED, ASKED, "user:pw"),
        ("https://mirror.test/y.whl", ASKED, "user:pw"),
        ("https://us%40er:p%3Aw%2F@mirror.test/", "https://us%40er:p%3Aw%2F@mirror.test/", "us@er:p:w/"),
        ("https://token@mirror.test/", "https://token@mirror.test/", "token:"),
        ("https://other.test/x.whl", ASKED, None),
        ("http://mirror.test/x.whl", ASKED, None),
        ("https://mirror.test:444/x.whl", ASKED, None),
        ("https://sub.mirror.test/x.whl", ASKED, None),
        ("https://planted:pw@other.test/x.whl", ASKED, None),
        ("https://planted:pw@mirror.test/x.whl", ASKED, "user:pw"),
        ("https://planted:pw@mirror.test/x.whl", BARE, None),
    ],
    ids=[
        "none", "own", "other-path", "quoted", "no-password", "other-host", "other-scheme", "other-port", "subdomain",
        "planted-elsewhere", "planted-here", "planted-alone",
    ],
)  # fmt: skip
def test_login_of_url(url: str, asked_url: str, login: str | None) -> None:
    """User and password of the URL that was asked for go to its host only; those of a redirect are never used."""
    assert login_for(url, asked_url, None) == login


@pytest.mark.parametrize(
    ("url", "asked_url", "login"),
    [
        (BARE, BARE, "ann:of the mirror"),
        ("https://mirror.test:444/", BARE, "ann:of the mirror"),
        (ASKED, ASKED, "user:pw"),
        ("https://token.test/", BARE, ":only"),
        ("https://named.test/", BARE, "bob:"),
        ("https://other.test/", ASKED, "anybody:everywhere"),
    ],
    ids=["host", "port", "url-wins", "password-alone", "login-alone", "default"],
)
def test_login_of_netrc(netrc: Path, url: str, asked_url: str, login: str) -> None:
    """What the URL does not say .netrc says, for each host its own."""
    assert login_for(url, asked_url, netrc) == login


def test_login_of_netrc_without_default(tmp_path: Path) -> None:
    """A host .netrc does not name gets no login."""
    (tmp_path / "netrc").write_text("machine mirror.test login ann password pw", "utf-8")
    assert login_for("https://other.test/", BARE, tmp_path / "netrc") is None


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"machine mirror.test login ann s3cret", "NetrcParseError"), (b"machine \xff\xfe s3cret", "")],
    ids=["mistyped", "binary"],
)
def test_login_of_broken_netrc(tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, why: str) -> None:
    """A .netrc that cannot be read is warned of by name, none of its content shown, and no login is sent."""
    path = tmp_path / "netrc"
    path.write_bytes(content)
    assert login_for(BARE, BARE, path) is None
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("modelboot._network.logins", logging.WARNING)
    assert record.getMessage().startswith(f"{path} cannot be used: {why}")
    assert "s3cret" not in caplog.text


def test_login_of_netrc_that_went_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A .netrc that was there a moment ago is warned of, and no login is sent."""
    assert login_for(BARE, BARE, tmp_path / "netrc") is None
    assert "FileNotFoundError" in caplog.text

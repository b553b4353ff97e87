"""Who a server is told we are: user:password of the URL, for that host only, else what .netrc has for the host."""

from __future__ import annotations

import logging
import netrc
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


def login_for(url: str, asked_url: str, netrc_file: Path | None) -> str | None:
    """Return "user:password" for one request.

    Args:
        url: Where the request goes, perhaps after redirects.
        asked_url: Where the first request went; its user:password goes nowhere else.
        netrc_file: The user's .netrc; None where there is none.

    Returns:
        The login, or None to go without.
    """
    asked = urlsplit(asked_url)
    if asked.username is not None and _origin(url) == _origin(asked_url):
        return f"{unquote(asked.username)}:{unquote(asked.password or '')}"
    return _from_netrc(urlsplit(url).hostname or "", netrc_file)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _from_netrc(host: str, netrc_file: Path | None) -> str | None:
    if netrc_file is None:
        return None
    try:
        found = netrc.netrc(str(netrc_file)).authenticators(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
        # Not its text: that may quote the file.
        _log.warning("%s cannot be used: %s", netrc_file, type(error).__name__)
        return None
    if found is None:
        return None
    login, account, password = found
    return f"{login or account or ''}:{password or ''}"

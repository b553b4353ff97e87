"""What requests and httpx call trust_env: proxies, NO_PROXY, .netrc, and the certificate authorities to trust."""

from __future__ import annotations

import base64
import importlib
import logging
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from modelboot._parse import CERTIFICATES, HEADER_TEXT, parse_token
from modelboot._trust_env import DEFAULT_PORTS, TrustEnv, origin_of
from modelboot.errors import SettingsError


def proxy_for(url: str) -> str | None:
    """Return the proxy a request for a URL goes through.

    Args:
        url: http or https URL.

    Returns:
        URL of the proxy, with user:password if it has one; None to connect directly. NO_PROXY may hold host names
        (which cover their subdomains), addresses, networks such as 10.0.0.0/8, each with a port or without, and "*".
    """
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or parts.hostname is None:
        return None
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    exceptions = [entry.strip() for entry in proxies.get("no", "").split(",") if entry.strip()]
    # proxy_bypass adds what the system settings of macOS and Windows say.
    if any(no_proxy_matches(entry, parts.hostname, port) for entry in exceptions) or proxy_bypass(parts.hostname):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def no_proxy_matches(entry: str, host: str, port: int) -> bool:
    """Tell whether one entry of NO_PROXY matches a host and port."""
    name, _, own_port = entry.rpartition(":")
    if name and own_port.isdecimal() and (":" not in name or name.endswith("]")):
        if int(own_port) != port:
            return False
        entry = name
    if entry == "*":
        return True
    entry = entry.strip("[]").lstrip("*").lstrip(".").lower()
    import ipaddress

    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:  # one of them is a name
        return bool(entry) and (host == entry or host.endswith(f".{entry}"))


_log = logging.getLogger(__name__)


def authorization_for(url: str, first_url: str, trust_env: TrustEnv) -> str | None:
    """Return the Authorization header of one request.

    Args:
        url: Where the request goes, perhaps after redirects.
        first_url: Where the first request went; its user:password, or the token for that place, goes nowhere else.
        trust_env: The user's tokens and .netrc.

    Returns:
        The header, or None to go without: user:password of the URL first, then a token, then what .netrc says.
    """
    token = dict(trust_env.tokens).get(origin_of(url))
    if token and origin_of(url) == origin_of(first_url) and urlsplit(first_url).username is None:
        return f"Bearer {_usable(token)}"
    credentials = credentials_for(url, first_url, trust_env.netrc)
    return None if credentials is None else basic(credentials)


def _usable(token: str) -> str:
    """Return a token that a header may hold. Modelboot's own was checked when it was read."""
    try:
        return parse_token(token)
    except ValueError:
        raise SettingsError(variable="HF_TOKEN", value="***", accepted=HEADER_TEXT, default="none") from None


def basic(credentials: str) -> str:
    """Encode user:password as RFC 7617 does. UTF-8, as curl and browsers send it: urllib3 raises beyond Latin-1."""
    return f"Basic {base64.b64encode(credentials.encode()).decode()}"


def credentials_for(url: str, first_url: str, netrc_file: Path | None) -> str | None:
    """Return "user:password" for one request.

    Args:
        url: Where the request goes, perhaps after redirects.
        first_url: Where the first request went; its user:password goes nowhere else.
        netrc_file: The user's .netrc; None where there is none.

    Returns:
        The credentials, or None to go without. The `default` login of .netrc is for hosts that the user names, not for
        those a server redirects to.
    """
    asked, host = urlsplit(first_url), urlsplit(url).hostname or ""
    if asked.username is not None and origin_of(url) == origin_of(first_url):
        return f"{unquote(asked.username)}:{unquote(asked.password or '')}"
    return _from_netrc(host, netrc_file, allow_default=host == asked.hostname)


def _from_netrc(host: str, netrc_file: Path | None, *, allow_default: bool) -> str | None:
    if netrc_file is None:
        return None
    import netrc

    try:
        hosts = netrc.netrc(str(netrc_file)).hosts
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
        # Not its text: that may quote the file.
        _log.warning("%s cannot be used: %s", netrc_file, type(error).__name__)
        return None
    found = hosts.get(host, hosts.get("default") if allow_default else None)
    if found is None:
        return None
    login, account, password = found
    return f"{login or account or ''}:{password or ''}"


CA_VARIABLES = "SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"


def ssl_context(ca_bundle: tuple[str, Path] | None) -> ssl.SSLContext:
    """Return the TLS context for downloads. Nothing switches verification off.

    Args:
        ca_bundle: A file or folder of PEM certificates, and the variable that names it; None for the system's.

    Returns:
        A context that trusts the bundle when one is set; else what OpenSSL is told by SSL_CERT_FILE and SSL_CERT_DIR
        or finds on this system; else certifi's, where it is installed.

    Raises:
        SettingsError: The bundle cannot be read.
    """
    if ca_bundle is None:
        context = ssl.create_default_context()
        return context if _system_has_any(context) else _with_certifi(context)
    variable, bundle = ca_bundle
    try:
        if bundle.is_dir():
            return ssl.create_default_context(capath=str(bundle))
        return ssl.create_default_context(cafile=str(bundle))
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(variable=variable, value=str(bundle), accepted=CERTIFICATES) from error


def _system_has_any(context: ssl.SSLContext) -> bool:
    """Tell whether OpenSSL has anything to trust. Certificates of a folder are read only when they are needed."""
    folder = ssl.get_default_verify_paths().capath  # None where there is no such folder
    return bool(context.get_ca_certs() or (folder and [*Path(folder).iterdir()]))


def _with_certifi(context: ssl.SSLContext) -> ssl.SSLContext:
    try:
        certifi = importlib.import_module("certifi")
    except ImportError:  # requests brings it, and spaCy requests
        return context
    context.load_verify_locations(cafile=certifi.where())
    return context

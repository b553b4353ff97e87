"""What requests and httpx call trust_env: proxies, NO_PROXY, .netrc, and the certificate authorities to trust."""

from __future__ import annotations

import base64
import importlib
import logging
import os
import ssl
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from modelboot._parse import CERTIFICATES, HEADER_TEXT, parse_token
from modelboot._trust_env import DEFAULT_PORTS, TrustEnv, origin_of
from modelboot.errors import SettingsError

NO_TRUST_ENV = TrustEnv()


def proxy_for(url: str, trust_env: TrustEnv = NO_TRUST_ENV) -> str | None:
    """Return the proxy a request for a URL goes through.

    Args:
        url: http or https URL.
        trust_env: Its proxy, if it has one, is used for every host.

    Returns:
        URL of the proxy, with user:password if it has one; None to connect directly. NO_PROXY may hold host names
        (which cover their subdomains), addresses, networks such as 10.0.0.0/8, each with a port or without, and "*".
    """
    if trust_env.proxy:
        return trust_env.proxy if "://" in trust_env.proxy else f"http://{trust_env.proxy}"
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
    if trust_env.is_index and origin_of(url) != origin_of(first_url):
        return None
    credentials = credentials_for(url, first_url, trust_env)
    return None if credentials is None else basic(credentials)


def _usable(token: str) -> str:
    """Return a token that a header may hold. Modelboot's own was checked when it was read."""
    try:
        return parse_token(token)
    except ValueError:
        raise SettingsError(variable="HF_TOKEN", value="***", accepted=HEADER_TEXT, default="none") from None


def basic(credentials: str) -> str:
    """Encode user:password as RFC 7617 does. UTF-8, as curl and browsers send it: urllib3 raises beyond Latin-1."""
    return f"Basic {base64.b64encode(credentials.encode(errors='surrogateescape')).decode()}"


def credentials_for(url: str, first_url: str, trust_env: TrustEnv) -> str | None:
    """Return "user:password" for one request.

    Args:
        url: Where the request goes, perhaps after redirects.
        first_url: Where the first request went; its user:password goes nowhere else.
        trust_env: The user's .netrc.

    Returns:
        The credentials, or None to go without. The `default` login of .netrc is for hosts that the user names, not for
        those a server redirects to.
    """
    asked, host = urlsplit(first_url), urlsplit(url).hostname or ""
    is_first = asked.username is not None and origin_of(url) == origin_of(first_url)
    named = f"{unquote(asked.username or '')}:{unquote(asked.password or '')}" if is_first else None
    if is_first and not (trust_env.is_index and asked.password is None):
        return named
    found = _from_netrc(host, trust_env.netrc, allow_default=trust_env.netrc_default and host == asked.hostname)
    # As for pip, a password in .netrc goes before none in the URL.
    return found if found and (named is None or found.startswith(named)) else named


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


def ssl_context(trust_env: TrustEnv) -> ssl.SSLContext:
    """Return the TLS context for downloads. Nothing switches verification off but pip's trusted-host, for an index.

    Args:
        trust_env: Which certificates to trust.

    Returns:
        A context that trusts the bundle that a variable names; else what OpenSSL is told by SSL_CERT_FILE and
        SSL_CERT_DIR or finds on this system; else certifi's, where it is installed. For an index all of them are
        united with pip's own, as pip does.

    Raises:
        SettingsError: A bundle cannot be read.
    """
    bundles = [] if trust_env.ca_bundle is None else [trust_env.ca_bundle]
    if bundles and not trust_env.is_index:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context()
        if trust_env.is_index or not _system_has_any(context):
            _add_certifi(context)
    if trust_env.cert:
        bundles.append(("PIP_CERT", trust_env.cert))
    read = {os.environ.get("SSL_CERT_FILE", "")}  # each takes 20 to 50 ms
    for variable, bundle in bundles:
        if str(bundle) not in read:
            _add(context, variable, bundle)
        read.add(str(bundle))
    _add_client_cert(context, trust_env)
    return context


def unverified_context(trust_env: TrustEnv) -> ssl.SSLContext:
    """Return a context that checks no certificate, for a host of pip's trusted-host: the hash proves the bytes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _add_client_cert(context, trust_env)
    return context


def _add_client_cert(context: ssl.SSLContext, trust_env: TrustEnv) -> None:
    if trust_env.client_cert is None:
        return
    try:
        context.load_cert_chain(trust_env.client_cert, password="")  # never asked for at the terminal
    except OSError as error:  # ssl.SSLError is one
        value, accepted = str(trust_env.client_cert), "a PEM file of a certificate and its key, without a password"
        raise SettingsError(variable="PIP_CLIENT_CERT", value=value, accepted=accepted) from error


def _add(context: ssl.SSLContext, variable: str, bundle: Path) -> None:
    try:
        if bundle.is_dir():
            context.load_verify_locations(capath=str(bundle))
        else:
            context.load_verify_locations(cafile=str(bundle))
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(variable=variable, value=str(bundle), accepted=CERTIFICATES) from error


def _system_has_any(context: ssl.SSLContext) -> bool:
    """Tell whether OpenSSL has anything to trust. Certificates of a folder are read only when they are needed."""
    folder = ssl.get_default_verify_paths().capath  # None where there is no such folder
    return bool(context.get_ca_certs() or (folder and [*Path(folder).iterdir()]))


def _add_certifi(context: ssl.SSLContext) -> None:
    with suppress(ImportError):  # requests brings it, and spaCy requests
        certifi = importlib.import_module("certifi")
        context.load_verify_locations(cafile=certifi.where())

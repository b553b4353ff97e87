"""Proxies, NO_PROXY, .netrc, certificate authorities: what other programs' variables and files say of the network.

requests and httpx call it trust_env. HF_TOKEN and HF_ENDPOINT of the model hub are read here, too. To read them imports
neither `ssl` nor anything else that only a request needs.
"""

from __future__ import annotations

import base64
import importlib
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from modelboot._redact import without_secrets
from modelboot._settings import CERTIFICATES, HEADER_TEXT, Settings, directory, parse_hub, parse_token, read_variable
from modelboot._threads import Worker
from modelboot.errors import SettingsError

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger(__name__)

HUB = "https://huggingface.co"
"""The model hub: HF_ENDPOINT names another address of it."""
DEFAULT_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str | None, int | None]

CA_VARIABLES = "SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What users of requests and curl set, in order. SSL_CERT_FILE and SSL_CERT_DIR are OpenSSL's own to read."""
_HUB_URL, _HUB_TOKEN = "HF_ENDPOINT", "HF_TOKEN"
"""What users of the model hub set: another address of it, and who they are."""
_PATHS = ("SSL_CERT_FILE", "SSL_CERT_DIR", *_CA_BUNDLES, "NETRC")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def origin_of(url: str) -> Origin:
    """Return what a token is bound to: scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


class TrustEnv(NamedTuple):
    """What variables of other programs say: requests and httpx call it trust_env."""

    tokens: tuple[tuple[Origin, str], ...] = ()
    """Bearer token by the one place it may be sent to."""
    hub: str = HUB
    """URL that stands in for the model hub's."""
    refused_hub: str = ""
    """An HF_ENDPOINT that is not a URL."""
    netrc: Path | None = None
    """The user's .netrc; None where there is none."""
    ca_bundle: tuple[str, Path] | None = None
    """File or folder of certificates to trust instead of the system's, and the variable that names it."""
    is_index: bool = False
    """Whether a package index is asked: its logins follow no redirect to another host, and all bundles are united."""
    netrc_default: bool = True
    """Whether .netrc's `default` login may be sent: not to a host that only a page of links names."""
    cert: Path | None = None
    """pip's `cert`: certificates to trust as well."""
    client_cert: Path | None = None
    """pip's `client-cert`: this user's certificate and its key."""
    proxy: str | None = None
    """pip's `proxy`, which stands in for the variables'."""
    trusted_hosts: frozenset[str] = frozenset()
    """pip's `trusted-host`: hosts, or host:port, whose certificate is not checked."""

    def __repr__(self) -> str:
        """Leave out what may carry a password."""
        return f"TrustEnv(netrc={self.netrc!r}, ca_bundle={self.ca_bundle!r})"

    def trusts(self, url: str) -> bool:
        """Return True if `trusted_hosts` names the host of a URL, on every port or on its own."""
        parts = urlsplit(url)
        hosts = {parts.hostname, f"[{parts.hostname}]"}
        return bool((hosts | {f"{host}:{parts.port}" for host in hosts if parts.port}) & self.trusted_hosts)

    def check_hub(self) -> None:
        """Refuse an address of the hub that cannot be used, once the hub is to be asked.

        Raises:
            SettingsError: It is not a URL.
        """
        if self.refused_hub:
            shown, accepted = without_secrets(self.refused_hub), "an http or https URL"
            raise SettingsError(variable=_HUB_URL, value=shown, accepted=accepted, default=HUB)


def read_trust_env(settings: Settings, environ: Mapping[str, str] | None = None) -> TrustEnv:
    """Read the variables of other programs.

    Args:
        settings: The settings in force, whose token is for their mirrors.
        environ: The variables to read; the process's environment when None.

    Raises:
        SettingsError: A variable has a value that cannot be used.
    """
    env = os.environ if environ is None else environ
    bundles = ((variable, read_variable(env, variable, directory, CERTIFICATES)) for variable in _CA_BUNDLES)
    hub, refused_hub = _hub(env)
    hub_token = env.get(_HUB_TOKEN, "").strip()
    tokens = {origin_of(hub): hub_token} if hub_token and not refused_hub else {}
    if settings.token:
        tokens |= {origin_of(mirror): settings.token for mirror in settings.mirrors}
    return TrustEnv(
        tokens=tuple(tokens.items()),
        hub=hub,
        refused_hub=refused_hub,
        netrc=_netrc(env),
        ca_bundle=next(((variable, path) for variable, path in bundles if path is not None), None),
    )


def trust_env_origins(environ: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Return value and origin of the variables of other programs that are set, as `origins` does, without passwords."""
    env = os.environ if environ is None else environ
    # The names of proxies are read in lower case, too, and then win, empty or not.
    shown = {
        variable: without_secrets(env.get(variable.lower(), env.get(variable, "")).strip()) for variable in _PROXIES
    }
    shown |= {variable: env.get(variable, "").strip() for variable in _PATHS}
    shown |= {_HUB_URL: without_secrets(env.get(_HUB_URL, "").strip())}
    shown |= {_HUB_TOKEN: "set" if env.get(_HUB_TOKEN, "").strip() else ""}
    return {variable: (value, "environment") for variable, value in shown.items() if value}


def _hub(env: Mapping[str, str]) -> tuple[str, str]:
    """Return the URL of the hub, and what HF_ENDPOINT has if that is none: only who asks the hub is told."""
    text = env.get(_HUB_URL, "").strip()
    try:
        return parse_hub(text or HUB), ""
    except ValueError:
        return HUB, text


def _netrc(env: Mapping[str, str]) -> Path | None:
    """Return the file in which curl and requests find credentials."""
    named = env.get("NETRC", "").strip()
    for name in [named] if named else ["~/.netrc", "~/_netrc"]:
        path = os.path.expanduser(name)  # Path.expanduser raises without a home folder
        if os.path.isfile(path):
            return Path(path)
    return None


def proxy_for(url: str, trust_env: TrustEnv) -> str | None:
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
    from urllib.request import getproxies, proxy_bypass

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
    """Return True if one entry of NO_PROXY matches a host and port."""
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


class ContextAhead:
    """The TLS context for downloads, made in a thread: to read the certificates takes as long as to import urllib3."""

    def __init__(self, trust_env: TrustEnv) -> None:
        """Begin."""
        self._trust_env, self._made = trust_env, list["ssl.SSLContext"]()
        self._worker = Worker(self._make, "certificates")
        self._worker.start()

    def _make(self) -> None:
        with suppress(Exception):  # made again, it raises where it is wanted
            self._made.append(ssl_context(self._trust_env))

    def __call__(self) -> ssl.SSLContext:
        """Return the context.

        Raises:
            SettingsError: A bundle of certificates cannot be read.
        """
        self._worker.join()
        return self._made[0] if self._made else ssl_context(self._trust_env)


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
    import ssl

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
    import ssl

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
    """Return True if OpenSSL has anything to trust. Certificates of a folder are read only when they are needed."""
    import ssl

    folder = ssl.get_default_verify_paths().capath  # None where there is no such folder
    with suppress(OSError):  # not this user's to read
        return bool(context.get_ca_certs() or (folder and os.listdir(folder)))
    return False


def _add_certifi(context: ssl.SSLContext) -> None:
    with suppress(ImportError, OSError):  # requests brings it, and spaCy requests; perhaps without its file
        certifi = importlib.import_module("certifi")
        context.load_verify_locations(cafile=certifi.where())

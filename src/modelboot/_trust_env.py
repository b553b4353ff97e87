"""What variables of other programs say, read once for each call: certificates, .netrc, and the model hub.

`_network.trust_env` applies it, and reads the proxies at each request.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from modelboot._parse import CERTIFICATES, directory, parse_hub, read_variable
from modelboot._redact import without_secrets
from modelboot.errors import SettingsError

HUB = "https://huggingface.co"
"""The model hub: HF_ENDPOINT names another address of it."""
DEFAULT_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str | None, int | None]

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
    """An HF_ENDPOINT that is no URL."""
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
            SettingsError: It is no URL.
        """
        if self.refused_hub:
            shown, accepted = without_secrets(self.refused_hub), "an http or https URL"
            raise SettingsError(variable=_HUB_URL, value=shown, accepted=accepted, default=HUB)


def read_trust_env(env: Mapping[str, str], mirrors: tuple[str, ...], token: str | None) -> TrustEnv:
    """Read the variables of other programs.

    Args:
        env: The variables.
        mirrors: The mirrors in force.
        token: Bearer token for these.

    Raises:
        SettingsError: A variable has a value that cannot be used.
    """
    bundles = ((variable, read_variable(env, variable, directory, CERTIFICATES)) for variable in _CA_BUNDLES)
    hub, refused_hub = _hub(env)
    hub_token = env.get(_HUB_TOKEN, "").strip()
    tokens = {origin_of(hub): hub_token} if hub_token and not refused_hub else {}
    if token:
        tokens |= {origin_of(mirror): token for mirror in mirrors}
    return TrustEnv(
        tokens=tuple(tokens.items()),
        hub=hub,
        refused_hub=refused_hub,
        netrc=_netrc(env),
        ca_bundle=next(((variable, path) for variable, path in bundles if path is not None), None),
    )


def shown_trust_env(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of other programs that are set, without passwords."""
    # The names of proxies are read in lower case, too, and then win, empty or not.
    shown = {
        variable: without_secrets(env.get(variable.lower(), env.get(variable, "")).strip()) for variable in _PROXIES
    }
    shown |= {variable: env.get(variable, "").strip() for variable in _PATHS}
    shown |= {_HUB_URL: without_secrets(env.get(_HUB_URL, "").strip())}
    shown |= {_HUB_TOKEN: "set" if env.get(_HUB_TOKEN, "").strip() else ""}
    return {variable: value for variable, value in shown.items() if value}


def network_variables() -> frozenset[tuple[str, str]]:
    """Return the variables of other programs that decide how a network is reached, some of them with secrets."""
    names = {*_PROXIES, *map(str.lower, _PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"}
    return frozenset(item for item in os.environ.items() if item[0] in names or item[0].startswith(("PIP_", "UV_")))


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

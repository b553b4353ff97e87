"""MODELBOOT_* variables -> `Settings`. Nothing else reads settings from `os.environ`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from modelboot._limits import Deadline, Limits
from modelboot._parse import (
    CERTIFICATES,
    DIRECTORY,
    HEADER_TEXT,
    SECONDS,
    directories,
    directory,
    parse_count,
    parse_hub,
    parse_mirrors,
    parse_seconds,
    parse_switch,
    parse_switch_or_auto,
    parse_token,
)
from modelboot._redact import without_secrets
from modelboot.errors import SettingsError

T = TypeVar("T")

HUB = "https://huggingface.co"
"""The model hub: HF_ENDPOINT names another address of it."""
DEFAULT_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str | None, int | None]


def origin_of(url: str) -> Origin:
    """Return what a token is bound to: scheme, host and port of a URL."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustEnv:
    """What variables of other programs say: requests and httpx call it trust_env. Proxies are read at each request."""

    tokens: tuple[tuple[Origin, str], ...] = field(default=(), repr=False)
    """Bearer token by the one place it may be sent to."""
    hub: str = field(default=HUB, repr=False)  # both may carry a password
    """URL that stands in for the model hub's."""
    refused_hub: str = field(default="", repr=False)
    """An HF_ENDPOINT that is no URL."""
    netrc: Path | None = None
    """The user's .netrc; None where there is none."""
    ca_bundle: tuple[str, Path] | None = None
    """File or folder of certificates to trust instead of the system's, and the variable that names it."""

    def check_hub(self) -> None:
        """Refuse an address of the hub that cannot be used, once the hub is to be asked.

        Raises:
            SettingsError: It is no URL.
        """
        if self.refused_hub:
            shown, accepted = without_secrets(self.refused_hub), "an http or https URL"
            raise SettingsError(variable=_HUB_URL, value=shown, accepted=accepted, default=HUB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a user may set, with its default; `VARIABLES` says what each means."""

    offline: bool = False
    pins: Path | None = None
    wheelhouse: tuple[Path, ...] = ()
    mirrors: tuple[str, ...] = field(default=(), repr=False)  # they may carry passwords
    token: str | None = field(default=None, repr=False)
    require_hash: bool = False
    index: bool = True
    cache: bool = True
    target: Path | None = None
    home: Path | None = None
    timeout_s: float = 30.0
    deadline_s: float = 1800.0
    retries: int = 4
    progress: bool | None = None
    trust_env: TrustEnv = field(default_factory=TrustEnv)

    def limits(self) -> Limits:
        """Return the limits of one call, whose deadline starts now."""
        return Limits(timeout_s=self.timeout_s, retries=self.retries, deadline=Deadline.after(self.deadline_s))


def _is_secret(variable: str) -> bool:
    """Tell whether the value of a variable is not to be shown."""
    return variable.endswith("_TOKEN")


class Variable(NamedTuple):
    """How one setting is read and shown."""

    name: str
    field: str
    """The field of `Settings` it sets."""
    parse: Callable[[str], object]
    """Turns the text into the value; raises ValueError for a text that cannot be used."""
    accepted: str
    """What `parse` takes, as the end of the sentence "… is not …"."""
    meaning: str
    """What it does, as README says it."""
    none: str = "none"
    """How None is shown."""

    def show(self, value: object) -> str:
        """Write a value as a user would set it, without passwords."""
        if _is_secret(self.name):
            return "set" if value else self.none
        if isinstance(value, tuple):
            urls = [without_secrets(each) for each in value if isinstance(each, str)]
            return " ".join(urls) or os.pathsep.join(map(str, value)) or self.none
        if isinstance(value, (bool, float)):
            return f"{value:g}"
        if isinstance(value, str):
            return without_secrets(value)
        return self.none if value is None else str(value)


VARIABLES = (
    Variable("MODELBOOT_OFFLINE", "offline", parse_switch, "0 or 1", "1: never use the network"),
    Variable("MODELBOOT_PINS", "pins", directory, "a file", "a pins file, whose names win over the catalog's"),
    Variable(
        "MODELBOOT_WHEELHOUSE", "wheelhouse", directories, f"{DIRECTORY}, or several separated by {os.pathsep!r}",
        "folders searched first for the wheel, separated as in `PATH`",
    ),
    Variable(
        "MODELBOOT_BASE_URL", "mirrors", parse_mirrors, "an http, https or file URL, or several separated by spaces",
        "mirrors, separated by spaces and asked in turn: the root of a release tree (`ROOT/{name}-{version}/{file}`), "
        "or a URL with `{name}`, `{version}` or `{file}` in it; http, https or file, may carry `user:password@`",
        none="the official release",
    ),
    Variable(
        "MODELBOOT_TOKEN", "token", parse_token, HEADER_TEXT,
        "bearer token, sent to the hosts of `MODELBOOT_BASE_URL` only",
    ),
    Variable(
        "MODELBOOT_REQUIRE_HASH", "require_hash", parse_switch, "0 or 1",
        "1: an installed copy counts only when the hash recorded for its wheel is the pin's",
    ),
    Variable("MODELBOOT_INDEX", "index", parse_switch, "0 or 1", "0: never ask the package index"),
    Variable("MODELBOOT_CACHE", "cache", parse_switch, "0 or 1", "0: keep no downloaded wheels for other environments"),
    Variable(
        "MODELBOOT_TARGET", "target", directory, DIRECTORY,
        "install only here; where another program has put a version of the model here, into the store",
    ),
    Variable("MODELBOOT_HOME", "home", directory, DIRECTORY, "modelboot's own store"),
    Variable(
        "MODELBOOT_TIMEOUT", "timeout_s", parse_seconds, SECONDS, "seconds without a byte before an attempt is given up"
    ),
    Variable(
        "MODELBOOT_DEADLINE", "deadline_s", parse_seconds, SECONDS,
        "seconds for everything a call does on the network and for its wait for another process",
    ),
    Variable(
        "MODELBOOT_RETRIES", "retries", parse_count, "a whole number from 0 up",
        "further attempts after a failure that is worth a retry",
    ),
    Variable(
        "MODELBOOT_PROGRESS", "progress", parse_switch_or_auto, "0, 1 or auto",
        "0, 1 or auto: draw a bar when stderr is a terminal or a notebook", none="auto",
    ),
)  # fmt: skip
"""Every variable that modelboot reads, in README's order."""
_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What users of requests and curl set, in order. SSL_CERT_FILE and SSL_CERT_DIR are OpenSSL's own to read."""
_HUB_URL, _HUB_TOKEN = "HF_ENDPOINT", "HF_TOKEN"
"""What users of the model hub set: another address of it, and who they are."""
_PATHS = ("SSL_CERT_FILE", "SSL_CERT_DIR", *_CA_BUNDLES, "NETRC")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings in force.

    Args:
        environ: Variables to read; the process's environment when None. An empty variable counts as unset.

    Returns:
        The settings, defaults filled in.

    Raises:
        SettingsError: A variable has a value that cannot be used.
    """
    env = os.environ if environ is None else environ
    defaults = Settings()
    values = {
        each.field: _read(env, each.name, each.parse, each.accepted, each.show(getattr(defaults, each.field)))
        for each in VARIABLES
    }
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    bundles = ((variable, _read(env, variable, directory, CERTIFICATES)) for variable in _CA_BUNDLES)
    hub, refused_hub = _hub(env)
    hub_token = env.get(_HUB_TOKEN, "").strip()
    tokens = {origin_of(hub): hub_token} if hub_token and not refused_hub else {}
    if given.get("token"):
        tokens |= {origin_of(mirror): given["token"] for mirror in given.get("mirrors", ())}
    trust_env = TrustEnv(
        tokens=tuple(tokens.items()),
        hub=hub,
        refused_hub=refused_hub,
        netrc=_netrc(env),
        ca_bundle=next(((variable, path) for variable, path in bundles if path is not None), None),
    )
    return Settings(**{"home": _user_cache(env), **given}, trust_env=trust_env)


def _read(
    env: Mapping[str, str], variable: str, parse: Callable[[str], T], accepted: str, default: str = "none"
) -> T | None:
    text = env.get(variable, "").strip()
    if not text:
        return None
    try:
        return parse(text)
    except ValueError:
        shown = " ".join(
            without_secrets(part) if any(mark in part for mark in "@/?") else part for part in text.split()
        )
        shown = "***" if _is_secret(variable) else shown
        # The cause would show the whole value, password included.
        raise SettingsError(variable=variable, value=shown, accepted=accepted, default=default) from None


def origins(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Return the value of each variable that is in force and where it comes from.

    Args:
        settings: The settings in force.
        environ: The variables they were read from; the process's environment when None.

    Returns:
        Value and origin ("environment" or "default") by variable, without passwords. Variables of other programs are
        there when they are set.
    """
    env = os.environ if environ is None else environ
    shown = {variable.name: variable.show(getattr(settings, variable.field)) for variable in VARIABLES}
    ours = {name: (value, "environment" if env.get(name, "").strip() else "default") for name, value in shown.items()}
    # The names of proxies are read in lower case, too, and then win, empty or not.
    others = {
        variable: without_secrets(env.get(variable.lower(), env.get(variable, "")).strip()) for variable in _PROXIES
    }
    others |= {variable: env.get(variable, "").strip() for variable in _PATHS}
    others |= {_HUB_URL: without_secrets(env.get(_HUB_URL, "").strip())}
    others |= {_HUB_TOKEN: "set" if env.get(_HUB_TOKEN, "").strip() else ""}
    return ours | {name: (value, "environment") for name, value in others.items() if value}


def _hub(env: Mapping[str, str]) -> tuple[str, str]:
    """Return the URL of the hub, and what HF_ENDPOINT has if that is none: only who asks the hub is told."""
    text = env.get(_HUB_URL, "").strip()
    try:
        return parse_hub(text or HUB), ""
    except ValueError:
        return HUB, text


def network_variables() -> frozenset[tuple[str, str]]:
    """Return the variables of other programs that decide how a network is reached, some of them with secrets."""
    names = {*_PROXIES, *map(str.lower, _PROXIES), "SSL_CERT_FILE", "SSL_CERT_DIR", "NETRC"}
    return frozenset(item for item in os.environ.items() if item[0] in names or item[0].startswith(("PIP_", "UV_")))


def _netrc(env: Mapping[str, str]) -> Path | None:
    """Return the file in which curl and requests find credentials."""
    named = env.get("NETRC", "").strip()
    for name in [named] if named else ["~/.netrc", "~/_netrc"]:
        path = os.path.expanduser(name)  # Path.expanduser raises without a home folder
        if os.path.isfile(path):
            return Path(path)
    return None


def _user_cache(env: Mapping[str, str]) -> Path | None:
    """Return modelboot's folder in the one in which this platform's programs keep what they can fetch again.

    None for a user without a home folder (an arbitrary uid in a container): somebody else could have made a folder of
    a fixed name in a shared temporary folder.
    """
    variable, fallback = {
        "darwin": ("", "~/Library/Caches"),
        "win32": ("LOCALAPPDATA", "~/AppData/Local"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    # The XDG specification says to ignore a relative folder; Path.expanduser raises where there is no home folder.
    folders = map(Path, (env.get(variable, ""), os.path.expanduser(fallback)))
    return next((folder / "modelboot" for folder in folders if folder.is_absolute()), None)

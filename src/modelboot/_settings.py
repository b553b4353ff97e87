"""Which MODELBOOT_* variables exist, parsed -> `Settings`. Nothing else reads settings from `os.environ`."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from modelboot._deadline import Deadline, Limits
from modelboot._redact import is_secret, without_secrets
from modelboot.errors import SettingsError


class Settings(NamedTuple):
    """Everything a user may set, with its default; `VARIABLES` says what each means."""

    offline: bool = False
    pins: Path | None = None
    wheelhouse: tuple[Path, ...] = ()
    mirrors: tuple[str, ...] = ()
    token: str | None = None
    require_hash: bool = False
    use_index: bool = True
    use_cache: bool = True
    target: Path | None = None
    home: Path | None = None
    timeout_s: float = 30.0
    deadline_s: float = 1800.0
    retries: int = 4
    progress: bool | None = None

    def __repr__(self) -> str:
        """Leave out what may carry a password."""
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in {"mirrors", "token"})
        return f"Settings({', '.join(shown)})"

    def limits(self) -> Limits:
        """Return the limits of one call, whose deadline starts now."""
        return Limits(timeout_s=self.timeout_s, retries=self.retries, deadline=Deadline.after(self.deadline_s))


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
        if is_secret(self.name):
            return "set" if value else self.none
        if isinstance(value, tuple):
            urls = [without_secrets(each) for each in value if isinstance(each, str)]
            return " ".join(urls) or os.pathsep.join(map(str, value)) or self.none
        if isinstance(value, (bool, float)):
            return f"{value:g}"
        return self.none if value is None else str(value)


T = TypeVar("T")

CERTIFICATES = "a file or folder of PEM certificates"
DIRECTORY = "a folder (~ only where there is a home folder)"
_ON = frozenset({"1", "true", "yes", "on"})
_OFF = frozenset({"0", "false", "no", "off"})
PLACEHOLDERS = frozenset({"{name}", "{version}", "{file}"})
"""What a mirror may have in its URL, to be replaced with what a wheel has."""
SECONDS = "a number of seconds above 0"
HEADER_TEXT = "a token: characters of ASCII without spaces"
_MAX_SECONDS = 2e6
"""Timers of the operating system overflow at 2**31 milliseconds; 23 days are as good as "never"."""


def read_variable(
    env: Mapping[str, str], variable: str, parse: Callable[[str], T], accepted: str, default: str = "none"
) -> T | None:
    """Read one variable.

    Args:
        env: The variables.
        variable: Its name.
        parse: Turns the text into the value; raises ValueError for a text that cannot be used.
        accepted: What `parse` takes, as the end of the sentence "… is not …".
        default: What holds when it is unset, in words.

    Returns:
        The value; None for a variable that is unset or empty.

    Raises:
        SettingsError: The text cannot be used.
    """
    text = env.get(variable, "").strip()
    if not text:
        return None
    try:
        return parse(text)
    except ValueError:
        shown = " ".join(
            without_secrets(part) if any(mark in part for mark in "@/?") else part for part in text.split()
        )
        shown = "***" if is_secret(variable) else shown
        # The cause would show the whole value, password included.
        raise SettingsError(variable=variable, value=shown, accepted=accepted, default=default) from None


def parse_switch(text: str) -> bool:
    """Read 0 or 1, or a word for it."""
    if text.lower() not in _ON | _OFF:
        raise ValueError(text)
    return text.lower() in _ON


def parse_switch_or_auto(text: str) -> bool | None:
    """Read a switch; None for "auto"."""
    return None if text.lower() == "auto" else parse_switch(text)


def parse_seconds(text: str) -> float:
    """Read seconds above 0."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(text)
    return min(number, _MAX_SECONDS)


def parse_count(text: str) -> int:
    """Read a whole number from 0 up."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def parse_mirrors(text: str) -> tuple[str, ...]:
    """Read URLs that are separated by spaces."""
    return tuple(map(parse_mirror, text.split()))


def parse_mirror(text: str) -> str:
    """Read the root of a mirror, or a URL with places for what a wheel has."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https", "file"} or not (parts.hostname or parts.scheme == "file"):
        raise ValueError(text)
    _ = parts.port  # a ValueError where that is not a number
    if not {*re.findall(r"\{.*?\}|[{}]", text)} <= PLACEHOLDERS:
        raise ValueError(text)
    return text.rstrip("/")


def parse_hub(text: str) -> str:
    """Read the address of a model hub, which is neither a file nor a pattern."""
    if "{" in text or urlsplit(text).scheme == "file":
        raise ValueError(text)
    return parse_mirror(text)


def parse_token(text: str) -> str:
    """Read what a header may hold."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError(text)
    return text


def directory(path: str | os.PathLike[str]) -> Path:
    """Make an absolute path of a folder that a user named, so that a later chdir does not move it.

    Args:
        path: The folder; it need not exist. "~" stands for the home folder.

    Returns:
        The absolute folder.

    Raises:
        SettingsError: It is empty, has a null byte, or starts with the home folder of a user who has none.
    """
    # Path.expanduser's error says neither which folder nor what to do.
    expanded = "" if "\0" in os.fspath(path) else os.path.expanduser(path)
    if not expanded or expanded.startswith("~"):
        raise SettingsError(variable="folder", value=str(path), accepted=DIRECTORY)
    return Path(os.path.abspath(expanded))  # Path.absolute keeps "..", Path.resolve follows links


def directories(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    """Make absolute paths of one folder, of several, or of a text with os.pathsep between them."""
    if isinstance(paths, str):
        paths = [part.strip() for part in paths.split(os.pathsep) if part.strip()]
    elif isinstance(paths, os.PathLike):
        paths = [paths]
    return tuple(directory(path) for path in paths)


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
    Variable("MODELBOOT_INDEX", "use_index", parse_switch, "0 or 1", "0: never ask the package index"),
    Variable(
        "MODELBOOT_CACHE", "use_cache", parse_switch, "0 or 1", "0: keep no downloaded wheels for other environments"
    ),
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
        each.field: read_variable(env, each.name, each.parse, each.accepted, each.show(getattr(defaults, each.field)))
        for each in VARIABLES
    }
    given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
    return defaults._replace(**{"home": _user_cache(env), **given})


def origins(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Return the value of each variable that is in force and where it comes from.

    Args:
        settings: The settings in force.
        environ: The variables they were read from; the process's environment when None.

    Returns:
        Value and origin ("environment" or "default") by variable, without passwords.
    """
    env = os.environ if environ is None else environ
    shown = {variable.name: variable.show(getattr(settings, variable.field)) for variable in VARIABLES}
    return {name: (value, "environment" if env.get(name, "").strip() else "default") for name, value in shown.items()}


_NETWORK = r"(HTTPS?|ALL|NO)_PROXY|NETRC|SSL_CERT_|(REQUESTS|CURL)_CA_BUNDLE|HF_(ENDPOINT|TOKEN)|PIP_|UV_"
"""Variables of other programs, or how they begin."""


def network_variables() -> frozenset[tuple[str, str]]:
    """Return the variables of other programs that decide how a network is reached, some of them with secrets."""
    return frozenset(item for item in os.environ.items() if re.match(_NETWORK, item[0], re.IGNORECASE))


def _user_cache(env: Mapping[str, str]) -> Path | None:
    """Return modelboot's folder in the one in which this platform's programs keep what they can fetch again.

    None for a user without a home folder (an arbitrary uid in a container): another user could have made a folder of
    a fixed name in a shared temporary folder.
    """
    variable, fallback = {
        "darwin": ("", "~/Library/Caches"),
        "win32": ("LOCALAPPDATA", "~/AppData/Local"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    # The XDG specification says to ignore a relative folder; Path.expanduser raises where there is no home folder.
    folders = map(Path, (env.get(variable, ""), os.path.expanduser(fallback)))
    return next((folder / "modelboot" for folder in folders if folder.is_absolute()), None)

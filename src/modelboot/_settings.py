"""MODELBOOT_* variables -> `Settings`, and the `Deadline` they set. Nothing else in modelboot reads `os.environ`."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from modelboot.errors import SettingsError, without_secrets

T = TypeVar("T")

_FOLDER = "a folder (~ only where there is a home folder)"
_CA_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
"""What users of requests and curl set, in order. SSL_CERT_FILE and SSL_CERT_DIR are OpenSSL's own to read."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_MOST_S = 2e6
"""Timers of the operating system overflow at 2**31 milliseconds; 23 days are as good as "never"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a user may set, in the units of its name."""

    offline: bool
    wheelhouse: tuple[Path, ...]
    """Folders searched first for the pinned wheel, in order."""
    base_url: str | None = field(repr=False)
    """Root of a mirror laid out as the release tree, without a trailing slash; None for the official release.

    It may carry a password, so it is not shown with the rest.
    """
    index: bool
    """Whether the package index may be asked, through pip."""
    target: Path | None
    """Install here and nowhere else; None to choose."""
    home: Path | None
    """modelboot's own store, for when no environment can be written; None when this user has no home folder."""
    ca_bundle: tuple[str, Path] | None
    """File or folder of certificates to trust instead of the system's, and the variable that names it."""
    netrc: Path | None
    """The user's .netrc; None where there is none."""
    timeout_s: float
    """Seconds without a byte before a try is given up."""
    deadline_s: float
    """Seconds for everything a call does on the network and for its wait for another process."""
    retries: int
    """Further tries after a failure worth retrying."""
    progress: bool | None
    """Whether to draw a bar; None for "when stderr is a terminal"."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The point in time by which everything a call does on the network, and every wait for others, must end.

    It lies on the monotonic clock; `total_s` is how far away it was when it was set.
    """

    total_s: float
    ends_at_s: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Set a deadline so many seconds from now."""
        return cls(seconds, time.monotonic() + seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds left; 0 once it has passed."""
        return max(0.0, self.ends_at_s - time.monotonic())

    def __str__(self) -> str:
        return f"deadline of {self.total_s:g} s passed"


def read_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings in force.

    Args:
        environ: Variables to read; the process's environment when None. An empty variable counts as unset.

    Returns:
        The settings, defaults filled in.

    Raises:
        SettingsError: A variable holds a value that cannot be used.
    """
    env = os.environ if environ is None else environ

    def read(variable: str, parse: Callable[[str], T], accepted: str, default: T) -> T:
        text = env.get(variable, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError:
            shown = without_secrets(text) if any(mark in text for mark in "@/?") else text
            # The cause would show the whole value, password included.
            raise SettingsError(variable=variable, value=shown, accepted=accepted) from None

    return Settings(
        offline=read("MODELBOOT_OFFLINE", _switch, "0 or 1", default=False),
        wheelhouse=read("MODELBOOT_WHEELHOUSE", as_folders, f"{_FOLDER}, or several separated by {os.pathsep!r}", ()),
        base_url=read("MODELBOOT_BASE_URL", _base_url, "an http, https or file URL", None),
        index=read("MODELBOOT_INDEX", _switch, "0 or 1", default=True),
        target=read("MODELBOOT_TARGET", as_folder, _FOLDER, None),
        home=read("MODELBOOT_HOME", as_folder, _FOLDER, None) or _user_cache(env),
        ca_bundle=next(
            (
                (variable, path)
                for variable in _CA_BUNDLES
                if (path := read(variable, as_folder, "a file or folder of PEM certificates", None)) is not None
            ),
            None,
        ),
        netrc=_netrc(env),
        timeout_s=read("MODELBOOT_TIMEOUT", _seconds, "a number of seconds above 0", 30.0),
        deadline_s=read("MODELBOOT_DEADLINE", _seconds, "a number of seconds above 0", 1800.0),
        retries=read("MODELBOOT_RETRIES", _count, "a whole number from 0 up", 4),
        progress=read("MODELBOOT_PROGRESS", _switch_or_auto, "0, 1 or auto", None),
    )


def origins(settings: Settings, environ: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Say of each variable what is in force and where it came from.

    Args:
        settings: The settings in force.
        environ: The variables they were read from; the process's environment when None.

    Returns:
        Value and origin by variable, passwords cut.
    """
    env = os.environ if environ is None else environ
    values = {
        "MODELBOOT_OFFLINE": int(settings.offline),
        "MODELBOOT_WHEELHOUSE": os.pathsep.join(map(str, settings.wheelhouse)) or None,
        "MODELBOOT_BASE_URL": settings.base_url and without_secrets(settings.base_url),
        "MODELBOOT_INDEX": int(settings.index),
        "MODELBOOT_TARGET": settings.target,
        "MODELBOOT_HOME": settings.home,
        "MODELBOOT_TIMEOUT": f"{settings.timeout_s:g}",
        "MODELBOOT_DEADLINE": f"{settings.deadline_s:g}",
        "MODELBOOT_RETRIES": settings.retries,
        "MODELBOOT_PROGRESS": "auto" if settings.progress is None else int(settings.progress),
    }
    # The names of proxies are read in lower case, too, and then win, empty or not.
    found = {variable: env.get(variable.lower(), env.get(variable, "")).strip() for variable in _PROXIES}
    found |= {variable: env.get(variable, "").strip() for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR", *_CA_BUNDLES)}
    found["NETRC"] = env.get("NETRC", "").strip()
    return {
        **{
            variable: ("none" if value is None else str(value), _origin(variable, env))
            for variable, value in values.items()
        },
        **{variable: (without_secrets(value), "environment") for variable, value in found.items() if value},
    }


def _origin(variable: str, env: Mapping[str, str]) -> str:
    return "environment" if env.get(variable, "").strip() else "default"


def _netrc(env: Mapping[str, str]) -> Path | None:
    """Return the file curl and requests take logins from."""
    named = env.get("NETRC", "").strip()
    for name in [named] if named else ["~/.netrc", "~/_netrc"]:
        path = Path(os.path.expanduser(name))
        if os.path.isfile(path):
            return path
    return None


def _switch(text: str) -> bool:
    words = {
        "0": False,
        "false": False,
        "no": False,
        "off": False,
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
    }
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _switch_or_auto(text: str) -> bool | None:
    return None if text.lower() == "auto" else _switch(text)


def as_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder of what a user named: "~" expanded, and absolute, so that a later chdir does not move it.

    Args:
        path: The folder; it need not exist.

    Returns:
        The absolute folder.

    Raises:
        SettingsError: It is empty, or starts with the home folder of a user who has none.
    """
    expanded = os.path.expanduser(path)
    if not expanded or expanded.startswith("~"):
        raise SettingsError(variable="folder", value=str(path), accepted=_FOLDER)
    return Path(os.path.abspath(expanded))


def as_folders(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    """Make folders of one, of several, or of a text with os.pathsep between them."""
    if isinstance(paths, str):
        paths = [part.strip() for part in paths.split(os.pathsep) if part.strip()]
    elif isinstance(paths, os.PathLike):
        paths = [paths]
    return tuple(as_folder(path) for path in paths)


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https", "file"} or not (parts.hostname or parts.scheme == "file"):
        raise ValueError(text)
    _ = parts.port  # a ValueError where that is no number
    return text.rstrip("/")


def _seconds(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(text)
    return min(number, _MOST_S)


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _user_cache(env: Mapping[str, str]) -> Path | None:
    """Return modelboot's corner of the folder in which this platform's programs keep what they can fetch again.

    None for a user without a home folder (an arbitrary uid in a container): a fixed name in a shared temporary folder
    instead could be planted there by somebody else.
    """
    variable, fallback = {
        "darwin": ("", "~/Library/Caches"),
        "win32": ("LOCALAPPDATA", "~/AppData/Local"),
    }.get(sys.platform, ("XDG_CACHE_HOME", "~/.cache"))
    # The XDG specification wants a relative folder ignored; Path.expanduser would raise where there is no home.
    folders = map(Path, (env.get(variable, ""), os.path.expanduser(fallback)))
    return next((folder / "modelboot" for folder in folders if folder.is_absolute()), None)

"""The environment, read once a call into a frozen `Settings`. Nothing else in modelboot reads `os.environ`."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from modelboot.errors import SettingsError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a user may set, in the units of its name."""

    offline: bool
    wheelhouse: tuple[Path, ...]
    """Folders searched first for the pinned wheel, in order."""
    base_url: str | None
    """Root of a mirror laid out as the release tree, without a trailing slash; None for the official release."""
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
        except ValueError as error:
            shown = without_secrets(text) if "@" in text else text
            raise SettingsError(variable=variable, value=shown, accepted=accepted) from error

    return Settings(
        offline=read("MODELBOOT_OFFLINE", _switch, "0 or 1", default=False),
        wheelhouse=read("MODELBOOT_WHEELHOUSE", as_folders, f"folders separated by {os.pathsep!r}", ()),
        base_url=read("MODELBOOT_BASE_URL", _base_url, "an http, https or file URL", None),
        index=read("MODELBOOT_INDEX", _switch, "0 or 1", default=True),
        target=read("MODELBOOT_TARGET", as_folder, "a folder", None),
        home=read("MODELBOOT_HOME", as_folder, "a folder", None) or _user_cache(env),
        timeout_s=read("MODELBOOT_TIMEOUT", _seconds, "a number of seconds above 0", 30.0),
        deadline_s=read("MODELBOOT_DEADLINE", _seconds, "a number of seconds above 0", 1800.0),
        retries=read("MODELBOOT_RETRIES", _count, "a whole number from 0 up", 4),
        progress=read("MODELBOOT_PROGRESS", _switch_or_auto, "0, 1 or auto", None),
    )


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
    """Make a folder of what a user named: "~" expanded, and absolute, so that a later chdir does not move it."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - Path's keep ".." or resolve links


def as_folders(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> tuple[Path, ...]:
    """Make folders of one, of several, or of a text with os.pathsep between them."""
    if isinstance(paths, str):
        paths = [part for part in paths.split(os.pathsep) if part.strip()]
    elif isinstance(paths, os.PathLike):
        paths = [paths]
    return tuple(as_folder(path) for path in paths)


def _base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https", "file"} or not (parts.hostname or parts.scheme == "file"):
        raise ValueError(text)
    return text.rstrip("/")


def _seconds(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(text)
    return number


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
    folder = env.get(variable) or os.path.expanduser(fallback)  # noqa: PTH111 - Path.expanduser raises without a home
    return Path(folder, "modelboot") if os.path.isabs(folder) else None  # noqa: PTH117 - a plain string until here

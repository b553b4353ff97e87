"""MODELBOOT_* variables -> `Settings`. Nothing else reads settings from `os.environ`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from modelboot._limits import Deadline, Limits
from modelboot._parse import (
    DIRECTORY,
    HEADER_TEXT,
    SECONDS,
    directories,
    directory,
    parse_count,
    parse_mirrors,
    parse_seconds,
    parse_switch,
    parse_switch_or_auto,
    parse_token,
    read_variable,
)
from modelboot._redact import is_secret, without_secrets


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

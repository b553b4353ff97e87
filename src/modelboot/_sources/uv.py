"""The package indexes that uv is set up with."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from modelboot._environment import is_on

CAN_READ_TOML = sys.version_info >= (3, 11)


@dataclass(frozen=True, slots=True)
class UvIndexes:
    """The indexes uv asks."""

    default: str = ""
    """The one that stands in for the public index; empty for the public one."""
    extra: tuple[str, ...] = ()
    """Those that are asked as well."""

    def __bool__(self) -> bool:
        return bool(self.default or self.extra)


def uv_indexes(environ: Mapping[str, str]) -> UvIndexes:
    """Read uv's variables, and the uv.toml of the user and of the system.

    Args:
        environ: The variables. A project's uv.toml or pyproject.toml is not read: it belongs to a working directory.

    Returns:
        The indexes, with the credentials that variables give for an index of a name. An index marked as explicit is for
        packages that name it, so it is not among them.
    """
    found = [*_from_variables(environ), *_from_files(environ)]
    default = next((url for url, is_default in found if is_default), "")
    extra = tuple(dict.fromkeys(url for url, is_default in found if not is_default))
    return UvIndexes(default, extra)


def _from_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """Yield each index and whether it is the default, the one that wins first."""
    for variable, is_default in (
        ("UV_DEFAULT_INDEX", True),
        ("UV_INDEX_URL", True),
        ("UV_INDEX", False),
        ("UV_EXTRA_INDEX_URL", False),
    ):
        for entry in environ.get(variable, "").split():
            named = re.fullmatch(r"([A-Za-z0-9._-]+)=(.+)", entry)
            name, url = named.groups() if named else ("", entry)
            yield _with_credentials(url, name, environ), is_default


def _from_files(environ: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    for path in _files(environ):
        table = _read(path)
        for settings in (table, table.get("pip")):
            if isinstance(settings, dict):
                yield from _from_table(settings, environ)


def _from_table(settings: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    indexes = settings.get("index")
    for index in indexes if isinstance(indexes, list) else []:
        if isinstance(index, dict) and isinstance(index.get("url"), str) and not index.get("explicit"):
            yield _with_credentials(index["url"], str(index.get("name", "")), environ), bool(index.get("default"))
    if isinstance(settings.get("index-url"), str):
        yield settings["index-url"], True
    extra = settings.get("extra-index-url")
    yield from ((url, False) for url in (extra if isinstance(extra, list) else []) if isinstance(url, str))


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files uv reads wherever it is started, the one that wins first."""
    if environ.get("UV_CONFIG_FILE"):
        yield Path(environ["UV_CONFIG_FILE"])
    elif not is_on("UV_NO_CONFIG", environ):
        user = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        system = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
        if sys.platform == "win32":
            user, system = environ.get("APPDATA", ""), environ.get("PROGRAMDATA", "")
        yield from (Path(folder, "uv", "uv.toml") for folder in [user, *system.split(os.pathsep), "/etc"] if folder)


def unread_files(environ: Mapping[str, str]) -> list[Path]:
    """Return the files that uv reads and this Python does not: 3.10 has no reader of TOML."""
    return [] if CAN_READ_TOML else [path for path in _files(environ) if os.path.isfile(path)]


def _read(path: Path) -> dict[str, Any]:
    """Read a TOML file; empty where there is none, or none that can be read."""
    if not CAN_READ_TOML:
        return {}
    import tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _with_credentials(url: str, name: str, environ: Mapping[str, str]) -> str:
    """Put into a URL what UV_INDEX_{NAME}_USERNAME and _PASSWORD say, where it has no credentials of its own."""
    prefix = f"UV_INDEX_{re.sub(r'[^A-Za-z0-9]', '_', name).upper()}"
    user, password = (environ.get(f"{prefix}_{each}", "") for each in ("USERNAME", "PASSWORD"))
    parts = urlsplit(url)
    if not name or "@" in parts.netloc or not (user or password):
        return url
    return urlunsplit(parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"))

"""The text of a setting -> its value; a ValueError where it cannot be used."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from modelboot._redact import is_secret, without_secrets
from modelboot.errors import SettingsError

T = TypeVar("T")

CERTIFICATES = "a file or folder of PEM certificates"
DIRECTORY = "a folder (~ only where there is a home folder)"
_SWITCH_WORDS = {
    "0": False,
    "false": False,
    "no": False,
    "off": False,
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
}
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
    if text.lower() not in _SWITCH_WORDS:
        raise ValueError(text)
    return _SWITCH_WORDS[text.lower()]


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
    _ = parts.port  # a ValueError where that is no number
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
    if not re.fullmatch(r"[\x21-\x7e]+", text):  # what a header may hold
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
    if "\0" in os.fspath(path):
        raise SettingsError(variable="folder", value=str(path), accepted=DIRECTORY)
    expanded = os.path.expanduser(path)  # Path.expanduser's error says neither which folder nor what to do
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

"""What a model is called: `name==version`, direct references `name @ URL#sha256=HEX`, and pins files of those."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from modelboot._pin import ModelPin
from modelboot._redact import without_secrets
from modelboot._versions import is_version, same_name
from modelboot.errors import SettingsError

FORM = "name @ URL#sha256=HEX"
_MEANT_AS_REFERENCE = r"[^/\\@]*(\s@|@\s*[A-Za-z+]+:)"
"""No path: there is a space before the @, or a URL behind it, and no separator before."""
_REFERENCE = r"([A-Za-z0-9][\w.-]*)\s*@\s*(\S+)"


def is_reference(text: str) -> bool:
    """Tell whether a text is meant as a direct reference, rightly written or not."""
    return re.match(_MEANT_AS_REFERENCE, text) is not None


def parse_name(model: str) -> tuple[str, str]:
    """Split a model's name from its version.

    Args:
        model: "name" or "name==version"; hyphens stand for underscores, as on a package index.

    Returns:
        The name of the package, and the version; that is empty where none is given.

    Raises:
        SettingsError: There is another operator than ==, or no version behind it.
    """
    name, operator, version = (part.strip() for part in [*re.split(r"([=<>~!]+)", model, maxsplit=1), "", ""][:3])
    if operator not in {"", "=="} or (operator and not version):
        raise SettingsError(variable="model", value=model, accepted="a name or name==version: only == is supported")
    return re.sub(r"[-_.]+", "_", name), version


def parse_reference(text: str) -> ModelPin:
    """Read a direct reference, as requirements files have it.

    Args:
        text: "name @ URL#sha256=HEX". The version is taken from the name of the wheel in the URL; where there is none,
            that of the verified wheel decides.

    Returns:
        The pin.

    Raises:
        SettingsError: It is not of that form, or has no hash.
    """
    match = re.fullmatch(_REFERENCE, text.strip())
    url, _, fragment = match[2].partition("#") if match else ("", "", "")
    sha256 = dict(part.partition("=")[::2] for part in fragment.split("&")).get("sha256")
    if match is None or sha256 is None:
        raise SettingsError(variable="model", value=_without_secrets(text), accepted=FORM)
    name = re.sub(r"[-.]+", "_", match[1])
    return ModelPin(name, version_in(url, name), sha256, url=url)


def reference_to(pin: ModelPin) -> str:
    """Return what names a pin's wheel in a call or a pins file, without credentials."""
    url = without_secrets(pin.release_url)
    return f"{pin.name} @ {url}#sha256={pin.sha256}"


def _without_secrets(text: str) -> str:
    """Keep the name and the URL as it may be shown."""
    name, _, url = text.partition("@")
    return f"{name.strip()} @ {without_secrets(url.strip())}"


def version_in(url: str, name: str) -> str | None:
    """Return the version in the name of the wheel that a URL leads to; None where it has none."""
    filename = PurePosixPath(unquote(urlsplit(url).path)).name
    parts = filename.removesuffix(".whl").split("-")
    has_version = filename.endswith(".whl") and len(parts) > 1 and same_name(parts[0], name) and is_version(parts[1])
    return parts[1] if has_version else None


def read_pins(path: Path, *, variable: str = "MODELBOOT_PINS") -> tuple[ModelPin, ...]:
    """Read a pins file.

    Args:
        path: The file: one direct reference a line; comments, which start with "#", and blank lines are skipped.
        variable: What names it, for messages: a variable or an option.

    Returns:
        The pins, in order.

    Raises:
        SettingsError: It cannot be read, or a line is no direct reference; the file and the line are named.
    """
    try:
        lines = path.read_text("utf-8-sig").splitlines()  # editors on Windows begin a file with a mark
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(variable=variable, value=str(path), accepted=f"a pins file: {reason}") from error
    numbered = ((number, re.sub(r"(^|\s)#.*", "", line).strip()) for number, line in enumerate(lines, 1))
    return tuple(_parse_line(text, path, number) for number, text in numbered if text)


def _parse_line(text: str, path: Path, number: int) -> ModelPin:
    try:
        return parse_reference(text)
    except SettingsError as error:
        error.variable = f"{path}, line {number}: {error.variable}"
        raise

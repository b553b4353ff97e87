"""ModelPin: one wheel of a spaCy pipeline, by its SHA-256; what names it: direct references, and pins files of those.

`name==version`, `name @ URL#sha256=HEX`, or such a reference on each line of a file.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from modelboot._redact import without_secrets
from modelboot._versions import canonical_version, is_requirement, is_version, same_name, same_version
from modelboot.errors import SettingsError

RELEASE_TREE = "https://github.com/explosion/spacy-models/releases/download"
"""Where spaCy's pipelines are published: {name}-{version}/{file} below it."""


@dataclass(frozen=True, slots=True, eq=False)
class ModelPin:
    """One wheel of a spaCy pipeline, pinned by its SHA-256.

    Two pins are equal when they pin the same wheel: same name, version and hash, wherever it is fetched from.

    Args:
        name: Importable name of the pipeline's package, such as "en_core_web_sm".
        version: Version of the wheel, such as "3.8.0"; None where only the wheel itself tells, which needs a `url`.
        sha256: SHA-256 of the wheel file, 64 hexadecimal digits.
        url: https, http or file URL of the wheel, whatever its last part is called; the official release of that name
            and version when None.
        requires: Requirements checked before the download, such as ("sudachipy>=0.5.2",).
        size_mb: Rough size of the wheel in megabytes, which caps a download; None when unknown.

    Raises:
        SettingsError: A field has a value that cannot be used.
    """

    name: str
    version: str | None
    sha256: str
    url: str | None = field(default=None, repr=False)  # it may carry a password
    requires: tuple[str, ...] = ()
    size_mb: int | None = None

    def __post_init__(self) -> None:
        """Normalise the hash, then reject what could not work later."""
        object.__setattr__(self, "sha256", str(self.sha256).lower())
        requires: object = self.requires
        if isinstance(requires, list):
            object.__setattr__(self, "requires", tuple(requires))
        for name, is_good, accepted in _FIELDS:
            value = getattr(self, name)
            if not is_good(value):
                shown = without_secrets(str(value)) if name == "url" else str(value)
                raise SettingsError(variable=f"ModelPin.{name}", value=shown, accepted=accepted)
        if self.version is None and self.url is None:
            raise SettingsError(variable="ModelPin.version", value="None", accepted="a version such as 3.8.0")

    def __str__(self) -> str:
        return f"{self.name} {self.version_label}"

    def __eq__(self, other: object) -> bool:
        return self._wheel() == other._wheel() if isinstance(other, ModelPin) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._wheel())

    def _wheel(self) -> tuple[str | None, ...]:
        """Return what makes two pins equal; "1", "1.0.0" and "v1.0.0" are one version."""
        return self.name, self.version and canonical_version(self.version), self.sha256

    @property
    def version_label(self) -> str:
        """The version or, where only the wheel itself tells it, the start of the hash."""
        return self.version or f"sha256-{self.sha256[:12]}"

    def accepts(self, version: str) -> bool:
        """Return True if a wheel of that version can be the pinned one."""
        return self.version is None or same_version(self.version, version)

    @property
    def filename(self) -> str:
        """File name of the wheel, taken from the URL where it has one."""
        last = PurePosixPath(unquote(urlsplit(self.url or "").path)).name
        return last if last.endswith(".whl") else f"{self.name}-{self.version_label}-py3-none-any.whl"

    @property
    def release_path(self) -> str:
        """Where the wheel lies below the root of the release tree or of a mirror of it."""
        return f"{self.name}-{self.version_label}/{self.filename}"

    @property
    def release_url(self) -> str:
        """URL the wheel is published at."""
        return self.url or f"{RELEASE_TREE}/{self.release_path}"


_RESERVED = sys.stdlib_module_names | {"filelock", "installer", "modelboot", "numpy", "packaging", "pip", "spacy"}
_RESERVED |= {"thinc", "tqdm", "urllib3"}
"""Packages that no pipeline may stand in for: what a program imports under these names decides how it works."""


def _is_name(value: object) -> bool:
    is_identifier = isinstance(value, str) and bool(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value))
    return is_identifier and str(value).lower() not in _RESERVED


def _is_version(value: object) -> bool:
    return value is None or (isinstance(value, str) and is_version(value))


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[0-9a-f]{64}", value))


def _is_wheel_url(value: object) -> bool:
    if value is None:
        return True
    if not isinstance(value, str):
        return False
    try:
        parts = urlsplit(value)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address between them, a port that is not a number
        return False
    is_known = parts.scheme == "file" or (parts.scheme in {"https", "http"} and has_host)
    return is_known and not unquote(parts.path).endswith((".gz", ".bz2", ".tar", ".tgz", ".zip"))


def _are_requirements(value: object) -> bool:
    # A single string would otherwise be read as one requirement a character.
    return isinstance(value, tuple) and all(isinstance(text, str) and is_requirement(text) for text in value)


def _is_size(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and value >= 0)


_FIELDS: tuple[tuple[str, Callable[[object], bool], str], ...] = (
    ("name", _is_name, "an importable name of a pipeline's own"),
    ("version", _is_version, "a version such as 3.8.0"),
    ("sha256", _is_sha256, "64 hexadecimal digits"),
    ("url", _is_wheel_url, "an https, http or file URL of a wheel"),
    ("requires", _are_requirements, "a tuple of requirements"),
    ("size_mb", _is_size, "a number of megabytes"),
)
"""Each field, how it is validated, and the accepted form in words."""


FORM = "name @ URL#sha256=HEX"
_MEANT_AS_REFERENCE = r"[^/\\@]*(\s@|@\s*[A-Za-z+]+:)"
"""No path: there is a space before the @, or a URL behind it, and no separator before."""
_REFERENCE = r"([A-Za-z0-9][\w.-]*)\s*@\s*(\S+)"


def is_reference(text: str) -> bool:
    """Return True if a text is meant as a direct reference, rightly written or not."""
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
        SettingsError: It cannot be read, or a line is not a direct reference; the file and the line are named.
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

"""ModelPin: one wheel of a spaCy pipeline, by its SHA-256, and where it is published."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from modelboot._redact import without_secrets
from modelboot._versions import canonical_version, is_requirement, is_version, same_version
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
        """Tell whether a wheel of that version can be the pinned one."""
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
    except ValueError:  # brackets without an address between them, a port that is no number
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

"""What a pin is: one wheel of a spaCy pipeline, named by its SHA-256, and where it is published."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from modelboot import _versions
from modelboot.errors import SettingsError, without_secrets

RELEASE_TREE = "https://github.com/explosion/spacy-models/releases/download"
"""Where the publisher of spaCy's pipelines keeps them: {name}-{version}/{file} below it."""


@dataclass(frozen=True, slots=True)
class ModelPin:
    """One wheel of a spaCy pipeline, pinned by its SHA-256.

    Two pins are equal when they pin the same wheel: same name, version and hash, wherever it is fetched from.

    Args:
        name: Importable name of the pipeline's package, such as "en_core_web_sm".
        version: Version of the wheel, such as "3.8.0".
        sha256: SHA-256 of the wheel file, 64 hexadecimal digits.
        url: https, http or file URL of the wheel; the official release of that name and version when None.
        requires: Requirements checked before the download, such as ("sudachipy>=0.5.2",).
        size_mb: Rough size of the wheel in megabytes, which caps a download; None when unknown.

    Raises:
        SettingsError: A field has a value that cannot be used.
    """

    name: str
    version: str
    sha256: str
    url: str | None = field(default=None, compare=False)
    requires: tuple[str, ...] = field(default=(), compare=False)
    size_mb: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Normalise the hash, then refuse what could not work later."""
        object.__setattr__(self, "sha256", str(self.sha256).lower())
        object.__setattr__(self, "requires", tuple(self.requires))
        for name, value, good, accepted in (
            ("name", self.name, re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.name), "an importable name"),
            ("version", self.version, _versions.is_version(self.version), "a version such as 3.8.0"),
            ("sha256", self.sha256, re.fullmatch(r"[0-9a-f]{64}", self.sha256), "64 hexadecimal digits"),
            ("url", self.url, _is_wheel_url(self.url), "an https, http or file URL of a .whl file"),
            ("requires", self.requires, all(map(_versions.is_requirement, self.requires)), "a tuple of requirements"),
            ("size_mb", self.size_mb, self.size_mb is None or self.size_mb >= 0, "a number of megabytes"),
        ):
            if not good:
                raise SettingsError(variable=f"ModelPin.{name}", value=without_secrets(str(value)), accepted=accepted)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def filename(self) -> str:
        """File name of the wheel, taken from the URL where there is one."""
        if self.url is None:
            return f"{self.name}-{self.version}-py3-none-any.whl"
        return PurePosixPath(unquote(urlsplit(self.url).path)).name

    @property
    def release_path(self) -> str:
        """Where the wheel lies below the root of the release tree or of a mirror of it."""
        return f"{self.name}-{self.version}/{self.filename}"

    @property
    def release_url(self) -> str:
        """URL the wheel is published at."""
        return self.url or f"{RELEASE_TREE}/{self.release_path}"


def _is_wheel_url(url: str | None) -> bool:
    if url is None:
        return True
    parts = urlsplit(url)
    return parts.scheme in {"https", "http", "file"} and unquote(parts.path).endswith(".whl")

"""A wheel at a URL or in a file -> its pin: read once, hashed, and checked as for an install."""

from __future__ import annotations

import email.parser
import logging
import math
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from modelboot._files import sha256_of
from modelboot._install.archive import InvalidWheel, validate
from modelboot._network.download import MAX_UNKNOWN_BYTES
from modelboot._network.file_url import is_file_url, open_file
from modelboot._network.response import RequestError, Response
from modelboot._network.trust_env import read_trust_env
from modelboot._pin import ModelPin, is_reference
from modelboot._redact import without_secrets
from modelboot._settings import Settings
from modelboot.errors import Attempt, DownloadError, InstallError, Kind, OfflineError

_log = logging.getLogger(__name__)


def is_url_or_path(text: str) -> bool:
    """Return True if a text names a URL or a wheel file, not a model."""
    return not is_reference(text) and ("://" in text or text.endswith(".whl") or os.sep in text)


def pin_of(place: str, settings: Settings) -> ModelPin:
    """Make the pin of a wheel that is not pinned yet.

    Args:
        place: An http, https or file URL, or a path.
        settings: The settings in force.

    Returns:
        Its pin: name, version and requirements as its METADATA has them, the hash of what was read.

    Raises:
        DownloadError: It cannot be read. OfflineError: it would have to be downloaded.
        InstallError: modelboot would not install it.
    """
    url = place if "://" in place else Path(os.path.abspath(place)).as_uri()
    with tempfile.TemporaryDirectory(prefix="modelboot-") as folder:
        wheel = Path(folder, "wheel.whl")
        try:
            _save(url, wheel, settings)
            pin = _described(wheel, url)
        except RequestError as error:
            attempt = Attempt(
                source="release",
                where=without_secrets(url),
                reason=error.reason,
                kind=error.kind,
                hint=_hint(url, error.kind),
            )
            raise DownloadError(name=_last_part(url), version="", sha256="not known", attempts=(attempt,)) from error
        except InvalidWheel as error:
            raise InstallError(
                model="the wheel", path=without_secrets(url), fault="archive", reason=str(error), action="pin"
            ) from error
    _log.warning("the hash is that of what was read just now: compare it with one that the publisher gives")
    return pin


def _hint(url: str, kind: Kind) -> str | None:
    """Return what helps to read this place: no setting of modelboot's makes it another."""
    if is_file_url(url):
        return "name the file of a wheel that is there and that you may read"
    return {"missing": "check the URL", "other": "check the network and proxy (`modelboot doctor`)"}.get(kind)


def _last_part(url: str) -> str:
    """Return what a URL calls the wheel: the file, or the host where it names none."""
    return without_secrets(url).rstrip("/").rpartition("/")[2]


def _save(url: str, wheel: Path, settings: Settings) -> None:
    with ExitStack() as stack, wheel.open("wb") as file:
        size_bytes = 0
        for chunk in _opened(url, settings, stack).chunks:
            size_bytes += file.write(chunk)
            if size_bytes > MAX_UNKNOWN_BYTES:
                raise RequestError(f"sends more than {MAX_UNKNOWN_BYTES:,} bytes", url)


def _opened(url: str, settings: Settings, stack: ExitStack) -> Response:
    if is_file_url(url):
        return stack.enter_context(open_file(url))
    if settings.offline:
        raise OfflineError(name=_last_part(url), version="", url=without_secrets(url), reference=None)
    # urllib3 opens a socket when it is imported: not where only files are read.
    from modelboot._network.client import HttpClient

    client = stack.enter_context(HttpClient(settings.limits(), read_trust_env(settings)))
    return stack.enter_context(client.stream(url))


def _described(wheel: Path, url: str) -> ModelPin:
    """Read METADATA, and check the whole wheel as an install does.

    Raises:
        InvalidWheel: It is not a wheel of a pipeline.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            path = next(_metadata_paths(archive))
            metadata = email.parser.Parser().parsestr(archive.read(path).decode("utf-8"), headersonly=True)
    except (zipfile.BadZipFile, StopIteration, UnicodeDecodeError, RuntimeError, NotImplementedError) as error:
        raise InvalidWheel([f"not a readable wheel: {str(error) or 'no METADATA'}"]) from error
    name, requires = re.sub(r"[-.]+", "_", str(metadata["Name"])), metadata.get_all("Requires-Dist", [])
    pin = ModelPin(
        name,
        str(metadata["Version"]),
        sha256_of(wheel).hex(),
        url=url,
        requires=tuple(text for text in requires if "extra ==" not in text),
        size_mb=math.ceil(wheel.stat().st_size / 1e6),
    )
    with wheel.open("rb") as file:
        validate(file, pin)
    return pin


def _metadata_paths(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    members = (member for member in archive.infolist() if member.filename.endswith(".dist-info/METADATA"))
    return (member for member in members if member.file_size < 1 << 20)

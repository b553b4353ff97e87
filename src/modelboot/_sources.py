"""The three sources of a wheel, in order: wheelhouse, release or mirror, package index (through pip)."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from modelboot._download import PIECE_BYTES, Job, fetch
from modelboot.errors import Attempt, DownloadError, HashMismatchError, OfflineError, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from modelboot._catalog import ModelPin
    from modelboot._deadline import Deadline
    from modelboot._progress import Progress
    from modelboot._settings import Settings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A verified wheel and how it came."""

    path: Path
    source: Literal["wheelhouse", "release", "index"]
    received_bytes: int
    """Bytes that came over the network; 0 for a wheelhouse or a file URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A wheel to be got, and the terms."""

    pin: ModelPin
    folder: Path
    """Where the wheel is put; also scratch space."""
    settings: Settings
    deadline: Deadline
    progress: Progress

    @property
    def wheel(self) -> Path:
        """Where the verified wheel appears."""
        return self.folder / "pinned.whl"

    def fetch(self, source: Literal["wheelhouse", "release", "mirror", "index"], url: str) -> int:
        """Fetch from one URL; see `modelboot._download.fetch`."""
        job = Job(pin=self.pin, source=source, url=url, to=self.wheel)
        return fetch(job, self.settings, self.deadline, self.progress)


def get_wheel(order: Order) -> Delivery:
    """Get the pinned wheel from the first source that has it.

    Args:
        order: What to get, where to put it, and by when.

    Returns:
        The verified wheel.

    Raises:
        HashMismatchError: No source has it, and one gave other bytes.
        DownloadError: No source has it; each is named with its reason.
        OfflineError: No wheelhouse has it and the network is switched off.
        InstallError: It cannot be written.
    """
    attempts: list[Attempt] = []
    for source in _in_order(order):
        try:
            return source(order)
        except HashMismatchError as error:
            # A warning even when the next source serves: somebody gives out wrong bytes under this name.
            _log.warning("%s: expected sha256 %s: %s", order.pin, order.pin.sha256, error.attempts[-1])
            attempts += error.attempts
        except DownloadError as error:
            _log.info("%s: %s", order.pin, error.attempts[-1])
            attempts += error.attempts
    raise _nothing_found(order, tuple(attempts))


def _in_order(order: Order) -> Iterator[Callable[[Order], Delivery]]:
    """Yield the sources that may be asked."""
    settings = order.settings
    if settings.wheelhouse:
        yield _from_wheelhouse
    if not settings.offline or urlsplit(_release_url(order.pin, settings)).scheme == "file":
        yield _from_release
    if settings.index and not settings.offline:
        yield _from_index


def _from_wheelhouse(order: Order) -> Delivery:
    """Take the file of the pinned name or, failing that, any wheel whose hash matches."""
    attempts: list[Attempt] = []
    for path in _named(order):
        try:
            order.fetch("wheelhouse", path.as_uri())
            return Delivery(path=order.wheel, source="wheelhouse", received_bytes=0)
        except DownloadError as error:
            attempts += error.attempts
    for path in _of_that_hash(order):
        order.fetch("wheelhouse", path.as_uri())
        return Delivery(path=order.wheel, source="wheelhouse", received_bytes=0)
    if not attempts:
        where = os.pathsep.join(map(str, order.settings.wheelhouse))
        reason = f"no {order.pin.filename} and no wheel of that hash"
        attempts.append(Attempt(source="wheelhouse", where=where, reason=reason))
    raise _failure(order.pin, tuple(attempts))


def _named(order: Order) -> Iterator[Path]:
    """Yield the files of the pinned name: in a wheelhouse itself, and where the release tree would have them."""
    for folder in order.settings.wheelhouse:
        for path in (folder / order.pin.filename, folder / order.pin.release_path):
            if path.is_file():
                yield path


def _of_that_hash(order: Order) -> Iterator[Path]:
    """Yield wheels that somebody renamed."""
    for folder in order.settings.wheelhouse:
        with suppress(OSError):
            for path in sorted(folder.glob("*.whl")):
                if _sha256(path) == order.pin.sha256:
                    yield path


def _from_release(order: Order) -> Delivery:
    url = _release_url(order.pin, order.settings)
    received = order.fetch("mirror" if order.settings.base_url else "release", url)
    over_network = urlsplit(url).scheme != "file"
    return Delivery(path=order.wheel, source="release", received_bytes=received if over_network else 0)


def _release_url(pin: ModelPin, settings: Settings) -> str:
    """Return where the wheel is fetched from: a mirror stands in for every host, but not for a file."""
    if settings.base_url is None or (pin.url is not None and urlsplit(pin.url).scheme == "file"):
        return pin.release_url
    return f"{settings.base_url}/{pin.release_path}"


def _from_index(order: Order) -> Delivery:
    """Let pip fetch it, as it is set up here: index, proxy, certificates, credentials. The hash is required twice."""
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise _index_failure(order.pin, "pip is not installed in this environment")
    folder = order.folder / "index"
    folder.mkdir()
    status, output = _run_pip(order, folder)
    wheels = [*folder.glob("*.whl")]
    if status != 0 or len(wheels) != 1:
        raise _pip_failure(order.pin, output)
    received = order.fetch("index", wheels[0].as_uri())
    return Delivery(path=order.wheel, source="index", received_bytes=received)


def _run_pip(order: Order, folder: Path) -> tuple[int, str]:
    """Run `pip download` of exactly the pinned wheel, and return its exit status and all it printed."""
    settings, pin = order.settings, order.pin
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n", "utf-8")
    options = [
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]
    limits = [f"--timeout={settings.timeout_s:g}", f"--retries={settings.retries}"]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *options,
        *limits,
        "-d",
        str(folder),
        "-r",
        str(requirements),
    ]
    # Run from the scratch folder: with -m, a pip.py of the working directory would be run instead. Its temporary files
    # stay beside the target too, and a rule that pip may only install into virtual environments forbids no download.
    environment = {**os.environ, "TMPDIR": str(folder), "PIP_REQUIRE_VIRTUALENV": "0"}
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as pip:
        try:
            output, _ = pip.communicate(timeout=order.deadline.remaining_s)
        except subprocess.TimeoutExpired as error:
            raise _index_failure(pin, str(order.deadline)) from error
        finally:
            _end(pip)
    return pip.returncode, output


def _end(process: subprocess.Popen[str]) -> None:
    """Kill a process that still runs, with all it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _pip_failure(pin: ModelPin, output: str) -> DownloadError:
    """Turn what pip printed into one reason, and tell other bytes from all other failures."""
    got = re.search(r"Got\s+([0-9a-f]{64})", output)
    if got is not None:
        reason = f"got sha256 {got[1]}: a package of that name, but not the pinned one"
        return _index_failure(pin, reason, got_sha256=got[1])
    errors = [line.removeprefix("ERROR: ") for line in output.splitlines() if line.startswith("ERROR: ")]
    return _index_failure(pin, errors[-1] if errors else "pip failed without saying why")


def _index_failure(pin: ModelPin, reason: str, *, got_sha256: str | None = None) -> DownloadError:
    attempt = Attempt(source="index", where="pip download", reason=reason, got_sha256=got_sha256)
    return _failure(pin, (attempt,))


def _nothing_found(order: Order, attempts: tuple[Attempt, ...]) -> DownloadError | OfflineError:
    pin, settings = order.pin, order.settings
    if settings.offline and not any(attempt.got_sha256 for attempt in attempts):
        url = without_secrets(_release_url(pin, settings))
        return OfflineError(name=pin.name, version=pin.version, url=url, attempts=attempts)
    return _failure(pin, attempts)


def _failure(pin: ModelPin, attempts: tuple[Attempt, ...]) -> DownloadError:
    error = HashMismatchError if any(attempt.got_sha256 for attempt in attempts) else DownloadError
    return error(name=pin.name, version=pin.version, sha256=pin.sha256, attempts=attempts)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()

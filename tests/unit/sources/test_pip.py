"""The package index, through the real pip, on an index of the tests' own."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot._network.download import Download
from modelboot._progress import make_progress
from modelboot._settings import Settings
from modelboot._sources.pip import PackageIndex
from modelboot.errors import Attempt, DownloadError, HashMismatchError
from support.server import Reply
from support.sources import point_pip_at, publish_to_index
from support.wheels import NAME, VERSION, BuiltWheel, Tampering, altered, small_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

REAL_PIP = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")


@dataclass(frozen=True)
class Index:
    """The package index as a source: asked for a wheel, which goes into a folder, under some settings."""

    wheel: BuiltWheel
    folder: Path
    settings: Settings

    def download(self, *, deadline_s: float = 60.0) -> Path:
        """Let pip fetch the wheel."""
        pin, limits = self.wheel.pin_at(None), replace(self.settings, deadline_s=deadline_s).limits()
        path, progress = self.folder / "pinned.whl", make_progress(False)  # noqa: FBT003 - no bar
        PackageIndex("").fetch(
            pin,
            Download(label=str(pin), sha256=pin.sha256, size_mb=None, path=path, limits=limits, progress=progress),
        )
        return path

    def failure(self, *, deadline_s: float = 60.0) -> Attempt:
        """Have it fail and return why."""
        with pytest.raises(DownloadError, match=r"en_tiny_sm 1\.0\.0") as failed:
            self.download(deadline_s=deadline_s)
        (attempt,) = failed.value.attempts
        assert (attempt.source, attempt.where) == ("index", "pip download")
        return attempt


@pytest.fixture
def index(
    wheel: BuiltWheel, server: ModelServer, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Index:
    """Return the index: pip is set up with the server as its only one, which has nothing yet."""
    point_pip_at(server.url, monkeypatch)
    folder = tmp_path / "scratch"
    folder.mkdir()
    return Index(wheel, folder, replace(settings, timeout_s=10.0, retries=0))


def program(folder: Path, script: str) -> str:
    """Write a program that stands in for the interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    return str(path)


@REAL_PIP
def test_pip_download_pinned_wheel(
    index: Index,
    server: ModelServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The pinned wheel is delivered in silence, whatever else pip is set up with or lies in the working directory."""
    publish_to_index(server, index.wheel.path)
    working = tmp_path / "working"
    working.mkdir()
    for name in ("pip", "zipfile", "sitecustomize"):
        (working / f"{name}.py").write_text("open('was-run', 'w').close(); raise SystemExit('planted')", "utf-8")
    monkeypatch.chdir(working)
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    wheel = index.download()
    assert wheel.parent == index.folder
    assert wheel.read_bytes() == index.wheel.content
    assert not [*working.glob("was-run")]
    assert tuple(capfd.readouterr()) == ("", "")


@REAL_PIP
def test_pip_download_outside_virtual_environment(
    index: Index, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that pip may only install into virtual environments forbids no download."""
    publish_to_index(server, index.wheel.path)
    monkeypatch.setenv("PIP_REQUIRE_VIRTUALENV", "1")
    pip_home = Path(str(importlib.util.find_spec("pip").origin)).parents[1]  # type: ignore[union-attr]  # REAL_PIP
    base = shutil.which("python3", path=f"{sys.base_prefix}/bin")
    lone = program(tmp_path, f'exec env PYTHONPATH="{pip_home}" "{base}" "$@"')
    monkeypatch.setattr(sys, "executable", lone)
    assert index.download().read_bytes() == index.wheel.content


@REAL_PIP
@pytest.mark.parametrize("kind", ["squatted", "altered"])
def test_pip_download_other_bytes(index: Index, server: ModelServer, tmp_path: Path, kind: str) -> None:
    """A package of that name and version but of other bytes is refused with both digests."""
    if kind == "squatted":
        other = small_wheel(tmp_path / "other", tampering=Tampering(extra={f"{NAME}/x.py": b"raise SystemExit"})).path
    else:
        other = altered(index.wheel, tmp_path / "other")
    got = hashlib.sha256(other.read_bytes()).hexdigest()
    publish_to_index(server, other)
    with pytest.raises(HashMismatchError, match=f"expected sha256 {index.wheel.sha256}") as refused:
        index.download()
    (attempt,) = refused.value.attempts
    assert (attempt.source, attempt.got_sha256) == ("index", got)
    assert attempt.reason == f"got sha256 {got}: a package of that name, but not the pinned one"
    assert not [*index.folder.glob("*.whl")]


@REAL_PIP
def test_pip_download_no_such_package(
    index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An index without the package is told in pip's last words, without colours or credentials."""
    point_pip_at(server.url.replace("//", "//user:secret@"), monkeypatch)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert index.failure().reason == f"No matching distribution found for {NAME}=={VERSION}"
    assert server.count(f"/simple/{NAME.replace('_', '-')}/") == 1
    assert tuple(capfd.readouterr()) == ("", "")


@REAL_PIP
def test_pip_download_other_version_only(index: Index, server: ModelServer, tmp_path: Path) -> None:
    """Another version of the package is not taken for the pinned one."""
    publish_to_index(server, small_wheel(tmp_path / "other", "2.0.0").path)
    assert index.failure().reason == f"No matching distribution found for {NAME}=={VERSION}"


@REAL_PIP
def test_pip_download_deadline(index: Index, server: ModelServer) -> None:
    """An index that says nothing holds no call beyond the deadline."""
    server.serve(f"/simple/{NAME.replace('_', '-')}/", Reply(stall="headers"))
    began_s = time.monotonic()
    assert index.failure(deadline_s=0.5).reason == "deadline of 0.5 s passed"
    assert time.monotonic() - began_s < 15


@contextmanager
def pipe(path: Path) -> Iterator[int]:
    """Make a named pipe and open its reading end."""
    os.mkfifo(path)
    end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield end
    finally:
        os.close(end)


def test_pip_download_deadline_ends_children(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip has started is killed with it."""
    with pipe(tmp_path / "alive") as alive:
        script = f"exec 3>'{tmp_path}/alive'; (echo child >&3; exec sleep 300) & wait"
        monkeypatch.setattr(sys, "executable", program(tmp_path, script))
        assert index.failure(deadline_s=1.0).reason == "deadline of 1 s passed"
        assert os.read(alive, 100) == b"child\n"
        assert select.select([alive], [], [], 10)[0]  # the end of the file: no process has it open any more
        assert os.read(alive, 100) == b""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "pip failed without saying why"),
        ("WARNING: a\nERROR: b\nERROR: c\n\nnotice", "c"),
        ("/usr/bin/python: No module named pip\n", "/usr/bin/python: No module named pip"),
    ],
    ids=["silent", "last-error", "last-line"],
)
def test_pip_download_failure_told(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, reason: str
) -> None:
    """Of all that pip prints, the reason is its last error or else its last line."""
    (tmp_path / "output").write_text(output, "utf-8")
    monkeypatch.setattr(sys, "executable", program(tmp_path, f"cat '{tmp_path}/output' >&2; exit 1"))
    assert index.failure().reason == reason


def test_pip_download_success_without_a_wheel(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pip that claims success and leaves no wheel has failed."""
    monkeypatch.setattr(sys, "executable", program(tmp_path, "exit 0"))
    assert index.failure().reason == "pip failed without saying why"


def test_pip_download_interpreter_cannot_be_run(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that cannot be started is one source's failure, told in the system's words."""
    path = Path(program(tmp_path, ""))
    path.chmod(0o644)
    monkeypatch.setattr(sys, "executable", str(path))
    assert index.failure().reason == f"{path} cannot be run: Permission denied"


def test_pip_download_no_pip(index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pip nothing is started."""
    find_spec = importlib.util.find_spec

    def without_pip(name: str) -> ModuleSpec | None:
        return None if name == "pip" else find_spec(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_pip)
    assert index.failure().reason == "pip is not installed in this environment"
    assert not server.requests
    assert not [*index.folder.iterdir()]


EXECUTABLES = {"unknown": "", "none": None, "server": "/usr/sbin/uwsgi", "absent": "/nowhere/bin/python3"}
executables = pytest.mark.parametrize("executable", EXECUTABLES.values(), ids=EXECUTABLES.keys())


@executables
def test_pip_download_no_interpreter(index: Index, monkeypatch: pytest.MonkeyPatch, executable: str | None) -> None:
    """A program that embeds Python, in no environment of its own, has no pip to run."""
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "prefix", "/nowhere")
    reason = f"sys.executable ({executable or 'empty'}) is not a Python, so pip cannot be run"
    assert index.failure().reason == reason
    assert not [*index.folder.iterdir()]


@executables
def test_pip_download_interpreter_of_the_environment(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    """A program that embeds Python is not started again in Python's place: the environment's own is."""
    (tmp_path / "bin").mkdir()
    Path(program(tmp_path, "echo ERROR: it is me; exit 1")).rename(tmp_path / "bin" / "python3")
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert index.failure().reason == "it is me"


def test_pip_download_folder_cannot_be_written(index: Index) -> None:
    """A scratch folder that went away is not the index's fault."""
    index.folder.rmdir()
    with pytest.raises(FileNotFoundError, match=r"index"):
        index.download()

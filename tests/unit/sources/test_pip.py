"""The package index, through the real pip, on an index of the tests' own."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import re
import select
import shutil
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import ModelPin
from modelboot._network.download import Download
from modelboot._progress import SILENT, Progress
from modelboot._settings import Settings
from modelboot._sources.pip import PackageIndex
from modelboot._sources.pip_program import find_pip
from modelboot.errors import Attempt, DownloadError, HashMismatchError
from support.server import Reply
from support.sources import point_pip_at, publish_to_index
from support.wheels import NAME, VERSION, BuiltWheel, Tampering, altered, small_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

REAL_PIP = pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")


platforms = pytest.mark.parametrize("platform", ["linux", "win32"])
"""On Windows there are no process groups to kill, and no pipes that are read without waiting."""
REAL_ENSUREPIP = pytest.mark.skipif(importlib.util.find_spec("ensurepip") is None, reason="needs ensurepip")


class Seen:
    """What a person would have seen of a download."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.total_bytes: int | None = None
        self.downloaded_bytes = 0
        self.is_closed = False

    def ask(self, label: str, source: str) -> None:
        """Show who is asked."""

    def start(self, label: str, total_bytes: int | None, present_bytes: int) -> None:  # noqa: ARG002 - as inherited
        """Note the size."""
        self.total_bytes, self.downloaded_bytes = total_bytes, present_bytes

    def note(self, text: str) -> None:
        """Show a wait."""

    def advance(self, downloaded_bytes: int) -> None:
        """Note what has come."""
        self.downloaded_bytes += downloaded_bytes

    def close(self) -> None:
        """Note the end."""
        self.is_closed = True


@dataclass(frozen=True)
class Index:
    """The package index as a source: asked for a wheel, which goes into a folder, under some settings."""

    wheel: BuiltWheel
    folder: Path
    settings: Settings

    def download(self, *, pin: ModelPin | None = None, progress: Progress = SILENT, deadline_s: float = 60.0) -> Path:
        """Let pip fetch the wheel."""
        pin, limits = pin or self.wheel.pin_at(None), self.settings._replace(deadline_s=deadline_s).limits()
        path = self.folder / "pinned.whl"
        wanted = Download(
            label=str(pin), sha256=pin.sha256, size_mb=pin.size_mb, path=path, limits=limits, progress=progress
        )
        PackageIndex("").fetch(pin, wanted)
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
    return Index(wheel, folder, settings._replace(timeout_s=10.0, retries=0))


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
    base = shutil.which(f"python3.{sys.version_info.minor}", path=f"{sys.base_prefix}/bin")
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
@platforms
def test_pip_download_deadline(
    index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """An index that says nothing holds no call beyond the deadline."""
    monkeypatch.setattr(sys, "platform", platform)
    server.serve(f"/simple/{NAME.replace('_', '-')}/", Reply(stall="headers"))
    began_s = time.monotonic()
    assert index.failure(deadline_s=0.5).reason == "deadline of 0.5 s passed"
    assert time.monotonic() - began_s < index.settings.timeout_s - 2  # pip's own limit did not end it


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


@pytest.fixture
def no_pip_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take pip out of the environment; the copy that Python brings along stays."""
    find_spec = importlib.util.find_spec

    def without_pip(name: str) -> ModuleSpec | None:
        return None if name == "pip" else find_spec(name)

    monkeypatch.setattr(importlib.util, "find_spec", without_pip)


@pytest.fixture
def no_pip_at_all(no_pip_installed: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - for its effect
    """Take the copy away, too, as Debian does."""
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find_spec(name))
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: None)


@REAL_ENSUREPIP
@pytest.mark.usefixtures("no_pip_installed")
def test_pip_download_with_the_bundled_pip(index: Index, server: ModelServer) -> None:
    """Where the environment has no pip, the wheel of it that Python brings along is run, and stays where it is."""
    publish_to_index(server, index.wheel.path)
    assert index.download().read_bytes() == index.wheel.content
    assert "pip/" in server.requests[0].headers["User-Agent"]
    assert [path.name for path in index.folder.iterdir() if path.name.startswith("pip-")] == []


@REAL_ENSUREPIP
def test_folder_that_is_called_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `pip` on the path of an environment without pip is not taken for it, though it can be imported."""
    (tmp_path / "pip").mkdir()
    others = [folder for folder in sys.path if not Path(folder or ".", "pip").exists()]
    monkeypatch.setattr(sys, "path", [str(tmp_path), *others])
    monkeypatch.delitem(sys.modules, "pip", raising=False)
    assert find_pip().where.startswith("bundled with Python")


@pytest.mark.usefixtures("no_pip_at_all")
def test_pip_download_no_pip(
    index: Index, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any pip nothing is started, and the hint is the line that helps in this kind of environment."""
    for uv, line in ((True, "run `uv pip install pip`"), (False, r"run `(apt|conda) install|install pip into")):
        (tmp_path / "pyvenv.cfg").write_text("uv = 0.13.9\n" if uv else "", "utf-8")
        monkeypatch.setattr(sys, "prefix", str(tmp_path))
        attempt = index.failure()
        assert attempt.reason == "no pip in this environment, and none that Python brings along"
        assert re.match(line, attempt.hint or "")
        error = DownloadError(name=NAME, version=VERSION, sha256="0" * 64, attempts=(attempt,))
        assert error.hint == attempt.hint
    assert not server.requests
    assert not [*index.folder.iterdir()]


@REAL_PIP
def test_pip_download_no_index_wanted(index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """PIP_NO_INDEX is honoured and told by its name; pip itself would say that there is no such package."""
    publish_to_index(server, index.wheel.path)
    monkeypatch.setenv("PIP_NO_INDEX", "yes")
    attempt = index.failure()
    told = "; PIP_NO_INDEX is set, so no index is asked"
    assert attempt.reason == f"No matching distribution found for {NAME}=={VERSION}{told}"
    assert attempt.hint == "unset PIP_NO_INDEX if the package index may be asked"
    (probe,) = PackageIndex("").probe(index.wheel.pin_at(None), index.settings.limits())
    assert (probe.ok, probe.found) == (False, f"does not have {NAME} {VERSION}{told}")
    assert not server.requests


@REAL_PIP
def test_pip_download_no_index_switched_off(index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """PIP_NO_INDEX=False is no reason not to ask the index, nor is it told as one."""
    monkeypatch.setenv("PIP_NO_INDEX", "False")
    assert index.failure().reason == f"No matching distribution found for {NAME}=={VERSION}"
    assert server.requests


@REAL_PIP
@pytest.mark.parametrize("said_by", ["variable", "file"])
def test_pip_download_no_index_but_links(
    index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said_by: str
) -> None:
    """With find-links beside it, in a variable or in pip's file, pip has somewhere else to look, and does."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    if said_by == "variable":
        monkeypatch.setenv("PIP_FIND_LINKS", str(index.wheel.path.parent))
    else:
        (tmp_path / "pip.conf").write_text(f"[global]\nfind-links = {index.wheel.path.parent}\n", "utf-8")
        monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert index.download().read_bytes() == index.wheel.content
    assert not server.requests


@REAL_PIP
@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX", "uv.toml"])
def test_pip_download_from_uvs_index(
    index: Index, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Where uv alone is set up with an index, pip asks that one, with the login uv has for it."""
    publish_to_index(server, index.wheel.path)
    monkeypatch.delenv("PIP_INDEX_URL")
    if variable == "UV_INDEX":  # asked as well as pip's own
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/empty")
    if variable == "uv.toml":
        (tmp_path / "uv.toml").write_text(
            f'[[index]]\nname = "corp"\nurl = "{server.url}/simple"\ndefault = true\n', "utf-8"
        )
        monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    else:
        monkeypatch.setenv(variable, f"corp={server.url}/simple")
    monkeypatch.setenv("UV_INDEX_CORP_USERNAME", "ann")
    monkeypatch.setenv("UV_INDEX_CORP_PASSWORD", "s3cret")
    assert index.download().read_bytes() == index.wheel.content
    login = f"Basic {base64.b64encode(b'ann:s3cret').decode()}"
    assert login in [request.headers.get("Authorization") for request in server.requests]


@REAL_PIP
def test_pip_download_from_its_own_index_first(
    index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where pip has an index of its own, in a file or a variable, uv's does not replace it."""
    publish_to_index(server, index.wheel.path)
    monkeypatch.delenv("PIP_INDEX_URL")
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {server.url}/simple\n", "utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{server.url}/uv")
    assert index.download().read_bytes() == index.wheel.content
    assert not [request for request in server.requests if request.path.startswith("/uv")]


@REAL_PIP
@pytest.mark.parametrize("stronger", ["variable", "section"])
def test_pip_download_from_its_own_and_uvs_indexes(
    index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stronger: str
) -> None:
    """Beside uv's index pip asks its own: of several settings of one name the one that is stronger for pip."""
    publish_to_index(server, index.wheel.path)
    section = "simple" if stronger == "section" else "section"
    config = f"[global]\nextra-index-url = {server.url}/file\n[download]\nextra-index-url = {server.url}/{section}\n"
    (tmp_path / "pip.conf").write_text(config, "utf-8")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/empty")
    monkeypatch.setenv("UV_INDEX", f"{server.url}/uv")
    if stronger == "variable":
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{server.url}/simple")
    assert index.download().read_bytes() == index.wheel.content
    asked = dict.fromkeys(request.path.split("/")[1] for request in server.requests)
    assert list(asked) == ["empty", "simple", "uv", "files"]


@REAL_PIP
def test_pip_download_larger_than_the_wheel_can_be(index: Index, server: ModelServer) -> None:
    """A download that outgrows the pinned wheel is ended, and little more than that has come to the disk."""
    publish_to_index(server, index.wheel.path)
    server.serve(f"/files/{index.wheel.path.name}", Reply(body=b"PK", endless=True))
    pin = replace(index.wheel.pin_at(None), size_mb=1)
    began_s = time.monotonic()
    with pytest.raises(DownloadError, match="sends more than the 3,932,160 bytes expected"):
        index.download(pin=pin)
    assert time.monotonic() - began_s < 30


RAW_PIP = """
count=$(cat '{folder}/count' 2>/dev/null)
for word; do case $word in --progress-bar=raw) echo raw > '{folder}/raw';; esac; done
echo 'Progress 250000 of 1000000'
sleep 0.4
echo 'Progress 1000000 of 1000000'
sleep 0.4
echo 'ERROR: not today'
exit 1
"""


@REAL_PIP
@pytest.mark.parametrize(("version", "raw"), [("24.1", True), ("26.3", True), ("23.2.1", False)])
def test_pip_progress_is_shown(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, *, raw: bool
) -> None:
    """What pip tells a program of its progress moves our bar; a pip that cannot is not asked to."""
    monkeypatch.setattr(sys, "executable", program(tmp_path, RAW_PIP.format(folder=tmp_path)))
    monkeypatch.setattr(metadata, "version", lambda _: version)
    seen = Seen()
    with pytest.raises(DownloadError, match="not today"):
        index.download(progress=seen)
    assert (tmp_path / "raw").exists() is raw
    assert (seen.total_bytes, seen.downloaded_bytes, seen.is_closed) == (1_000_000, 1_000_000, True)


WAITING_PIP = """
echo 'Progress 250000 of 1000000'
for _ in $(seq 100); do [ -e '{folder}/shown' ] && echo 'ERROR: it was shown' && exit 1; sleep 0.05; done
echo 'ERROR: nobody looked'
exit 1
"""


@REAL_PIP
@platforms
def test_pip_progress_is_shown_at_once(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    """What pip tells is shown while pip goes on, on Windows, too."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(sys, "executable", program(tmp_path, WAITING_PIP.format(folder=tmp_path)))
    monkeypatch.setattr(metadata, "version", lambda _: "24.1")

    class Shown(Seen):
        def advance(self, downloaded_bytes: int) -> None:
            super().advance(downloaded_bytes)
            (tmp_path / "shown").touch()

    with pytest.raises(DownloadError, match="it was shown"):
        index.download(progress=Shown())


def test_pip_download_leaves_something_running(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pip has started and left running, its output still open, is not waited for."""
    os.mkfifo(tmp_path / "end")
    monkeypatch.setattr(sys, "executable", program(tmp_path, f"(read _ < '{tmp_path}/end') & echo ERROR: gone; exit 1"))
    try:
        assert index.failure(deadline_s=30.0).reason == "gone"
    finally:
        (tmp_path / "end").write_text("\n", "utf-8")


@REAL_PIP
def test_pip_progress_without_words(index: Index, server: ModelServer) -> None:
    """Of any pip the file that grows is watched."""
    publish_to_index(server, index.wheel.path)
    server.serve(f"/files/{index.wheel.path.name}", Reply(body=index.wheel.content * 500, drip_bytes_per_s=400_000))
    seen = Seen()
    with pytest.raises(DownloadError, match=r"got sha256|deadline"):
        index.download(progress=seen, deadline_s=20)
    assert seen.downloaded_bytes > 10_000


@REAL_PIP
@pytest.mark.parametrize(
    ("versions", "ok", "found"),
    [
        (["1.0.0"], True, "has en_tiny_sm 1.0.0; only an install can compare its hash"),
        (["999.9.9"], False, "does not have en_tiny_sm 1.0.0, only 999.9.9"),
        ([], False, "does not have en_tiny_sm 1.0.0"),
    ],
    ids=["there", "squatted", "absent"],
)
def test_pip_probe(  # noqa: PLR0913 - a table
    index: Index, server: ModelServer, tmp_path: Path, versions: list[str], found: str, *, ok: bool
) -> None:
    """The doctor is told whether the index has the version, not only whether it answers."""
    for version in versions:
        publish_to_index(server, small_wheel(tmp_path / version, version).path)
    (probe,) = PackageIndex("").probe(index.wheel.pin_at(None), index.settings.limits())
    assert (probe.ok, probe.found) == (ok, found)


@REAL_PIP
@platforms
def test_pip_probe_deadline(index: Index, server: ModelServer, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """An index that says nothing holds no doctor beyond the deadline."""
    monkeypatch.setattr(sys, "platform", platform)
    server.serve(f"/simple/{NAME.replace('_', '-')}/", Reply(stall="headers"))
    began_s = time.monotonic()
    (probe,) = PackageIndex("").probe(index.wheel.pin_at(None), index.settings._replace(deadline_s=0.5).limits())
    assert (probe.ok, probe.found) == (False, "deadline of 0.5 s passed")
    assert time.monotonic() - began_s < index.settings.timeout_s - 2


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


def test_pip_download_settings_of_uv_unread(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python 3.10 cannot read uv's file, the hint of a failure says so and names the variable instead."""
    (tmp_path / "uv.toml").write_text("")
    monkeypatch.delenv("UV_NO_CONFIG")
    monkeypatch.setenv("UV_CONFIG_FILE", str(tmp_path / "uv.toml"))
    monkeypatch.setattr("modelboot._sources.uv.CAN_READ_TOML", False)
    assert index.failure().hint == f"name the index in UV_DEFAULT_INDEX: Python 3.10 cannot read {tmp_path / 'uv.toml'}"

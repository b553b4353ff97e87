"""`modelboot fetch`: a folder of verified wheels that serves as wheelhouse, as mirror and for pip."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelboot import ModelPin, ensure_model
from support.children import python
from support.commands import MAIN, facts, failure, output, reference, run
from support.folders import snapshot
from support.server import ModelServer
from support.wheels import NAME, BuiltWheel, altered

FILE = f"{NAME}-1.0.0-py3-none-any.whl"
IN_TREE = f"{NAME}-1.0.0/{FILE}"
HINT = "hint: name another folder with --dest, one you may write to, with enough disk space"


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    """Return the folder to fill, which does not exist yet."""
    return tmp_path / "new" / "wheels"


@pytest.fixture
def filled(dest: Path, file_mirror: Path) -> Path:
    """Return a wheelhouse that holds the wheel; the mirror it came from is gone."""
    output("fetch", NAME, "--dest", dest)
    file_mirror.rename(file_mirror.with_name("gone"))
    return dest


@pytest.mark.usefixtures("file_mirror")
def test_fetch_lays_out_the_release_tree(dest: Path, wheel: BuiltWheel, target: Path) -> None:
    """The wheel lies where a mirror has it, a link to it at the top, nothing else; a line tells so."""
    _, out, err = run("fetch", NAME, "--dest", dest)
    path = dest / IN_TREE
    assert out == f"{NAME} 1.0.0  release  {path}\n"
    told = [f"info: {NAME} 1.0.0: asking mirror ", f"info: downloading {NAME} 1.0.0 "]
    assert [line.split("(")[0] for line in err.splitlines()] == told
    assert path.read_bytes() == wheel.content
    assert sorted(dest.rglob("*")) == [path.parent, path, dest / FILE]
    assert path.stat().st_mode & 0o777 == path.parent.stat().st_mode & 0o666  # others may read it, as umask says
    assert (dest / FILE).readlink() == path.relative_to(dest)
    assert not target.exists()


def test_fetch_again(filled: Path) -> None:
    """A second fetch finds the wheel, needs no source and changes nothing."""
    before = snapshot(filled, without=(), strict=True)
    assert run("fetch", NAME, "--dest", filled) == (0, f"{NAME} 1.0.0  present  {filled / IN_TREE}\n", "")
    assert snapshot(filled, without=(), strict=True) == before


@pytest.mark.usefixtures("file_mirror")
def test_fetch_json(tmp_path: Path, wheel: BuiltWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON is a list of facts, an item a wheel; DIR may be relative, what is printed is absolute."""
    monkeypatch.chdir(tmp_path)
    first, second = facts("fetch", NAME, f"{NAME}==1.0.0", "--dest", "wheels")
    assert set(first) == {"name", "version", "sha256", "source", "path", "downloaded_bytes"}
    assert (first["sha256"], first["source"], second["source"]) == (wheel.sha256, "release", "present")
    assert first["path"] == str(tmp_path / "wheels" / IN_TREE)


@pytest.mark.parametrize("use", ["wheelhouse", "file URL", "static server"])
def test_fetch_serves(use: str, filled: Path, monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> None:
    """The folder serves as wheelhouse and as file URL, both without a network, and behind any static server."""
    server.tree(filled)
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(filled) if use == "wheelhouse" else "")
    monkeypatch.setenv("MODELBOOT_BASE_URL", filled.as_uri() if use == "file URL" else server.url)
    monkeypatch.setenv("MODELBOOT_OFFLINE", str(int(use != "static server")))
    assert ensure_model(NAME).source == ("wheelhouse" if use == "wheelhouse" else "release")
    assert len(server.requests) == (use == "static server")


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")
def test_fetch_serves_pip(filled: Path, tmp_path: Path) -> None:
    """`pip install --no-index --find-links DIR` takes the wheel from it."""
    line = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--no-deps", NAME]
    line += ["--no-index", f"--find-links={filled}", f"--target={tmp_path / 'lib'}", "--no-compile"]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "lib" / NAME / "meta.json").is_file()


# --- what is there already


@pytest.mark.usefixtures("file_mirror")
def test_fetch_replaces_altered(dest: Path, wheel: BuiltWheel) -> None:
    """Other bytes under the wheel's name in the release tree give way to the pinned ones."""
    altered(wheel, dest / f"{NAME}-1.0.0")
    output("fetch", NAME, "--dest", dest)
    assert (dest / FILE).read_bytes() == (dest / IN_TREE).read_bytes() == wheel.content


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.parametrize("kind", ["file", "link"])
def test_fetch_keeps_a_wheel_of_that_name(kind: str, dest: Path, tmp_path: Path, wheel: BuiltWheel) -> None:
    """A user's own wheel of that name at the top stays as it is, is warned of, and does not hide the pinned one."""
    own = altered(wheel, tmp_path / "own" if kind == "link" else dest)
    if kind == "link":
        dest.mkdir(parents=True)
        (dest / FILE).symlink_to(own)
    before = own.read_bytes()
    for _ in range(2):
        assert f"warning: {dest / FILE} has other bytes than" in run("fetch", NAME, "--dest", dest).err
        assert (dest / FILE).read_bytes() == before
    output("install", NAME, MODELBOOT_WHEELHOUSE=str(dest), MODELBOOT_OFFLINE="1")


@pytest.mark.usefixtures("file_mirror")
def test_fetch_keeps_what_else_is_there(dest: Path, wheel: BuiltWheel) -> None:
    """A good copy at the top stays a file of its own, and other files are not touched."""
    dest.mkdir(parents=True)
    (dest / FILE).write_bytes(wheel.content)
    (dest / "notes.txt").write_text("mine", "utf-8")
    output("fetch", NAME, "--dest", dest)
    assert not (dest / FILE).is_symlink()
    assert (dest / "notes.txt").read_text("utf-8") == "mine"


# --- failures; those of Ctrl-C and of a kill are in test_interrupted.py


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "existing"])
def test_fetch_fails(file_mirror: Path, dest: Path, *, is_there: bool) -> None:
    """After a failure there is nothing that was not there before, not even the folder."""
    if is_there:
        dest.mkdir(parents=True)
    (file_mirror / IN_TREE).write_bytes(b"PK other")
    assert f"refused {NAME} 1.0.0: not the pinned bytes" in failure("fetch", NAME, "--dest", dest)[-2]
    assert [*dest.parent.rglob("*")] == [dest] * is_there
    assert dest.parent.exists() == is_there


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_fetch_disk_full(pin: ModelPin, dest: Path) -> None:
    """A full disk, for which a limit on files stands in, is told of a fetch, not of an install, and leaves nothing."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500)); "
    done = python(limit + MAIN, "fetch", reference(pin), "--dest", str(dest), env={"PYTHONDONTWRITEBYTECODE": "1"})
    *_, error, hint = done.stderr.splitlines()
    assert (done.returncode, hint) == (1, HINT)
    assert error.startswith(f"error: could not fetch {NAME} 1.0.0: {dest}")
    assert error.endswith(": File too large")
    assert not dest.exists()


@pytest.mark.usefixtures("file_mirror")
def test_fetch_dest_is_a_file(tmp_path: Path) -> None:
    """A DIR that is a file is told as such, and the file stays."""
    file = tmp_path / "file"
    file.write_text("mine", "utf-8")
    assert failure("fetch", NAME, "--dest", file)[-2].startswith(f"error: could not fetch {NAME} 1.0.0: {file}")
    assert file.read_text("utf-8") == "mine"

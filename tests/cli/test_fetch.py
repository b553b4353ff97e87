"""`modelboot fetch`: a folder of verified wheels that serves as wheelhouse, as mirror and for pip."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from modelboot import ensure_model
from modelboot._catalog import resolve
from modelboot._install.target import WORK
from modelboot.cli import main
from support.children import public_folder, run_as_other_user, skip_unless_other_user
from support.folders import snapshot
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import BuiltWheel, Tampering, altered, small_wheel

Capture = pytest.CaptureFixture[str]
NAME = "en_tiny_sm"
FILE = f"{NAME}-1.0.0-py3-none-any.whl"
KEYS = {"name", "version", "sha256", "source", "path", "downloaded_bytes"}


@pytest.fixture
def dest(tmp_path: Path, file_mirror: Path) -> Path:
    """Return a wheelhouse that holds the wheel; the mirror it came from is gone."""
    folder = tmp_path / "wheels"
    assert main(["fetch", NAME, "--dest", str(folder)]) == 0
    file_mirror.rename(file_mirror.with_name("gone"))
    return folder


@pytest.mark.usefixtures("file_mirror")
def test_fetch_lays_out_the_release_tree(capsys: Capture, tmp_path: Path, wheel: BuiltWheel, target: Path) -> None:
    """The wheel lies where a mirror has it, a link to it at the top, nothing else; a line tells so."""
    dest = tmp_path / "new" / "wheels"
    assert main(["fetch", NAME, "--dest", str(dest)]) == 0
    out, err = capsys.readouterr()
    path = dest / f"{NAME}-1.0.0" / FILE
    assert out == f"{NAME} 1.0.0  release  {path}\n"
    asking, downloading = err.splitlines()
    assert asking.startswith(f"info: {NAME} 1.0.0: asking mirror (file://")
    assert downloading == f"info: downloading {NAME} 1.0.0 (0.0 MB)"
    assert path.read_bytes() == wheel.content
    assert sorted(dest.rglob("*")) == [path.parent, path, dest / FILE]
    assert (dest / FILE).readlink() == path.relative_to(dest)
    assert not target.exists()


def test_fetch_again(capsys: Capture, dest: Path) -> None:
    """A second fetch finds the wheel, needs no source and changes nothing."""
    before = snapshot(dest, without=(), strict=True)
    capsys.readouterr()
    assert main(["fetch", NAME, "--dest", str(dest)]) == 0
    assert capsys.readouterr() == (f"{NAME} 1.0.0  present  {dest / f'{NAME}-1.0.0' / FILE}\n", "")
    assert snapshot(dest, without=(), strict=True) == before


@pytest.mark.usefixtures("file_mirror")
def test_fetch_json(capsys: Capture, tmp_path: Path, wheel: BuiltWheel) -> None:
    """The JSON is a list of facts, an item a wheel."""
    assert main(["fetch", NAME, f"{NAME}==1.0.0", "--dest", str(tmp_path / "wheels"), "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert set(first) == KEYS
    assert (first["sha256"], first["source"], second["source"]) == (wheel.sha256, "release", "present")
    assert first["path"] == str(tmp_path / "wheels" / f"{NAME}-1.0.0" / FILE)


@pytest.mark.usefixtures("file_mirror")
def test_fetch_relative_dest(capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DIR may be relative to the working directory; what is printed is absolute."""
    monkeypatch.chdir(tmp_path)
    assert main(["fetch", NAME, "--dest", "wheels"]) == 0
    assert capsys.readouterr().out.endswith(f"  {tmp_path / 'wheels' / f'{NAME}-1.0.0' / FILE}\n")


def _as_wheelhouse(dest: Path, monkeypatch: pytest.MonkeyPatch, _: ModelServer) -> None:
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(dest))
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")


def _as_file_url(dest: Path, monkeypatch: pytest.MonkeyPatch, _: ModelServer) -> None:
    monkeypatch.setenv("MODELBOOT_BASE_URL", dest.as_uri())
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")


def _as_mirror(dest: Path, monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> None:
    server.tree(dest)
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)


@pytest.mark.parametrize(
    ("use", "source"),
    [(_as_wheelhouse, "wheelhouse"), (_as_file_url, "release"), (_as_mirror, "release")],
    ids=["wheelhouse", "file-url", "static-server"],
)
def test_fetch_serves(
    use: Callable[[Path, pytest.MonkeyPatch, ModelServer], None],
    source: str,
    dest: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: ModelServer,
) -> None:
    """The folder serves as wheelhouse and as file URL, both without a network, and behind any static server."""
    use(dest, monkeypatch, server)
    model = ensure_model(NAME)
    assert (model.source, model.path.is_dir()) == (source, True)
    assert len(server.requests) == (use is _as_mirror)


@pytest.mark.skipif(importlib.util.find_spec("pip") is None, reason="needs pip in this environment")
def test_fetch_serves_pip(dest: Path, tmp_path: Path) -> None:
    """`pip install --no-index --find-links DIR` takes the wheel from it."""
    command = [
        "pip",
        "install",
        "--no-index",
        "--find-links",
        str(dest),
        "--no-deps",
        "--target",
        str(tmp_path / "lib"),
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        [sys.executable, "-m", *command, "--no-compile", NAME],
        check=False,
        capture_output=True,
        text=True,
        env={**env, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "lib" / NAME / "meta.json").is_file()


def test_fetch_from_a_wheelhouse(capsys: Capture, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wheelhouse may be filled from another, offline."""
    _as_wheelhouse(dest, monkeypatch, ModelServer.__new__(ModelServer))
    capsys.readouterr()
    assert main(["fetch", NAME, "--dest", str(tmp_path / "second")]) == 0
    assert capsys.readouterr().out.startswith(f"{NAME} 1.0.0  wheelhouse  ")
    assert (tmp_path / "second" / FILE).is_file()


@pytest.mark.usefixtures("file_mirror")
def test_fetch_replaces_altered(tmp_path: Path, wheel: BuiltWheel) -> None:
    """Other bytes under the wheel's name in the release tree give way to the pinned ones."""
    dest = tmp_path / "wheels"
    altered(wheel, dest / f"{NAME}-1.0.0")
    assert main(["fetch", NAME, "--dest", str(dest)]) == 0
    for path in (dest / FILE, dest / f"{NAME}-1.0.0" / FILE):
        assert path.read_bytes() == wheel.content


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.parametrize("is_link", [False, True], ids=["file", "link"])
def test_fetch_keeps_a_wheel_of_that_name(
    is_link: bool,  # noqa: FBT001 - a column
    tmp_path: Path,
    wheel: BuiltWheel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user's own wheel of that name at the top stays as it is, is warned of, and hides the pinned one from nobody."""
    dest = tmp_path / "wheels"
    own = altered(wheel, tmp_path / "own" if is_link else dest)
    if is_link:
        dest.mkdir()
        (dest / FILE).symlink_to(own)
    before = own.read_bytes()
    for _ in range(2):
        assert main(["fetch", NAME, "--dest", str(dest)]) == 0
        assert (dest / FILE).read_bytes() == before
        assert f"warning: {dest / FILE} has other bytes than" in capsys.readouterr().err
    _as_wheelhouse(dest, monkeypatch, ModelServer.__new__(ModelServer))
    assert main(["install", NAME]) == 0


@pytest.mark.usefixtures("file_mirror")
def test_fetch_keeps_what_else_is_there(tmp_path: Path, wheel: BuiltWheel) -> None:
    """A good copy at the top stays a file of its own, and other files are not touched."""
    dest = tmp_path / "wheels"
    dest.mkdir()
    (dest / FILE).write_bytes(wheel.content)
    (dest / "notes.txt").write_text("mine", "utf-8")
    assert main(["fetch", NAME, "--dest", str(dest)]) == 0
    assert not (dest / FILE).is_symlink()
    assert (dest / "notes.txt").read_text("utf-8") == "mine"


def _missing(mirror: Path) -> None:
    (mirror / f"{NAME}-1.0.0" / FILE).unlink()


def _wrong(mirror: Path) -> None:
    (mirror / f"{NAME}-1.0.0" / FILE).write_bytes(b"PK other bytes")


@pytest.mark.parametrize("is_there", [False, True], ids=["new", "existing"])
@pytest.mark.parametrize(
    ("spoil", "error"),
    [(_missing, "could not get en_tiny_sm 1.0.0"), (_wrong, "refused en_tiny_sm 1.0.0")],
    ids=["missing", "wrong"],
)
def test_fetch_fails(  # noqa: PLR0913, PLR0917 - a table of two by two
    spoil: Callable[[Path], None],
    error: str,
    is_there: bool,  # noqa: FBT001 - a column
    capsys: Capture,
    file_mirror: Path,
    tmp_path: Path,
) -> None:
    """After a failure there is nothing that was not there before, not even the folder."""
    dest = tmp_path / "deep" / "wheels"
    if is_there:
        dest.mkdir(parents=True)
    spoil(file_mirror)
    assert main(["fetch", NAME, "--dest", str(dest)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ")[0] for line in err.splitlines()][-2:] == ["error", "hint"]
    assert error in err
    assert [*(tmp_path / "deep").rglob("*")] == [dest] * is_there
    assert (tmp_path / "deep").exists() == is_there


def test_fetch_interrupted(tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a transfer leaves nothing of a small wheel and is told in two lines."""
    wheel = resolve("fr_core_news_sm").release_path
    server.serve(f"/{wheel}", Reply(body=b"PK" * 10, stall="body"))
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    # A shell that runs the tests in the background has them, and so their children, ignore SIGINT.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from modelboot.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "fetch", "fr_core_news_sm", "--dest", str(tmp_path / "wheels")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert server.wait_for(f"/{wheel}")
            child.send_signal(signal.SIGINT)
            out, err = child.communicate(timeout=30)
        finally:
            child.kill()
    assert (child.returncode, out) == (130, "")
    assert err.splitlines()[-2:] == ["error: interrupted", "hint: nothing unfinished was left; run it again"]
    assert not (tmp_path / "wheels").exists()


@pytest.mark.usefixtures("file_mirror")
def test_fetch_sweeps_after_a_kill(tmp_path: Path) -> None:
    """What a killed fetch left in DIR is gone after the next one."""
    work = tmp_path / "wheels" / WORK
    code = (
        "import os, pathlib, sys, modelboot._install.stage as s\n"
        "stages = s.staged(pathlib.Path(sys.argv[1]), sys.argv[2])\n"
        "print(stages.__enter__(), flush=True)\n"
        "os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(work), NAME], check=True, capture_output=True, text=True)
    (left,) = work.iterdir()
    assert str(left) == done.stdout.strip()
    (left / "x.whl.part").write_bytes(b"PK")
    assert main(["fetch", NAME, "--dest", str(tmp_path / "wheels")]) == 0
    assert not work.exists()


def test_fetch_resumes_after_a_kill(server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large part that a killed fetch left in DIR is completed, not fetched again."""
    filler = {f"{NAME}/filler": os.urandom(3 << 20)}
    wheel = small_wheel(tmp_path / "built", tampering=Tampering(extra=filler))
    publish(monkeypatch, tmp_path / "mirror", wheel, size_mb=4)
    monkeypatch.setenv("MODELBOOT_BASE_URL", server.url)
    path, body = f"/{NAME}-1.0.0/{FILE}", wheel.content
    server.serve(
        path, Reply(body=body, stall="body", cut_after_bytes=2 << 20, ranged=True), Reply(body=body, ranged=True)
    )
    dest = tmp_path / "wheels"
    child = subprocess.Popen([sys.executable, "-c", FETCH, str(dest), NAME, "1.0.0", wheel.sha256])
    try:
        _wait_for_a_part(dest, child)
    finally:
        child.kill()
        child.wait()
    assert main(["fetch", NAME, "--dest", str(dest)]) == 0
    assert (dest / FILE).read_bytes() == body
    first, second = server.requests
    assert "range" not in first.headers
    assert int(second.headers["range"].removeprefix("bytes=").removesuffix("-")) >= 1 << 20
    assert not (dest / WORK).exists()


FETCH = """
import sys
from modelboot import ModelPin
from modelboot.cli import commands, main

folder, name, version, sha256 = sys.argv[1:]
commands.resolve = lambda _, **__: ModelPin(name, version, sha256)
sys.exit(main(["fetch", name, "--dest", folder]))
"""


def _wait_for_a_part(dest: Path, child: subprocess.Popen[bytes]) -> None:
    """Wait until so much has come that it is worth resuming."""
    for _ in range(1000):
        if any(part.stat().st_size > 1 << 20 for part in dest.rglob("*.part")):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.02)  # the pause between two looks
    pytest.fail("no part file appeared")


def test_fetch_unwritable_dest(wheel: BuiltWheel) -> None:
    """A DIR that may not be written is one error and one hint line, which speak of DIR and of nothing else."""
    skip_unless_other_user()
    with public_folder() as folder:
        answer = run_as_other_user(UNWRITABLE, folder, wheel.name, wheel.version, wheel.sha256)
        assert [*folder.iterdir()] == []
    status, error, hint = answer.splitlines()
    assert status == "1"
    assert error == f"error: could not fetch {NAME} 1.0.0: {folder / 'wheels'}: Permission denied"
    assert hint == "hint: name another folder with --dest, one you may write to, with enough disk space"


UNWRITABLE = """
import contextlib, io, sys
from modelboot import ModelPin
from modelboot.cli import commands, main

folder, name, version, sha256 = sys.argv[1:]
commands.resolve = lambda _, **__: ModelPin(name, version, sha256)
with contextlib.redirect_stderr(io.StringIO()) as told:
    print(main(["fetch", name, "--dest", f"{folder}/wheels"]))
print(told.getvalue(), end="")
"""


@pytest.mark.usefixtures("file_mirror")
@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_fetch_disk_full(tmp_path: Path, wheel: BuiltWheel) -> None:
    """A full disk, for which a limit on files stands in, is told of a fetch, not of an install, and leaves nothing."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))"
    command = [sys.executable, "-B", "-c", f"{limit}\n{FETCH}", str(tmp_path / "wheels"), NAME, "1.0.0", wheel.sha256]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    error, hint = done.stderr.splitlines()[-2:]
    assert done.returncode == 1
    assert error.startswith(f"error: could not fetch {NAME} 1.0.0: {tmp_path / 'wheels'}")
    assert error.endswith(": File too large")
    assert hint == "hint: name another folder with --dest, one you may write to, with enough disk space"
    assert not (tmp_path / "wheels").exists()


@pytest.mark.usefixtures("file_mirror")
def test_fetch_dest_is_a_file(capsys: Capture, tmp_path: Path) -> None:
    """A DIR that is a file is told as such, and the file stays."""
    file = tmp_path / "file"
    file.write_text("mine", "utf-8")
    assert main(["fetch", NAME, "--dest", str(file)]) == 1
    assert f"error: could not fetch {NAME} 1.0.0: {file}" in capsys.readouterr().err
    assert file.read_text("utf-8") == "mine"


@pytest.mark.parametrize("words", [[], [NAME], ["--dest", "x"]], ids=["nothing", "no dest", "no model"])
def test_fetch_usage_wrong(capsys: Capture, words: list[str]) -> None:
    """Both a model and DIR are needed: status 2."""
    with pytest.raises(SystemExit) as caught:
        main(["fetch", *words])
    assert caught.value.code == 2
    assert "the following arguments are required" in capsys.readouterr().err


def test_fetch_of_an_official_model_names_its_wheel(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The command an offline error gives is understood word for word; here it fails for want of a network alone."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    assert main(["install"]) == 1
    hint = capsys.readouterr().err.splitlines()[-1]
    command = hint.split("`")[1].split()
    assert command[:2] == ["modelboot", "fetch"]
    monkeypatch.chdir(tmp_path)
    assert main(command[1:]) == 1
    assert f"{resolve('en_core_web_sm')} is not installed, and " in capsys.readouterr().err

"""A stage is stale when its process is gone, and only stale ones of the same model are removed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from modelboot._install.stage import concurrent, remove_stale, resumable_parts, staged, stale
from support.children import public_folder, run_as_other_user, skip_unless_other_user

fcntl = pytest.importorskip("fcntl", reason="needs locks of files as POSIX has them")

# Makes a stage, says which, and lives until its input ends.
OWNER = """
import sys
from pathlib import Path
from modelboot._install.stage import staged
stages = staged(Path(sys.argv[1]), "en_acme_sm")
print(stages.__enter__(), flush=True)
sys.stdin.read()
"""
REMOVE_STALE = """
import sys
from pathlib import Path
from modelboot._install.stage import remove_stale, stale
work = Path(sys.argv[1])
print(*(stage.name for stage in stale(work)))
remove_stale(work, "en_acme_sm")
"""


HELD: list[AbstractContextManager[Path]] = []


def made(work: Path, name: str) -> Path:
    """Make a stage that nothing removes."""
    HELD.append(staged(work, name))
    return HELD[-1].__enter__()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return an empty work folder."""
    folder = tmp_path / ".modelboot"
    folder.mkdir()
    return folder


@pytest.fixture
def shared_work() -> Iterator[Path]:
    """Return an empty work folder that every user may write."""
    skip_unless_other_user()
    with public_folder() as folder:
        folder.chmod(0o777)
        yield folder


# Forks a child that has begun to run before the stage is said.
FORKING = """
import os, sys
from pathlib import Path
from modelboot._install.stage import staged
stages = staged(Path(sys.argv[1]), "en_acme_sm")
stage = stages.__enter__()
begun, say = os.pipe()
if os.fork():
    os.read(begun, 1)
    print(stage, flush=True)
else:
    os.write(say, b"x")
sys.stdin.read()
"""
NAMESPACES = ["unshare", "--pid", "--fork", "--kill-child", "--uts", "--mount-proc"]


def skip_without_namespaces() -> None:
    """Skip where no namespaces can be made."""
    try:
        tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if tried.returncode:
        pytest.skip(f"no namespaces can be made here: {tried.stderr.decode().strip()}")


@contextmanager
def owner(
    work: Path, code: str = OWNER, *, wrapped: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a process that owns a stage."""
    pipe = subprocess.PIPE
    command = [*wrapped, sys.executable, "-c", code, str(work)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def of_another_host(stage: Path) -> Path:
    """Rename a stage to one of another host, whose locks need not be seen here, with a file inside."""
    model, _, token, suffix = stage.name.split(".")
    other = stage.rename(stage.with_name(".".join((model, "0" * 8, token, suffix))))
    (other / "unpacked").mkdir()
    (other / "unpacked" / "file").touch()
    HELD.pop().__exit__(None, None, None)  # nobody here holds its lock
    return other


def left_alone(stage: Path, *, seconds: float) -> Path:
    """Set a stage and all in it back to when it was last touched."""
    then = time.time() - seconds
    for path in (stage, *stage.rglob("*")):
        os.utime(path, (then, then))
    return stage


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o027, 0o750), (0o002, 0o775)], ids=oct)
def test_create(work: Path, umask: int, mode: int) -> None:
    """A stage is a new folder, named by model and host, with any folder's mode; its lock is all it has."""
    before = os.umask(umask)
    try:
        stage = made(work, "en_acme_sm")
    finally:
        os.umask(before)
    assert re.fullmatch(r"en_acme_sm\.[0-9a-f]{8}\.[0-9a-f]{8}\.stage", stage.name)
    assert ([path.name for path in stage.iterdir()], stage.parent, stage.stat().st_mode & 0o777) == (
        ["lock"],
        work,
        mode,
    )


def test_create_twice(work: Path) -> None:
    """Two stages of one process and model are two."""
    assert made(work, "en_acme_sm") != made(work, "en_acme_sm")


def test_create_without_a_work_folder(tmp_path: Path) -> None:
    """A work folder that a failed neighbour has just removed is made again."""
    assert made(tmp_path / "missing", "en_acme_sm").parent == tmp_path / "missing"


def test_stale_own_given_up(work: Path) -> None:
    """What an interrupted call of this very process left behind is stale, though the process lives."""
    with staged(work, "en_acme_sm") as stage:
        assert stale(work) == []
    stage.mkdir()
    assert stale(work) == [stage]


def test_staged(work: Path) -> None:
    """A stage is gone with all in it on the way out, whatever happened inside."""
    stages = staged(work, "en_acme_sm")
    (stages.__enter__() / "file").touch()
    swallowed = stages.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert (swallowed, list(work.iterdir())) == (False, [])


def test_concurrent(work: Path) -> None:
    """The living stages of the same model are at work at the same time, other threads' too, but not one's own."""
    own, other = made(work, "en_acme_sm"), made(work, "en_acme_sm")
    made(work, "fr_acme_sm")
    assert concurrent(own) == [other]


def test_stale_own(work: Path) -> None:
    """A stage of this very process is alive, however old."""
    left_alone(made(work, "en_acme_sm"), seconds=1e6)
    assert stale(work) == []


def test_stale_child(work: Path) -> None:
    """A stage is alive as long as its process, and stale once that was killed."""
    with owner(work) as (process, stage):
        while_alive = stale(work)
        process.kill()
        process.wait()
        assert (while_alive, stale(work)) == ([], [stage])


def test_stale_zombie(work: Path) -> None:
    """A process that has ended but was not waited for owns nothing any more."""
    with owner(work) as (process, stage):
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert stale(work) == [stage]


def test_stale_forked_child(work: Path) -> None:
    """A child that was forked in the middle of an install does not keep a killed parent's stage alive."""
    with owner(work, FORKING) as (process, stage):
        process.kill()
        process.wait()
        assert stale(work) == [stage]


def test_stale_between_folder_and_lock(work: Path) -> None:
    """A process killed between making its stage and locking it leaves one that is stale."""
    with staged(work, "en_acme_sm") as stage:
        pass
    stage.mkdir()
    assert stale(work) == [stage]
    remove_stale(work, "en_acme_sm")
    assert list(work.iterdir()) == []


def test_stale_in_another_container(work: Path) -> None:
    """A stage made in other pid and UTS namespaces is alive while its process is, and stale once that was killed."""
    skip_without_namespaces()
    with owner(work, wrapped=NAMESPACES) as (process, stage):
        while_alive = stale(work)
        process.kill()
        assert process.stdout is not None
        process.stdout.read()  # until the last process in there has ended
        assert while_alive == []
        assert any(stale(work) == [stage] for _ in range(1000))  # the lock goes a moment after the output


def test_living_stage_without_locks(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where locks do nothing, a stage is alive as long as anything in it changes."""
    stage = made(work, "en_acme_sm")
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    while_fresh = stale(work)
    left_alone(stage, seconds=1e6)
    assert (while_fresh, stale(work)) == ([], [stage])


@pytest.mark.parametrize(
    ("seconds", "is_stale"),
    [(0, False), (590, False), (610, True), (1e7, True), (-1000, False)],
    ids=["now", "almost-ten-minutes", "over-ten-minutes", "months", "clock-ahead"],
)
def test_stale_other_host(work: Path, seconds: float, *, is_stale: bool) -> None:
    """A stage of another host, whose processes cannot be seen, is stale once idle for ten minutes."""
    stage = left_alone(of_another_host(made(work, "en_acme_sm")), seconds=seconds)
    assert stale(work) == ([stage] if is_stale else [])


@pytest.mark.parametrize("touched", [".", "unpacked", "unpacked/file"], ids=["stage", "folder", "file"])
def test_stale_other_host_at_work(work: Path, touched: str) -> None:
    """A stage of another host is alive as long as anything in it changes."""
    stage = left_alone(of_another_host(made(work, "en_acme_sm")), seconds=1e6)
    os.utime(stage / touched)
    assert stale(work) == []


@pytest.mark.parametrize(
    "name",
    [
        "x.stage",
        ".stage",
        "a.b.c.d.e.stage",
        "a.00000000.one.1.ff.stage",
        "a.00000000.99999999999999999999.1.ff.stage",
        "en_acme_sm",
        "en_acme_sm.lock",
    ],
)
def test_stale_other_names(work: Path, name: str) -> None:
    """What does not bear a stage's name is none of modelboot's, however old it is, and stays."""
    (work / name).mkdir()
    left_alone(work / name, seconds=1e6)
    found = stale(work)
    remove_stale(work, name.partition(".")[0])
    assert (found, (work / name).is_dir()) == ([], True)


def test_stale_without_a_work_folder(tmp_path: Path) -> None:
    """Where there is no work folder there are no stages, and none is made."""
    assert stale(tmp_path / "missing") == []
    assert not (tmp_path / "missing").exists()


def test_remove_stale_this_model_only(work: Path) -> None:
    """Stale stages of one model go with all that is in them; those of others stay, alike names among them."""
    for model in ("en_acme_sm", "en_acme", "en_acme_sm_v2"):
        left_alone(of_another_host(made(work, model)), seconds=1e6)
    remove_stale(work, "en_acme_sm")
    assert sorted(stage.name.partition(".")[0] for stage in work.iterdir()) == ["en_acme", "en_acme_sm_v2"]


def test_remove_stale_living(work: Path) -> None:
    """A living stage of the same model stays, and so does all in it."""
    stage = made(work, "en_acme_sm")
    (stage / "file").touch()
    remove_stale(work, "en_acme_sm")
    assert (stage / "file").exists()


def test_remove_stale_without_a_work_folder(tmp_path: Path) -> None:
    """Removing where nothing is makes nothing."""
    remove_stale(tmp_path, "en_acme_sm")
    assert list(tmp_path.iterdir()) == []


def test_unreadable_work_folder(shared_work: Path) -> None:
    """In a work folder this user may not read there is nothing to remove, and that is no error."""
    stage = left_alone(of_another_host(made(shared_work, "en_acme_sm")), seconds=1e6)
    shared_work.chmod(0o711)
    assert run_as_other_user(REMOVE_STALE, shared_work) == ""
    assert stage.exists()


def test_living_stage_of_another_user(shared_work: Path) -> None:
    """A process that this user may not signal lives: its stage is left alone."""
    stage = made(shared_work, "en_acme_sm")
    assert run_as_other_user(REMOVE_STALE, shared_work) == ""
    assert stage.exists()


def test_stale_stage_of_another_user(shared_work: Path) -> None:
    """A stale stage that this user may not remove stays for somebody who may, and that is no error."""
    with owner(shared_work) as (process, stage):
        (stage / "unpacked").mkdir()
        process.kill()
    assert run_as_other_user(REMOVE_STALE, shared_work) == ""  # it may not even open the lock
    assert (stage / "unpacked").exists()


def test_closed_stage_of_another_host(shared_work: Path) -> None:
    """A stage of another host that this user may not look into cannot be called idle."""
    stage = left_alone(of_another_host(made(shared_work, "en_acme_sm")), seconds=1e6)
    stage.chmod(0o744)
    assert run_as_other_user(REMOVE_STALE, shared_work) == ""


@pytest.mark.parametrize("kind", ["link", "hard-link", "folder", "own"])
def test_resumable_parts_are_own_files(work: Path, tmp_path: Path, kind: str) -> None:
    """A part file that somebody planted (a link, a second name of another file) is not written through."""
    others = tmp_path / "others"
    others.write_bytes(bytes(2 << 20))
    with staged(work, "en_acme_sm") as stage:
        part = stage / "x.whl.part"
        if kind == "link":
            part.symlink_to(others)
        elif kind == "hard-link":
            part.hardlink_to(others)
        elif kind == "folder":
            part.mkdir()
        else:
            part.write_bytes(bytes(2 << 20))
        assert resumable_parts(stage) == ((part,) if kind == "own" else ())

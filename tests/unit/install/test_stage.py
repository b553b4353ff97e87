"""A stage is dead when its process is, and only dead ones of the same model are swept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelboot._install import stage as _stage
from support.children import public_folder, run_as_other_user, skip_unless_other_user

# Makes a stage, says which, and lives until its input ends.
OWNER = """
import sys
from pathlib import Path
from modelboot._install import stage as _stage
stages = _stage.staged(Path(sys.argv[1]), "en_acme_sm")
print(stages.__enter__(), flush=True)
sys.stdin.read()
"""
DEAD = """
import sys
from pathlib import Path
from modelboot._install import stage as _stage
work = Path(sys.argv[1])
print(*(stage.name for stage in _stage.dead(work)))
_stage.sweep(work, "en_acme_sm")
"""


HELD: list[AbstractContextManager[Path]] = []


def made(work: Path, name: str) -> Path:
    """Make a stage that nothing removes."""
    HELD.append(_stage.staged(work, name))
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


@contextmanager
def owner(work: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run a process that owns a stage."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", OWNER, str(work)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def owned_by(stage: Path, *, host: str | None = None, pid: str | None = None, birth: str | None = None) -> Path:
    """Rename a stage to one of another owner, with a file inside."""
    model, own_host, own_pid, own_birth, token, suffix = stage.name.split(".")
    parts = (model, host or own_host, pid or own_pid, birth or own_birth, token, suffix)
    other = stage.rename(stage.with_name(".".join(parts)))
    (other / "built").mkdir()
    (other / "built" / "file").touch()
    return other


def left_alone(stage: Path, *, seconds: float) -> Path:
    """Set a stage and all in it back to when it was last touched."""
    then = time.time() - seconds
    for path in (stage, *stage.rglob("*")):
        os.utime(path, (then, then))
    return stage


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o027, 0o750), (0o002, 0o775)], ids=oct)
def test_create(work: Path, umask: int, mode: int) -> None:
    """A stage is a new empty folder, named by its owner, with the mode any folder would have."""
    before = os.umask(umask)
    try:
        stage = made(work, "en_acme_sm")
    finally:
        os.umask(before)
    assert re.fullmatch(rf"en_acme_sm\.[0-9a-f]{{8}}\.{os.getpid()}\.\w+\.[0-9a-f]{{8}}\.stage", stage.name)
    assert (list(stage.iterdir()), stage.parent, stage.stat().st_mode & 0o777) == ([], work, mode)


def test_create_twice(work: Path) -> None:
    """Two stages of one process and model are two."""
    assert made(work, "en_acme_sm") != made(work, "en_acme_sm")


def test_create_without_a_work_folder(tmp_path: Path) -> None:
    """A work folder that a failed neighbour has just removed is made again."""
    assert made(tmp_path / "missing", "en_acme_sm").parent == tmp_path / "missing"


def test_dead_own_given_up(work: Path) -> None:
    """What an interrupted call of this very process left behind is dead, though the process lives."""
    with _stage.staged(work, "en_acme_sm") as stage:
        assert _stage.dead(work) == []
    stage.mkdir()
    assert _stage.dead(work) == [stage]


def test_staged(work: Path) -> None:
    """A stage is gone with all in it on the way out, whatever happened inside."""
    stages = _stage.staged(work, "en_acme_sm")
    (stages.__enter__() / "file").touch()
    swallowed = stages.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert (swallowed, list(work.iterdir())) == (False, [])


def test_rivals(work: Path) -> None:
    """Rivals are the living stages of the same model, other threads' too, but not one's own."""
    own, other = made(work, "en_acme_sm"), made(work, "en_acme_sm")
    made(work, "fr_acme_sm")
    assert _stage.rivals(own) == [other]


def test_dead_own(work: Path) -> None:
    """A stage of this very process is alive, however old."""
    left_alone(made(work, "en_acme_sm"), seconds=1e6)
    assert _stage.dead(work) == []


def test_dead_child(work: Path) -> None:
    """A stage is alive as long as its process, and dead once that was killed."""
    with owner(work) as (process, stage):
        while_alive = _stage.dead(work)
        process.kill()
        process.wait()
        assert (while_alive, _stage.dead(work)) == ([], [stage])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="without /proc an unreaped process looks alive")
def test_dead_zombie(work: Path) -> None:
    """A process that has ended but was not waited for owns nothing any more."""
    with owner(work) as (process, stage):
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert _stage.dead(work) == [stage]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="without /proc a reused process id looks alive")
def test_dead_reused_pid(work: Path) -> None:
    """A living process that started at another time is not the owner: its number was given out again."""
    stage = owned_by(made(work, "en_acme_sm"), birth="1")
    assert _stage.dead(work) == [stage]


def test_dead_name_of_a_process_with_brackets(work: Path) -> None:
    """A process may have any name: its start time is found all the same."""
    comm = Path("/proc/self/comm")
    if not comm.exists():
        pytest.skip("there is no /proc to give a process a name in")
    before = comm.read_text()
    stage = made(work, "en_acme_sm")
    try:
        comm.write_text("a) Z (b 1 2")
        assert (_stage.dead(work), made(work, "x").name.split(".")[3]) == ([], stage.name.split(".")[3])
    finally:
        comm.write_text(before)


def hide_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on a system that does not say when a process started."""
    read = Path.read_text

    def hidden(self: Path, *args: Any, **options: Any) -> str:  # noqa: ANN401 - passed on
        if self.name == "stat" and self.parts[:2] == ("/", "proc"):
            raise FileNotFoundError(self)
        return read(self, *args, **options)

    monkeypatch.setattr(Path, "read_text", hidden)


def test_dead_start_hidden_later(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    """A living process whose start time cannot be seen (hidepid) may be the owner, so its stage is alive."""
    made(work, "en_acme_sm")
    hide_processes(monkeypatch)
    assert _stage.dead(work) == []


def test_dead_start_never_told(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    """Where start times are never told the process id alone decides."""
    hide_processes(monkeypatch)
    with owner(work) as (process, stage):
        alive = owned_by(stage, birth="0")
        while_alive = _stage.dead(work)
        process.kill()
        process.wait()
        assert (while_alive, _stage.dead(work)) == ([], [alive])


@pytest.mark.parametrize(
    ("seconds", "is_dead"),
    [(0, False), (3590, False), (3610, True), (1e7, True), (-1000, False)],
    ids=["now", "almost-an-hour", "over-an-hour", "months", "clock-ahead"],
)
def test_dead_stranger(work: Path, seconds: float, *, is_dead: bool) -> None:
    """A stage of another host, whose processes cannot be seen, is dead once idle for an hour."""
    stage = left_alone(owned_by(made(work, "en_acme_sm"), host="0" * 8), seconds=seconds)
    assert _stage.dead(work) == ([stage] if is_dead else [])


@pytest.mark.parametrize("touched", [".", "built", "built/file"], ids=["stage", "folder", "file"])
def test_dead_stranger_at_work(work: Path, touched: str) -> None:
    """A stage of another host is alive as long as anything in it changes."""
    stage = left_alone(owned_by(made(work, "en_acme_sm"), host="0" * 8), seconds=1e6)
    os.utime(stage / touched)
    assert _stage.dead(work) == []


def test_dead_empty_stranger(work: Path) -> None:
    """A stage of another host that is still empty is judged by its own time."""
    stage = made(work, "en_acme_sm")
    stranger = stage.rename(stage.with_name(stage.name.replace(stage.name.split(".")[1], "0" * 8)))
    while_fresh = _stage.dead(work)
    assert (while_fresh, _stage.dead(left_alone(stranger, seconds=1e6).parent)) == ([], [stranger])


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
def test_dead_other_names(work: Path, name: str) -> None:
    """What does not bear a stage's name is none of modelboot's, however old it is, and stays."""
    (work / name).mkdir()
    left_alone(work / name, seconds=1e6)
    dead = _stage.dead(work)
    _stage.sweep(work, name.partition(".")[0])
    assert (dead, (work / name).is_dir()) == ([], True)


def test_dead_without_a_work_folder(tmp_path: Path) -> None:
    """Where there is no work folder there are no stages, and none is made."""
    assert _stage.dead(tmp_path / "missing") == []
    assert not (tmp_path / "missing").exists()


def test_sweep_this_model_only(work: Path) -> None:
    """Dead stages of one model go with all that is in them; those of others stay, alike names among them."""
    for model in ("en_acme_sm", "en_acme", "en_acme_sm_v2"):
        left_alone(owned_by(made(work, model), host="0" * 8), seconds=1e6)
    _stage.sweep(work, "en_acme_sm")
    assert sorted(stage.name.partition(".")[0] for stage in work.iterdir()) == ["en_acme", "en_acme_sm_v2"]


def test_sweep_living(work: Path) -> None:
    """A living stage of the same model stays, and so does all in it."""
    stage = owned_by(made(work, "en_acme_sm"))
    _stage.sweep(work, "en_acme_sm")
    assert (stage / "built" / "file").exists()


def test_sweep_without_a_work_folder(tmp_path: Path) -> None:
    """Sweeping where nothing is makes nothing."""
    _stage.sweep(tmp_path, "en_acme_sm")
    assert list(tmp_path.iterdir()) == []


def test_unreadable_work_folder(shared_work: Path) -> None:
    """In a work folder this user may not read there is nothing to sweep, and that is no error."""
    stage = left_alone(owned_by(made(shared_work, "en_acme_sm"), host="0" * 8), seconds=1e6)
    shared_work.chmod(0o711)
    assert run_as_other_user(DEAD, shared_work) == ""
    assert stage.exists()


def test_living_stage_of_another_user(shared_work: Path) -> None:
    """A process that this user may not signal lives: its stage is left alone."""
    stage = made(shared_work, "en_acme_sm")
    assert run_as_other_user(DEAD, shared_work) == ""
    assert stage.exists()


def test_dead_stage_of_another_user(shared_work: Path) -> None:
    """A dead stage that this user may not remove stays for somebody who may, and that is no error."""
    with owner(shared_work) as (process, stage):
        (stage / "built").mkdir()
        process.kill()
    assert run_as_other_user(DEAD, shared_work) == stage.name
    assert (stage / "built").exists()


def test_closed_stage_of_a_stranger(shared_work: Path) -> None:
    """A stage of another host that this user may not look into cannot be called idle."""
    stage = left_alone(owned_by(made(shared_work, "en_acme_sm"), host="0" * 8), seconds=1e6)
    stage.chmod(0o744)
    assert run_as_other_user(DEAD, shared_work) == ""

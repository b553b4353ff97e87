"""The lock saves work: one process at a time, others wait in bounds, and where there is no lock work goes on."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import pytest
from filelock import FileLock, Timeout

from modelboot import InstallError, ModelPin
from modelboot._install import lock
from modelboot._limits import Deadline
from support.children import public_folder, run_as_other_user, skip_unless_other_user

fcntl = pytest.importorskip("fcntl", reason="needs locks of files as POSIX has them")

PIN = ModelPin("en_acme_sm", "1.2.0", "0" * 64)
ENOUGH_S = 60.0
# Takes the lock, says whether it got it, and keeps it until its input ends.
HOLDER = """
import sys
from pathlib import Path
from modelboot import ModelPin
from modelboot._install import lock
from modelboot._limits import Deadline
pin = ModelPin("en_acme_sm", "1.2.0", "0" * 64)
with lock.locked(Path(sys.argv[1]), str(pin), Deadline.after(60)) as state:
    print(state.is_locked, flush=True)
    if len(sys.argv) == 2:
        sys.stdin.read()
"""
# Waits for the lock, and has a child that was forked while it held it; both live until their input ends.
FORKING = """
import logging, os, sys
from pathlib import Path
from modelboot._install import lock
from modelboot._limits import Deadline
lock.LOG_EVERY_S = 0.05
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
with lock.locked(Path(sys.argv[1]), "en_acme_sm 1.2.0", Deadline.after(60)) as state:
    begun, say = os.pipe()
    if os.fork():
        os.read(begun, 1)
        print("held" if state.waited_since else "did not wait", flush=True)
    else:
        os.write(say, b"x")
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a lock file goes."""
    return tmp_path / "en_acme_sm.lock"


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "True\n"
            yield process
        finally:
            process.kill()


class OnRecord(logging.Handler):
    """Collects what is logged, and acts on the first record."""

    def __init__(self, action: Any) -> None:  # noqa: ANN401 - any function without arguments
        """Take the action."""
        super().__init__(logging.INFO)
        self.action, self.messages = action, list[str]()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the message."""
        self.messages.append(record.getMessage())
        if len(self.messages) == 1:
            self.action()


def is_free(path: Path) -> bool:
    """Tell whether another could take the lock."""
    lock = FileLock(path)
    try:
        with lock.acquire(timeout=0):
            return True
    except Timeout:
        return False


@pytest.fixture
def _kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every lock object alive, so that none lets go by being collected."""
    kept = []

    def make(path: Path) -> FileLock:
        kept.append(FileLock(path))
        return kept[-1]

    monkeypatch.setattr(filelock, "FileLock", make)


def test_locked(path: Path) -> None:
    """The lock is held within the block and free after it; the file stays, or two could get in at once."""
    with lock.locked(path, str(PIN), Deadline.after(ENOUGH_S)) as state:
        inside = state.is_locked, is_free(path)
    assert (inside, is_free(path), path.exists()) == ((True, False), True, True)


def test_locked_until_an_error(path: Path) -> None:
    """An error within the block goes through, and the lock is free after it."""
    message = "unpacking failed"
    with pytest.raises(RuntimeError, match=message), lock.locked(path, str(PIN), Deadline.after(ENOUGH_S)):
        raise RuntimeError(message)
    assert is_free(path)


def test_locked_again(path: Path) -> None:
    """A lock file that was left behind is used again."""
    inodes = []
    for _ in range(2):
        with lock.locked(path, str(PIN), Deadline.after(ENOUGH_S)) as state:
            inodes.append((state.is_locked, path.stat().st_ino))
    assert inodes[0] == inodes[1] == (True, path.stat().st_ino)


@pytest.mark.usefixtures("_kept_alive")
def test_locked_after_the_first_is_killed(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Who waits says so, and goes on with the lock as soon as the process before it was killed."""
    monkeypatch.setattr(lock, "LOG_EVERY_S", 0.05)
    with holder(path) as process:
        waiting = OnRecord(process.kill)
        logger = logging.getLogger("modelboot")
        logger.addHandler(waiting)
        logger.setLevel(logging.INFO)
        with lock.locked(path, str(PIN), Deadline.after(ENOUGH_S)) as state:
            assert (state.is_locked, is_free(path)) == (True, False)
    assert is_free(path)
    assert waiting.messages[0] == f"waiting for another process that is installing en_acme_sm 1.2.0 ({path})"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_locked_after_a_wait_is_no_forked_child_s(path: Path) -> None:
    """A child forked by a process that had to wait for the lock does not keep it when that process is killed."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-u", "-c", FORKING, str(path)]
    with holder(path) as first, subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as second:
        assert second.stdout is not None
        assert "wait" in second.stdout.readline()
        first.kill()
        assert "held\n" in iter(second.stdout.readline, "")
        second.kill()
        second.wait()
        assert is_free(path)


def test_busy_at_the_deadline(monkeypatch: pytest.MonkeyPatch, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A lock that is not free by the deadline is an error that names the file; until then the log says who waits."""
    monkeypatch.setattr(lock, "LOG_EVERY_S", 0.01)
    caplog.set_level(logging.INFO, "modelboot")
    with holder(path):
        waiting = lock.locked(path, str(PIN), Deadline.after(0.5))
        with pytest.raises(InstallError, match=r"^could not install en_acme_sm 1\.2\.0") as caught, waiting:
            pass
    busy = caught.value
    assert (busy.fault, busy.path) == ("busy", str(path))
    assert busy.reason == "another process has been installing it for 0.5 s"
    assert set(caplog.messages) == {f"waiting for another process that is installing en_acme_sm 1.2.0 ({path})"}


def test_busy_where_others_are_always_first(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """A lock that is let go of again and again, and each time taken by somebody else, ends at the deadline, too."""

    def too_late(_: int) -> None:
        if time.monotonic() > began_s + 10:
            pytest.fail("it still waits")
        raise BlockingIOError(errno.EAGAIN, "held by another")

    began_s = time.monotonic()
    monkeypatch.setattr(lock, "_lock_now", too_late)  # filelock gets it, we do not
    waiting = lock.locked(path, str(PIN), Deadline.after(0.3))
    with pytest.raises(InstallError, match=r"for 0\.3 s"), waiting:
        pass


def test_busy_after_the_deadline(path: Path) -> None:
    """A deadline that has passed leaves one try: enough for a free lock, an error for a held one."""
    with lock.locked(path, str(PIN), Deadline(30.0, 0.0)) as state:
        assert state.is_locked
    late = lock.locked(path, str(PIN), Deadline(30.0, 0.0))
    with holder(path), pytest.raises(InstallError, match="for 30 s"), late:
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP], ids=errno.errorcode.__getitem__)
def test_no_locks_on_this_file_system(
    monkeypatch: pytest.MonkeyPatch, path: Path, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """Where the file system has no locks the work goes on without one, and only the debug log says so."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    caplog.set_level(logging.DEBUG, "modelboot")
    with lock.locked(path, str(PIN), Deadline.after(ENOUGH_S)) as state:
        assert not state.is_locked
    said = [
        (record.levelname, record.getMessage()) for record in caplog.records if record.name == "modelboot._install.lock"
    ]
    assert [level for level, _ in said] == ["DEBUG"]
    assert said[0][1].startswith("no lock for en_acme_sm 1.2.0, going on without: ")
    assert os.strerror(number) in said[0][1]


def test_lock_file_on_a_read_only_file_system(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Where no file can be made the work goes on without a lock."""
    open_ = os.open

    def read_only(name: Any, *args: Any, **options: Any) -> int:  # noqa: ANN401 - passed on
        if os.fspath(name) == str(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return open_(name, *args, **options)

    monkeypatch.setattr(os, "open", read_only)
    with lock.locked(path, str(PIN), Deadline.after(ENOUGH_S)) as state:
        assert (state.is_locked, path.exists()) == (False, False)


@pytest.mark.parametrize("mode", [0o600, 0o644], ids=oct)
def test_lock_file_of_another_user(mode: int) -> None:
    """A lock file that belongs to another user stops nobody, in a folder that both may write."""
    skip_unless_other_user()
    with public_folder() as folder:
        folder.chmod(0o777)
        file = folder / "en_acme_sm.lock"
        file.touch()
        file.chmod(mode)
        assert run_as_other_user(HOLDER, file, "at-once") == "False"


def test_lock_in_a_read_only_folder() -> None:
    """In a folder without the right to write the work goes on without a lock."""
    skip_unless_other_user()
    with public_folder() as folder:
        assert run_as_other_user(HOLDER, folder / "en_acme_sm.lock", "at-once") == "False"
        assert list(folder.iterdir()) == []

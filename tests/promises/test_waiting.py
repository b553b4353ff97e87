"""P3, P4: processes that share a target. One installs, the others wait for it in bounds; what a dead one left goes.

Every process here is a program of its own, and is held at a moment that the test names.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import DownloadError, InstallError, ensure_model
from modelboot._install import lock
from support.children import (
    OTHER,
    TIMEOUT_S,
    command,
    environment,
    pin_arguments,
    public_folder,
    skip_unless_other_user,
)
from support.commands import run
from support.folders import WORK, dist_infos, everything, is_complete, leftovers, snapshot
from support.layers import refuse_renames
from support.server import Reply
from support.wheels import DIST_INFO, NAME, BuiltWheel, build_wheel, large_wheel, small_wheel

if TYPE_CHECKING:
    from modelboot import ModelPin
    from support.server import ModelServer

fcntl = pytest.importorskip("fcntl", reason="needs locks of files as POSIX has them")

# Asks for a model, and says what it logs and how that ended. At the first audit event that matches the pattern in
# argv[5] it says that it holds, and goes on after a line on its input; argv[6] makes it fork a child there that idles.
ASK = """
import logging, os, re, sys
import modelboot
from modelboot._install import lock
lock.LOG_EVERY_S = 0.05
logging.basicConfig(stream=sys.stdout, format="%(message)s", level="INFO")
pin, hold = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]), sys.argv[5:]
def watch(event, arguments):
    if hold and re.match(hold[0], " ".join([event, *map(str, arguments[:2])])):
        is_child = len(hold) > 1 and os.fork() == 0
        hold.clear()
        if is_child:
            os._exit(len(sys.stdin.read()))
        print("holds", flush=True)
        sys.stdin.readline()
sys.addaudithook(watch)
try:
    print(modelboot.ensure_model(pin).source, flush=True)
except modelboot.ModelbootError as error:
    print(type(error).__name__, error.message.replace("\\n", " "), flush=True)
"""
FETCHING = "socket.connect"
"""The moment before a process asks the server."""
PUBLISHING = rf"os.rename .+ .+/target/{NAME}"
"""The moment before it puts the first folder in place."""
COMMITTING = rf"{PUBLISHING}.+\.dist-info"
"""The moment between the package and its dist-info."""
CONTAINER = ["unshare", "--pid", "--fork", "--kill-child", "--uts", "--mount-proc"]
"""Makes a command run as in a container: with process ids and a host name of its own."""
WAITS = "waiting for another process"

Process = subprocess.Popen[str]
WhenWaiting = list[Callable[[], object]]


class Ask:
    """Starts processes that ask for a model, of a server unless another is given; ends those that are left."""

    def __init__(self, pin: ModelPin) -> None:
        """Start none."""
        self.pin, self._started = pin, list[Process]()

    def __call__(
        self, *hold: str, pin: ModelPin | None = None, user: int | None = None, prefix: Sequence[str] = ()
    ) -> Process:
        """Start one."""
        words = [*prefix, *command(ASK, *pin_arguments(pin or self.pin), *hold, user=user)]
        pipe = subprocess.PIPE
        self._started.append(subprocess.Popen(words, env=environment({}), stdin=pipe, stdout=pipe, text=True))
        return self._started[-1]

    def holding(self, *hold: str, pin: ModelPin | None = None, prefix: Sequence[str] = ()) -> Process:
        """Start one, and return when it has come to where it holds."""
        return heard(self(*hold, pin=pin, prefix=prefix), "holds")

    def waiting(self, *hold: str, user: int | None = None) -> Process:
        """Start one, and return when it has logged that it waits for another."""
        return heard(self(*hold, user=user), WAITS)

    def end(self) -> None:
        """Kill those that are still there."""
        for process in self._started:
            with process:
                process.kill()


def heard(process: Process, words: str) -> Process:
    """Return a process once it has said a line with these words."""
    assert process.stdout is not None
    assert any(words in line for line in iter(process.stdout.readline, "")), f"it ended and never said {words!r}"
    return process


def ended(process: Process, *, after: str = "") -> str:
    """Let a process go on to its end, and return the last line that it said."""
    lines = process.communicate(after, timeout=TIMEOUT_S)[0].splitlines()
    return str(lines[-1])


def killed(process: Process) -> None:
    """Kill a process, and wait until it has ended."""
    process.kill()
    process.wait()


def skip_unless_possible(prefix: list[str]) -> None:
    """Skip the test where there is no unshare, or where it may not make such namespaces."""
    with_python = [*prefix, *command("")]
    if not shutil.which(with_python[0]) or subprocess.run(with_python, capture_output=True, check=False).returncode:
        pytest.skip("needs unshare, and the right to make such namespaces")


@pytest.fixture
def ask(wheel: BuiltWheel, server: ModelServer) -> Iterator[Ask]:
    """Return what starts processes."""
    ask = Ask(server.publish(wheel))
    yield ask
    ask.end()


@pytest.fixture
def when_waiting(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> WhenWaiting:
    """Return a list of what to do, each once, when this process says (at once) that it waits for another."""
    actions: WhenWaiting = []

    def act(record: logging.LogRecord) -> bool:
        if WAITS in record.getMessage() and actions:
            actions.pop()()
        return True

    monkeypatch.setattr(lock, "LOG_EVERY_S", 0.05)
    caplog.set_level(logging.INFO, "modelboot")
    monkeypatch.setattr(caplog.handler, "filters", [act])
    return actions


@pytest.fixture(autouse=True)
def _deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no call wait for ever, in whichever process."""
    monkeypatch.setenv("MODELBOOT_DEADLINE", "60")
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")


# --- waiting


@pytest.mark.parametrize("moment", [FETCHING, PUBLISHING, COMMITTING], ids=["fetching", "publishing", "half-way"])
def test_processes_that_wait_take_what_the_first_has_published(
    ask: Ask, server: ModelServer, target: Path, when_waiting: WhenWaiting, moment: str
) -> None:
    """While one process installs the others wait, then have its model; the server is asked once."""
    first = ask.holding(moment)
    said, second = list[str](), ask.waiting()
    assert dist_infos(target) == []
    when_waiting.append(lambda: said.append(ended(first, after="\n")))
    assert ensure_model(ask.pin).source == "present"
    assert [*said, ended(second)] == ["release", "present"]
    assert len(server.requests) == 1
    assert is_complete(target, ask.pin)
    assert leftovers(target, ask.pin) == []


def test_wait_ends_when_the_model_is_there(
    ask: Ask, wheel: BuiltWheel, server: ModelServer, target: Path, when_waiting: WhenWaiting
) -> None:
    """A process that waits goes on once the model is published, although another still holds the lock."""
    holder = ask.holding(FETCHING)
    published = ensure_model(wheel.pin, target=target.with_name("other")).path.parents[1]
    when_waiting += [lambda: [(published / name).rename(target / name) for name in (NAME, DIST_INFO)]]
    assert ensure_model(ask.pin).source == "present"
    assert (holder.poll(), len(server.requests), when_waiting) == (None, 0, [])


def test_deadline_of_the_wait_is_that_of_the_download(
    ask: Ask, server: ModelServer, when_waiting: WhenWaiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose wait has taken all of its time does not begin anew when its turn comes."""
    holder, now = ask.holding(FETCHING), time.monotonic

    def end_both() -> None:
        killed(holder)
        monkeypatch.setattr(time, "monotonic", lambda: now() + 100)

    when_waiting.append(end_both)
    with pytest.raises(DownloadError, match="deadline of 60 s passed"):
        ensure_model(ask.pin)
    assert server.requests == []


@pytest.mark.usefixtures("when_waiting")
def test_wait_ends_at_the_deadline(
    ask: Ask, target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says now and then what is waited for, and where; at the deadline the error says it, too."""
    ask.holding(FETCHING)
    monkeypatch.setenv("MODELBOOT_DEADLINE", "1.5")
    with pytest.raises(InstallError, match=r"another process has been installing it for 1\.5 s") as caught:
        ensure_model(ask.pin)
    assert (caught.value.fault, caught.value.model) == ("busy", str(ask.pin))
    assert Path(caught.value.path).is_relative_to(target)
    assert len(caplog.messages) > 1
    for line in caplog.messages:
        assert line.startswith(f"{WAITS} that is installing {ask.pin} ({target}")


def test_holder_that_is_stopped_goes_on_later(ask: Ask, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was taken for dead, where locks do nothing, finds what another process has installed meanwhile."""
    stopped = ask.holding(FETCHING)
    aged(target / WORK)
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    assert ensure_model(ask.pin).source == "release"
    assert ended(stopped, after="\n") == "present"
    assert is_complete(target, ask.pin)
    assert leftovers(target, ask.pin) == []


def test_warm_call_does_not_wait_for_an_install_elsewhere(
    ask: Ask, server: ModelServer, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version is on its way to a target that has a package of the user's now: a model in the store is taken."""
    ask.holding(PUBLISHING, pin=server.publish(small_wheel(tmp_path, "2.0.0")))
    (target / NAME).mkdir()
    (target / NAME / "mine").touch()
    assert ensure_model(ask.pin).path.is_relative_to(tmp_path / "home")
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited"))
    assert ensure_model(ask.pin).source == "present"


def pip_reinstalls(package: Path) -> None:
    """Let what is installed be another program's."""
    (package.parent / DIST_INFO / "INSTALLER").write_text("pip\n")


def user_adds(package: Path) -> None:
    """Let a file of the user's be in the package."""
    (package / "notes.txt").touch()


@pytest.mark.parametrize("change", [user_adds, pip_reinstalls])
@pytest.mark.parametrize("moment", ["during the wait", "during the wait, in a lower layer", "as it is moved"])
def test_uninstall_judges_what_it_removes(  # noqa: PLR0913, PLR0917 - fixtures
    ask: Ask,
    server: ModelServer,
    target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], None],
    moment: str,
) -> None:
    """What others change while it waits for the lock, or in the middle of its renames, is theirs and stays."""
    ensure_model(ask.pin)
    rename, sleep = os.rename, time.sleep
    if moment.endswith("layer"):
        refuse_renames(monkeypatch, lambda source, _: source in {target / NAME, target / DIST_INFO})
    if moment.startswith("during"):
        holder = ask.holding(FETCHING, pin=server.publish(small_wheel(tmp_path, "2.0.0")))

        def waiting(seconds: float) -> None:
            if holder.poll() is None:
                change(target / NAME)
                killed(holder)
            sleep(seconds)

        monkeypatch.setattr(time, "sleep", waiting)
    else:

        def renaming(source: Path, destination: Path) -> None:
            if Path(source) == target / DIST_INFO:
                change(target / NAME)
            rename(source, destination)

        monkeypatch.setattr(os, "rename", renaming)
    told = run("uninstall", NAME)
    assert told.status == 1
    assert ("notes.txt" if change is user_adds else "pip installed it") in told.err
    for kept in ("__init__.py", *(["notes.txt"] if change is user_adds else [])):
        assert (target / NAME / kept).is_file()
    assert (target / DIST_INFO / "RECORD").is_file()


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt()], ids=["broken disk", "Ctrl-C"])
def test_uninstall_that_cannot_judge_what_it_moved(
    ask: Ask, target: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """What cannot be shown to be modelboot's alone is moved back, whatever keeps that from being seen."""
    ensure_model(ask.pin)
    really = os.open

    def refusing(path: str, *arguments: int, **options: int) -> int:
        if WORK in str(path) and str(path).endswith("RECORD"):
            raise error
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)
    assert run("uninstall", NAME).status != 0
    assert is_complete(target, ask.pin)
    assert leftovers(target, ask.pin) == []


def test_uninstall_waits_for_an_install(
    ask: Ask, server: ModelServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While a newer version is on its way, `uninstall` waits; at the deadline it says for what, and removes nothing.

    Of so short a wait the log says nothing.
    """
    caplog.set_level(logging.INFO, "modelboot")
    ensure_model(ask.pin)
    ask.holding(FETCHING, pin=server.publish(small_wheel(tmp_path, "2.0.0")))
    told = run("uninstall", NAME, MODELBOOT_DEADLINE="0.2")
    assert told.status == 1
    assert "another process has been installing it for 0.2 s" in told.err
    assert WAITS not in caplog.text
    assert ensure_model(ask.pin).source == "present"


@pytest.mark.parametrize("prefix", [[], CONTAINER], ids=["host", "container"])
def test_killed_holder_frees_the_next(
    ask: Ask, server: ModelServer, target: Path, when_waiting: WhenWaiting, prefix: list[str]
) -> None:
    """A process that waits goes on when the one before it is killed, even if a forked child of that lives on.

    It need not have been reaped, and may run in another container; what it left behind goes.
    """
    skip_unless_possible(prefix)
    first = ask.holding(PUBLISHING, "fork", prefix=prefix)
    second = ask.waiting(PUBLISHING, "fork")
    first.kill()
    heard(second, "holds")
    when_waiting.append(second.kill)
    assert ensure_model(ask.pin).source == "release"
    assert when_waiting == []
    assert len(server.requests) == 3
    assert is_complete(target, ask.pin)
    assert leftovers(target, ask.pin) == []


# --- failures


def test_processes_that_wait_learn_of_a_failure(
    ask: Ask, server: ModelServer, target: Path, when_waiting: WhenWaiting
) -> None:
    """All end with the reason of the first, for one request; a later call asks for itself."""
    path = f"/{ask.pin.filename}"
    server.serve(path, Reply(status=404))
    first = ask.holding(FETCHING)
    second, said = ask.waiting(), list[str]()
    when_waiting.append(lambda: said.append(ended(first, after="\n")))
    with pytest.raises(DownloadError, match="404") as caught:
        ensure_model(ask.pin)
    said.append(ended(second))
    assert said == [f"DownloadError {caught.value.message}"] * 2
    assert len(server.requests) == 1
    assert ended(ask()).startswith("DownloadError ")
    assert len(server.requests) == 2
    assert dist_infos(target) == []


def test_failure_of_other_sources_is_not_believed(
    ask: Ask, server: ModelServer, wheel: BuiltWheel, target: Path, when_waiting: WhenWaiting
) -> None:
    """A process that waits, and has a source which the failed one had not, asks that; no note of the failure stays."""
    server.serve(f"/{ask.pin.filename}", Reply(status=404))
    first, said = ask.holding(FETCHING), list[str]()
    when_waiting.append(lambda: said.append(ended(first, after="\n")))
    assert ensure_model(ask.pin, wheelhouse=wheel.path.parent).source == "wheelhouse"
    assert said[0].startswith("DownloadError ")
    assert is_complete(target, ask.pin)
    assert leftovers(target, ask.pin) == []


def test_failure_before_the_wait_is_not_believed(  # noqa: PLR0913, PLR0917 - fixtures
    ask: Ask, wheel: BuiltWheel, server: ModelServer, target: Path, tmp_path: Path, when_waiting: WhenWaiting
) -> None:
    """A process that waits believes no failure from before; the install of another model goes on beside all that."""
    neighbour = build_wheel(tmp_path, name="en_other_sm", members={"en_other_sm/__init__.py": b""})
    other = server.publish(neighbour)
    beside = ask.holding(r"os.rename .+ .+/target/en_other_sm", pin=other)
    at_work = everything(target)
    server.serve(f"/{ask.pin.filename}", Reply(status=404), Reply(body=wheel.content))
    assert ended(ask()).startswith("DownloadError ")
    holder = ask.holding(FETCHING)
    when_waiting.append(lambda: killed(holder))
    assert ensure_model(ask.pin).source == "release"
    assert when_waiting == []
    assert at_work <= everything(target)
    assert ended(beside, after="\n") == "release"
    assert is_complete(target, other)
    assert leftovers(target, ask.pin, other) == []


# --- a lock that cannot be had


@pytest.mark.usefixtures("when_waiting")
@pytest.mark.parametrize("kind", ["link", "FIFO", "folder"])
def test_what_is_planted_in_place_of_a_lock_is_left_alone(
    ask: Ask, target: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A link is not followed, so a lock of the file it leads to is not waited for; nothing is removed.

    That no lock can be had is not a warning.
    """
    killed(ask.holding(FETCHING))
    found = [path.relative_to(target) for path in (target / WORK).iterdir() if path.is_file()]
    victim, other = tmp_path / "victim", tmp_path / "other"
    victim.touch()
    (other / WORK).mkdir(parents=True)
    for place in (other / path for path in found):
        if kind == "link":
            place.symlink_to(victim)
        elif kind == "FIFO":
            os.mkfifo(place)
        else:
            place.mkdir()
    before = snapshot(other)
    with victim.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert ensure_model(ask.pin, target=other).path.is_relative_to(other)
    assert WAITS not in caplog.text
    assert {record.levelname for record in caplog.records} <= {"INFO"}
    assert found
    assert {path: snapshot(other)[path] for path in before} == before
    assert victim.read_bytes() == b""


# --- folders of several users


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a target that every user can reach."""
    skip_unless_other_user()
    with public_folder() as folder:
        for variable, name in {"MODELBOOT_TARGET": "target", "MODELBOOT_HOME": "home", "HOME": "nobody"}.items():
            monkeypatch.setenv(variable, str(folder / name))
        (folder / "target").mkdir()
        yield folder / "target"


def test_group_folder(ask: Ask, server: ModelServer, shared: Path, tmp_path: Path) -> None:
    """In a folder that a group shares the second user waits for the first, and installs what she likes beside it."""
    os.chown(shared, 0, OTHER)
    shared.chmod(0o2775)
    other = server.publish(build_wheel(tmp_path, name="en_other_sm", members={"en_other_sm/__init__.py": b""}))
    first = ask.holding(FETCHING)
    second = ask.waiting(user=OTHER)
    assert [ended(first, after="\n"), ended(second)] == ["release", "present"]
    assert ended(ask(pin=other, user=OTHER)) == "release"
    assert is_complete(shared, other)
    assert len(server.requests) == 2


def test_debris_of_another_user(ask: Ask, shared: Path) -> None:
    """What a killed install of another user left, its lock file among it, is not a reason to fail: it may stay."""
    killed(ask.holding(PUBLISHING))
    shared.chmod(0o777)
    (shared / WORK).chmod(0o777)
    aged(shared / WORK)
    assert ended(ask(user=OTHER)) == "release"
    assert is_complete(shared, ask.pin)
    (shared / WORK).chmod(0o700)  # nor is a work folder that cannot be read, once the model is there
    assert ended(ask(user=OTHER)) == "present"


# --- what a dead process left


def aged(path: Path, *, seconds: float = 1e6) -> None:
    """Set everything below a folder back to when it was last changed."""
    then = time.time() - seconds
    for each in path.rglob("*"):
        os.utime(each, (then, then), follow_symlinks=False)


def test_warm_start_removes_what_a_killed_upgrade_left(
    ask: Ask, server: ModelServer, target: Path, tmp_path: Path
) -> None:
    """A process that was replacing the model by a newer one and was killed leaves nothing after the next plain call."""
    ensure_model(ask.pin)
    newer = server.publish(small_wheel(tmp_path, "2.0.0"))
    killed(ask.holding(FETCHING, pin=newer))
    assert leftovers(target, ask.pin) != []
    assert ensure_model(ask.pin).source == "present"
    assert leftovers(target, ask.pin) == []


@pytest.mark.parametrize("is_elsewhere", [True, False], ids=["of another host", "where locks do nothing"])
def test_debris_whose_process_cannot_be_seen_goes_by_its_age(
    ask: Ask, target: Path, monkeypatch: pytest.MonkeyPatch, *, is_elsewhere: bool
) -> None:
    """Where no lock tells whether its process lives, only what has not changed for ten minutes is removed."""
    boot, prefix = target.with_name("boot_id"), list[str]()
    if is_elsewhere:
        boot.write_text("11111111-2222-3333-4444-555555555555\n")
        words = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
        prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", words, str(boot)]
        skip_unless_possible(prefix)
    killed(ask.holding(PUBLISHING, prefix=prefix))
    if not is_elsewhere:
        monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    aged(target / WORK, seconds=480)
    assert ensure_model(ask.pin).source == "release"
    left = leftovers(target, ask.pin)
    assert left != []
    aged(target / WORK)
    os.utime(next((target / WORK).rglob("meta.json")))  # something in it has just been changed
    assert ensure_model(ask.pin).source == "present"
    assert leftovers(target, ask.pin) == left
    aged(target / WORK)
    assert ensure_model(ask.pin).source == "present"
    assert leftovers(target, ask.pin) == []


FOREIGN_NAMES = ("x.stage", ".stage", f"{NAME}.b.c.d.e.stage", f"{NAME}.00000000.one.1.ff.stage", NAME, "notes.txt")


def test_strangers_in_the_work_folder_stay(ask: Ask, target: Path, tmp_path: Path) -> None:
    """Folders that modelboot did not make stay there, however old; a link in place of its own is not followed."""
    killed(ask.holding(PUBLISHING))
    (left,) = [path for path in (target / WORK).iterdir() if path.is_dir()]
    outside = left.rename(tmp_path / "outside")
    left.symlink_to(outside)
    for name in FOREIGN_NAMES:
        (target / WORK / name).mkdir()
        (target / WORK / name / "mine").touch()
    aged(target / WORK)
    before = {path for path in everything(target) if not path.endswith(".lock")}
    beyond = snapshot(outside)
    assert ensure_model(ask.pin).source == "release"
    assert before <= everything(target)
    assert snapshot(outside) == beyond


@pytest.mark.parametrize("plant", [Path.symlink_to, Path.hardlink_to], ids=["link", "second name"])
def test_planted_part_is_not_written_to(
    ask: Ask, server: ModelServer, target: Path, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    """What a killed download left is not resumed where it is a link, or a second name of another file."""
    wheel = large_wheel(tmp_path, size_bytes=3_000_000)
    pin = server.publish(wheel)
    killed(ask.holding(rf"os.rename .+/{WORK}/", pin=pin))
    part = max((target / WORK).rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    victim = tmp_path / "victim"
    victim.write_bytes(wheel.content[:2_000_000])
    part.unlink()
    plant(part, victim)
    assert ensure_model(pin).source == "release"
    assert is_complete(target, pin)
    assert victim.read_bytes() == wheel.content[:2_000_000]
    assert leftovers(target, pin) == []

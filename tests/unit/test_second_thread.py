"""Work in a second thread: all of it is done, failures are raised in the caller, and no thread stays behind."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from modelboot import _fsync
from modelboot._fsync import Flusher
from modelboot._threads import AHEAD, BackgroundHash, Stop, Worker, read_ahead, run_at_once

CHUNKS = [bytes([number]) * 1000 for number in range(50)]


class BoomError(Exception):
    """What a job fails with."""


@pytest.fixture(params=[True, False], ids=["threads", "no threads"], autouse=True)
def has_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Run each test also where the system allows no more threads: then the caller's own does everything."""

    def refuse(self: threading.Thread) -> None:  # noqa: ARG001 - the method's
        message = "can't start new thread"
        raise RuntimeError(message)

    if not request.param:
        monkeypatch.setattr(threading.Thread, "start", refuse)
    return bool(request.param)


@pytest.fixture
def _threads_only(has_threads: bool) -> None:  # noqa: FBT001 - a fixture
    """Skip where there is no other thread."""
    if not has_threads:
        pytest.skip("there is no other thread")


@pytest.fixture(autouse=True)
def leaves_no_thread(has_threads: bool) -> Iterator[None]:  # noqa: ARG001, FBT001 - after it
    """Check that no thread outlives the call that started it."""
    before = {*threading.enumerate()}
    yield
    assert {*threading.enumerate()} == before


@pytest.fixture(autouse=True)
def _heeds_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C raise as it does at a terminal: it is ignored where tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def is_told_to_end(stop: Stop) -> bool:
    """Tell whether a job is told to end, within half a minute."""
    until_s = time.monotonic() + 30
    while not stop() and time.monotonic() < until_s:
        threading.Event().wait(0.001)
    return stop()


def test_run_at_once_does_each_job_once() -> None:
    """Every job is done, whichever thread does it."""
    done: list[int] = []
    run_at_once([lambda _, number=number: done.append(number) for number in range(100)])  # type: ignore[misc]
    assert sorted(done) == [*range(100)]


def test_run_at_once_two_at_a_time(has_threads: bool) -> None:  # noqa: FBT001 - a fixture
    """Two jobs run beside each other: either could wait for the other."""
    if not has_threads:
        pytest.skip("one thread does one job at a time")
    meeting = threading.Barrier(2)
    run_at_once([lambda _: meeting.wait(30), lambda _: meeting.wait(30)])
    assert not meeting.broken


def test_run_at_once_failure_is_raised_and_ends_the_others() -> None:
    """The caller gets what failed, and a job under way is told to end."""

    def fail(_: Stop) -> None:
        raise BoomError

    def run(stop: Stop) -> None:
        ended.append(is_told_to_end(stop))

    ended: list[bool] = []
    with pytest.raises(BoomError):
        run_at_once([fail, run])
    assert ended in ([], [True])


@pytest.mark.usefixtures("_threads_only")
def test_run_at_once_interrupt_ends_the_other_thread() -> None:
    """Ctrl-C reaches the caller, after the thread beside it has ended."""
    main = threading.get_ident()
    ended: list[bool] = []
    started = threading.Event()

    def other(stop: Stop) -> None:
        if threading.get_ident() == main:
            started.wait(30)
            return
        started.set()
        os.kill(os.getpid(), signal.SIGINT)
        ended.append(is_told_to_end(stop))

    with pytest.raises(KeyboardInterrupt):
        run_at_once([other, other])
    assert ended == [True]


def test_read_ahead_gives_all_chunks_in_order() -> None:
    """What comes out is what went in."""
    with read_ahead(iter(CHUNKS)) as chunks:
        assert [*chunks] == CHUNKS


def test_read_ahead_failure_comes_where_the_chunks_are_taken() -> None:
    """An error of the reader is raised after the chunks before it."""

    def broken() -> Iterator[bytes]:
        yield CHUNKS[0]
        raise BoomError

    with read_ahead(broken()) as chunks:
        assert next(chunks) == CHUNKS[0]
        with pytest.raises(BoomError):
            next(chunks)


def test_read_ahead_nobody_takes_the_rest() -> None:
    """A reader that nobody listens to any more ends, and has not read far ahead."""
    read: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            read.append(1)
            yield b"x"

    with read_ahead(endless()) as chunks:
        assert next(chunks) == b"x"
    assert len(read) <= AHEAD + 3


@pytest.mark.parametrize("ask", [id, BackgroundHash.hexdigest], ids=["at the end", "often"])
def test_background_hash(ask: Callable[[BackgroundHash], object]) -> None:
    """The digest is that of all chunks, also when it is asked for in between."""
    digest = BackgroundHash()
    for chunk in CHUNKS:
        digest.update(chunk)
        ask(digest)
    assert digest.hexdigest() == hashlib.sha256(b"".join(CHUNKS)).hexdigest()
    digest.close()


def test_background_hash_of_nothing() -> None:
    """No chunk, no thread."""
    digest = BackgroundHash()
    assert digest.hexdigest() == hashlib.sha256().hexdigest()
    digest.close()


@pytest.fixture
def fsyncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of what was flushed, in order."""
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    return sizes


@pytest.fixture
def leaves_no_file() -> Iterator[None]:
    """Check that no descriptor outlives the call."""
    before = {*os.listdir("/dev/fd")}
    yield
    assert {*os.listdir("/dev/fd")} == before


def write_files(folder: Path, *contents: Iterable[bytes]) -> None:
    """Write files chunk by chunk, named by their number."""
    with Flusher() as flusher:
        for number, chunks in enumerate(contents):
            with flusher.create(folder / str(number)) as write:
                for chunk in chunks:
                    write(chunk)


def see_the_file_closed_when_interrupted(folder: Path) -> None:
    """Write a file, which is interrupted, and see while the error is handled that its descriptor is closed."""
    before = {*os.listdir("/dev/fd")}
    try:
        write_files(folder, [b"x"])
    except KeyboardInterrupt:
        assert {*os.listdir("/dev/fd")} == before
    else:
        pytest.fail("not interrupted")


@pytest.mark.usefixtures("leaves_no_file")
def test_flusher_flushes_each_file_complete(tmp_path: Path, fsyncs: list[int]) -> None:
    """More files than may be open at a time are on disk when the block ends, each with all its bytes."""
    write_files(tmp_path, *([b"x" * number, b"y"] for number in range(40)))
    assert sorted(fsyncs) == [*range(1, 41)]
    assert [(tmp_path / f"{number}").read_bytes() for number in range(40)] == [b"x" * n + b"y" for n in range(40)]


@pytest.mark.usefixtures("leaves_no_file")
def test_flusher_large_file_on_the_way(tmp_path: Path, fsyncs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes first of a large file is flushed before all of it is there, and the end of it last."""
    monkeypatch.setattr(_fsync, "FLUSH_BYTES", 100_000)
    write_files(tmp_path, [b"x" * 10_000] * 25)
    assert len(fsyncs) == 3
    assert fsyncs[-1] == 250_000


@pytest.mark.usefixtures("leaves_no_file")
def test_flusher_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be flushed fails the block, and every file is closed."""

    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_files(tmp_path, [b"x"], [b"y"], [b"z"])


@pytest.mark.usefixtures("leaves_no_file", "fsyncs")
def test_flusher_failure_inside(tmp_path: Path) -> None:
    """What fails in the block comes out of it, and every file is closed."""

    def broken() -> Iterator[bytes]:
        yield b"x"
        raise BoomError

    with pytest.raises(BoomError):
        write_files(tmp_path, [b"x"], broken())


@pytest.mark.usefixtures("_threads_only", "leaves_no_file")
def test_flusher_interrupt_waits_for_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the last file is flushed goes through, and not before the file is closed."""
    done: list[bool] = []

    def interrupted(_: int) -> None:
        for _ in range(30):  # a signal that comes just before the wait begins is seen with the next one
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            if main_waits.wait(1):
                break
        done.append(True)

    def handler(number: int, frame: FrameType | None) -> None:
        main_waits.set()
        signal.default_int_handler(number, frame)

    main_waits = threading.Event()
    signal.signal(signal.SIGINT, handler)
    monkeypatch.setattr(os, "fsync", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            write_files(tmp_path, [b"x"])
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert done


@pytest.mark.usefixtures("leaves_no_file")
def test_flusher_thread_begins_too_late(tmp_path: Path, fsyncs: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is started, but gets no time before the block ends, leaves no file that is not on disk."""

    def begin_late(worker: Worker) -> None:
        given_up.wait(30)
        begin(worker)

    def join_early(worker: Worker) -> None:
        claims = worker._claims  # noqa: SLF001 - who was first
        claims.append("join")
        given_up.set()
        join(worker)

    given_up = threading.Event()
    begin, join = Worker._run, Worker.join  # noqa: SLF001 - where it would begin
    monkeypatch.setattr(Worker, "_run", begin_late)
    monkeypatch.setattr(Worker, "join", join_early)
    write_files(tmp_path, [b"x"], [b"yy"])
    assert sorted(fsyncs) == [1, 2]


@pytest.mark.usefixtures("leaves_no_file")
def test_flusher_other_failure_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the thread cannot go on after is raised in the caller, too, and it goes on closing files."""

    def fail(_: int) -> None:
        raise MemoryError

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(MemoryError):
        write_files(tmp_path, [b"x"])


@pytest.mark.usefixtures("leaves_no_file")
def test_flusher_interrupt_while_the_caller_flushes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_threads: bool,  # noqa: FBT001 - a fixture
) -> None:
    """Ctrl-C in the middle of a large file, where no thread flushes it, leaves it closed while the error is handled."""
    if has_threads:
        pytest.skip("it reaches no other thread")
    monkeypatch.setattr(_fsync, "FLUSH_BYTES", 1)
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGINT))
    see_the_file_closed_when_interrupted(tmp_path)


@pytest.mark.usefixtures("_threads_only")
def test_flusher_interrupt_while_the_thread_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C that comes before the caller knows of the thread ends the thread."""

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        began.wait(30)
        raise KeyboardInterrupt

    def begin(flusher: Flusher) -> None:
        began.set()
        run(flusher)

    began = threading.Event()
    start, run = threading.Thread.start, Flusher._run  # noqa: SLF001 - what the thread does
    monkeypatch.setattr(Flusher, "_run", begin)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path, [b"x"])


@contextmanager
def interrupted_inside_locks() -> Iterator[None]:
    """Press Ctrl-C wherever the block leaves a lock that Python code wraps: it would stay held."""

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is threading.Condition.__exit__.__code__:
            raise KeyboardInterrupt

    sys.settrace(interrupt)
    try:
        yield
    except KeyboardInterrupt:
        pytest.fail("such a lock is shared with the other thread, and one of them may now wait for it forever")
    finally:
        sys.settrace(None)


def test_flusher_interrupt_inside_a_lock(tmp_path: Path) -> None:
    """Ctrl-C while a file is created or handed over leaves no lock held."""
    with Flusher() as flusher, interrupted_inside_locks(), flusher.create(tmp_path / "file") as write:
        write(b"x")


def test_worker_interrupt_inside_a_lock() -> None:
    """Ctrl-C while a thread is waited for leaves no lock held, on which the second wait would hang."""
    ended = []

    def work() -> None:
        time.sleep(0.05)
        ended.append("work")

    worker = Worker(work, "test")
    is_started = worker.start()
    with interrupted_inside_locks():
        worker.join()
    assert ended == (["work"] if is_started else [])


@pytest.mark.usefixtures("leaves_no_file")
def test_flusher_interrupt_before_a_file_is_handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between the last byte and the hand-over leaves the file closed while the error is handled."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Flusher, "_flush", interrupted)
    see_the_file_closed_when_interrupted(tmp_path)

"""Work in a second thread: all of it is done, failures are raised in the caller, and no thread stays behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelboot import InstallError, ModelPin, ensure_model
from modelboot._threads import Stop, Worker, run_at_once
from support.folders import is_complete
from support.wheels import NAME, Tampering, small_wheel

WAIT_S = 30


@pytest.fixture(params=["threads", "no threads", "no daemon threads"])
def _either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test also where the system allows no more threads: then the caller's own does everything."""

    def refuse(_: threading.Thread) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    if request.param == "no threads":
        monkeypatch.setattr(threading.Thread, "start", refuse)
    if request.param == "no daemon threads":  # as in an isolated subinterpreter
        daemon = property(lambda _: False, lambda thread, _: refuse(thread))
        monkeypatch.setattr(threading.Thread, "daemon", daemon)


@pytest.fixture(autouse=True)
def _leaves_no_thread() -> Iterator[None]:
    """Check that no thread outlives the call that started it; let Ctrl-C raise as it does at a terminal."""
    before, handler = {*threading.enumerate()}, signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)
    assert {*threading.enumerate()} == before


def is_told_to_end(stop: Stop) -> bool:
    """Return True if a job is told to end in time."""
    return any(stop() or threading.Event().wait(0.001) for _ in range(WAIT_S * 1000))


@pytest.mark.parametrize("working", [True, False], ids=["working", "waiting"])
def test_run_at_once_interrupt_ends_the_other_thread(working: bool) -> None:  # noqa: FBT001 - a case
    """Ctrl-C reaches the caller, while it works or waits for the thread beside it, after that has ended."""
    main = threading.main_thread()
    ended: list[bool] = []
    started, never = threading.Event(), threading.Event()

    def job(stop: Stop) -> None:
        if threading.current_thread() is main:
            assert started.wait(WAIT_S)
            assert not working or never.wait(WAIT_S)
            return
        started.set()
        os.kill(os.getpid(), signal.SIGINT)
        ended.append(is_told_to_end(stop))

    with pytest.raises(KeyboardInterrupt):
        run_at_once([job, job])
    assert ended == [True]


def test_worker_joined_before_it_began_never_begins() -> None:
    """A thread that the caller has given up does nothing, whenever it gets its time."""
    done: list[bool] = []
    worker = Worker(lambda: done.append(True), "test")
    worker.join()
    assert worker.start()
    worker.join()
    assert done == []


@pytest.mark.usefixtures("_either_way")
def test_install(pin: ModelPin, target: Path) -> None:
    """A model is complete, with all threads and with none."""
    ensure_model(pin)
    assert is_complete(target, pin)


@pytest.mark.usefixtures("_either_way")
def test_install_of_a_damaged_archive(target: Path, tmp_path: Path) -> None:
    """What one thread finds ends the install, and nothing stays."""
    wheel = small_wheel(tmp_path, tampering=Tampering(wrong_hashes=[f"{NAME}/__init__.py"]))
    with pytest.raises(InstallError, match="does not match its hash"):
        ensure_model(wheel.pin)
    assert not target.exists()

"""What a killed or interrupted call has fetched is not fetched again by the next one, nor left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import modelboot
from modelboot import ModelPin, ensure_model
from support.children import pin_arguments
from support.folders import parts_below
from support.interrupts import threads_left
from support.server import Reply
from support.wheels import NAME, BuiltWheel, large_wheel

if TYPE_CHECKING:
    from support.server import ModelServer

PATH = "/w.whl"
ETAG = {"ETag": '"one"'}
DATE = {"Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
WORTH = 1 << 20
"""A part of so many bytes is worth resuming."""
STALLED = 2 * WORTH
"""Where the server stops the first time."""
WAIT_S = 30

CHILD = """
import signal, sys
from modelboot import ModelPin, ensure_model
signal.signal(signal.SIGINT, signal.default_int_handler)  # a child in the background may have it ignored
ensure_model(ModelPin(*sys.argv[1:4], url=sys.argv[4]))
"""


@dataclass(frozen=True)
class Scene:
    """A wheel to be got in two runs."""

    wheel: BuiltWheel
    server: ModelServer
    target: Path

    @property
    def pin(self) -> ModelPin:
        """The pin, with its URL on the server."""
        return self.wheel.pin_at(f"{self.server.url}{PATH}")

    @property
    def body(self) -> bytes:
        """The wheel's bytes."""
        return self.wheel.path.read_bytes()

    def stalls(self, after_bytes: int = STALLED, headers: dict[str, str] = ETAG) -> Reply:
        """Make a reply that stops in the body."""
        return Reply(headers=headers, body=self.body, cut_after_bytes=after_bytes, stall="body")

    def parts(self) -> list[Path]:
        """List the part files below the target."""
        return [*self.target.glob(".modelboot/*.stage/*.part")]

    def start(self) -> subprocess.Popen[str]:
        """Start a process that asks for the wheel."""
        path = os.pathsep.join([str(Path(modelboot.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        facts = pin_arguments(self.pin)
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, *facts],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_part(self, size_bytes: int) -> None:
        """Wait until that much of the wheel is on disk, as far as pieces of 64 KiB go."""
        for _ in range(WAIT_S * 100):
            if any(part.stat().st_size > size_bytes - (1 << 16) for part in self.parts()):
                return
            threading.Event().wait(0.01)
        pytest.fail("nothing has come")

    def broken_off(self, by: signal.Signals, size_bytes: int = STALLED) -> str:
        """Have a process fetch so much of the wheel and end it by a signal; return what it said last."""
        with self.start() as child:
            try:
                self.wait_for_part(size_bytes)
                child.send_signal(by)
                _, complaint = child.communicate(timeout=WAIT_S)
            finally:
                child.kill()
        assert child.returncode in {-by, 130}, complaint
        return complaint

    def ranges(self) -> list[tuple[str | None, str | None]]:
        """Tell from where, and of which file, each request wanted the body."""
        return [(request.headers.get("Range"), request.headers.get("If-Range")) for request in self.server.requests]

    def assert_finished(self, resumed_at: int | None, validator: str | None) -> None:
        """See that the next plain call gets the model, from where the last one stopped, and leaves nothing behind."""
        before = len(self.server.requests)
        model = ensure_model(self.pin)
        asked = None if resumed_at is None else f"bytes={resumed_at}-"
        assert self.ranges()[before:] == [(asked, validator)]
        assert model.downloaded_bytes == self.wheel.size_bytes - (resumed_at or 0)
        assert (self.target / NAME / "vectors.bin").stat().st_size == 3_000_000
        assert not parts_below(self.target)
        assert not threads_left()


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of 3 MB."""
    return large_wheel(tmp_path_factory.mktemp("larger"), size_bytes=3_000_000)


@pytest.fixture
def scene(wheel: BuiltWheel, server: ModelServer, target: Path) -> Scene:
    """Return the scene; the server stops in the body at first, and sends all of it then."""
    scene = Scene(wheel, server, target)
    server.serve(PATH, scene.stalls(), Reply(headers=ETAG, body=scene.body, ranged=True))
    return scene


def size_of(parts: list[Path]) -> int:
    """Give the size of the only part."""
    (part,) = parts
    return part.stat().st_size


def test_resume_after_kill(scene: Scene) -> None:
    """After a SIGKILL in the middle of the body the next call fetches the rest of the same file only."""
    scene.broken_off(signal.SIGKILL)
    resumed_at = size_of(scene.parts())
    assert STALLED - (1 << 16) <= resumed_at <= STALLED
    scene.assert_finished(resumed_at, ETAG["ETag"])


def test_resume_after_interrupt_of_a_child(scene: Scene) -> None:
    """After Ctrl-C the part is all that stays, and the next call goes on from there."""
    complaint = scene.broken_off(signal.SIGINT)
    assert complaint.strip().endswith("KeyboardInterrupt")
    assert sorted(path.suffix for path in scene.target.glob(".modelboot/*.stage/*")) == [".json", ".part"]
    scene.assert_finished(size_of(scene.parts()), ETAG["ETag"])


@pytest.fixture
def interrupted(scene: Scene) -> Iterator[None]:
    """Press Ctrl-C in this process as soon as so much has come as will come."""

    def press() -> None:
        scene.wait_for_part(STALLED)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    yield
    thread.join()


@pytest.mark.usefixtures("interrupted")
def test_resume_after_interrupt_in_process(scene: Scene) -> None:
    """A program that goes on after Ctrl-C, as a notebook does, resumes as well."""
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        ensure_model(scene.pin)
    assert not threads_left()
    scene.assert_finished(size_of(scene.parts()), ETAG["ETag"])


def test_resume_file_changed_between(scene: Scene) -> None:
    """A server that has another file now sends the whole of it, which is what is installed."""
    other = Reply(headers={"ETag": '"other"'}, body=bytes(len(scene.body)), cut_after_bytes=STALLED, stall="body")
    scene.server.serve(PATH, other, Reply(headers=ETAG, body=scene.body, ranged=True))
    scene.broken_off(signal.SIGKILL)
    resumed_at = size_of(scene.parts())
    assert ensure_model(scene.pin).downloaded_bytes == scene.wheel.size_bytes
    assert scene.ranges() == [(None, None), (f"bytes={resumed_at}-", '"other"')]
    assert not parts_below(scene.target)


def test_resume_from_a_server_without_validators(scene: Scene) -> None:
    """A server that says nothing to know the file by is asked for the rest all the same: the hash will tell."""
    scene.server.serve(PATH, scene.stalls(headers={}), Reply(body=scene.body, ranged=True))
    scene.broken_off(signal.SIGKILL)
    scene.assert_finished(size_of(scene.parts()), None)


def test_resume_by_date(scene: Scene) -> None:
    """A server that has no ETag knows the file by its date."""
    rest = Reply(
        headers={"ETag": DATE["Last-Modified"]}, body=scene.body, ranged=True
    )  # what If-Range is compared with
    scene.server.serve(PATH, scene.stalls(headers=DATE), rest)
    scene.broken_off(signal.SIGKILL)
    scene.assert_finished(size_of(scene.parts()), DATE["Last-Modified"])


def test_resume_wrong_beginning(scene: Scene) -> None:
    """What was put together from two runs and does not match is fetched once more, from zero."""
    wrong = Reply(body=b"PK" + bytes(len(scene.body) - 2), cut_after_bytes=STALLED, stall="body")
    scene.server.serve(PATH, wrong, Reply(body=scene.body, ranged=True))
    scene.broken_off(signal.SIGKILL)
    resumed_at = size_of(scene.parts())
    model = ensure_model(scene.pin)
    assert model.downloaded_bytes == 2 * scene.wheel.size_bytes - resumed_at
    assert scene.ranges() == [(None, None), (f"bytes={resumed_at}-", None), (None, None)]
    assert not parts_below(scene.target)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_resume_small_part(scene: Scene, by: signal.Signals) -> None:
    """Less than a megabyte is not worth keeping: it is gone after the next call, which fetched all."""
    scene.server.serve(PATH, scene.stalls(WORTH // 2), Reply(headers=ETAG, body=scene.body, ranged=True))
    scene.broken_off(by, WORTH // 2)
    if by == signal.SIGINT:
        assert not parts_below(scene.target)
    scene.assert_finished(None, None)


def test_resume_part_of_another_pin(scene: Scene, tmp_path: Path) -> None:
    """A part of another pin's wheel is neither put into this one nor left behind."""
    scene.broken_off(signal.SIGKILL)
    other = Scene(large_wheel(tmp_path / "other", size_bytes=3_000_000, seed=1), scene.server, scene.target)
    scene.server.serve(PATH, Reply(headers=ETAG, body=other.body, ranged=True))
    other.assert_finished(None, None)


def test_resume_after_two_kills(scene: Scene) -> None:
    """A call that resumes and is killed as well hands down what both have fetched."""
    later = Reply(
        206,
        {**ETAG, "Content-Range": f"bytes {STALLED}-{len(scene.body) - 1}/{len(scene.body)}"},
        scene.body[STALLED:],
        cut_after_bytes=WORTH // 2,
        stall="body",
    )
    scene.server.serve(PATH, scene.stalls(), later, Reply(headers=ETAG, body=scene.body, ranged=True))
    scene.broken_off(signal.SIGKILL)
    scene.broken_off(signal.SIGKILL, STALLED + WORTH // 2)
    assert len(scene.parts()) == 1
    scene.assert_finished(size_of(scene.parts()), ETAG["ETag"])


def test_resume_part_is_whole(scene: Scene) -> None:
    """A call killed before the wheel had its name leaves nothing to be asked for, even where no tries are left."""
    scene.broken_off(signal.SIGKILL)
    (part,) = scene.parts()
    part.write_bytes(scene.body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODELBOOT_RETRIES", "0")
        assert ensure_model(scene.pin).downloaded_bytes == 0
    assert scene.server.count(PATH) == 1
    assert not parts_below(scene.target)


def test_resume_note(scene: Scene) -> None:
    """Beside the part lies what the server knew the file by, and nothing that is secret."""
    scene.broken_off(signal.SIGKILL)
    (note,) = scene.target.glob(".modelboot/*.stage/*.json")
    assert json.loads(note.read_text("utf-8")) == {"validator": ETAG["ETag"]}

"""Commands that are ended in the middle of a download: what they say, what they leave, and what the next one does."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from support.children import command, environment
from support.commands import MAIN, reference, run
from support.folders import parts_below
from support.server import ModelServer, Reply
from support.wheels import NAME, VERSION, large_wheel

HANG_S = 60
SENT_BYTES, WORTH_KEEPING_BYTES = 2_200_000, 2_100_000  # the last chunk is not whole
# A shell that runs the tests in the background has them, and so their children, ignore SIGINT.
INTERRUPTIBLE = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {MAIN}"


@pytest.fixture
def _large(server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve a wheel of 3 MB; the first to ask for it gets two thirds and then nothing, the next all they ask for."""
    wheel = large_wheel(tmp_path / "large", size_bytes=3_000_000)
    whole = Reply(headers={"ETag": '"a"'}, body=wheel.content, ranged=True)
    stalled = Reply(headers={"ETag": '"a"'}, body=wheel.content, cut_after_bytes=SENT_BYTES, stall="body")
    pin = server.publish(wheel, stalled, whole)
    (tmp_path / "pins.txt").write_text(reference(pin), "utf-8")
    monkeypatch.setenv("MODELBOOT_PINS", str(tmp_path / "pins.txt"))
    monkeypatch.chdir(tmp_path)


def ended(by: int, words: Sequence[str], is_ready: Callable[[], bool]) -> tuple[int, list[str]]:
    """End a command by a signal once the time is ready; return its exit status and the lines on stderr."""
    line = command(INTERRUPTIBLE, *words)
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment({})) as child:
        try:
            for _ in range(HANG_S * 100):
                with suppress(subprocess.TimeoutExpired):
                    child.wait(0.01)  # the pause between two looks
                if is_ready():
                    break
            child.send_signal(by)
            _, told = child.communicate(timeout=HANG_S)
        finally:
            child.kill()
    return child.returncode, told.splitlines()


def has_saved(folder: Path) -> bool:
    """Return True if a file below a folder has so many bytes that they are worth keeping."""
    with suppress(FileNotFoundError):  # it was renamed between two looks at it
        return any(path.is_file() and path.stat().st_size >= WORTH_KEEPING_BYTES for path in folder.rglob("*"))
    return False


@pytest.mark.parametrize(
    "words",
    [
        f"install {NAME}",
        f"install {NAME} {NAME}=={VERSION}",  # two into one target
        f"install {NAME} en_typo",
        f"fetch {NAME} --dest target",
        "install -r pins.txt",
    ],
)
@pytest.mark.usefixtures("_large")
def test_interrupt_says_what_is_kept(words: str, server: ModelServer, target: Path) -> None:
    """Ctrl-C in a download is status 130 and the truth: so much is kept; the next run goes on there and tidies up."""
    status, (*_, error, hint) = ended(signal.SIGINT, words.split(), lambda: has_saved(target))
    assert (status, error) == (130, "error: interrupted")
    assert re.fullmatch(r"hint: 2\.[12] MB of the download are kept; run it again to continue there", hint)
    assert run(*words.split()).status == int("en_typo" in words)
    assert parts_below(target) == []
    assert WORTH_KEEPING_BYTES <= int(server.requests[-1].headers["Range"].strip("bytes=-")) <= SENT_BYTES

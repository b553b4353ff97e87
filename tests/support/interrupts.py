"""Ctrl-C, at every moment of an install, as a program, or at one moment of a call; and the threads it leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelboot import ModelPin, ensure_model
from support.children import environment, forked, pin_arguments
from support.folders import is_complete, leftovers

WATCHED = ("fcntl.", "open", "os.", "shutil.", "socket.", "zipfile.")
"""Beginnings of the audit events that count as moments: files, folders, locks, connections."""


def run(pin: ModelPin, *, every: int, before: ModelPin | None = None) -> list[dict[str, object]]:
    """Interrupt an install at every n-th audit event, each time in a fresh target.

    Args:
        pin: The model; its wheel is where the URL says.
        every: 1 for each event, 7 for every seventh.
        before: A model that is installed first and is to be replaced.

    Returns:
        For each moment: the event, how the call ended, what was left at once, how the next call ended, what was left
        then.
    """
    pins = [pin_arguments(one) for one in (pin, before) if one is not None]
    done = subprocess.run(
        [sys.executable, "-m", "support.interrupts", str(every), json.dumps(pins)],
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def main() -> None:
    """Interrupt as the command line says, until an install ends before its moment."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored, as in `pressed`
    every, pins = int(sys.argv[1]), [_pin(*one) for one in json.loads(sys.argv[2])]
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        while not results or results[-1]["event"]:
            moment = 1 + every * len(results)
            results.append(_try(Path(folder, str(moment)), moment, pins))
    sys.stdout.write(json.dumps(results))


def _pin(name: str, version: str, sha256: str, url: str) -> ModelPin:
    return ModelPin(name, version, sha256, url=url)


def _try(target: Path, moment: int, pins: list[ModelPin]) -> dict[str, object]:
    """Interrupt one install, look at what is there, call once more."""
    for old in pins[1:]:
        ensure_model(old, target=target)
    ((event, ended),) = forked([lambda: _interrupted(target, moment, pins[0])])
    left = leftovers(target, *pins)
    complete = [pin.version for pin in pins if is_complete(target, pin)]
    there = [path.name for path in target.glob("*") if not path.name.startswith(".")]
    (again,) = forked([lambda: _ensured(pins[0], target)])
    finally_left = leftovers(target, pins[0])
    return {
        "event": event,
        "ended": ended,
        "left": left,
        "complete": complete,
        "there": there,
        "again": again,
        "finally": finally_left + ([] if is_complete(target, pins[0]) else ["torn"]),
    }


def _interrupted(target: Path, moment: int, pin: ModelPin) -> list[str]:
    seen: list[str] = []
    sys.addaudithook(_hook(seen, moment))
    ended = _ensured(pin, target)
    return [seen[moment - 1] if len(seen) >= moment else "", ended]


def _hook(seen: list[str], moment: int) -> Callable[[str, tuple[object, ...]], None]:
    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(WATCHED):
            seen.append(f"{event} {arguments[0] if arguments else ''}")
            if len(seen) == moment:
                os.kill(os.getpid(), signal.SIGINT)

    return hook


def _ensured(pin: ModelPin, target: Path) -> str:
    try:
        return ensure_model(pin, target=target).version
    except KeyboardInterrupt:
        return "interrupted"
    except BaseException as error:  # noqa: BLE001 - is reported as what must not happen
        return f"{type(error).__name__}: {error}"


@contextmanager
def pressed(when: Callable[[], object]) -> Iterator[None]:
    """Press Ctrl-C in this process while the block runs.

    Args:
        when: Waits, in a thread of its own, for the moment to press it.
    """

    def press() -> None:
        when()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where tests run in the background
    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)


def threads_left(wait_s: float = 10.0) -> list[str]:
    """Name the threads of modelboot that are still there after a while.

    Args:
        wait_s: How long each may take to end.
    """
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("modelboot-")]
    for thread in threads:
        thread.join(wait_s)
    return [thread.name for thread in threads if thread.is_alive()]


if __name__ == "__main__":
    main()

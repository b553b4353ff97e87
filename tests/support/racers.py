"""Processes that install or load one model at the same moment; a program, so that pytest itself never forks.

The parent imports everything first: its racers are forked, held at a barrier and let go at once.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

# As above: what a cold call imports on its way is imported here.
from modelboot import ModelbootError, ModelPin, ensure_model
from modelboot._install import unpack as _install  # noqa: F401
from modelboot._sources import fetch as _sources  # noqa: F401
from support.children import as_user, environment

WEDGED_S = 60.0
"""A racer that has not answered by then is killed and counted as wedged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What is raced for, and by how many."""

    pin: tuple[str, str, str]
    """Name, version and hash."""
    url: str
    """Where the wheel is; {round} stands for the number of the round."""
    folder: str
    """Every round has a target of its own in it."""
    racers: int = 8
    threads: int = 1
    rounds: int = 1
    fault: str = ""
    """What is wrong with locks: a key of `FAULTS`."""
    load: bool = False
    """Call get_nlp in place of ensure_model."""
    before: tuple[str, str, str, str] | None = None
    """Name, version, hash and URL of a model that is installed in each target first."""

    def pin_of(self, number: int) -> ModelPin:
        """Return the pin of one round."""
        return ModelPin(*self.pin, url=self.url.format(round=number))

    def target_of(self, number: int) -> Path:
        """Return the target of one round."""
        return Path(self.folder, f"target{number}")

    def home_of(self, number: int) -> Path:
        """Return the store of one round: nothing should ever go there, and nothing be found there by the next."""
        return Path(self.folder, f"home{number}")


def run(race: Race, *, user: int | None = None, env: Mapping[str, str | None] | None = None) -> list[list[str]]:
    """Run a race in a program of its own.

    Args:
        race: The race.
        user: User and group id of the racers.
        env: Changes to the environment.

    Returns:
        For each round the answers: what the racers returned ("" for a racer that died, "wedged" for a hung one).
    """
    done = subprocess.run(
        [*as_user(user), sys.executable, "-m", "support.racers", json.dumps(asdict(race))],
        env=environment(env or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [list(answers) for answers in json.loads(done.stdout)]


def main() -> None:
    """Run the race that the command line describes, and print the answers."""
    race = Race(**json.loads(sys.argv[1]))
    FAULTS[race.fault]()
    _warm_up(race)
    sys.stdout.write(json.dumps([_round(race, number) for number in range(race.rounds)]))


def _warm_up(race: Race) -> None:
    if race.load:
        import spacy

        spacy.blank("en")
    for number in range(race.rounds) if race.before else ():
        name, version, sha256, url = race.before or ("", "", "", "")
        ensure_model(ModelPin(name, version, sha256, url=url), target=race.target_of(number))


def _round(race: Race, number: int) -> list[str]:
    def work() -> list[str]:
        return _in_threads(race.threads, lambda: _take_part(race, number))

    return [answer for answers in forked([work] * race.racers) for answer in answers]


def _take_part(race: Race, number: int) -> str:
    os.environ["MODELBOOT_HOME"] = str(race.home_of(number))
    try:
        if race.load:
            from modelboot import get_nlp

            os.environ["MODELBOOT_TARGET"] = str(race.target_of(number))
            return f"ok {get_nlp(race.pin_of(number)).meta['version']}"
        return f"ok {ensure_model(race.pin_of(number), target=race.target_of(number)).version}"
    except ModelbootError as error:
        return f"{type(error).__name__}: {error.message}"
    except BaseException as error:  # noqa: BLE001 - is reported as what must not happen
        return f"raw {type(error).__name__}: {error}"


def _in_threads(threads: int, work: Callable[[], str]) -> list[str]:
    answers: list[str] = []
    barrier = threading.Barrier(threads)

    def at_once() -> None:
        barrier.wait()
        answers.append(work())

    started = [threading.Thread(target=at_once) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return answers


def forked(works: list[Callable[[], list[str]]]) -> list[list[str]]:
    """Do each work in a forked child, all let go at once, and return what they answer."""
    held, gate = os.pipe()
    children = [_fork(work, held, gate) for work in works]
    os.close(held)
    os.close(gate)  # the barrier falls when the last end that could write is closed
    return [_answer(pid, answers) for pid, answers in children]


def _fork(work: Callable[[], list[str]], held: int, gate: int) -> tuple[int, int]:
    answers, own = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(gate)
        _be_child(work, held, own)
    os.close(own)
    return pid, answers


def _be_child(work: Callable[[], list[str]], held: int, own: int) -> NoReturn:
    try:
        os.read(held, 1)
        os.write(own, json.dumps(work()).encode())
    finally:
        os._exit(0)


def _answer(pid: int, answers: int) -> list[str]:
    """Read all a child says; a hung one is killed."""
    text, until = b"", time.monotonic() + WEDGED_S
    while select.select([answers], [], [], max(0.0, until - time.monotonic()))[0]:
        piece = os.read(answers, 1 << 16)
        if not piece:
            break
        text += piece
    else:
        os.kill(pid, signal.SIGKILL)
        text = b'["wedged"]'
    os.close(answers)
    os.waitpid(pid, 0)
    return list(json.loads(text or b'[""]'))


def _flock_does_nothing() -> None:
    fcntl.flock = lambda *_: None


def _flock_raises(number: int) -> Callable[[], None]:
    def refuse(*_: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    def patch() -> None:
        fcntl.flock = refuse

    return patch


def _lock_file_cannot_be_opened(number: int) -> Callable[[], None]:
    really_open = os.open

    def guarded(path: Any, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 - as os.open
        if str(path).endswith(".lock"):
            raise OSError(number, os.strerror(number), str(path))
        return really_open(path, *arguments, **options)

    def patch() -> None:
        os.open = guarded

    return patch


FAULTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "no-op": _flock_does_nothing,
    "ENOLCK": _flock_raises(errno.ENOLCK),
    "EOPNOTSUPP": _flock_raises(errno.EOPNOTSUPP),
    "ENOSYS": _flock_raises(errno.ENOSYS),
    "EROFS": _lock_file_cannot_be_opened(errno.EROFS),
}
"""What can be wrong with locks, and how it is brought about in this process and all it forks."""

if __name__ == "__main__":
    main()

"""Races: many processes and threads that ask for one model at the same moment.

Started as a program, by `run`: it lets its racers go at once, and prints their answers as JSON. Forked racers find
imported what a cold call imports on its way; separate programs import it themselves, as those of a user do.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from modelboot import ModelbootError, ModelPin, ensure_model, get_nlp
from support.children import TIMEOUT_S, WEDGED, environment, forked
from support.folders import WORK

if sys.platform != "win32":
    import fcntl

Answer = dict[str, Any]
"""What one racer returns: facts of its model, or "error" and "message"; which libraries it used in any case."""
LIBRARIES = ("filelock", "installer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """What is asked for, by how many, and where."""

    pin: Sequence[str]
    """Name, version, hash and URL; {round} in the URL stands for the number of the round."""
    folder: str
    """Every round has a target of its own in it."""
    programs: int = 1
    """Interpreters started on their own; more than one run a single round."""
    processes: int = 8
    """Processes that each program forks; with 1 the program itself is the racer."""
    threads: int = 1
    """Threads of each process."""
    rounds: int = 1
    load: bool = False
    """Whether racers call get_nlp, twice, in place of ensure_model."""
    locks: str = ""
    """What is wrong with locks: a key of `LOCK_FAULTS`."""

    def pin_of(self, number: int) -> ModelPin:
        """Return the pin of one round."""
        name, version, sha256, url = self.pin
        return ModelPin(name, version, sha256, url=url.format(round=number))

    def root_of(self, number: int) -> Path:
        """Return the folder of one round, laid out as `support.states.Sandbox`."""
        return Path(self.folder, f"round{number}")

    def target_of(self, number: int) -> Path:
        """Return the target of one round."""
        return self.root_of(number) / "target"

    def home_of(self, number: int) -> Path:
        """Return the store of one round: nothing is found there by the next."""
        return self.root_of(number) / "home"


def run(race: Race, *, env: Mapping[str, str | None] | None = None) -> list[list[Answer]]:
    """Run a race in programs of its own.

    Args:
        race: The race.
        env: Changes to the environment.

    Returns:
        For each round the answers of all racers; a racer that died or hung has an "error" that says so.
    """
    words = [sys.executable, "-m", "support.races", json.dumps(asdict(race))]
    options: dict[str, Any] = {"cwd": race.folder, "env": environment(env or {}), "text": True}

    def answers(_: int) -> list[list[Answer]]:
        done = subprocess.run(words, capture_output=True, check=False, timeout=TIMEOUT_S * race.rounds, **options)
        assert done.returncode == 0, done.stderr
        rounds: list[list[Answer]] = json.loads(done.stdout)
        return rounds

    with ThreadPoolExecutor(race.programs) as pool:
        outputs = [*pool.map(answers, range(race.programs))]
    return [[answer for output in outputs for answer in output[number]] for number in range(race.rounds)]


def main() -> None:
    """Run the race that the command line describes, and print the answers."""
    race = Race(**json.loads(sys.argv[1]))
    LOCK_FAULTS[race.locks]()
    _warm_up(race)
    print(json.dumps([_round(race, number) for number in range(race.rounds)]))  # noqa: T201 - a program's result


def _warm_up(race: Race) -> None:
    """Do before the start what is not part of the race, and import what each forked racer would import again."""
    if race.load:
        with suppress(ModuleNotFoundError):  # where a stub stands in
            import spacy.lang.en  # noqa: F401 - what a pipeline imports
    if race.processes > 1:
        from support.states import import_ahead  # imports of modelboot what racers that are programs import themselves

        import_ahead()
        _libraries()


def _round(race: Race, number: int) -> list[Answer]:
    def work() -> list[Answer]:
        os.environ["MODELBOOT_HOME"] = str(race.home_of(number))
        os.environ["MODELBOOT_TARGET"] = str(race.target_of(number))
        return _in_threads(race.threads, lambda: {**_take_part(race, number), "libraries": _libraries()})

    answers = forked([work] * race.processes) if race.processes > 1 else [work()]
    return [one for answer in answers for one in (answer if isinstance(answer, list) else [{"error": answer}])]


def _take_part(race: Race, number: int) -> Answer:
    pin = race.pin_of(number)
    try:
        if race.load:
            first, second = get_nlp(pin), get_nlp(pin)
            loads = get_nlp.cache_info().misses
            return {"version": first.meta["version"], "loads": loads, "same": first is second}
        model = ensure_model(pin, target=race.target_of(number))
    except ModelbootError as error:
        return {"error": type(error).__name__, "message": error.message}
    except BaseException as error:  # noqa: BLE001 - is reported as what must not happen
        return {"error": f"raw {type(error).__name__}", "message": str(error)}
    return {"version": model.version, "source": model.source, "path": str(model.path)}


@cache
def _libraries() -> dict[str, list[str]]:
    """Tell which version of each library is used, and from which folder."""
    files = {name: Path(str(importlib.import_module(name).__file__)) for name in LIBRARIES}
    return {name: [importlib.metadata.version(name), str(file.parents[1])] for name, file in files.items()}


def _in_threads(threads: int, work: Callable[[], Answer]) -> list[Answer]:
    barrier = threading.Barrier(threads)

    def at_once(_: int) -> Answer:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(threads) as pool:
        return [*pool.map(at_once, range(threads))]


def hung(answers: list[list[Answer]]) -> int:
    """Count the racers that hung."""
    return sum(answer.get("error") == WEDGED for answers_of_round in answers for answer in answers_of_round)


def _flock_fails(number: int) -> None:
    """Have the system refuse locks; with 0 they do nothing."""

    def flock(*_: object) -> None:
        if number:
            raise OSError(number, os.strerror(number))

    fcntl.flock = flock


def _open_refused_in_the_work_folder() -> None:
    """Refuse what opens a lock file: no other file is opened for writing directly in that folder, not by os.open."""
    really_open = os.open

    def guarded(path: Any, flags: int, *arguments: Any, **options: Any) -> int:  # noqa: ANN401 - as os.open
        if flags & os.O_RDWR and Path(os.fsdecode(path)).parent.name == WORK:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        return really_open(path, flags, *arguments, **options)

    os.open = guarded


LOCK_FAULTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "no-op": partial(_flock_fails, 0),
    "ENOLCK": partial(_flock_fails, errno.ENOLCK),
    "EOPNOTSUPP": partial(_flock_fails, errno.EOPNOTSUPP),
    "ENOSYS": partial(_flock_fails, errno.ENOSYS),
    "EROFS": _open_refused_in_the_work_folder,
}
"""What can be wrong with locks, and how it is brought about in this process and all it forks."""

if __name__ == "__main__":
    main()

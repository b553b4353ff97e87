"""Many processes and threads: one request, one load a process, through fork, spawn and preloading."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelboot import ModelPin, ensure_model
from support.children import STUB_SPACY, command, environment, pin_arguments, python
from support.folders import is_complete, leftovers, names
from support.races import Race, hung, run
from support.server import Reply
from support.wheels import BuiltWheel

if TYPE_CHECKING:
    from support.server import ModelServer


# --- at once


def slow_race(wheel: BuiltWheel, server: ModelServer, folder: Path, **size: Any) -> Race:  # noqa: ANN401 - as Race
    """Describe a race for a wheel that takes a while over the wire; each round has a URL of its own."""
    url = f"{server.url}/round{{round}}/{wheel.path.name}"
    race = Race(pin=[wheel.name, wheel.version, wheel.sha256, url], folder=str(folder), **size)
    for number in range(race.rounds):
        slow = Reply(body=wheel.content, drip_bytes_per_s=int(wheel.size_bytes / 0.3))
        server.serve(f"/round{number}/{wheel.path.name}", slow)
    return race


def run_and_judge(race: Race, server: ModelServer, count: Callable[..., None]) -> None:
    """Demand of every round: one request, every racer has the model, which is complete, and nothing else is left."""
    answers = run(race, env=STUB_SPACY)
    everyone = [answer for answers_of_round in answers for answer in answers_of_round]
    rounds = range(race.rounds)
    torn = [number for number in rounds if not is_complete(race.target_of(number), race.pin_of(number))]
    left = [name for number in rounds for name in leftovers(race.target_of(number), race.pin_of(number))]
    left += [race.home_of(number).name for number in rounds if race.home_of(number).exists()]
    figures = {"torn": len(torn), "wedged": hung(answers), "left": len(left), "requests": len(server.requests)}
    count("racers on a slow origin", points=len(everyone), **figures)
    assert [answer for answer in everyone if answer.get("version") != race.pin[1]] == []
    assert [len(of_round) for of_round in answers] == [race.processes * race.threads] * race.rounds
    assert [request.path.split("/")[1] for request in server.requests] == [f"round{number}" for number in rounds]
    assert (torn, left) == ([], [])


@pytest.mark.parametrize("size", [(4, 4, 2), pytest.param((32, 8, 20), marks=pytest.mark.exhaustive)], ids=str)
def test_many_at_once_cost_one_request(
    size: tuple[int, int, int], wheel: BuiltWheel, server: ModelServer, tmp_path: Path, count: Callable[..., None]
) -> None:
    """Processes and threads behind a barrier on a slow origin: one request a round, everyone has the model."""
    processes, threads, rounds = size
    race = slow_race(wheel, server, tmp_path, processes=processes, threads=threads, rounds=rounds)
    run_and_judge(race, server, count)


@pytest.mark.parametrize("damaged", [False, True], ids=["absent", "damaged"])
def test_many_at_once_all_load(
    damaged: bool,  # noqa: FBT001 - a case
    tiny: BuiltWheel,
    server: ModelServer,
    tmp_path: Path,
    count: Callable[..., None],
) -> None:
    """The same with get_nlp, also where all find the same altered file: everyone has a pipeline after one request."""
    race = slow_race(tiny, server, tmp_path, processes=3, threads=2, load=True)
    if damaged:
        model = ensure_model(tiny.pin, target=race.target_of(0))
        damage = model.path / "sentencizer.json"
        damage.write_bytes(b"\xc1" * damage.stat().st_size)
    run_and_judge(race, server, count)


# --- kinds of processes

POOL = """
import json, multiprocessing, sys

def work(number):
    import modelboot
    nlp = modelboot.get_nlp(modelboot.ModelPin(*sys.argv[2:5], url=sys.argv[5]))
    return nlp.meta["version"], len(list(nlp("One. Two.").sents))

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    if sys.argv[1] != "spawn":
        import spacy
    with context.Pool(2) as pool:
        print(json.dumps(pool.map(work, range(4), chunksize=1)))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_a_pool_all_load(method: str, tiny: BuiltWheel, server: ModelServer, tmp_path: Path) -> None:
    """Workers of multiprocessing, forked or spawned, ask for a model that is not there: all load it, one request."""
    script = tmp_path / "pool.py"  # a spawned worker imports the main program by its path
    script.write_text(POOL, "utf-8")
    words = [sys.executable, str(script), method, *pin_arguments(server.publish(tiny))]
    done = subprocess.run(words, env=environment(STUB_SPACY), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["1.0.0", 2]] * 4
    assert len(server.requests) == 1
    assert leftovers(tmp_path / "target", tiny.pin) == []


PRELOAD = """
import json, os, sys, threading
import modelboot, spacy
from support.children import forked

pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
nlp = modelboot.get_nlp(pin)
parent, really, held, over = os.getpid(), spacy.load, threading.Event(), threading.Event()

def use():
    return [modelboot.get_nlp(pin) is nlp, len(list(nlp("One. Two.").sents)), modelboot.get_nlp.cache_info().misses]

def load_anew():
    return modelboot.get_nlp(pin, disable=["sentencizer"]).meta["version"]

def load(*arguments, **options):
    if os.getpid() == parent:
        held.set()
        over.wait()
    return really(*arguments, **options)

used, spacy.load = forked([use] * 2), load
thread = threading.Thread(target=load_anew)
thread.start()
held.wait()
print(json.dumps([used, forked([load_anew] * 2)]))
over.set()
"""


def test_model_loaded_before_a_fork_is_the_children_s_too(tiny_pin: ModelPin) -> None:
    """As gunicorn preloads: children use the parent's model, and are not held up by a load its threads were in."""
    done = python(PRELOAD, *pin_arguments(tiny_pin), env=STUB_SPACY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[[True, 2, 1]] * 2, ["1.0.0"] * 2]


ENSURE = """
import sys, modelboot
modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
"""


def test_installs_into_two_targets_do_not_wait_for_each_other(
    wheel: BuiltWheel, server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process is stuck in a download; another, with a target of its own, is served, and TMPDIR stays empty."""
    pin = server.publish(wheel, Reply(body=wheel.content, stall="body"), Reply(body=wheel.content))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    with subprocess.Popen(command(ENSURE, *pin_arguments(pin)), env=environment({})) as stuck:
        try:
            assert server.wait_for(f"/{wheel.path.name}")
            done = python(ENSURE, *pin_arguments(pin), env={"MODELBOOT_TARGET": str(tmp_path / "other")})
            assert (done.returncode, done.stderr, stuck.poll()) == (0, "", None)
        finally:
            stuck.kill()
    assert is_complete(tmp_path / "other", pin)
    assert names(tmp_path / "tmp") == []

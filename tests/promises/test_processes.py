"""Many processes and threads: one request, one load a process, through fork, preloading and embedding."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from modelboot import ModelPin, ensure_model
from support import children
from support.children import OTHER, STUB_SPACY, environment, pin_arguments, python
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
    assert {(answer["loads"], answer["same"]) for answer in everyone if race.load} <= {(1, True)}
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
    tiny: BuiltWheel, server: ModelServer, tmp_path: Path, count: Callable[..., None], *, damaged: bool
) -> None:
    """The same with get_nlp, also where all find the same altered file: everyone has a pipeline after one request.

    Threads of a process share it: it is loaded once.
    """
    race = slow_race(tiny, server, tmp_path, processes=3, threads=2, load=True)
    if damaged:
        model = ensure_model(tiny.pin, target=race.target_of(0))
        damage = model.path / "sentencizer.json"
        damage.write_bytes(b"\xc1" * damage.stat().st_size)
    run_and_judge(race, server, count)


# --- kinds of processes

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


@pytest.mark.parametrize("users", [(None, None), (OTHER, OTHER - 1)], ids=["of one user", "of two users"])
def test_installs_into_two_targets_do_not_wait_for_each_other(
    users: tuple[int | None, int | None], wheel: BuiltWheel, server: ModelServer
) -> None:
    """One process is stuck in a download; another, with a target of its own, is served, and TMPDIR stays empty."""
    if any(users):
        children.skip_unless_other_user()
    pin = server.publish(wheel, Reply(body=wheel.content, stall="body"), Reply(body=wheel.content))
    with children.public_folder() as folder:
        children.owned(folder / "tmp", os.getuid()).chmod(0o1777)

        def start(name: str, user: int | None) -> subprocess.Popen[bytes]:
            home = str(children.owned(folder / name, user or os.getuid()))
            settings = {"MODELBOOT_TARGET": home, "MODELBOOT_HOME": None, "HOME": home, "TMPDIR": str(folder / "tmp")}
            words = children.command(children.ENSURE, *pin_arguments(pin), user=user)
            return subprocess.Popen(words, env=environment(settings))

        with start("stuck", users[0]) as stuck:
            try:
                assert server.wait_for(f"/{wheel.path.name}")
                with start("served", users[1]) as served:
                    assert served.wait(children.TIMEOUT_S) == 0
                assert stuck.poll() is None
            finally:
                stuck.kill()
        assert is_complete(folder / "served", pin)
        assert names(folder / "tmp") == []


EMBEDDED = """
import sys
started = []
sys.addaudithook(lambda event, _: started.append(event) if event.startswith(
    ("subprocess.", "os.fork", "os.posix_spawn", "os.exec", "os.system")) else None)
import spacy
del started[:]
sys.executable = "/bin/false"
import modelboot
nlp = modelboot.get_nlp(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4]))
sys.stderr.write(f"{nlp.meta['version']} {started}")
"""


def test_model_goes_into_an_environment_without_pip(tiny: BuiltWheel, server: ModelServer, tmp_path: Path) -> None:
    """In a host that embeds Python, as uwsgi does, and without a PATH: silently, and without starting a program."""
    interpreter = str(children.make_env(tmp_path / "env"))
    settings = {"PATH": "", "MODELBOOT_INDEX": "1", "MODELBOOT_TARGET": None}
    pin = server.publish(tiny)
    done = python(EMBEDDED, *pin_arguments(pin), executable=interpreter, env={**STUB_SPACY, **settings})
    assert (done.stdout, done.stderr) == ("", "1.0.0 []")
    assert is_complete(children.library_of(tmp_path / "env"), pin)

"""Many processes and threads: one request, one load a process, through fork, spawn, preloading and Ctrl-C."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import ModelPin
from support import interrupts
from support.children import (
    OTHER,
    command,
    environment,
    owned,
    pin_arguments,
    public_folder,
    python,
    skip_unless_other_user,
)
from support.folders import dist_infos, is_complete, leftovers
from support.races import Answer, Race, hung, run
from support.server import Reply
from support.wheels import OLDER, VERSION, BuiltWheel, small_wheel

if TYPE_CHECKING:
    from support.server import ModelServer


# --- at once


def race_on_slow_origin(
    wheel: BuiltWheel, server: ModelServer, folder: Path, *, wire_s: float, **size: object
) -> tuple[Race, list[list[Answer]]]:
    """Run a race for a wheel that takes so many seconds over the wire; each round has a URL of its own."""
    slow = Reply(body=wheel.content, drip_bytes_per_s=int(wheel.size_bytes / wire_s))
    race = Race(
        pin=[wheel.name, wheel.version, wheel.sha256, f"{server.url}/round{{round}}/{wheel.path.name}"],
        folder=str(folder),
        **size,  # type: ignore[arg-type]  # of Race's own types
    )
    for number in range(race.rounds):
        server.serve(f"/round{number}/{wheel.path.name}", slow)
    return race, run(race)


def judge(race: Race, answers: list[list[Answer]], server: ModelServer, count: Callable[..., None], what: str) -> None:
    """Demand of every round: one request, everyone served, one complete model and nothing else."""
    everyone = [answer for answers_of_round in answers for answer in answers_of_round]
    targets = [(race.target_of(number), race.pin_of(number)) for number in range(race.rounds)]
    torn = [target for target, pin in targets if not is_complete(target, pin)]
    left = [name for target, pin in targets for name in leftovers(target, pin)]
    left += [home.name for home in map(race.home_of, range(race.rounds)) if home.exists()]
    count(what, count=len(everyone), torn=len(torn), wedged=hung(answers), left=len(left))
    assert [answer for answer in everyone if answer.get("version") != race.pin[1]] == []
    racers = race.programs * race.processes * race.threads
    assert [len(answers_of_round) for answers_of_round in answers] == [racers] * race.rounds
    requested = [request.path.split("/")[1] for request in server.requests]
    assert requested == [f"round{number}" for number in range(race.rounds)]
    assert (torn, left) == ([], [])


@pytest.mark.parametrize(
    ("processes", "threads", "rounds"),
    [
        pytest.param(8, 4, 2, id="8 processes x 4 threads"),
        pytest.param(32, 8, 20, id="32 processes x 8 threads", marks=pytest.mark.exhaustive),
    ],
)
def test_many_at_once_cost_one_request(  # noqa: PLR0913, PLR0917 - three of them are the case
    processes: int,
    threads: int,
    rounds: int,
    wheel: BuiltWheel,
    server: ModelServer,
    tmp_path: Path,
    count: Callable[..., None],
) -> None:
    """Processes and threads behind a barrier on a slow origin: one request a round, everyone has the model."""
    size = {"processes": processes, "threads": threads, "rounds": rounds}
    race, answers = race_on_slow_origin(wheel, server, tmp_path, wire_s=0.3, **size)
    judge(race, answers, server, count, "racers on a slow origin")


def test_many_at_once_all_load(
    tiny: BuiltWheel, server: ModelServer, tmp_path: Path, count: Callable[..., None]
) -> None:
    """The same with get_nlp: everyone who asked has the pipeline, after one request a round."""
    race, answers = race_on_slow_origin(tiny, server, tmp_path, wire_s=0.3, processes=4, threads=4, rounds=2, load=True)
    judge(race, answers, server, count, "loading racers on a slow origin")


# --- kinds of processes

POOL = """
import json, multiprocessing, os, sys

def work(number):
    import modelboot
    nlp = modelboot.get_nlp(modelboot.ModelPin(*sys.argv[2:5], url=sys.argv[5]))
    return nlp.meta["version"], len(list(nlp("One. Two.").sents)), os.getpid()

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
    script, pin = tmp_path / "pool.py", pin_arguments(server.publish(tiny))
    script.write_text(POOL, "utf-8")
    done = python("import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')", str(script), method, *pin)
    if method == "spawn":  # its workers import the main program by its path
        done = subprocess.run(
            [*command("")[:-2], str(script), method, *pin],
            env=environment({}),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [answer[:2] for answer in answers] == [["1.0.0", 2]] * 4
    assert len(server.requests) == 1
    assert leftovers(tmp_path / "target", tiny.pin) == []


PRELOAD = """
import json, os, sys, threading
import modelboot, spacy
from support.children import forked

pin = modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])
nlp = modelboot.get_nlp(pin)

def use():
    mine = modelboot.get_nlp(pin)
    return [mine is nlp, len(list(mine("One. Two.").sents)), modelboot.get_nlp.cache_info().misses]

def load_anew():
    return [modelboot.get_nlp(pin, disable=["sentencizer"]).meta["version"]]

used = forked([use] * 2)
parent, really, held, over = os.getpid(), spacy.load, threading.Event(), threading.Event()

def load(*arguments, **options):
    if os.getpid() == parent:
        held.set()
        over.wait()
    return really(*arguments, **options)

spacy.load = load
thread = threading.Thread(target=load_anew)
thread.start()
held.wait()
anew = forked([load_anew] * 2)
over.set()
thread.join()
print(json.dumps([used, anew]))
"""


def test_model_loaded_before_a_fork_is_the_children_s_too(tiny_pin: ModelPin) -> None:
    """As gunicorn preloads: children use the parent's model, and are not held up by a load its threads were in."""
    done = python(PRELOAD, *pin_arguments(tiny_pin))
    assert done.returncode == 0, done.stderr
    used, anew = json.loads(done.stdout)
    assert used == [[True, 2, 1]] * 2
    assert anew == [["1.0.0"]] * 2


# --- Ctrl-C


@pytest.mark.parametrize(
    "every", [pytest.param(7, id="sample"), pytest.param(1, id="all", marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize("replacing", [False, True], ids=["fresh", "replacing"])
def test_interrupt_leaves_nothing_behind(
    replacing: bool,  # noqa: FBT001 - a case
    every: int,
    pin: ModelPin,
    tmp_path: Path,
    count: Callable[..., None],
) -> None:
    """Ctrl-C at any moment: the old or the new model complete or none, no stage, and the next call succeeds."""
    before = small_wheel(tmp_path / "old", OLDER).pin if replacing else None
    *moments, last = interrupts.run(pin, every=every, before=before)
    count(
        "moments of Ctrl-C",
        count=len(moments),
        torn=sum(len(moment["there"]) not in {0, 2} for moment in moments),  # type: ignore[arg-type]  # a list
        wedged=sum(moment["again"] != VERSION for moment in moments),
        left=sum(bool(moment["left"]) for moment in moments),
    )
    assert len(moments) >= 70 // every  # or the hook has missed most of an install
    assert last["ended"] == VERSION  # it was over before its moment came
    assert {moment["ended"] for moment in moments} <= {"interrupted", VERSION}
    for moment in moments:
        # The one that is complete must be all there is.
        assert (len(moment["complete"]), len(moment["there"])) in {(0, 0), (1, 2)}, moment  # type: ignore[arg-type]
        assert moment["again"] == VERSION, moment
        assert moment["finally"] == [], moment
    assert [moment for moment in moments if moment["left"]] == []
    assert not replacing or all(moment["complete"] for moment in moments)


# --- two users

ENSURE = """
import sys, modelboot
print(modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4], url=sys.argv[4])).source)
"""


def test_users_with_one_temporary_folder_do_not_wait_for_each_other(server: ModelServer) -> None:
    """One user is stuck in a download and holds her lock; another, with a target of his own, is served meanwhile."""
    skip_unless_other_user()
    with public_folder() as folder:
        wheel = small_wheel(folder / "wheel")
        (folder / "tmp").mkdir()
        (folder / "tmp").chmod(0o1777)
        server.serve(f"/alice/{wheel.path.name}", Reply(body=wheel.content, stall="body"))
        server.serve(f"/bob/{wheel.path.name}", Reply(body=wheel.content))

        def settings(name: str, user: int) -> dict[str, str | None]:
            target, home = owned(folder / name, user), owned(folder / f"home-{name}", user)
            return {"MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(home), "TMPDIR": str(folder / "tmp")}

        def words(name: str) -> list[str]:
            return pin_arguments(wheel.pin_at(f"{server.url}/{name}/{wheel.path.name}"))

        alice = subprocess.Popen(
            command(ENSURE, *words("alice"), user=OTHER), env=environment(settings("alice", OTHER))
        )
        try:
            assert server.wait_for(f"/alice/{wheel.path.name}")
            done = python(ENSURE, *words("bob"), user=OTHER - 1, env=settings("bob", OTHER - 1))
            assert alice.poll() is None
        finally:
            alice.kill()
            alice.wait()
        assert done.stdout == "release\n", done.stderr
        assert dist_infos(folder / "bob") == [f"{wheel.name}-{VERSION}.dist-info"]
        assert list((folder / "tmp").iterdir()) == []

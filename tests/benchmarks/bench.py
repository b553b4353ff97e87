"""`python tests/benchmarks/bench.py [--rounds N] [--out DIR] [SUITE…]`: modelboot and its peers.

Every figure is of a whole process. Peers run in turn with modelboot, and each ratio is the median over the rounds.
Run it on an idle machine; the wheels are fetched once, and hashed, into DIR/wheels.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measure import QUIET, Task, compare, printed_s, run, served, summary, table
from plots import plot
from rollout import rollout
from wheels import BuiltWheel, prepare

HERE = Path(__file__).parent
PYTHON = sys.executable
SCRIPTS = Path(PYTHON).parent
PIP = ["--no-cache-dir", "--no-deps", "--disable-pip-version-check", "--quiet"]
SPACY_DOWNLOAD = """
import sys, spacy.about
from spacy.cli import download
spacy.about.__download_url__ = sys.argv[1]
download(sys.argv[2], True, False, *sys.argv[3:])
"""
# They end where the pipeline is ready: taking it apart at the end of a process takes a quarter of a second.
LOAD = "import os, spacy, sys; nlp = spacy.load(sys.argv[1]); os._exit(0)"
TRANSFER_OF_LOAD = 1.6 / 2.3
"""What a transfer at 10 MB/s took of a load where the budget of the cold start was set: here a load may take longer."""
COLD = "import os, sys; from modelboot import get_nlp; nlp = get_nlp(sys.argv[1]); os._exit(0)"
# What a first call does besides `spacy.load`, in seconds: two loads differ by more than that from run to run.
FIRST = """
import sys, time, spacy
real, inside_s = spacy.load, []
def timed(*arguments, **options):
    started_s = time.perf_counter()
    nlp = real(*arguments, **options)
    inside_s.append(time.perf_counter() - started_s)
    return nlp
spacy.load = timed
started_s = time.perf_counter()
from modelboot import get_nlp
get_nlp(sys.argv[1])
print(time.perf_counter() - started_s - sum(inside_s))
"""
ENSURE = "import sys; from modelboot import ensure_model; ensure_model(sys.argv[1])"
CACHED = "import sys, timeit; from modelboot import get_nlp; get_nlp(sys.argv[1]); "
CACHED += "print(min(timeit.repeat(lambda: get_nlp(sys.argv[1]), number=100_000, repeat=5)) / 100_000)"

Rows = list[dict[str, Any]]


class Bench:
    """All suites over one folder of wheels."""

    def __init__(self, out: Path, rounds: int) -> None:
        """Prepare the wheels."""
        self.rounds, self.root, self.target = rounds, out / "wheels", out / "target"
        self.wheels = prepare(self.root)

    def _clean(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)

    def _env(self, origin: str) -> dict[str, str]:
        return {**QUIET, "MODELBOOT_BASE_URL": origin, "MODELBOOT_TARGET": str(self.target)}

    def install(self) -> Rows:
        """Install each wheel with each installer, from nothing, fsync included where there is one."""
        rows: Rows = []
        with served(self.root) as (origin, _):
            for wheel in self.wheels:
                results = compare(self._installers(wheel, origin), self.rounds)
                facts = {"wheel": wheel.name, "megabytes": round(wheel.size_bytes / 1e6)}
                rows += [{**facts, "tool": tool, **summary(runs, results["uv"])} for tool, runs in results.items()]
        return rows

    def index(self) -> Rows:
        """Install the small wheel from the package index that pip and uv are set up with, from nothing."""
        wheel, target = self.wheels[0], ["--target", str(self.target)]
        asked = {**QUIET, "MODELBOOT_INDEX": "1", "MODELBOOT_BASE_URL": "file:///nowhere"}
        uv = [str(SCRIPTS / "uv"), "pip", "install", "--quiet", "--no-cache", "--no-deps", *target]
        ours = Task("modelboot", [str(SCRIPTS / "modelboot"), "install", wheel.name, *target], asked, self._clean)
        results = compare([ours, Task("uv", [*uv, f"{wheel.name}=={wheel.version}"], QUIET, self._clean)], self.rounds)
        return [{"tool": tool, **summary(runs, results["uv"])} for tool, runs in results.items()]

    def _installers(self, wheel: BuiltWheel, origin: str) -> list[Task]:
        reference, target = _reference(wheel, origin), ["--target", str(self.target)]
        uv = [str(SCRIPTS / "uv"), "pip", "install", "--quiet", "--no-cache", "--no-deps"]
        commands = {
            "modelboot": [str(SCRIPTS / "modelboot"), "install", reference, *target],
            "uv": [*uv, *target, reference],
            "pip": [PYTHON, "-m", "pip", "install", *PIP, *target, reference],
            "by hand": self._by_hand(wheel, origin),
        }
        if wheel.name.startswith("fr_"):  # it knows only names of its own
            name = f"{wheel.name}-{wheel.version}"
            commands["spacy download"] = [PYTHON, "-c", SPACY_DOWNLOAD, origin, name, *PIP, *target]
        return [Task(tool, command, QUIET, self._clean) for tool, command in commands.items()]

    def _by_hand(self, wheel: BuiltWheel, origin: str) -> list[str]:
        url = f"{origin}/{wheel.release_path}"
        return [PYTHON, str(HERE / "handwritten.py"), url, wheel.sha256, str(self.target)]

    def start(self) -> Rows:
        """From a cold process to a ready pipeline over lines of several speeds, against a loader made by hand."""
        rows: Rows = []
        wheel = self.wheels[0]
        folder = f"{wheel.name}/{wheel.name}-{wheel.version}"
        self._install(wheel)
        loads = compare([Task("load", [PYTHON, "-c", LOAD, str(self.target / folder)])], self.rounds)["load"]
        load_s = statistics.median(run.wall_s for run in loads)
        for pace in (round(wheel.size_bytes / 1e6 / (TRANSFER_OF_LOAD * load_s), 1), 10.0, 50.0):
            with served(self.root, pace) as (origin, _):
                tasks = [
                    Task("modelboot", [PYTHON, "-c", COLD, wheel.name], self._env(origin), self._clean),
                    Task("by hand", [*self._by_hand(wheel, origin), folder], QUIET, self._clean),
                ]
                results = compare(tasks, self.rounds)
            facts = {"load_s": round(load_s, 2), "mb_per_s": pace}
            rows += [{**facts, "tool": tool, **summary(runs, results["by hand"])} for tool, runs in results.items()]
        return rows

    def warm(self) -> Rows:
        """Take what a call costs where the model is present, and what the import costs."""
        name = self.wheels[0].name
        env = self._install(self.wheels[0])
        imports = {"import": "from modelboot import get_nlp, load, ensure_model", "bare": "pass"}
        runs = compare([Task(what, [PYTHON, "-c", code], env) for what, code in imports.items()], 5 * self.rounds)
        first_s = printed_s(Task("first", [PYTHON, "-c", FIRST, name], env), self.rounds)
        cached_s = printed_s(Task("cached", [PYTHON, "-c", CACHED, name], env))
        pairs = zip(runs["import"], runs["bare"], strict=True)
        import_s = statistics.median(run.wall_s - bare.wall_s for run, bare in pairs)
        return [
            {"what": "first call over spacy.load", "ms": round(1e3 * first_s, 2)},
            {"what": "import over a bare interpreter", "ms": round(1e3 * import_s, 2)},
            {"what": "cached call", "ms": round(1e3 * cached_s, 6)},
        ]

    def _install(self, wheel: BuiltWheel) -> dict[str, str]:
        """Install a wheel, and return the environment in which it is found."""
        with served(self.root) as (origin, _):
            run(Task("install", [PYTHON, "-c", ENSURE, wheel.name], self._env(origin), self._clean))
        return self._env(origin)

    def herd(self) -> Rows:
        """Start 1 to 64 processes at once, cold and warm: requests, and seconds until the last has the model."""
        rows: Rows = []
        command = [PYTHON, "-c", ENSURE, self.wheels[0].name]
        for count in (1, 8, 32, 64):
            times: dict[str, list[float]] = {"cold_s": [], "warm_s": []}
            requests: set[int] = set()
            for _ in range(max(1, self.rounds // 2)):
                self._clean()
                with served(self.root) as (origin, asked):
                    for taken in times.values():
                        taken.append(_all_at_once(count, command, self._env(origin)))
                    requests.add(len(asked))
            medians = {state: round(statistics.median(taken), 3) for state, taken in times.items()}
            rows.append({"processes": count, "requests": max(requests), **medians})
        return rows

    def promises(self) -> Rows:
        """Take what each promise costs an install of the small wheel and of the large one."""
        rows: Rows = []
        for wheel in (self.wheels[0], self.wheels[-1]):
            command = [PYTHON, str(HERE / "promises.py"), str(wheel.path), str(self.target), str(self.rounds)]
            costs = json.loads(run(Task("promises", command)).printed)
            rows += [{"wheel": wheel.name, "promise": each, "ms": round(ms, 2)} for each, ms in costs.items()]
        return rows

    def rollout(self) -> Rows:
        """Take what one machine of a thousand costs, each way in which the small wheel can come to it."""
        return rollout(self.wheels[0], self.target, self.rounds)


def _reference(wheel: BuiltWheel, origin: str) -> str:
    """Return the direct reference that every installer takes."""
    return f"{wheel.name} @ {origin}/{wheel.release_path}#sha256={wheel.sha256}"


def _all_at_once(count: int, command: list[str], env: dict[str, str]) -> float:
    started_s = time.perf_counter()
    processes = [subprocess.Popen(command, env={**os.environ, **env}) for _ in range(count)]
    codes = [process.wait() for process in processes]
    if any(codes):
        message = f"one of {count} processes failed"
        raise RuntimeError(message)
    return time.perf_counter() - started_s


def main() -> None:
    """Run suites, and write what they found."""
    suites = ("install", "index", "start", "warm", "herd", "promises", "rollout")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{', '.join(suites)} (all)")
    parser.add_argument("--rounds", type=int, default=9, help="how often each is run (9)")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "modelboot-benchmarks")
    options = parser.parse_args()
    bench = Bench(options.out.resolve(), options.rounds)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}
    found: dict[str, Any] = {"machine": machine, "rounds": options.rounds}
    for suite in options.suites or suites:
        found[suite] = getattr(bench, suite)()
        print(f"{suite}\n{table(found[suite])}\n", flush=True)  # noqa: T201 - what the program is for
    (options.out / "results.json").write_text(json.dumps(found, indent=1))
    headings = {
        "install": "install a wheel of {megabytes} MB, seconds",
        "start": "cold process to a ready pipeline at {mb_per_s:g} MB/s, seconds",
    }
    for suite in headings.keys() & found.keys():
        (options.out / f"{suite}.svg").write_text(plot(found[suite], headings[suite]))


if __name__ == "__main__":
    main()

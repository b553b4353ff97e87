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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from measure import Run, Task, compare, run, served, summary
from plots import install_plot, start_plot
from wheels import Wheel, prepare

HERE = Path(__file__).parent
PYTHON = sys.executable
SCRIPTS = Path(PYTHON).parent
QUIET = {"MODELBOOT_INDEX": "0", "MODELBOOT_CACHE": "0", "MODELBOOT_PROGRESS": "0"}
PIP = ["--no-cache-dir", "--no-deps", "--disable-pip-version-check", "--quiet"]
SPACY_DOWNLOAD = """
import sys, spacy.about
from spacy.cli import download
spacy.about.__download_url__ = sys.argv[1]
download(sys.argv[2], True, False, *sys.argv[3:])
"""
COLD_BY_HAND = """
import sys; sys.path.insert(0, sys.argv[1])
from pathlib import Path
from handwritten import install
install(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
import os, spacy
nlp = spacy.load(f"{sys.argv[4]}/{sys.argv[5]}")
os._exit(0)
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
    try:
        return real(*arguments, **options)
    finally:
        inside_s.append(time.perf_counter() - started_s)
spacy.load = timed
started_s = time.perf_counter()
from modelboot import get_nlp
get_nlp(sys.argv[1])
print(time.perf_counter() - started_s - sum(inside_s))
"""
ENSURE = "import sys; from modelboot import ensure_model; ensure_model(sys.argv[1])"
CACHED = "import sys, timeit; from modelboot import get_nlp; get_nlp(sys.argv[1]); "
CACHED += "print(min(timeit.repeat(lambda: get_nlp(sys.argv[1]), number=100_000, repeat=5)) / 100_000)"


class Bench:
    """All suites over one folder of wheels."""

    def __init__(self, out: Path, rounds: int) -> None:
        """Prepare the wheels."""
        self.out, self.rounds = out, rounds
        self.wheels = prepare(out / "wheels")
        self.target = out / "target"

    def _clean(self) -> None:
        shutil.rmtree(self.target, ignore_errors=True)

    def _task(self, name: str, *command: str, env: dict[str, str] | None = None) -> Task:
        return Task(name, command, {**QUIET, **(env or {})}, self._clean)

    def install(self) -> list[dict[str, Any]]:
        """Install each wheel with each installer, from nothing, fsync included where there is one."""
        rows = []
        with served(self.out / "wheels") as (origin, _):
            for wheel in self.wheels:
                results = compare([*self._installers(wheel, origin)], self.rounds)
                rows += [
                    {"wheel": wheel.name, "megabytes": wheel.megabytes, "tool": tool, **summary(runs, results["uv"])}
                    for tool, runs in results.items()
                ]
        return rows

    def _installers(self, wheel: Wheel, origin: str) -> Sequence[Task]:
        reference, target = wheel.reference(origin), ["--target", str(self.target)]
        tasks = [
            self._task("modelboot", str(SCRIPTS / "modelboot"), "install", reference, *target),
            self._task(
                "uv", str(SCRIPTS / "uv"), *["pip", "install", "--quiet", "--no-cache", "--no-deps"], *target, reference
            ),
            self._task("pip", PYTHON, "-m", "pip", "install", *PIP, *target, reference),
            self._task(
                "by hand", PYTHON, str(HERE / "handwritten.py"), wheel.url(origin), wheel.sha256, str(self.target)
            ),
        ]
        if wheel.name.startswith("fr_"):  # it knows only names of its own
            name = f"{wheel.name}-{wheel.version}"
            tasks.append(self._task("spacy download", PYTHON, "-c", SPACY_DOWNLOAD, origin, name, *PIP, *target))
        return tasks

    def start(self) -> list[dict[str, Any]]:
        """From a cold process to a ready pipeline over lines of several speeds, against a loader made by hand."""
        rows, wheel = [], self.wheels[0]
        folder = f"{wheel.name}/{wheel.name}-{wheel.version}"
        self._install(wheel)
        load = Task("load", [PYTHON, "-c", LOAD, str(self.target / folder)], QUIET, lambda: None)
        load_s = statistics.median(run.wall_s for run in compare([load], self.rounds)["load"])
        for pace in (round(wheel.megabytes / (TRANSFER_OF_LOAD * load_s), 1), 10.0, 50.0):
            with served(self.out / "wheels", pace) as (origin, _):
                env = {"MODELBOOT_BASE_URL": origin, "MODELBOOT_TARGET": str(self.target)}
                hand = [str(HERE), wheel.url(origin), wheel.sha256, str(self.target), folder]
                tasks = [
                    self._task("modelboot", PYTHON, "-c", COLD, wheel.name, env=env),
                    self._task("by hand", PYTHON, "-c", COLD_BY_HAND, *hand),
                ]
                results = compare(tasks, self.rounds)
            facts = {"load_s": round(load_s, 2), "mb_per_s": pace}
            rows += [{**facts, "tool": tool, **summary(runs, results["by hand"])} for tool, runs in results.items()]
        return rows

    def warm(self) -> list[dict[str, Any]]:
        """Take what a call costs where the model is present, and what the import costs."""
        wheel = self.wheels[0]
        env = self._install(wheel)
        keep: Callable[[], object] = lambda: None  # noqa: E731 - a type for the tasks below
        imports = compare(
            [
                Task("import", [PYTHON, "-c", "from modelboot import get_nlp, load, ensure_model"], env, keep),
                Task("bare", [PYTHON, "-c", "pass"], env, keep),
            ],
            5 * self.rounds,
        )
        first_s = [_printed_s([PYTHON, "-c", FIRST, wheel.name], env) for _ in range(self.rounds)]
        cached_s = _printed_s([PYTHON, "-c", CACHED, wheel.name], env)
        return [
            {"what": "first call over spacy.load", "ms": round(1e3 * statistics.median(first_s), 2)},
            {"what": "import over a bare interpreter", "ms": _difference_ms(imports["import"], imports["bare"])},
            {"what": "cached call", "ms": round(1e3 * cached_s, 6)},
        ]

    def _install(self, wheel: Wheel) -> dict[str, str]:
        """Install a wheel, and return the environment in which it is found."""
        with served(self.out / "wheels") as (origin, _):
            env = {**QUIET, "MODELBOOT_BASE_URL": origin, "MODELBOOT_TARGET": str(self.target)}
            run(Task("install", [PYTHON, "-c", ENSURE, wheel.name], env, self._clean))
        return env

    def herd(self) -> list[dict[str, Any]]:
        """Start 1 to 64 processes at once, cold and warm: requests, and seconds until the last has the model."""
        rows, wheel = [], self.wheels[0]
        for count in (1, 8, 32, 64):
            times: dict[str, list[float]] = {"cold": [], "warm": []}
            requests: set[int] = set()
            for _ in range(max(1, self.rounds // 2)):
                self._clean()
                with served(self.out / "wheels") as (origin, asked):
                    env = {"MODELBOOT_BASE_URL": origin, "MODELBOOT_TARGET": str(self.target)}
                    for taken in times.values():
                        taken.append(_all_at_once(count, [PYTHON, "-c", ENSURE, wheel.name], {**QUIET, **env}))
                    requests.add(len(asked))
            medians = {f"{state}_s": round(statistics.median(taken), 3) for state, taken in times.items()}
            rows.append({"processes": count, "requests": max(requests), **medians})
        return rows

    def promises(self) -> list[dict[str, Any]]:
        """Take what each promise costs an install of the small wheel and of the large one."""
        rows = []
        with served(self.out / "wheels") as (origin, _):
            for wheel in (self.wheels[0], self.wheels[-1]):
                command = [PYTHON, str(HERE / "promises.py"), wheel.reference(origin), str(self.target)]
                done = subprocess.run(
                    [*command, str(self.rounds)], env={**os.environ, **QUIET}, check=True, stdout=subprocess.PIPE
                )
                rows += [
                    {"wheel": wheel.name, "promise": promise, "ms": round(ms, 2)}
                    for promise, ms in json.loads(done.stdout).items()
                ]
        return rows


def _all_at_once(count: int, command: Sequence[str], env: dict[str, str]) -> float:
    started_s = time.perf_counter()
    processes = [subprocess.Popen(command, env={**os.environ, **env}) for _ in range(count)]
    codes = [process.wait() for process in processes]
    if any(codes):
        message = f"one of {count} processes failed"
        raise RuntimeError(message)
    return time.perf_counter() - started_s


def _printed_s(command: Sequence[str], env: dict[str, str]) -> float:
    """Run a program that prints the seconds it measured."""
    done = subprocess.run(command, env={**os.environ, **env}, check=True, capture_output=True, text=True)
    return float(done.stdout)


def _difference_ms(runs: Sequence[Run], others: Sequence[Run]) -> float:
    pairs = zip(runs, others, strict=True)
    return round(float(statistics.median(1e3 * (run.wall_s - other.wall_s) for run, other in pairs)), 2)


def _table(rows: Sequence[dict[str, Any]]) -> str:
    heads = list(rows[0])
    lines = [heads, *([str(row[head]) for head in heads] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def main() -> None:
    """Run suites, and write what they found."""
    suites = ("install", "start", "warm", "herd", "promises")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"{', '.join(suites)} (all)")
    parser.add_argument("--rounds", type=int, default=9, help="how often each is run (9)")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "modelboot-benchmarks")
    options = parser.parse_args()
    bench = Bench(options.out.resolve(), options.rounds)
    found: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]},
        "rounds": options.rounds,
    }
    for suite in options.suites or suites:
        found[suite] = getattr(bench, suite)()
        print(f"{suite}\n{_table(found[suite])}\n", flush=True)  # noqa: T201 - what the program is for
    (bench.out / "results.json").write_text(json.dumps(found, indent=1))
    for suite, plot in (("install", install_plot), ("start", start_plot)):
        if suite in found:
            (bench.out / f"{suite}.svg").write_text(plot(found[suite]))


if __name__ == "__main__":
    main()

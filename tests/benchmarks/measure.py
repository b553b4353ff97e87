"""Time whole processes: wall, CPU and peak memory, side by side in one run, as medians of ratios."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, NamedTuple

QUIET = {"MODELBOOT_INDEX": "0", "MODELBOOT_CACHE": "0", "MODELBOOT_PROGRESS": "0"}
"""Of each process: modelboot asks nothing but what is measured, keeps nothing, and shows nothing."""
WITH_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""As where a package was installed by pip: else a process compiles anew, where the shell that it comes from says so."""


class Run(NamedTuple):
    """What one process took, and what it printed."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    printed: str


class Task(NamedTuple):
    """Something to measure: a command, and what makes it start from nothing."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = QUIET
    prepare: Callable[[], object] = lambda: None


def run(task: Task) -> Run:
    """Run a task once.

    Raises:
        RuntimeError: It failed; a benchmark of failures would look fast.
    """
    task.prepare()
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as errors:
        started_s = time.perf_counter()
        env = {**os.environ, **WITH_BYTECODE, **task.env}
        process = subprocess.Popen(task.command, env=env, stdout=printed, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (printed, errors):
            file.seek(0)
        text, complaint = printed.read().decode(), errors.read().decode(errors="replace")
    if process.returncode:
        message = f"{task.name} failed: {complaint[-2000:]}"
        raise RuntimeError(message)
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, text)


def compare(tasks: Sequence[Task], rounds: int) -> dict[str, list[Run]]:
    """Run tasks in turn, round by round, so that what else the machine does falls on all of them."""
    for task in tasks:
        run(task)  # bytecode is compiled, files are in the system's cache
    results: dict[str, list[Run]] = {task.name: [] for task in tasks}
    for _ in range(rounds):
        for task in tasks:
            results[task.name].append(run(task))
    return results


def printed_s(task: Task, rounds: int = 1) -> float:
    """Return the median of the seconds that a task's process measures itself and prints."""
    return statistics.median(float(run(task).printed) for _ in range(rounds))


def summary(runs: Sequence[Run], others: Sequence[Run]) -> dict[str, float]:
    """Return medians, spread, and the median of the ratios to another task, pair by pair."""
    ratios = [run.wall_s / other.wall_s for run, other in zip(runs, others, strict=True)]
    walls = sorted(run.wall_s for run in runs)
    return {
        "wall_s": round(statistics.median(walls), 4),
        "min_s": round(walls[0], 4),
        "max_s": round(walls[-1], 4),
        "cpu_s": round(statistics.median(run.cpu_s for run in runs), 4),
        "peak_mb": round(max(run.peak_mb for run in runs), 1),
        "ratio": round(statistics.median(ratios), 3),
    }


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Write rows as a table in Markdown."""
    lines = [[*rows[0]], *([str(cell) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128


@contextmanager
def served(folder: Path, megabytes_per_s: float | None = None) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on loopback.

    Args:
        folder: What to serve.
        megabytes_per_s: The pace of each body; as fast as it goes when None.

    Yields:
        The origin, and the paths whose bodies were asked for so far.
    """
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def copyfile(self, source: IO[bytes], outputfile: Any) -> None:  # type: ignore[override]  # noqa: ANN401 - as typeshed has it
            asked.append(self.path)
            if megabytes_per_s is None:
                self.connection.sendfile(source)
                return
            started_s, sent_bytes = time.perf_counter(), 0
            while chunk := source.read(1 << 15):
                outputfile.write(chunk)
                sent_bytes += len(chunk)
                due_s = started_s + sent_bytes / (megabytes_per_s * 1e6)
                time.sleep(max(0.0, due_s - time.perf_counter()))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()

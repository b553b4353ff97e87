"""Time whole processes: wall, CPU and peak memory, side by side in one run, as medians of ratios."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """What one process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Task:
    """Something to measure: a command, and what makes it start from nothing."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    prepare: Callable[[], object]


def run(task: Task) -> Run:
    """Run a task once.

    Raises:
        RuntimeError: It failed; a benchmark of failures would look fast.
    """
    task.prepare()
    started_s = time.perf_counter()
    process = subprocess.Popen(
        task.command, env={**os.environ, **task.env}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = f"{task.name} failed: {errors.decode(errors='replace')[-2000:]}"
        raise RuntimeError(message)
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def compare(tasks: Sequence[Task], rounds: int) -> dict[str, list[Run]]:
    """Run tasks in turn, round by round, so that what else the machine does falls on all of them."""
    for task in tasks:
        run(task)  # bytecode is compiled, files are in the system's cache
    results: dict[str, list[Run]] = {task.name: [] for task in tasks}
    for _ in range(rounds):
        for task in tasks:
            results[task.name].append(run(task))
    return results


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


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def served(folder: Path, megabytes_per_s: float | None = None) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on loopback.

    Args:
        folder: What to serve.
        megabytes_per_s: The pace of each body; as fast as it goes when None.

    Yields:
        The origin, and the paths that were asked for so far.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str((folder / self.path.lstrip("/")).stat().st_size))
            self.end_headers()

        def do_GET(self) -> None:
            asked.append(self.path)
            self.do_HEAD()
            with (folder / self.path.lstrip("/")).open("rb") as file:
                if megabytes_per_s is None:
                    self.connection.sendfile(file)
                else:
                    self._drip(file.read(), megabytes_per_s * 1e6)

        def _drip(self, body: bytes, bytes_per_s: float) -> None:
            started_s, step_bytes = time.perf_counter(), 1 << 15
            for start in range(0, len(body), step_bytes):
                self.wfile.write(body[start : start + step_bytes])
                due_s = started_s + (start + step_bytes) / bytes_per_s
                time.sleep(max(0.0, due_s - time.perf_counter()))

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()

"""What a thousand machines cost: a pipeline baked into the image, from a mirror, a wheelhouse, or shipped.

`python tests/benchmarks/rollout.py WHEEL` measures one machine each way, with an official wheel, and prints a table
in Markdown. The figures of all machines are arithmetic: requests and bytes times their number, and the time in which
one link carries the bytes. No network but loopback is used.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' helpers

from modelboot import ModelPin, ensure_model
from support.children import environment
from support.server import ModelServer, Reply

INSTALL = """
import json, sys
from time import perf_counter
began = perf_counter()
import modelboot
model = modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4]))
print(json.dumps([perf_counter() - began, model.downloaded_bytes, model.source]))
"""
SHIPPED = """
import json, pickle, sys
from time import perf_counter
import modelboot.dask
with open(sys.argv[1], "rb") as file:
    shipped = file.read()
began = perf_counter()
plugin = pickle.loads(shipped)
modelboot.dask._install(plugin.pins[0], plugin._wheels[0])
print(json.dumps([perf_counter() - began, 0, "wheelhouse"]))
"""
LINK_BYTES_PER_S = 125_000_000
"""One gigabit a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What one machine costs."""

    name: str
    requests: int
    """HTTP requests of this machine."""
    moved_bytes: int
    """Bytes that come to it, from whoever serves them."""
    seconds: float
    """Time from the import of modelboot to the installed model, median."""

    def row(self, machines: int) -> str:
        """Write a row: one machine as measured, and all of them by arithmetic."""
        total = self.moved_bytes * machines
        one = f"{self.requests} | {self.moved_bytes / 1e6:.1f} MB | {self.seconds:.2f} s"
        return f"| {self.name} | {one} | {self.requests * machines:,} | {total / 1e9:.1f} GB | {_link(total)} |"


def _link(total_bytes: int) -> str:
    return f"{total_bytes / LINK_BYTES_PER_S:.0f} s"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="an official wheel, under its own name")
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelboot-rollout-") as folder:
        for line in _table(_Bench(options.wheel, Path(folder), options.rounds), options.machines):
            print(line)  # noqa: T201 - a program's result


def _table(bench: _Bench, machines: int) -> list[str]:
    ways = [bench.baked(), bench.mirror(), bench.wheelhouse(), bench.shipped()]
    head = f"| way | requests | bytes | seconds | requests of {machines:,} | bytes of {machines:,} | at 1 Gbit/s |"
    return [head, "|---|---|---|---|---|---|---|", *(way.row(machines) for way in ways)]


class _Bench:
    """One wheel, tried in fresh processes with an empty target each time."""

    def __init__(self, wheel: Path, folder: Path, rounds: int) -> None:
        self._wheel, self._folder, self._rounds = wheel, folder, rounds
        name, version = wheel.name.split("-")[:2]
        self._pin = ModelPin(name, version, hashlib.sha256(wheel.read_bytes()).hexdigest())

    def baked(self) -> Way:
        """Start with the model in the image; what comes to the machine is its compressed layer."""
        target = self._folder / "baked"
        ensure_model(self._pin, target=target, wheelhouse=self._wheel.parent, offline=True)
        layer = shutil.make_archive(str(self._folder / "layer"), "gztar", target)
        seconds = self._median(INSTALL, {"MODELBOOT_OFFLINE": "1"}, target=target)
        return Way(name="baked into the image", requests=0, moved_bytes=os.path.getsize(layer), seconds=seconds)

    def mirror(self) -> Way:
        """Fetch from a mirror on loopback."""
        with ModelServer() as server:
            server.serve(f"/{self._pin.release_path}", Reply(body=self._wheel.read_bytes()))
            seconds = self._median(INSTALL, {"MODELBOOT_BASE_URL": server.url})
            requests = len(server.requests) // self._rounds
        return Way(name="from a mirror", requests=requests, moved_bytes=self._size_bytes, seconds=seconds)

    def wheelhouse(self) -> Way:
        """Take it from a folder."""
        env = {"MODELBOOT_WHEELHOUSE": str(self._wheel.parent), "MODELBOOT_OFFLINE": "1"}
        seconds = self._median(INSTALL, env)
        return Way(name="from a shared wheelhouse", requests=0, moved_bytes=self._size_bytes, seconds=seconds)

    def shipped(self) -> Way:
        """Take what the cluster brings: the pickled plugin, as Dask sends it."""
        file = self._folder / "plugin"
        pickled = "import pickle, sys, modelboot, modelboot.dask; pin = modelboot.ModelPin(*sys.argv[2:5]); "
        pickled += "open(sys.argv[1], 'wb').write(pickle.dumps(modelboot.dask.InstallModels(pin)))"
        env = {"MODELBOOT_WHEELHOUSE": str(self._wheel.parent)}
        self._run(pickled, env, self._folder, str(file))
        seconds = self._median(SHIPPED, {}, arguments=[str(file)])
        return Way(name="shipped by Dask or Spark", requests=0, moved_bytes=file.stat().st_size, seconds=seconds)

    @property
    def _size_bytes(self) -> int:
        return self._wheel.stat().st_size

    def _median(
        self, code: str, env: dict[str, str], *, target: Path | None = None, arguments: list[str] | None = None
    ) -> float:
        """Run it in each round; without a target of the caller's, in one that is new."""
        seconds = []
        for number in range(self._rounds):
            place = target or self._folder / f"target{number}"
            seconds.append(float(json.loads(self._run(code, env, place, *(arguments or [])))[0]))
            if target is None:
                shutil.rmtree(place)
        return float(statistics.median(seconds))

    def _run(self, code: str, env: dict[str, str], target: Path, *arguments: str) -> str:
        settings = {"MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(self._folder / "home")}
        settings |= {"MODELBOOT_CACHE": "0", "MODELBOOT_INDEX": "0", "MODELBOOT_PROGRESS": "0", **env}
        pin = (self._pin.name, str(self._pin.version), self._pin.sha256)
        line = [sys.executable, "-c", code, *arguments, *pin]
        done = subprocess.run(line, env=environment(settings), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout


if __name__ == "__main__":
    began = perf_counter()
    main()
    print(f"\nmeasured in {perf_counter() - began:.0f} s", file=sys.stderr)  # noqa: T201 - the same

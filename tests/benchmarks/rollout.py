"""What a thousand machines cost: a pipeline baked into the image, from a mirror, a wheelhouse, or shipped.

`python tests/benchmarks/rollout.py WHEEL` measures one machine each way, with an official wheel, and prints a table
in Markdown. The figures of all machines are arithmetic: requests and bytes times their number, and the time in which
one link carries the bytes. No network but loopback is used.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from measure import QUIET, Task, printed_s, run, served, table

from modelboot._files import sha256_of

INSTALL = """
import sys
from time import perf_counter
began = perf_counter()
import modelboot
modelboot.ensure_model(modelboot.ModelPin(*sys.argv[1:4]))
print(perf_counter() - began)
"""
PICKLE = """
import pickle, sys, modelboot, modelboot.dask
with open(sys.argv[4], "wb") as file:
    pickle.dump(modelboot.dask.InstallModels(modelboot.ModelPin(*sys.argv[1:4])), file)
"""
SHIPPED = """
import asyncio, pickle, sys
from time import perf_counter
import modelboot.dask
with open(sys.argv[4], "rb") as file:
    shipped = file.read()
began = perf_counter()
asyncio.run(pickle.loads(shipped).setup(None))
print(perf_counter() - began)
"""
LINK_BYTES_PER_S = 125_000_000
"""One gigabit a second."""


class Rollout:
    """One wheel, tried in fresh processes with an empty target each time."""

    def __init__(self, wheel: Path, folder: Path, rounds: int, machines: int) -> None:
        """Name the places."""
        self.wheel, self.folder, self.rounds, self.machines = wheel, folder, rounds, machines
        self.target, self.image, self.plugin = folder / "target", folder / "baked", folder / "plugin"
        self.house = {"MODELBOOT_WHEELHOUSE": str(wheel.parent), "MODELBOOT_OFFLINE": "1"}

    def rows(self) -> list[dict[str, object]]:
        """Measure each way; a row each: one machine as measured, and all of them by arithmetic."""
        size_bytes = self.wheel.stat().st_size
        image = {"MODELBOOT_TARGET": str(self.image), "MODELBOOT_OFFLINE": "1"}
        run(self._task("bake", INSTALL, self.house | image))
        layer_bytes = os.path.getsize(shutil.make_archive(str(self.folder / "layer"), "gztar", self.image))
        baked = self._row("baked into the image", INSTALL, image, layer_bytes)
        with served(self.wheel.parent) as (origin, asked):
            mirror = self._row(
                "from a mirror", INSTALL, {"MODELBOOT_BASE_URL": f"{origin}/{{file}}"}, size_bytes, asked
            )
        wheelhouse = self._row("from a shared wheelhouse", INSTALL, self.house, size_bytes)
        run(self._task("pickle", PICKLE, self.house))
        shipped = self._row("shipped by Dask or Spark", SHIPPED, {}, self.plugin.stat().st_size)
        return [baked, mirror, wheelhouse, shipped]

    def _row(
        self, way: str, code: str, env: dict[str, str], moved_bytes: int, asked: list[str] | None = None
    ) -> dict[str, object]:
        seconds = printed_s(self._task(way, code, env), self.rounds)
        requests, total_bytes = len(asked or ()) // self.rounds, moved_bytes * self.machines
        return {
            "way": way,
            "requests": requests,
            "bytes": f"{moved_bytes / 1e6:.1f} MB",
            "seconds": f"{seconds:.2f} s",
            f"requests of {self.machines:,}": f"{requests * self.machines:,}",
            f"bytes of {self.machines:,}": f"{total_bytes / 1e9:.1f} GB",
            "at 1 Gbit/s": f"{total_bytes / LINK_BYTES_PER_S:.0f} s",
        }

    def _task(self, name: str, code: str, env: dict[str, str]) -> Task:
        pin = [*self.wheel.name.split("-")[:2], sha256_of(self.wheel).hex()]
        command = [sys.executable, "-c", code, *pin, str(self.plugin)]
        places = {"MODELBOOT_TARGET": str(self.target), "MODELBOOT_HOME": str(self.folder / "home")}
        return Task(name, command, {**QUIET, **places, **env}, lambda: shutil.rmtree(self.target, ignore_errors=True))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="an official wheel, under its own name")
    parser.add_argument("--machines", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temp:
        rows = Rollout(options.wheel.resolve(), Path(temp), options.rounds, options.machines).rows()
    print(table(rows))  # noqa: T201 - a program's result


if __name__ == "__main__":
    main()

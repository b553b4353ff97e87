"""What a thousand machines cost: a pipeline baked into the image, from a mirror, a wheelhouse, or shipped.

One machine is measured each way. The figures of all are arithmetic: requests and bytes times their number, and the
time in which one link carries the bytes. No network but loopback is used.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from measure import QUIET, Task, printed_s, run, served
from wheels import BuiltWheel

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


def rollout(wheel: BuiltWheel, target: Path, rounds: int, machines: int = 1000) -> list[dict[str, object]]:
    """Measure each way in fresh processes, with an empty target each time; a row each."""
    image, plugin = target.with_name("image"), target.with_name("plugin")
    house = {"MODELBOOT_WHEELHOUSE": str(wheel.path.parent), "MODELBOOT_OFFLINE": "1"}
    baked = {"MODELBOOT_TARGET": str(image), "MODELBOOT_OFFLINE": "1"}

    def task(name: str, code: str, env: dict[str, str]) -> Task:
        command = [sys.executable, "-c", code, wheel.name, wheel.version, wheel.sha256, str(plugin)]
        env = {**QUIET, "MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(target.with_name("home")), **env}
        return Task(name, command, env, lambda: shutil.rmtree(target, ignore_errors=True))

    def row(way: str, code: str, env: dict[str, str], moved_bytes: int, requests: int = 0) -> dict[str, object]:
        return {
            "way": way,
            "requests": requests,
            "bytes": f"{moved_bytes / 1e6:.1f} MB",
            "seconds": f"{printed_s(task(way, code, env), rounds):.2f} s",
            f"requests of {machines:,}": f"{requests * machines:,}",
            f"bytes of {machines:,}": f"{moved_bytes * machines / 1e9:.1f} GB",
            "at 1 Gbit/s": f"{moved_bytes * machines / LINK_BYTES_PER_S:.0f} s",
        }

    run(task("bake", INSTALL, house | baked))
    run(task("pickle", PICKLE, house))
    layer_bytes = os.path.getsize(shutil.make_archive(str(image), "gztar", image))
    with served(wheel.path.parent) as (origin, asked):
        mirror = {"MODELBOOT_BASE_URL": f"{origin}/{{file}}"}
        run(task("mirror", INSTALL, mirror))
        return [
            row("baked into the image", INSTALL, baked, layer_bytes),
            row("from a mirror", INSTALL, mirror, wheel.size_bytes, len(asked)),
            row("from a shared wheelhouse", INSTALL, house, wheel.size_bytes),
            row("shipped by Dask or Spark", SHIPPED, {}, plugin.stat().st_size),
        ]

"""Dask clusters of real processes whose workers have no network: the wheel comes to them through the cluster."""

from __future__ import annotations

import asyncio
import importlib.util
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.children import run_file
from support.readme import blocks
from support.real import NAME
from support.wheels import BuiltWheel, altered

HAS_DASK = importlib.util.find_spec("distributed") is not None
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not HAS_DASK, reason="distributed, of the extra dask, is missing"),
]
CLUSTER = """\
import json, os, pickle, signal, subprocess, sys, time
from distributed import Client, LocalCluster
from modelboot import ModelPin, ModelbootError
from modelboot.dask import InstallModels

PIN = ModelPin(*sys.argv[1:4], url=sys.argv[4])


def sentences(text):
    from modelboot import get_nlp
    return [sentence.text for sentence in get_nlp(PIN, offline=True)(text).sents]


def sources(plugin, client):
    return sorted(model.source for models in plugin.report(client).values() for model in models)


def until(condition):
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline, "the cluster is not as it should be after 200 s"


def main(wheel, far):
    plugin = InstallModels(PIN)
    content = open(wheel, "rb").read()
    shipped = pickle.dumps(InstallModels(ModelPin("en_altered_sm", *sys.argv[2:4], url=sys.argv[4])))
    os.remove(wheel)  # there is no source any more, for anyone
    shown = {}
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.register_plugin(plugin)
        shown["at first"] = sources(plugin, client)
        installed = {address for address, (model,) in plugin.report(client).items() if model.source == "wheelhouse"}
        killed = client.run(os.getpid)[installed.pop()]
        os.kill(killed, signal.SIGKILL)
        until(lambda: len(pids := {*client.run(os.getpid, on_error="ignore").values()}) == 2 and killed not in pids)
        shown["one restarted"] = sources(plugin, client)

        command = f"-m distributed.cli.dask_worker {cluster.scheduler_address} --nthreads=1 --no-dashboard --no-nanny"
        env = {**os.environ, "MODELBOOT_TARGET": far, "MODELBOOT_HOME": far}
        with subprocess.Popen([sys.executable, *command.split()], env=env) as joined:
            client.wait_for_workers(3)
            shown["another host"] = sources(plugin, client)
            results = client.gather(client.map(sentences, [f"One. Two {number}." for number in range(16)]))
            shown["sentences"] = results == [["One.", f"Two {number}."] for number in range(16)]
            joined.terminate()
        try:
            client.register_plugin(pickle.loads(shipped.replace(content, content[:-1] + b"x")))
        except ModelbootError as error:
            shown["altered on its way"] = type(error).__name__
    print(json.dumps(shown))


if __name__ == "__main__":
    main(*sys.argv[5:])
"""
README_CLUSTER = """\
import json
from distributed import LocalCluster
cluster = LocalCluster(n_workers=1, processes=False, dashboard_address=None)
{code}
print(json.dumps(found))
client.close(), cluster.close()
"""


def run(text: str, folder: Path, *arguments: str) -> Any:  # noqa: ANN401 - whatever the program prints as JSON
    """Run a program of Dask in a folder, without a network."""
    daemon = {"DASK_DISTRIBUTED__WORKER__DAEMON": "True"}
    return run_file(text, folder, *arguments, MODELBOOT_INDEX="1", TMPDIR=str(folder), **daemon)


def test_workers_without_network(tiny: BuiltWheel, tmp_path: Path) -> None:
    """One worker a host installs the shipped wheel, also of a host that joins; one killed finds it when it restarts.

    A wheel that was altered on its way is refused by the workers, and the client is told.
    """
    wheel = Path(shutil.copy(tiny.path, tmp_path))
    pin = (tiny.name, tiny.version, tiny.sha256, wheel.as_uri())
    assert run(CLUSTER, tmp_path, *pin, str(wheel), str(tmp_path / "far")) == {
        "at first": ["present", "wheelhouse"],
        "one restarted": ["present", "present"],
        "another host": ["present", "present", "wheelhouse"],
        "sentences": True,
        "altered on its way": "HashMismatchError",
    }
    assert (tmp_path / "target" / tiny.name).is_dir()
    assert (tmp_path / "far" / tiny.name).is_dir()
    assert not (tmp_path / "target" / "en_altered_sm").exists()


def test_worker_with_a_wheelhouse_of_its_own(
    tiny: BuiltWheel, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a worker's own wheelhouse has other bytes, the shipped wheel is installed, and one warning says so.

    The wheel that is shipped is that of the file of MODELBOOT_PINS, as everywhere.
    """
    from modelboot.dask import InstallModels

    wheel = Path(shutil.copy(tiny.path, tmp_path))
    (tmp_path / "pins.txt").write_text(f"{tiny.name} @ {wheel.as_uri()}#sha256={tiny.sha256}\n", "utf-8")
    monkeypatch.setenv("MODELBOOT_PINS", str(tmp_path / "pins.txt"))
    shipped = pickle.dumps(InstallModels(tiny.name))
    wheel.unlink()
    altered(tiny, tmp_path / "stale")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path / "stale"))
    plugin = pickle.loads(shipped)  # noqa: S301 - as Dask does on a worker
    asyncio.run(plugin.setup(None))
    assert [model.source for model in plugin.installed] == ["wheelhouse"]
    assert (target / tiny.name).is_dir()
    assert [record.levelname for record in caplog.records if "expected sha256" in record.message] == ["WARNING"]


@pytest.mark.index
def test_readme_section(real_wheel: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """README's lines work as they stand, with a cluster in the place of the scheduler's address."""
    code, _ = blocks("On a cluster", "python")
    assert f'"{NAME}"' in code
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(real_wheel.path.parent))
    address = '"scheduler.example.org:8786"'
    assert code.count(address) == 1
    assert run(README_CLUSTER.format(code=code.replace(address, "cluster")), tmp_path) == [["Paris"], ["Lyon"]]

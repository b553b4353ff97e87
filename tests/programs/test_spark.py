"""The recipe for Spark: the driver ships the wheel with addFile, executors without network install it once a host."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.children import environment
from support.readme import blocks
from support.wheels import BuiltWheel

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, which is not installed"),
]
pytest.importorskip("pyspark", reason="pyspark is not installed")
pytest.importorskip("pandas", reason="pandas, which Spark's UDFs of that name need, is not installed")
pytest.importorskip("pyarrow", reason="pyarrow, which Spark's pandas UDFs need, is not installed")

SESSION = """\
import json, os, sys
import pandas as pd
from pyspark import SparkFiles
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf
from modelboot import ModelPin

spark = SparkSession.builder.master("local-cluster[2,1,1024]").getOrCreate()
"""
PROGRAM = f"""\
{SESSION}
MODEL = ModelPin(sys.argv[1], sys.argv[2], sys.argv[3])


@pandas_udf("array<string>")
def sentences(texts: pd.Series) -> pd.Series:
    from modelboot import ensure_model, get_nlp

    model = ensure_model(MODEL, wheelhouse=SparkFiles.getRootDirectory(), offline=True)
    nlp = get_nlp(MODEL, offline=True)
    return pd.Series([[model.source, str(os.getpid()), *(str(s) for s in nlp(text).sents)] for text in texts])


spark.sparkContext.addFile(sys.argv[4])
texts = spark.createDataFrame([(f"One. Two {{number}}.",) for number in range(8)], ["text"]).repartition(4)
try:
    found = [row[0] for row in texts.select(sentences("text")).collect()]
    print(json.dumps({{"found": found}}))
except Exception as error:
    print(json.dumps({{"error": str(error)}}))
spark.stop()
"""


def run(text: str, folder: Path, *arguments: str) -> dict[str, str | list[list[str]]]:
    """Run a program on a machine that has no network but loopback, where that can be had."""
    program = folder / "program.py"
    program.write_text(text, "utf-8")
    changes = {
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_HOSTNAME": "localhost",
        "SPARK_LOCAL_DIRS": str(folder),
    }
    changes |= {"SPARK_WORKER_DIR": str(folder / "workers"), "MODELBOOT_INDEX": "1"}
    line = [*no_network(), sys.executable, str(program), *arguments]
    done = subprocess.run(
        line, check=False, capture_output=True, text=True, env=environment(changes), timeout=240, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def no_network() -> list[str]:
    """Return the words before a command that take its network away."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("only root takes a program's network away, with unshare and ip")
    return ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def test_executors_without_network(tiny: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """Python workers of two executors use the wheel that was shipped; it is installed once on their host."""
    found = run(PROGRAM, tmp_path, *pin_arguments(tiny), str(shutil.copy(tiny.path, tmp_path)))["found"]
    assert isinstance(found, list)
    assert sorted(row[2:] for row in found) == [["One.", f"Two {number}."] for number in range(8)]
    installed = {pid for source, pid, *_ in found if source == "wheelhouse"}
    assert len(installed) == 1
    assert len({pid for _, pid, *_ in found}) > 1
    assert (target / tiny.name).is_dir()


def test_executors_check_the_hash(tiny: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """A wheel with other bytes is refused by the workers, and the driver's error says so."""
    altered = tmp_path / tiny.path.name
    altered.write_bytes(tiny.content[:-1] + b"x")
    assert "HashMismatchError" in str(run(PROGRAM, tmp_path, *pin_arguments(tiny), str(altered))["error"])
    assert not (target / tiny.name).exists()


@pytest.mark.index
def test_readme_section(real_wheel: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """README's lines work as they stand, in a session of Spark, with the wheel in the folder they name."""
    _, code = blocks("On a cluster", "python")
    (tmp_path / "wheelhouse").mkdir()
    shutil.copy(real_wheel.path, tmp_path / "wheelhouse")
    end = (
        '\nframe = spark.createDataFrame([("Elle vivait à Paris.",)], ["text"])\n'
        'print(json.dumps({"found": [row[0] for row in frame.select(lemmas("text")).collect()]}))\nspark.stop()\n'
    )
    assert run(f"{SESSION}{code}{end}", tmp_path)["found"] == [["lui", "vivre", "à", "Paris", "."]]
    assert (target / real_wheel.name).is_dir()


def pin_arguments(wheel: BuiltWheel) -> tuple[str, str, str]:
    """Return what makes the pin of a wheel."""
    return wheel.name, wheel.version, wheel.sha256

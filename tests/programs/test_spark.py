"""The recipe for Spark: the driver ships the wheel with addFile, executors without network install it once a host."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from support.children import run_file
from support.readme import blocks
from support.wheels import BuiltWheel, altered, build_wheel

MISSING = [name for name in ("pyspark", "pandas", "pyarrow") if not importlib.util.find_spec(name)]
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java, which is not installed"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed, of the extra test-spark: {', '.join(MISSING)}"),
]
SESSION = """\
import json, os, sys
import pandas as pd
from pyspark import SparkFiles
from pyspark.sql import SparkSession
from pyspark.sql.functions import pandas_udf
from modelboot import ModelPin

build = SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.task.maxFailures", 1)
spark = build.config("spark.ui.enabled", "false").getOrCreate()
"""
PROGRAM = f"""\
{SESSION}
def sentences_by(pin):
    @pandas_udf("array<string>")
    def sentences(texts: pd.Series) -> pd.Series:
        from modelboot import ensure_model, get_nlp

        model = ensure_model(pin, wheelhouse=SparkFiles.getRootDirectory(), offline=True)
        nlp = get_nlp(pin, offline=True)
        return pd.Series([[model.source, str(os.getpid()), *(str(s) for s in nlp(text).sents)] for text in texts])

    return sentences("text")


pins = [ModelPin(*words.split()) for words in sys.argv[1:3]]
for path in sys.argv[3:]:
    spark.sparkContext.addFile(path)
texts = spark.createDataFrame([(f"One. Two {{number}}.",) for number in range(8)], ["text"]).repartition(4)
found = [row[0] for row in texts.select(sentences_by(pins[0])).collect()]
try:
    texts.select(sentences_by(pins[1])).collect()
except Exception as error:
    print(json.dumps({{"found": found, "error": str(error)}}))
spark.stop()
"""


def run(text: str, folder: Path, *arguments: str) -> Any:  # noqa: ANN401 - whatever the program prints as JSON
    """Run a program of Spark in a folder, without a network."""
    settings = {"PYSPARK_PYTHON": sys.executable, "SPARK_WORKER_DIR": str(folder / "workers"), "MODELBOOT_INDEX": "1"}
    settings |= {f"SPARK_LOCAL_{name}": at for name, at in (("IP", "127.0.0.1"), ("HOSTNAME", "localhost"))}
    return run_file(text, folder, *arguments, **settings, SPARK_LOCAL_DIRS=str(folder))


def test_executors_without_network(tiny: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """Python workers of two executors use the wheel that was shipped; it is installed once on their host.

    A wheel with other bytes is refused by the workers, and the driver's error says so.
    """
    other = build_wheel(tmp_path / "other", name="en_altered_sm")
    pins = [f"{wheel.name} {wheel.version} {wheel.sha256}" for wheel in (tiny, other)]
    shown = run(PROGRAM, tmp_path, *pins, str(tiny.path), str(altered(other, tmp_path / "altered")))
    found: list[list[str]] = shown["found"]
    assert sorted(row[2:] for row in found) == [["One.", f"Two {number}."] for number in range(8)]
    assert len({pid for source, pid, *_ in found if source == "wheelhouse"}) == 1
    assert len({pid for _, pid, *_ in found}) > 1
    assert (target / tiny.name).is_dir()
    assert "HashMismatchError" in shown["error"]
    assert not (target / other.name).exists()


@pytest.mark.index
def test_readme_section(real_wheel: BuiltWheel, tmp_path: Path, target: Path) -> None:
    """README's lines work as they stand, in a session of Spark, with the wheel in the folder they name."""
    _, code = blocks("On a cluster", "python")
    (tmp_path / "wheelhouse").mkdir()
    shutil.copy(real_wheel.path, tmp_path / "wheelhouse")
    end = (
        '\nframe = spark.createDataFrame([("Elle vivait à Paris.",)], ["text"])\n'
        'print(json.dumps([row[0] for row in frame.select(lemmas("text")).collect()]))\nspark.stop()\n'
    )
    assert run(f"{SESSION}{code}{end}", tmp_path) == [["lui", "vivre", "à", "Paris", "."]]
    assert (target / real_wheel.name).is_dir()

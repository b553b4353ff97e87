"""What the sweeps and races share: a fast scratch folder, and a short way to report their figures."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108 - only to make a private folder in
FIGURES_FILE = "RELIABILITY_COUNTS"
"""Names the file that the figures are added to, a JSON object a line: the README's table is made from it."""


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in memory where there is such a thing: a sweep makes and removes some 100,000 files."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path / "scratch"
        return
    folder = Path(tempfile.mkdtemp(dir=MEMORY, prefix="modelboot-"))
    yield folder / "scratch"
    shutil.rmtree(folder)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Return what reports this test's figures: call it with what was counted, and each figure by its name."""

    def report(what: str, **figures: int) -> None:
        file = os.environ.get(FIGURES_FILE)
        if file:
            line = {"test": request.node.nodeid, "what": what, **figures}
            with Path(file).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(line) + "\n")

    return report

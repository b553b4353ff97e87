"""What the sweeps share: a fast scratch folder, and a short way to record counts."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support import counts

MEMORY = Path("/dev/shm")  # noqa: S108 - only to make a private folder in


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
def count(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Return `support.counts.report` for this test: call it with what was counted, and the figures by name."""
    return functools.partial(counts.report, request, record_property)

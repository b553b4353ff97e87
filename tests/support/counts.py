"""The figures of the reliability tests: in the test report, and in the file the README's table is made from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

FILE_VARIABLE = "RELIABILITY_COUNTS"


def report(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None], what: str, **counts: int
) -> None:
    """Record the figures of one test.

    Args:
        request: The test's own request.
        record_property: pytest's fixture of that name.
        what: What was counted, in words.
        counts: The figures: points, torn, wedged, left and whatever else the test counts.
    """
    for name, count in counts.items():
        record_property(name, count)
    file = os.environ.get(FILE_VARIABLE)
    if file:
        line = {"test": request.node.nodeid, "what": what, **counts}
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")

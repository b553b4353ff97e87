"""Processes that ask for one pipeline at once: one download in all, and everybody is served."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from modelboot import ModelPin
from support.processes import ask_at_once
from support.server import Reply

if TYPE_CHECKING:
    from support.server import ModelServer
    from support.wheels import BuiltWheel


@pytest.fixture
def slow_pin(tiny: BuiltWheel, server: ModelServer) -> ModelPin:
    """Return the pin of the tiny pipeline at a URL that takes a second to send it."""
    server.serve(f"/{tiny.path.name}", Reply(body=tiny.path.read_bytes(), drip_bytes_per_s=tiny.size_bytes))
    return ModelPin(tiny.name, tiny.version, tiny.sha256, url=f"{server.url}/{tiny.path.name}")


def test_ensure_model_in_8_processes_downloads_once(
    slow_pin: ModelPin, server: ModelServer, target: Path, tmp_path: Path
) -> None:
    """One process fetches while seven wait for it; then the model is present for all, and the lock file is all else."""
    answers = ask_at_once(slow_pin, processes=8, cwd=tmp_path)
    assert [request.method for request in server.requests] == ["GET"]
    assert Counter(answer.get("source", str(answer)) for answer in answers) == {"release": 1, "present": 7}
    assert {answer["path"] for answer in answers} == {str(target / "en_tiny_sm" / "en_tiny_sm-1.0.0")}
    assert _names(target) == [".modelboot", "en_tiny_sm", "en_tiny_sm-1.0.0.dist-info"]
    assert _names(target / ".modelboot") == ["en_tiny_sm.lock"]


def test_get_nlp_in_8_processes_downloads_once_and_loads_once_each(
    slow_pin: ModelPin, server: ModelServer, target: Path, tmp_path: Path
) -> None:
    """Every process gets a pipeline of its own, loaded once, from one download of all."""
    answers = ask_at_once(slow_pin, processes=8, cwd=tmp_path, action="load")
    assert [request.method for request in server.requests] == ["GET"]
    for answer in answers:
        assert (answer.get("version"), answer.get("loads"), answer.get("same")) == ("1.0.0", 1, True), answer
    assert _names(target / ".modelboot") == ["en_tiny_sm.lock"]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())

"""Programs that ask for one pipeline at once: one download in all, and everybody is served."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.children import pin_arguments
from support.folders import names
from support.races import Race, run
from support.server import Reply
from support.wheels import BuiltWheel

if TYPE_CHECKING:
    from support.server import ModelServer


@pytest.fixture
def race(tiny: BuiltWheel, server: ModelServer, tmp_path: Path) -> Race:
    """Return a race of eight programs for the tiny pipeline, which the server takes a second to send."""
    pin = server.publish(tiny, Reply(body=tiny.content, drip_bytes_per_s=tiny.size_bytes))
    return Race(pin=pin_arguments(pin), folder=str(tmp_path), programs=8, processes=1)


def test_ensure_model_in_8_processes_downloads_once(race: Race, server: ModelServer) -> None:
    """One program fetches while seven wait for it; then the model is present for all, and the lock file is all else."""
    (answers,) = run(race)
    target = race.target_of(0)
    assert [request.method for request in server.requests] == ["GET"]
    assert Counter(answer.get("source", str(answer)) for answer in answers) == {"release": 1, "present": 7}
    assert {answer["path"] for answer in answers} == {str(target / "en_tiny_sm" / "en_tiny_sm-1.0.0")}
    assert names(target) == [".modelboot", "en_tiny_sm", "en_tiny_sm-1.0.0.dist-info"]
    assert names(target / ".modelboot") == ["en_tiny_sm.lock"]


def test_get_nlp_in_8_processes_downloads_once_and_loads_once_each(race: Race, server: ModelServer) -> None:
    """Every program gets a pipeline of its own, loaded once, from one download of all."""
    (answers,) = run(replace(race, load=True))
    assert [request.method for request in server.requests] == ["GET"]
    assert len(answers) == 8
    for answer in answers:
        assert (answer.get("version"), answer.get("loads"), answer.get("same")) == ("1.0.0", 1, True), answer
    assert names(race.target_of(0) / ".modelboot") == ["en_tiny_sm.lock"]

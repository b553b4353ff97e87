"""Programs that ask for one pipeline at once: one download in all, and everybody is served."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from support.children import pin_arguments
from support.folders import is_complete, leftovers
from support.races import Race, run
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel


@pytest.mark.parametrize(
    "load", [pytest.param(False, id="ensure_model"), pytest.param(True, id="get_nlp", marks=pytest.mark.exhaustive)]
)
def test_eight_programs_download_once(
    load: bool,  # noqa: FBT001 - a case
    tiny: BuiltWheel,
    server: ModelServer,
    tmp_path: Path,
) -> None:
    """One program fetches while seven wait for it; then the model is present for all, and each loads it once."""
    pin = server.publish(tiny, Reply(body=tiny.content, drip_bytes_per_s=2 * tiny.size_bytes))
    race = Race(pin=pin_arguments(pin), folder=str(tmp_path), programs=8, processes=1, load=load)
    (answers,) = run(race)
    assert [request.method for request in server.requests] == ["GET"]
    if load:
        assert [(answer.get("loads"), answer.get("same")) for answer in answers] == [(1, True)] * 8, answers
    else:
        assert Counter(answer.get("source", str(answer)) for answer in answers) == {"release": 1, "present": 7}
    assert is_complete(race.target_of(0), pin)
    assert leftovers(race.target_of(0), pin) == []

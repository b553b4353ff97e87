"""What the tests of loading share: a pipeline that the real spaCy loads in a fraction of the time of an English one."""

from __future__ import annotations

import pytest

from modelboot import ModelPin
from support.server import ModelServer
from support.wheels import BuiltWheel, build_wheel


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of a tiny Afrikaans pipeline: English has rules for a tokenizer that takes 0.1 s to build."""
    return build_wheel(tmp_path_factory.mktemp("af_tiny"), name="af_tiny_sm", lang="af")


@pytest.fixture
def web_pin(tiny: BuiltWheel, server: ModelServer) -> ModelPin:
    """Return the pin of the tiny pipeline on the loopback server, which has nothing yet."""
    return tiny.pin_at(f"{server.url}/{tiny.path.name}")

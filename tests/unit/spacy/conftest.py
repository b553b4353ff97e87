"""What the tests of loading share: a pipeline that the real spaCy loads in a fraction of the time of an English one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import spacy

from support.server import ModelServer
from support.wheels import BuiltWheel, build_wheel

if TYPE_CHECKING:
    from spacy.language import Language

    from modelboot import ModelPin


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BuiltWheel:
    """Return a wheel of a tiny Afrikaans pipeline: English has rules for a tokenizer that takes 0.1 s to build."""
    return build_wheel(tmp_path_factory.mktemp("af_tiny"), name="af_tiny_sm", lang="af")


@pytest.fixture
def web_pin(tiny: BuiltWheel, server: ModelServer) -> ModelPin:
    """Return the pin of the tiny pipeline on the loopback server, which has nothing yet."""
    return tiny.pin_at(f"{server.url}/{tiny.path.name}")


@pytest.fixture(autouse=True)
def _unimported(tiny: BuiltWheel) -> Iterator[None]:
    """Leave no module of the tiny pipeline behind, nor a namespace package of its name."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == tiny.name]:
        del sys.modules[name]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record what spaCy is told to load."""
    told: list[Path] = []
    load = spacy.load

    def recording(path: Path, **options: Any) -> Language:  # noqa: ANN401 - whatever spaCy takes
        told.append(path)
        return load(path, **options)

    monkeypatch.setattr(spacy, "load", recording)
    return told

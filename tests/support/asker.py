"""A program that asks for a pipeline when it is told to, for tests about several processes.

It says on stdout that it is ready, waits for a line on stdin, asks, and answers with one line of JSON. stdout carries
nothing else, so anything modelboot printed would be noticed.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot import ModelbootError, ModelPin, ensure_model, get_nlp

if TYPE_CHECKING:
    from collections.abc import Callable

LIBRARIES = ("filelock", "installer")


def main(action: str, name: str, version: str, sha256: str, url: str) -> None:
    """Get ready, wait, ask and answer."""
    pin = ModelPin(name, version, sha256, url=url)
    if action == "load":
        import spacy  # noqa: F401, PLC0415 - slow, so before the start; those that only install need none
    _say("ready")
    sys.stdin.readline()
    try:
        facts = _ACTIONS[action](pin)
    except ModelbootError as error:
        facts = {"error": type(error).__name__, "message": error.message}
    _say(json.dumps({**facts, "libraries": {name: _library(name) for name in LIBRARIES}}))


def _install(pin: ModelPin) -> dict[str, object]:
    model = ensure_model(pin)
    return {"source": model.source, "path": str(model.path)}


def _load(pin: ModelPin) -> dict[str, object]:
    first, second = get_nlp(pin), get_nlp(pin)
    return {"version": first.meta["version"], "loads": get_nlp.cache_info().misses, "same": first is second}


_ACTIONS: dict[str, Callable[[ModelPin], dict[str, object]]] = {"install": _install, "load": _load}


def _library(name: str) -> list[str]:
    """Tell which version of a library was at work, and from which folder."""
    return [importlib.metadata.version(name), str(Path(str(importlib.import_module(name).__file__)).parents[1])]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

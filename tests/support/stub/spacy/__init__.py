"""What modelboot and a pipeline's package ask of spaCy, without its import of seconds: for children not about spaCy.

A pipeline is its meta.json and its files: one that is missing or cannot be read fails the load, as with spaCy.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

registry = SimpleNamespace(models=SimpleNamespace(register=lambda name, func: None))  # noqa: ARG005 - spaCy's names


class Language:
    """A pipeline that knows its components by name, and where sentences end."""

    def __init__(self, meta: dict[str, Any], pipe_names: list[str]) -> None:
        """Take what was loaded."""
        self.meta, self.pipe_names, self.lang = meta, pipe_names, meta["lang"]

    def add_pipe(self, name: str) -> None:
        """Add a component."""
        self.pipe_names.append(name)

    def __call__(self, text: str) -> SimpleNamespace:
        """Split a text at full stops."""
        return SimpleNamespace(text=text, sents=[part for part in text.split(".") if part.strip()])


def load(path: str | Path, *, exclude: Any = (), disable: Any = (), **_: object) -> Language:  # noqa: ANN401 - spaCy's
    """Read a pipeline's folder."""
    if not Path(path).is_dir():
        message = f"[E050] Can't find model '{path}'."
        raise OSError(message)
    meta = json.loads(Path(path, "meta.json").read_text("utf-8"))
    for name in meta["pipeline"]:
        json.loads(Path(path, f"{name}.json").read_text("utf-8"))
    return Language(meta, [name for name in meta["pipeline"] if name not in {*exclude, *disable}])

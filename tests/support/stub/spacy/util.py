"""What the `__init__.py` of a pipeline's package imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import spacy


def get_model_meta(path: Path) -> dict[str, Any]:
    """Read the meta.json of a folder."""
    meta: dict[str, Any] = json.loads((path / "meta.json").read_text("utf-8"))
    return meta


def load_model_from_init_py(init_file: str, **overrides: Any) -> object:  # noqa: ANN401 - spaCy's
    """Load the data beside a package's `__init__.py`."""
    package = Path(init_file).parent
    meta = get_model_meta(package)
    return spacy.load(package / f"{meta['lang']}_{meta['name']}-{meta['version']}", **overrides)

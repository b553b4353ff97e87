"""spaCy's list of installed pipelines, for `spacy.util.get_installed_models` and `spacy.info`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path


def register(name: str, folder: Path) -> None:
    """Add a pipeline to spaCy's list, where spaCy was imported before the pipeline was installed.

    spaCy reads the entry points once, when it is imported; what is imported later finds the model by itself.

    Args:
        name: Name of the package.
        folder: Folder of the pipeline's data.
    """
    spacy = sys.modules.get("spacy")  # None before it is imported, and without a registry in the middle of that
    if spacy is not None and hasattr(spacy, "registry") and hasattr(spacy, "load"):
        spacy.registry.models.register(name, func=partial(spacy.load, folder))

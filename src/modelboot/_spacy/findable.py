"""Letting this process find a model by its name, wherever it was installed: for `import` and for spaCy's own list."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path


def make_findable(name: str, folder: Path, data_folder: Path) -> None:
    """Append a folder to sys.path, so that nothing importable before is shadowed, and tell spaCy of the pipeline.

    Args:
        name: Name of the package.
        folder: The folder that holds the package and its dist-info.
        data_folder: What `spacy.load` takes.
    """
    # Without a lock: threads that append at the same instant would add it twice, which does no harm.
    if _real(folder) not in {*map(_real, [*sys.path])} and str(folder) not in sys.path:
        sys.path.append(str(folder))
    # spaCy reads the entry points once, when it is imported; what is imported later finds the model by itself.
    spacy = sys.modules.get("spacy")  # without a registry in the middle of its own import
    if spacy is not None and hasattr(spacy, "registry") and hasattr(spacy, "load"):
        spacy.registry.models.register(name, func=partial(spacy.load, data_folder))


def _real(folder: str | Path) -> str:
    """Resolve links; what is not a path stays as it is."""
    try:
        return os.path.realpath(folder)
    except (OSError, TypeError, ValueError):
        return str(folder)

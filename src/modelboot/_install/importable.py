"""Letting this process find a model by its name, wherever it was installed."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

_lock = threading.Lock()


def append_to_sys_path(folder: Path) -> None:
    """Append a folder to sys.path unless it is there, so that nothing importable before is shadowed.

    Args:
        folder: The folder that holds the package and its dist-info.
    """
    with _lock:
        if _real(folder) not in {*map(_real, sys.path)}:
            sys.path.append(str(folder))


def _real(folder: str | Path) -> str:
    """Resolve links; what is not a path stays as it is."""
    try:
        return os.path.realpath(folder)
    except (OSError, TypeError, ValueError):
        return str(folder)

"""Options that stand in for settings, and what is left after Ctrl-C."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from modelboot._catalog import resolve
from modelboot._install.target import WORK, targets_to_install_into
from modelboot._settings import directory, read_settings
from modelboot.errors import ModelbootError

_AS_SETTINGS = {"offline": "MODELBOOT_OFFLINE", "target": "MODELBOOT_TARGET"}
"""Options that say for one run what a variable says for all, and that variable."""


def variables_given(options: argparse.Namespace) -> dict[str, str]:
    """Return the variables that options stand in for, with the values they give them."""
    given = {"offline": "1" if options.offline else "", "target": options.target or ""}
    return {_AS_SETTINGS[name]: value for name, value in given.items() if value}


@contextmanager
def as_settings(options: argparse.Namespace) -> Iterator[None]:
    """Let options stand in for their variables inside the with block: whatever runs there finds them in force."""
    before = {variable: os.environ.get(variable) for variable in _AS_SETTINGS.values()}
    os.environ.update(variables_given(options))
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value


def what_is_kept(options: argparse.Namespace) -> str:
    """Return what to do after Ctrl-C: how much of a download the next run need not fetch again."""
    kept_bytes = 0
    with suppress(ModelbootError, OSError):
        kept_bytes = sum(path.stat().st_size for folder in _work_folders(options) for path in folder.rglob("*.part"))
    if kept_bytes:
        return f"{kept_bytes / 1e6:.1f} MB of the download are kept; run it again to continue there"
    return "nothing unfinished was left; run it again"


def _work_folders(options: argparse.Namespace) -> Iterator[Path]:
    """Yield where a command keeps its unfinished work."""
    if getattr(options, "dest", None):
        yield directory(options.dest) / WORK
    settings = read_settings()
    for model in getattr(options, "models", None) or [getattr(options, "model", None)]:
        if model:
            yield from (target.work for target in targets_to_install_into(resolve(model), settings))

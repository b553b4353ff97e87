"""What is said after Ctrl-C: how much of a download is kept."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from modelboot._catalog import resolve
from modelboot._install.target import WORK, targets_to_install_into
from modelboot._settings import read_settings
from modelboot.cli.commands import models_to_install
from modelboot.errors import ModelbootError


def interrupt_hint(options: argparse.Namespace) -> str:
    """Return what to do after Ctrl-C: how much of a download the next run need not fetch again."""
    kept_bytes = 0
    with suppress(ModelbootError, OSError):
        folders = {*_work_folders(options)}  # several models may go to one target
        kept_bytes = sum(path.stat().st_size for folder in folders for path in folder.rglob("*.part"))
    if kept_bytes:
        return f"{kept_bytes / 1e6:.1f} MB of the download are kept; run it again to continue there"
    return "nothing unfinished was left; run it again"


def _work_folders(options: argparse.Namespace) -> Iterator[Path]:
    """Yield where a command keeps its unfinished work."""
    if getattr(options, "dest", None):
        yield options.dest / WORK
    settings = read_settings()
    if hasattr(options, "requirements"):
        models = models_to_install(options)
    else:
        models = getattr(options, "models", None) or [model for model in [getattr(options, "model", None)] if model]
    for model in models:
        with suppress(ModelbootError):  # a misspelled name, which the command has not come to yet
            pin = resolve(model, pins=settings.pins)
            yield from (target.work for target in targets_to_install_into(pin, settings))

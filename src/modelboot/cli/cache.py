"""`modelboot cache`: the wheels that are kept for reuse, and what it prints of them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot._catalog import catalog
from modelboot._settings import read_settings
from modelboot.cli.output import Facts, fit_line, print_result, table

if TYPE_CHECKING:
    from modelboot._sources.cache import CachedWheel


SUMMARY = "list the wheels kept for reuse"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what removes them."""
    parser.add_argument("--prune", action="store_true", help="remove them")


def run(options: argparse.Namespace) -> None:
    """List the wheels that are kept, or remove them."""
    from modelboot._sources.cache import WheelCache
    from modelboot._sources.fetch import cache_folder

    folder = cache_folder(read_settings())
    kept = WheelCache(folder) if folder else None
    wheels = [*(kept.prune() if options.prune else kept.cached())] if kept else []
    names = {entry.pin.sha256: str(entry.pin) for entry in catalog()}
    text = kept_text(wheels, names, folder, is_pruned=options.prune) if wheels else "no wheels are kept"
    print_result(as_json=options.json, text=text, facts=[kept_facts(wheel, names) for wheel in wheels])


def kept_facts(wheel: CachedWheel, names: Mapping[str, str]) -> Facts:
    """Return the JSON of one kept wheel; its model is empty where the catalog has no name for its hash."""
    model = names.get(wheel.sha256, "")
    return {"model": model, "size_bytes": wheel.size_bytes, "sha256": wheel.sha256, "path": str(wheel.path)}


def kept_text(wheels: Sequence[CachedWheel], names: Mapping[str, str], folder: Path | None, *, is_pruned: bool) -> str:
    """Return the kept wheels as a table, then how many they are, what they take or took together, and where."""
    rows = [
        (names.get(wheel.sha256, "not in the catalog"), _megabytes(wheel.size_bytes), wheel.sha256[:12])
        for wheel in wheels
    ]
    total_bytes = sum(wheel.size_bytes for wheel in wheels)
    count = f"{len(rows)} {'wheel' if len(rows) == 1 else 'wheels'} {'removed' if is_pruned else 'kept'}"
    last = fit_line(f"{count}, {_megabytes(total_bytes)}", str(folder))
    return "\n".join([*table(("model", "size", "sha256"), rows), "", last])


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"

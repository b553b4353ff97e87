"""`modelboot cache`: the wheels that are kept for reuse, and what it prints of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot._catalog import catalog
from modelboot._settings import read_settings
from modelboot.cli.output import Facts, fitted, print_result, table

if TYPE_CHECKING:
    from modelboot._sources.cache import KeptWheel


def cache(options: argparse.Namespace) -> None:
    """List the wheels that are kept, or remove them."""
    from modelboot._sources.cache import WheelCache
    from modelboot._sources.fetch import cache_folder

    folder = cache_folder(read_settings())
    kept = WheelCache(folder) if folder else None
    wheels = [*(kept.prune() if options.prune else kept.kept())] if kept else []
    names = {entry.pin.sha256: str(entry.pin) for entry in catalog()}
    facts = [kept_facts(wheel, names.get(wheel.sha256, "")) for wheel in wheels]
    text = kept_text(facts, folder, is_pruned=options.prune) if facts else "no wheels are kept"
    print_result(as_json=options.json, text=text, facts=facts)


def kept_facts(wheel: KeptWheel, model: str) -> Facts:
    """Return the JSON of one kept wheel; its model is empty where the catalog does not know it."""
    return {"model": model, "size_bytes": wheel.size_bytes, "sha256": wheel.sha256, "path": str(wheel.path)}


def kept_text(wheels: Sequence[Facts], folder: Path | None, *, is_pruned: bool) -> str:
    """Return the kept wheels as a table, then how many they are, what they take or took together, and where."""
    rows = [(str(each["model"]) or "not in the catalog", _megabytes(each), str(each["sha256"])[:12]) for each in wheels]
    total = sum(int(str(each["size_bytes"])) for each in wheels)
    count = f"{len(rows)} {'wheel' if len(rows) == 1 else 'wheels'} {'removed' if is_pruned else 'kept'}"
    last = fitted([(f"{count}, {total / 1e6:.1f} MB", str(folder))])
    return "\n".join([*table(("model", "size", "sha256"), rows), "", *last])


def _megabytes(wheel: Facts) -> str:
    return f"{int(str(wheel['size_bytes'])) / 1e6:.1f} MB"

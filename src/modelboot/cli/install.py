"""`modelboot install`: install models that are missing, a line each."""

from __future__ import annotations

import argparse
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot._catalog import DEFAULT_MODEL
from modelboot._pin import read_pins
from modelboot.cli.options import MODEL
from modelboot.cli.output import Facts, download_size, fit_line, print_each

if TYPE_CHECKING:
    from modelboot._install.outcome import InstalledModel

SUMMARY = "install models that are missing"

_log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the models and the pins files."""
    parser.add_argument("models", metavar="MODEL", nargs="*", help=f"{MODEL} (default: {DEFAULT_MODEL})")
    meaning = "a pins file: one direct reference a line; may be given several times"
    parser.add_argument(
        "-r", "--requirement", metavar="FILE", dest="requirements", action="append", default=[], help=meaning
    )


def run(options: argparse.Namespace) -> None:
    """Install the models that were named and those of pins files; with neither, the default."""
    from modelboot._install.ensure import ensure_model

    listed = [pin for file in options.requirements for pin in read_pins(Path(file), variable="--requirement")]
    models = [*options.models, *listed] if options.models or options.requirements else [DEFAULT_MODEL]
    if not models:
        _log.warning("nothing to install: no model in %s", ", ".join(options.requirements))
    print_each(map(ensure_model, models), as_json=options.json, line=_line, facts=model_facts)


def _line(model: InstalledModel) -> str:
    """Return the line of one model: what was there already took no time worth telling."""
    took = "" if model.source == "present" else f", {model.seconds:.2f} s"
    how = f"{model.source}{download_size(model.downloaded_bytes)}{took}"
    return fit_line(str(model), how, str(model.path.parents[1]))


def model_facts(model: InstalledModel) -> Facts:
    """Return the JSON of one model: all fields but the phases."""
    facts = {**asdict(model), "seconds": round(model.seconds, 4)}
    del facts["phases"]
    return facts

"""`install`, `fetch`, `check` and `doctor`, each with what it prints; the other commands have files of their own."""

from __future__ import annotations

import argparse
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot._catalog import DEFAULT_MODEL, resolve
from modelboot._install.ensure import ensure_model
from modelboot._install.report import InstalledModel
from modelboot._pin import ModelPin, read_pins
from modelboot._settings import read_settings
from modelboot.cli.output import Facts, download_size, fit_columns, print_each, print_result
from modelboot.cli.overrides import variables_given

if TYPE_CHECKING:
    from modelboot._install.fill_wheelhouse import SavedWheel
    from modelboot.cli.check import CheckReport

_log = logging.getLogger(__name__)


def install(options: argparse.Namespace) -> None:
    """Install models that are missing."""
    models = models_to_install(options)
    if not models:
        _log.warning("nothing to install: no model in %s", ", ".join(options.requirements))
    print_each(map(ensure_model, models), as_json=options.json, line=model_line, facts=model_facts)


def models_to_install(options: argparse.Namespace) -> list[str | ModelPin]:
    """Return the models that `install` is asked for: those named and those of pins files; with neither, the default."""
    if not (options.models or options.requirements):
        return [DEFAULT_MODEL]
    listed = [pin for file in options.requirements for pin in read_pins(Path(file), variable="--requirement")]
    return [*options.models, *listed]


def model_line(model: InstalledModel) -> str:
    """Return the line that `install` prints for one model: what was there already took no time worth telling."""
    took = "" if model.source == "present" else f", {model.seconds:.2f} s"
    how = f"{model.source}{download_size(model.downloaded_bytes)}{took}"
    return "\n".join(fit_columns([(str(model), how, str(model.path.parents[1]))]))


def model_facts(model: InstalledModel) -> Facts:
    """Return the JSON of `install` for one model: all fields but the phases."""
    facts = {**asdict(model), "seconds": round(model.seconds, 4)}
    del facts["phases"]
    return facts


def fetch(options: argparse.Namespace) -> None:
    """Put verified wheels into a wheelhouse."""
    from modelboot._install.fill_wheelhouse import fill_wheelhouse

    settings = read_settings()
    wheels = (fill_wheelhouse(resolve(model, pins=settings.pins), options.dest, settings) for model in options.models)
    print_each(wheels, as_json=options.json, line=wheel_line, facts=asdict)


def wheel_line(wheel: SavedWheel) -> str:
    """Return the line that `fetch` prints for one wheel."""
    how = f"{wheel.source}{download_size(wheel.downloaded_bytes)}"
    return "\n".join(fit_columns([(str(wheel), how, str(wheel.path))]))


def check(options: argparse.Namespace) -> None:
    """Install, load and try a model, and show what was found."""
    from modelboot.cli.check import check_model

    report = check_model(options.model)
    print_result(as_json=options.json, text=report.text(), facts=check_facts(report), has_title=True)


def check_facts(report: CheckReport) -> Facts:
    """Return the JSON of `check`: the facts of the install, and those of the check."""
    return {**model_facts(report.installed), **report.to_dict()}


def doctor(options: argparse.Namespace) -> None:
    """Show settings, targets, locks and which sources answer."""
    from modelboot.cli.doctor import diagnose

    settings = read_settings()
    pin = resolve(options.model, pins=settings.pins)
    report = diagnose(pin, settings, from_command_line=variables_given(options))
    print_result(as_json=options.json, text=report.text(), facts=asdict(report))

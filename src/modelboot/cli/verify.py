"""`modelboot verify`: re-check the hash of every installed file, and name what is not as it was installed."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from modelboot._catalog import entries
from modelboot._install.installed import Installed
from modelboot._install.targets import INSTALLER
from modelboot._pin import ModelPin, is_reference, parse_reference, read_pins
from modelboot._settings import read_settings
from modelboot._versions import same_name
from modelboot.cli.list import (
    NONE_INSTALLED,
    all_installed,
    copies_of,
    first_issues,
    installed_facts,
    state_of,
    with_issues,
)
from modelboot.cli.options import MODEL
from modelboot.cli.output import CommandError, fit_columns, print_result

SUMMARY = "re-check the hash of every installed file"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the models."""
    parser.add_argument("models", metavar="MODEL", nargs="*", help=f"{MODEL} (default: all that are installed)")


def run(options: argparse.Namespace) -> None:
    """Re-check the hash of every installed file; fail when one is not as it was installed."""
    named = dict.fromkeys(model for name in options.models for model in copies_of(name))
    models = [*named] or all_installed()
    pins_file = read_settings().pins
    pins = {
        "reference": [parse_reference(model) for model in options.models if is_reference(model)],
        "pins file": [*read_pins(pins_file)] if pins_file else [],
    }
    issues = [issues_of(model, pins) for model in models]
    facts = [*map(installed_facts, models, issues)]
    print_result(as_json=options.json, text=_text(models, issues), facts=facts)
    broken = [model for model, found in zip(models, issues, strict=True) if found]
    if broken:
        raise CommandError(f"not intact: {', '.join(map(str, broken))}", _repair_hint(broken))


def _text(models: Sequence[Installed], issues: Sequence[Sequence[str]]) -> str:
    """Return a line for each model, with its issues below it."""
    if not models:
        return NONE_INSTALLED
    rows = [
        (str(model), state_of(model, found), str(model.folder)) for model, found in zip(models, issues, strict=True)
    ]
    return with_issues(fit_columns(rows), issues)


def _repair_hint(broken: Sequence[Installed]) -> str:
    """Say what puts the files back: modelboot's own can be removed with `uninstall`, others' cannot."""
    own = [model for model in broken if model.installer == INSTALLER]
    hints = ["move files of your own away first"] if any(model.unexpected_files() for model in own) else []
    hints += ["`modelboot uninstall MODEL` and then `modelboot install MODEL` put the pinned files back"] if own else []
    others = {str(model): model.installer or "the program that installed it" for model in broken if model not in own}
    return "; ".join([*hints, *(f"reinstall {model} with {installer}" for model, installer in others.items())])


def issues_of(model: Installed, pins: Mapping[str, Sequence[ModelPin]]) -> list[str]:
    """Name each file that is modified, missing or unexpected, and a wheel that is not the pinned one.

    Args:
        model: The model.
        pins: Pins that win over the catalog's by what they come from; of these the first wins.

    Raises:
        OSError: A file could not be read.
    """
    issues = [*dict.fromkeys([*first_issues(model), *model.modified_files()])]
    issues += [f"{path} is not in RECORD" for path in model.unexpected_files()]
    by, hashes = _pinned_hashes(model, pins)
    if hashes and model.sha256 not in {None, *hashes}:
        issues.append(f"it came from a wheel with sha256 {model.sha256}, the {by} pins {hashes[0]}")
    return issues


def _pinned_hashes(model: Installed, pins: Mapping[str, Sequence[ModelPin]]) -> tuple[str, list[str]]:
    """Return who pins a model of that name and version, and the hashes; a pin without a version is that of its hash."""
    for by, given in pins.items():
        listed = [pin for pin in given if same_name(pin.name, model.name) and pin.accepts(model.version)]
        hashes = [pin.sha256 for pin in listed if pin.version or pin.sha256 == model.sha256]
        if hashes:
            return by, hashes
    return "catalog", [entry.pin.sha256 for entry in entries(model.name) if entry.pin.accepts(model.version)]

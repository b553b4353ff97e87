"""`modelboot verify` and `uninstall`, and what is printed of installed models."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from modelboot._catalog import entries
from modelboot._deadline import Deadline
from modelboot._install.installed import Installed, list_installed
from modelboot._install.target import INSTALLER, targets_in_use
from modelboot._pin import ModelPin, is_reference, parse_name, parse_reference, read_pins
from modelboot._settings import read_settings
from modelboot._versions import same_name, same_version
from modelboot.cli.command_error import CommandError
from modelboot.cli.output import Facts, fit_columns, print_each, print_result, table

_log = logging.getLogger(__name__)


def installed_text(models: Sequence[Installed]) -> str:
    """Return what is installed as a table, with what is wrong below those that are not intact."""
    if not models:
        return "no models are installed; `modelboot list --available` shows the models you can install"
    issues = [quick_issues(model) for model in models]
    rows = [
        (model.name, model.version, state_of(model, found), model.installer or "unknown", str(model.folder))
        for model, found in zip(models, issues, strict=True)
    ]
    head, *lines = table(("name", "version", "state", "installer", "folder"), rows)
    return "\n".join([head, *with_issues(lines, issues)])


def quick_issues(model: Installed) -> list[str]:
    """Name the first thing that is wrong with a model, as far as its files' names and sizes tell."""
    problem = model.first_problem
    return [] if problem is None else [problem]


def state_of(model: Installed, issues: Sequence[str]) -> str:
    """Return what `list` and `verify` say about a model, in a few words."""
    return "not intact" if issues else model.state


def with_issues(lines: Sequence[str], issues: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of some models, each with its issues below it."""
    for line, found in zip(lines, issues, strict=True):
        yield line
        yield from (f"  {issue}" for issue in found)


def installed_facts(model: Installed, issues: Sequence[str]) -> Facts:
    """Return the JSON of `list` and `verify` for one installed model."""
    return {
        "name": model.name,
        "version": model.version,
        "state": state_of(model, issues),
        "intact": not issues,
        "issues": issues,
        "installer": model.installer,
        "folder": model.folder,
        "sha256": model.sha256,
    }


def verify(options: argparse.Namespace) -> None:
    """Re-check the hash of every installed file; fail when one is not as it was installed."""
    settings = read_settings()
    models = _named(options.models) or list_installed(targets_in_use(settings))
    pins = {
        "reference": [parse_reference(model) for model in options.models if is_reference(model)],
        "pins file": [*read_pins(settings.pins)] if settings.pins else [],
    }
    issues = [issues_of(model, pins) for model in models]
    facts = [installed_facts(*each) for each in zip(models, issues, strict=True)]
    print_result(as_json=options.json, text=verified_text(models, issues), facts=facts)
    broken = [model for model, found in zip(models, issues, strict=True) if found]
    if broken:
        raise CommandError(f"not intact: {', '.join(map(str, broken))}", _repair_hint(broken))


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
    first = model.first_problem
    issues = [] if first is None else [first]
    issues += [issue for issue in model.modified_files() if issue not in issues]
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


def verified_text(models: Sequence[Installed], issues: Sequence[Sequence[str]]) -> str:
    """Return what `verify` prints: a line for each model, with its issues below it."""
    if not models:
        return installed_text([])
    rows = [
        (str(model), state_of(model, found), str(model.folder)) for model, found in zip(models, issues, strict=True)
    ]
    return "\n".join(with_issues(fit_columns(rows), issues))


def uninstall(options: argparse.Namespace) -> None:
    """Remove models that modelboot installed; copies that other programs have beside them stay."""
    models = dict.fromkeys(model for name in options.models for model in _removable(_installed(name)))
    removed = _removed(models, read_settings().deadline_s)
    print_each(removed, as_json=options.json, line=removed_line, facts=dict)


def _removable(copies: Sequence[Installed]) -> Sequence[Installed]:
    """Return the copies of a model that are modelboot's own; where none is, all of them, so that it is told why not."""
    own = [model for model in copies if model.installer == INSTALLER]
    for model in copies if own else ():
        if model not in own:
            _log.info("%s is left in %s: %s installed it", model, model.folder, model.installer or "another program")
    return own or copies


def _removed(models: Iterable[Installed], deadline_s: float) -> Iterator[Facts]:
    """Remove one model after another, and yield the facts of what it was."""
    from modelboot._install.uninstall import uninstall

    for model in models:
        facts = installed_facts(model, quick_issues(model))
        uninstall(model, Deadline.after(deadline_s))
        yield facts


def removed_line(facts: Facts) -> str:
    """Return the line that `uninstall` prints for one model."""
    return "\n".join(fit_columns([(f"{facts['name']} {facts['version']}", "removed", str(facts["folder"]))]))


def _named(models: Sequence[str]) -> list[Installed]:
    """List the installed models that a user has named, each once."""
    return [*dict.fromkeys(model for name in models for model in _installed(name))]


def _installed(model: str) -> list[Installed]:
    """List what is installed of a name, name==version or direct reference, which need not be in the catalog."""
    everything = list_installed(targets_in_use(read_settings()))
    if is_reference(model):
        pin = parse_reference(model)
        named = [
            item
            for item in everything
            if same_name(item.name, pin.name)
            and (same_version(item.version, pin.version) if pin.version else item.sha256 == pin.sha256)
        ]
    else:
        name, version = parse_name(model)
        named = [
            item
            for item in everything
            if same_name(item.name, name) and same_version(item.version, version or item.version)
        ]
    if not named:
        raise CommandError(
            f"{model} is not installed",
            "`modelboot list` shows the installed models, `modelboot doctor` the folders that are searched",
        )
    return named

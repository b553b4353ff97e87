"""`modelboot verify` and `uninstall`, and what is printed of installed models."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence

from modelboot._catalog import entries
from modelboot._install.installed import Installed, list_installed
from modelboot._install.target import targets_in_use
from modelboot._limits import Deadline
from modelboot._reference import is_reference, parse_reference
from modelboot._settings import read_settings
from modelboot._versions import same_name, same_version
from modelboot.cli.command_error import CommandError
from modelboot.cli.output import Facts, fit_columns, print_each, print_result, table


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
    models = _named(options.models) or list_installed(targets_in_use(read_settings()))
    issues = [issues_of(model) for model in models]
    facts = [installed_facts(*each) for each in zip(models, issues, strict=True)]
    print_result(as_json=options.json, text=verified_text(models, issues), facts=facts)
    broken = [str(model) for model, found in zip(models, issues, strict=True) if found]
    if broken:
        hint = "`modelboot uninstall MODEL` and then `modelboot install MODEL` put the pinned files back"
        if any(model.unexpected_files() for model in models):
            hint = f"move files of your own away first; {hint}"
        raise CommandError(f"not intact: {', '.join(broken)}", hint)


def issues_of(model: Installed) -> list[str]:
    """Name each file that is modified, missing or unexpected, and a wheel that is not the catalog's.

    Raises:
        OSError: A file could not be read.
    """
    first = model.first_problem
    issues = [] if first is None else [first]
    issues += [issue for issue in model.modified_files() if issue not in issues]
    issues += [f"{path} is not in RECORD" for path in model.unexpected_files()]
    pins = [entry.pin.sha256 for entry in entries(model.name) if entry.pin.version == model.version]
    if pins and model.sha256 not in {None, *pins}:
        issues.append(f"it came from a wheel with sha256 {model.sha256}, the catalog pins {pins[0]}")
    return issues


def verified_text(models: Sequence[Installed], issues: Sequence[Sequence[str]]) -> str:
    """Return what `verify` prints: a line for each model, with its issues below it."""
    if not models:
        return installed_text([])
    rows = [
        (str(model), state_of(model, found), str(model.folder)) for model, found in zip(models, issues, strict=True)
    ]
    return "\n".join(with_issues(fit_columns(rows), issues))


def uninstall(options: argparse.Namespace) -> None:
    """Remove models that modelboot installed."""
    removed = _removed(_named(options.models), read_settings().deadline_s)
    print_each(removed, as_json=options.json, line=removed_line, facts=dict)


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
    if is_reference(model):
        pin = parse_reference(model)
        name, version = pin.name, pin.version or ""
    else:
        name, _, version = (part.strip() for part in model.partition("=="))
    everything = list_installed(targets_in_use(read_settings()))
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

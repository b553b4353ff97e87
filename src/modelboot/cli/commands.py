"""Most commands, each with the text and the JSON it prints; `pin`, `cache` and `env` have modules of their own."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from modelboot._catalog import DEFAULT_MODEL, CatalogEntry, catalog, entries, installed_version, resolve
from modelboot._install.ensure import InstalledModel, ensure_model
from modelboot._install.installed import Installed, list_installed
from modelboot._install.target import targets_in_use
from modelboot._limits import Deadline
from modelboot._pin import ModelPin
from modelboot._reference import is_reference, parse_reference, read_pins
from modelboot._settings import directory, read_settings
from modelboot._versions import accepts_version, same_name, same_version
from modelboot.cli.output import Facts, download_size, fitted, print_each, print_result, table
from modelboot.cli.overrides import variables_given
from modelboot.cli.pin import pin_facts

if TYPE_CHECKING:
    from modelboot._install.provision import ProvisionedWheel
    from modelboot.cli.check import CheckReport


class CommandError(Exception):
    """A command ends without success, though nothing in the library failed."""

    def __init__(self, message: str, hint: str) -> None:
        """Keep what failed and what to do next, a line each."""
        super().__init__(message)
        self.message, self.hint = message, hint


def install(options: argparse.Namespace) -> None:
    """Install models that are missing."""
    models = (ensure_model(model) for model in models_to_install(options))
    print_each(models, as_json=options.json, line=model_line, facts=model_facts)


def models_to_install(options: argparse.Namespace) -> list[str | ModelPin]:
    """Return the models that `install` is asked for: named, in a pins file, or the default one."""
    listed = read_pins(Path(options.requirement), variable="--requirement") if options.requirement else ()
    return [*options.models, *listed] or [DEFAULT_MODEL]


def model_line(model: InstalledModel) -> str:
    """Return the line that `install` prints for one model: what was there already took no time worth telling."""
    took = "" if model.source == "present" else f", {model.seconds:.2f} s"
    how = f"{model.source}{download_size(model.downloaded_bytes)}{took}"
    return "\n".join(fitted([(str(model), how, str(model.path.parents[1]))]))


def model_facts(model: InstalledModel) -> Facts:
    """Return the JSON of `install` for one model: all fields but the phases."""
    facts = {**asdict(model), "seconds": round(model.seconds, 4)}
    del facts["phases"]
    return facts


def fetch(options: argparse.Namespace) -> None:
    """Put verified wheels into a wheelhouse."""
    from modelboot._install.provision import provision

    settings, dest = read_settings(), directory(options.dest)
    wheels = (provision(resolve(model, pins=settings.pins), dest, settings) for model in options.models)
    print_each(wheels, as_json=options.json, line=wheel_line, facts=asdict)


def wheel_line(wheel: ProvisionedWheel) -> str:
    """Return the line that `fetch` prints for one wheel."""
    how = f"{wheel.source}{download_size(wheel.downloaded_bytes)}"
    return "\n".join(fitted([(str(wheel), how, str(wheel.path))]))


def check(options: argparse.Namespace) -> None:
    """Install, load and try a model, and show what was found."""
    from modelboot.cli.check import check_model

    report = check_model(options.model)
    print_result(as_json=options.json, text=report.text(), facts=check_facts(report), has_title=True)


def check_facts(report: CheckReport) -> Facts:
    """Return the JSON of `check`: the facts of the install, and those of the check."""
    return {**model_facts(report.installed), **report.facts()}


def list_models(options: argparse.Namespace) -> None:
    """List installed models and their state, or the catalog."""
    if options.available:
        releases = [entry for entry in catalog() if options.all or suits_installed_spacy(entry)]
        releases = [entry for entry in releases if matches(entry.pin.name, options.pattern)]
        facts = [entry_facts(entry) for entry in releases]
        text = catalog_text(releases, has_hashes=options.hashes)
        if not releases:
            text = "the catalog has no model of that name" if options.all else _NO_RELEASE
        print_result(as_json=options.json, text=text, facts=facts)
    else:
        everything = list_installed(targets_in_use(read_settings()))
        models = [model for model in everything if matches(model.name, options.pattern)]
        facts = [installed_facts(model, quick_issues(model)) for model in models]
        text = installed_text(models) if models or not everything else "no installed model has a name like that"
        print_result(as_json=options.json, text=text, facts=facts)


_NO_RELEASE = "the catalog has none for the installed spaCy; --all shows those for every spaCy"


def suits_installed_spacy(entry: CatalogEntry) -> bool:
    """Tell whether a release was made for the spaCy that is installed; any is, where none is installed."""
    spacy = installed_version("spacy")
    return spacy is None or accepts_version(entry.spacy_range, spacy)


def matches(name: str, pattern: str | None) -> bool:
    """Tell whether a name holds a text or matches a pattern of a shell; with neither, every name does."""
    wanted = (pattern or "").replace("-", "_").lower()
    return wanted in name.lower() or fnmatchcase(name.lower(), wanted)


def catalog_text(releases: Iterable[CatalogEntry], *, has_hashes: bool) -> str:
    """Return the catalog as a table, which without hashes fits a terminal of 80 columns."""
    heads = ("name", "version", "spaCy", "size", "license", "sha256")
    rows = [
        (
            *(pin.name, pin.version_label, entry.spacy_range, f"{pin.size_mb} MB", entry.license),
            pin.sha256 if has_hashes else "",
        )
        for entry in releases
        for pin in [entry.pin]
    ]
    return "\n".join(table(heads, rows))


def entry_facts(entry: CatalogEntry) -> Facts:
    """Return the JSON of `list --available` for one release."""
    return {**pin_facts(entry.pin), "spacy": entry.spacy_range, "license": entry.license}


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
    return "\n".join(with_issues(fitted(rows), issues))


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
    return "\n".join(fitted([(f"{facts['name']} {facts['version']}", "removed", str(facts["folder"]))]))


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


def doctor(options: argparse.Namespace) -> None:
    """Show settings, targets, locks and which sources answer."""
    from modelboot.cli.doctor import diagnose

    settings = read_settings()
    pin = resolve(options.model, pins=settings.pins)
    report = diagnose(pin, settings, from_command_line=variables_given(options))
    print_result(as_json=options.json, text=report.text(), facts=asdict(report))

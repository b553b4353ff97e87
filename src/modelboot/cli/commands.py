"""Every command, and beside it the text and the JSON it prints; `check` and `doctor` have modules of their own."""

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
from modelboot._reference import is_reference, parse_reference, read_pins
from modelboot._settings import directory, read_settings
from modelboot._versions import accepts_version, same_version
from modelboot.cli.manners import variables_given
from modelboot.cli.output import Facts, download_size, print_each, print_result, table
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
    listed = read_pins(Path(options.requirement)) if options.requirement else ()
    models = (ensure_model(model) for model in [*options.models, *listed] or [DEFAULT_MODEL])
    print_each(models, as_json=options.json, line=model_line, facts=model_facts)


def model_line(model: InstalledModel) -> str:
    """Return the line that `install` prints for one model."""
    return f"{model}  {model.source}{download_size(model.downloaded_bytes)}, {model.seconds:.2f} s  {model.path.parent}"


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
    return f"{wheel}  {wheel.source}{download_size(wheel.downloaded_bytes)}  {wheel.path}"


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
        print_result(as_json=options.json, text=text if releases else _NO_RELEASE, facts=facts)
    else:
        models = list_installed(targets_in_use(read_settings()))
        models = [model for model in models if matches(model.name, options.pattern)]
        facts = [installed_facts(model) for model in models]
        print_result(as_json=options.json, text=installed_text(models), facts=facts)


_NO_RELEASE = "no release of that name suits the installed spaCy; --all shows those for every spaCy"


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


def installed_text(models: Iterable[Installed]) -> str:
    """Return what is installed as a table."""
    rows = [
        (model.name, model.version, model.state, model.installer or "unknown", str(model.folder)) for model in models
    ]
    if not rows:
        return "no pipelines are installed; `modelboot list --available` shows which there are"
    return "\n".join(table(("name", "version", "state", "installer", "folder"), rows))


def installed_facts(model: Installed) -> Facts:
    """Return the JSON of `list` for one installed pipeline."""
    problem = model.first_problem
    return {
        "name": model.name,
        "version": model.version,
        "installer": model.installer,
        "folder": model.folder,
        "sha256": model.sha256,
        "damage": problem,
        "whole": problem is None,
    }


def verify(options: argparse.Namespace) -> None:
    """Re-check the hash of every installed file; fail when one is not as it was installed."""
    models = _named(options.models) or list_installed(targets_in_use(read_settings()))
    issues = {model: issues_of(model) for model in models}
    text = "\n".join(line for model in models for line in verified_lines(model, issues[model])) or installed_text([])
    facts = [{**installed_facts(model), "issues": issues[model]} for model in models]
    print_result(as_json=options.json, text=text, facts=facts)
    damaged = [str(model) for model in models if issues[model]]
    if damaged:
        hint = "`modelboot uninstall MODEL` and then `modelboot install MODEL` put the pinned files back"
        raise CommandError(f"not as it was installed: {', '.join(damaged)}", hint)


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


def verified_lines(model: Installed, issues: Sequence[str]) -> list[str]:
    """Return the lines that `verify` prints for one pipeline: one, and one more for each issue."""
    state = model.state if not issues else f"{len(issues)} {'issue' if len(issues) == 1 else 'issues'}"
    return [f"{model}  {state}  {model.folder}", *(f"  {issue}" for issue in issues)]


def uninstall(options: argparse.Namespace) -> None:
    """Remove models that modelboot installed."""
    removed = _removed(_named(options.models), read_settings().deadline_s)
    print_each(removed, as_json=options.json, line=removed_line, facts=dict)


def _removed(models: Iterable[Installed], deadline_s: float) -> Iterator[Facts]:
    """Remove one model after another, and yield the facts of what it was."""
    from modelboot._install.publish import uninstall

    for model in models:
        facts = installed_facts(model)
        uninstall(model, Deadline.after(deadline_s))
        yield facts


def removed_line(facts: Facts) -> str:
    """Return the line that `uninstall` prints for one model."""
    return f"{facts['name']} {facts['version']}  removed  {facts['folder']}"


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
    named = [item for item in everything if item.name == name and same_version(item.version, version or item.version)]
    if not named:
        raise CommandError(f"{model} is not installed", "`modelboot list` shows what is, and where it was looked for")
    return named


def doctor(options: argparse.Namespace) -> None:
    """Show settings, places, locks and which sources answer."""
    from modelboot.cli.doctor import diagnose

    settings = read_settings()
    pin = resolve(options.model, pins=settings.pins)
    report = diagnose(pin, settings, from_command_line=variables_given(options))
    print_result(as_json=options.json, text=report.text(), facts=asdict(report))

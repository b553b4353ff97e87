"""`modelboot list`: the installed models, or with `--available` the catalog; `verify` and `uninstall` read it, too."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from modelboot._catalog import CatalogEntry, catalog
from modelboot._environment import installed_version
from modelboot._install.installed import Installed, list_installed
from modelboot._install.targets import targets_in_use
from modelboot._pin import is_reference, parse_name, parse_reference
from modelboot._settings import read_settings
from modelboot._versions import accepts_version, same_name, same_version
from modelboot.cli.output import CommandError, Facts, print_result, table
from modelboot.cli.pin import pin_facts

SUMMARY = "list installed models and their state"
NONE_INSTALLED = "no models are installed; `modelboot list --available` shows the models you can install"
_NO_RELEASE = "the catalog has none for the installed spaCy; --all shows those for every spaCy"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what narrows the list down, and what shows the catalog."""
    parser.description = f"{str(parser.description).removesuffix('.')}; with --available, the catalog."
    meaning = "only names that contain or match this: fr, 'de_*'"
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", help=meaning)
    parser.add_argument("--available", action="store_true", help="show the catalog for the installed spaCy instead")
    parser.add_argument("--all", action="store_true", help="with --available: the releases for every spaCy")
    parser.add_argument("--hashes", action="store_true", help="with --available: show the SHA-256 of each wheel")
    parser.set_defaults(usage_error=parser.error)


def run(options: argparse.Namespace) -> None:
    """List installed models and their state, or the catalog."""
    if options.available:
        _list_catalog(options)
    elif options.all or options.hashes:
        options.usage_error("--all and --hashes are of use with --available only")
    else:
        _list_installed(options)


def _matches(name: str, pattern: str | None) -> bool:
    """Return True if a name contains a text or matches a pattern of a shell; with neither, every name does."""
    wanted = (pattern or "").replace("-", "_").lower()
    return wanted in name.lower() or fnmatchcase(name.lower(), wanted)


# --- the catalog


def _list_catalog(options: argparse.Namespace) -> None:
    spacy = None if options.all else installed_version("spacy")
    releases = [
        entry
        for entry in catalog()
        if _matches(entry.pin.name, options.pattern) and (spacy is None or accepts_version(entry.spacy_range, spacy))
    ]
    none = "the catalog has no model of that name" if options.all else _NO_RELEASE
    text = _catalog_text(releases, has_hashes=options.hashes) if releases else none
    print_result(as_json=options.json, text=text, facts=[_entry_facts(entry) for entry in releases])


def _catalog_text(releases: Iterable[CatalogEntry], *, has_hashes: bool) -> str:
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


def _entry_facts(entry: CatalogEntry) -> Facts:
    """Return the JSON of one release."""
    return {**pin_facts(entry.pin), "spacy": entry.spacy_range, "license": entry.license}


# --- what is installed


def _list_installed(options: argparse.Namespace) -> None:
    everything = all_installed()
    models = [model for model in everything if _matches(model.name, options.pattern)]
    issues = [first_issues(model) for model in models]
    none = "no installed model has a name like that" if everything else NONE_INSTALLED
    text = _installed_text(models, issues) if models else none
    print_result(as_json=options.json, text=text, facts=[*map(installed_facts, models, issues)])


def all_installed() -> list[Installed]:
    """Return every installed model, wherever modelboot looks for one."""
    return list_installed(targets_in_use(read_settings()))


def copies_of(model: str) -> list[Installed]:
    """Return what is installed of a name, name==version or direct reference, which need not be in the catalog."""
    if is_reference(model):
        pin = parse_reference(model)
        name, version, sha256 = pin.name, pin.version, pin.sha256
    else:
        (name, version), sha256 = parse_name(model), None
    named = [
        copy
        for copy in all_installed()
        if same_name(copy.name, name)
        and (same_version(copy.version, version) if version else sha256 in {None, copy.sha256})
    ]
    if not named:
        hint = "`modelboot list` shows the installed models, `modelboot doctor` the folders that are searched"
        raise CommandError(f"{model} is not installed", hint)
    return named


def first_issues(model: Installed) -> list[str]:
    """Name the first thing that is wrong with a model, as far as its files' names and sizes tell."""
    problem = model.first_problem
    return [] if problem is None else [problem]


def state_of(model: Installed, issues: Sequence[str]) -> str:
    """Return what is said about a model, in a few words."""
    return "not intact" if issues else model.state


def _installed_text(models: Sequence[Installed], issues: Sequence[Sequence[str]]) -> str:
    """Return what is installed as a table, with what is wrong below those that are not intact."""
    rows = [
        (model.name, model.version, state_of(model, found), model.installer or "unknown", str(model.folder))
        for model, found in zip(models, issues, strict=True)
    ]
    return with_issues(table(("name", "version", "state", "installer", "folder"), rows), [[], *issues])


def with_issues(lines: Sequence[str], issues: Sequence[Sequence[str]]) -> str:
    """Join the lines of some models, each with its issues below it."""
    return "\n".join("\n  ".join([line, *found]) for line, found in zip(lines, issues, strict=True))


def installed_facts(model: Installed, issues: Sequence[str]) -> Facts:
    """Return the JSON of one installed model."""
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

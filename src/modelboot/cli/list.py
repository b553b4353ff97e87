"""`modelboot list`: the installed models, or with `--available` the catalog."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from fnmatch import fnmatchcase

from modelboot._catalog import CatalogEntry, catalog
from modelboot._environment import installed_version
from modelboot._install.installed import list_installed
from modelboot._install.target import targets_in_use
from modelboot._settings import read_settings
from modelboot._versions import accepts_version
from modelboot.cli.installed import installed_facts, installed_text, quick_issues
from modelboot.cli.output import Facts, print_result, table
from modelboot.cli.pin import pin_facts


def list_models(options: argparse.Namespace) -> None:
    """List installed models and their state, or the catalog."""
    if (options.all or options.hashes) and not options.available:
        options.usage_error("--all and --hashes are of use with --available only")
    if options.available:
        spacy = None if options.all else installed_version("spacy")
        releases = [entry for entry in catalog() if suits(entry, spacy) and matches(entry.pin.name, options.pattern)]
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


def suits(entry: CatalogEntry, spacy: str | None) -> bool:
    """Return True if a release was made for a version of spaCy; any is, where that is None."""
    return spacy is None or accepts_version(entry.spacy_range, spacy)


def matches(name: str, pattern: str | None) -> bool:
    """Return True if a name contains a text or matches a pattern of a shell; with neither, every name does."""
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

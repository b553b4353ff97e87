"""`modelboot uninstall`: remove models that modelboot installed, a line each."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator, Sequence

from modelboot._deadline import Deadline
from modelboot._install.installed import Installed
from modelboot._install.targets import INSTALLER
from modelboot._settings import read_settings
from modelboot.cli.list import copies_of, first_issues, installed_facts
from modelboot.cli.options import MODEL
from modelboot.cli.output import Facts, fit_line, print_each

SUMMARY = "remove models that modelboot installed"

_log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the models."""
    parser.add_argument("models", metavar="MODEL", nargs="+", help=MODEL)


def run(options: argparse.Namespace) -> None:
    """Remove models that modelboot installed; copies that other programs have beside them stay."""
    models = dict.fromkeys(model for name in options.models for model in _removable(copies_of(name)))
    removed = _removed(models, read_settings().deadline_s)
    print_each(removed, as_json=options.json, line=_line, facts=dict)


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
        facts = installed_facts(model, first_issues(model))
        uninstall(model, Deadline.after(deadline_s))
        yield facts


def _line(facts: Facts) -> str:
    return fit_line(f"{facts['name']} {facts['version']}", "removed", str(facts["folder"]))

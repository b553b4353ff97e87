"""`modelboot env`: shell lines that let other programs find the models that lie outside their own environment."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from modelboot._install.installed import Installed, list_installed
from modelboot._install.targets import targets_in_use
from modelboot._redact import printable
from modelboot._settings import read_settings
from modelboot.cli.output import print_result

SUMMARY = "print the shell line that lets other programs find the models"

_log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the shell."""
    meaning = "shell to print the line for (default: sh)"
    parser.add_argument("--shell", choices=sorted(_SHELLS), default="sh", help=meaning)


def run(options: argparse.Namespace) -> None:
    """Print the line that sets PYTHONPATH to the folders of models that are not on sys.path."""
    on_path = {os.path.realpath(folder) for folder in sys.path}
    models = list_installed(targets_in_use(read_settings()))
    outside = [model for model in models if os.path.realpath(model.folder) not in on_path]
    left_out = _reasons_against(outside)
    if left_out:
        _log.warning("left out: %s", "; ".join(f"{model} in {model.folder}, {why}" for model, why in left_out.items()))
    # A folder may hold several models: one that holds any that is left out comes last, behind those that have it newer.
    beside = {model.folder for model in left_out}
    wanted = sorted(
        {model.folder for model in outside if model not in left_out}, key=lambda each: (each in beside, each)
    )
    folders = [*map(str, wanted)]
    print_result(as_json=options.json, text=_SHELLS[options.shell](folders), facts={"PYTHONPATH": folders})


def _reasons_against(models: Sequence[Installed]) -> dict[Installed, str]:
    """Say why some models are not to be found by other programs.

    Args:
        models: Models that are not on sys.path, those of one name from the oldest to the newest.
    """
    unusable = {model.folder: "which cannot be written in PYTHONPATH" for model in models if _is_odd(str(model.folder))}
    # PYTHONPATH comes before site-packages: what this environment finds under that name must not be hidden.
    hiding = [model for model in models if _has_package(model.name)]
    unusable |= {model.folder: f"which would hide the {model.name} of this environment" for model in hiding}
    intact = [model for model in models if model.first_problem is None]
    newest = {model.name: model for model in intact if model.folder not in unusable}
    reasons: dict[Installed, str] = {}
    for model in models:
        if model.folder in unusable:
            reasons[model] = unusable[model.folder]
        elif model not in intact:
            reasons[model] = "which is not intact"
        elif model != newest[model.name]:
            reasons[model] = f"as {newest[model.name].version} is in {newest[model.name].folder}"
    return reasons


def _is_odd(folder: str) -> bool:
    """Return True if a folder would be two in PYTHONPATH, or has a character that is not printed as it is."""
    return os.pathsep in folder or printable(folder) != folder


def _has_package(name: str) -> bool:
    """Return True if this environment finds a package of that name: a mere folder without a module is not one."""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


_NOTHING = "# nothing to add"


def _sh(folders: Sequence[str]) -> str:
    """Append to what is set: it goes on being found first."""
    if not folders:
        return _NOTHING
    added = shlex.quote(os.pathsep.join(folders))
    return f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH{os.pathsep}}}"{added}'


def _fish(folders: Sequence[str]) -> str:
    if not folders:
        return _NOTHING
    quoted = ["'" + folder.replace("\\", "\\\\").replace("'", "\\'") + "'" for folder in folders]
    return f"set -gx PYTHONPATH $PYTHONPATH {' '.join(quoted)}"


_SHELLS: dict[str, Callable[[Sequence[str]], str]] = {"fish": _fish, "sh": _sh}

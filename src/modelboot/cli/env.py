"""`modelboot env`: shell lines that let other programs find the models that lie outside their own environment."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from modelboot._install.installed import list_installed
from modelboot._install.target import targets_in_use
from modelboot._settings import read_settings
from modelboot.cli.output import print_result

_log = logging.getLogger(__name__)


def env(options: argparse.Namespace) -> None:
    """Print the line that sets PYTHONPATH to the folders of models that are not on sys.path."""
    on_path = {os.path.realpath(folder) for folder in sys.path}
    models = list_installed(targets_in_use(read_settings()))
    outside = [model for model in models if os.path.realpath(model.folder) not in on_path]
    # PYTHONPATH comes before site-packages: what this environment finds under that name must not be hidden.
    hiding = [model for model in outside if importlib.util.find_spec(model.name) is not None]
    for model in hiding:
        _log.warning("%s is left out: it would hide the %s of this environment", model.folder, model.name)
    hidden = {model.folder for model in hiding}
    wanted = [*dict.fromkeys(str(model.folder) for model in outside if model.folder not in hidden)]
    print_result(as_json=options.json, text=SHELLS[options.shell](wanted), facts={"PYTHONPATH": wanted})


def _sh(folders: Sequence[str]) -> str:
    """Append to what is set: it goes on being found first."""
    if not folders:
        return "# nothing to add: every model is on sys.path"
    added = shlex.quote(os.pathsep.join(folders))
    return f'export PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH{os.pathsep}}}"{added}'


def _fish(folders: Sequence[str]) -> str:
    if not folders:
        return "# nothing to add: every model is on sys.path"
    quoted = ["'" + folder.replace("\\", "\\\\").replace("'", "\\'") + "'" for folder in folders]
    return f"set -gx PYTHONPATH $PYTHONPATH {' '.join(quoted)}"


SHELLS: dict[str, Callable[[Sequence[str]], str]] = {"fish": _fish, "sh": _sh}

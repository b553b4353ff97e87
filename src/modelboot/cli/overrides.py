"""Options that override settings for one run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager

_AS_SETTINGS = {"offline": "MODELBOOT_OFFLINE", "target": "MODELBOOT_TARGET"}
"""Options that say for one run what a variable says for all, and that variable."""


def variables_given(options: argparse.Namespace) -> dict[str, str]:
    """Return the variables that options stand in for, with the values they give them."""
    given = {"offline": "1" if options.offline else None, "target": options.target}
    return {_AS_SETTINGS[name]: str(value) for name, value in given.items() if value is not None}


@contextmanager
def override_settings(options: argparse.Namespace) -> Iterator[None]:
    """Let options stand in for their variables inside the with block: whatever runs there finds them in force."""
    before = {variable: os.environ.get(variable) for variable in _AS_SETTINGS.values()}
    os.environ.update(variables_given(options))
    try:
        yield
    finally:
        for variable, value in before.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value

"""What pip and uv say of this Python: who made its environment (uv, the operating system: PEP 668), their switches."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

_ON = frozenset({"y", "yes", "t", "true", "on", "1"})


def is_on(variable: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a switch of pip's or uv's is on: both know the same words for that, in upper and lower case."""
    return environ.get(variable, "").lower() in _ON


def is_uv_environment() -> bool:
    """Tell whether uv made the running environment: `uv sync` then removes what the project does not name."""
    try:
        lines = Path(sys.prefix, "pyvenv.cfg").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


def is_externally_managed() -> bool:
    """Tell whether only the operating system's packages may be put beside this Python, as pip and uv read it (PEP 668).

    Like pip's own switch, PIP_BREAK_SYSTEM_PACKAGES lifts that; a virtual environment is its owner's.
    """
    if sys.prefix != sys.base_prefix or is_on("PIP_BREAK_SYSTEM_PACKAGES"):
        return False
    return os.path.isfile(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))


def install_command() -> str:
    """Return the command that installs packages here: environments of uv have no pip."""
    return "uv pip install" if is_uv_environment() else "pip install"

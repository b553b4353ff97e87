"""The environment of this Python: what is installed, who made it, and what pip and uv may do there.

uv makes environments without pip; the operating system's own are externally managed (PEP 668).
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from modelboot._versions import same_name

_ON = frozenset({"y", "yes", "t", "true", "on", "1"})


def is_on(variable: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Return True if a switch of pip's or uv's is on: both know the same words for that, in upper and lower case."""
    return environ.get(variable, "").lower() in _ON


def is_uv_environment() -> bool:
    """Return True if uv made the running environment: `uv sync` then removes what the project does not name."""
    try:
        lines = Path(sys.prefix, "pyvenv.cfg").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


def is_externally_managed() -> bool:
    """Return True if only the system's packages may be put beside this Python, as pip and uv read it (PEP 668).

    Like pip's own switch, PIP_BREAK_SYSTEM_PACKAGES lifts that; a virtual environment is its owner's.
    """
    if sys.prefix != sys.base_prefix or is_on("PIP_BREAK_SYSTEM_PACKAGES"):
        return False
    return os.path.isfile(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))


def install_command() -> str:
    """Return the command that installs packages here: environments of uv have no pip."""
    return "uv pip install" if is_uv_environment() else "pip install"


def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, from its metadata; None when it is not installed."""
    return next(_versions_on_path(name), None) or _version_elsewhere(name)


def _versions_on_path(name: str) -> Iterator[str]:
    """Yield the versions in the names of dist-info folders, some of which have nothing left in them."""
    for folder in dict.fromkeys(sys.path):
        with suppress(OSError, ValueError, TypeError):  # what Python skips, too: no folder, a null byte, no text
            for entry in os.listdir(folder or "."):
                if entry.endswith(".dist-info"):
                    found, _, version = entry.removesuffix(".dist-info").rpartition("-")
                    if same_name(found, name) and os.path.exists(os.path.join(folder, entry, "METADATA")):
                        yield version


def _version_elsewhere(name: str) -> str | None:
    """Look for what is not a plain dist-info folder: archives, egg-info, other importers. This import takes 20 ms."""
    from importlib import metadata

    found = metadata.distributions(name=name)
    # What an interrupted uninstall left is empty, and has no version.
    return next((each.version for each in found if each.read_text("METADATA") or each.read_text("PKG-INFO")), None)

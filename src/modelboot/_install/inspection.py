"""Comparing what a target has with a pin: is it intact, may it be replaced, or is it another program's?"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from modelboot._install.installed import Installed, all_in, files_below, split_name
from modelboot._install.stage import all_of
from modelboot._install.target import INSTALLER, Target
from modelboot._pin import ModelPin
from modelboot._versions import is_newer_version, same_name, same_version

PATIENCE_S = 1.0
"""Longest wait for another process that publishes. On a busy machine its few renames can take a tenth of that."""


class Inspection(NamedTuple):
    """What a target holds of a model at one moment."""

    state: Literal["absent", "intact", "foreign", "replaceable"]
    """`foreign` stays: modelboot did not install it, it has files that RECORD does not list, or it is a newer version
    or another build of modelboot's own. `replaceable` is modelboot's own older version, or its own damaged one."""
    existing: tuple[Path, ...] = ()
    """Everything of that name in the target, dist-infos first: what a new install replaces."""
    installed: Installed | None = None
    """The pinned model, when it is intact."""


def inspect(target: Target, pin: ModelPin) -> Inspection:
    """Judge what a target holds of a model, in about a millisecond and without writing or locking.

    While another process publishes there, it looks again for at most a second.

    Args:
        target: The target; its folder need not exist.
        pin: The model.

    Returns:
        What is there, compared with the pin. What this user may not read is foreign.

    Raises:
        OSError: It cannot be judged: too many open files, no memory, a broken disk.
    """
    try:
        inspection, until_s = _inspect(target, pin), time.monotonic() + PATIENCE_S
        # Another process may publish between two looks at the folder.
        while inspection.state == "foreign" and _is_busy(target, pin, inspection.existing):
            if time.monotonic() > until_s:
                break
            time.sleep(0.002)
            inspection = _inspect(target, pin)
    except PermissionError:
        return Inspection("foreign")
    return inspection


def _is_busy(target: Target, pin: ModelPin, seen: tuple[Path, ...]) -> bool:
    """Return True if another process installs this model now, or has done so since the target was looked at."""
    return bool(all_of(target.work, pin.name)) or seen != _existing(target, pin, _named(target, pin))


def _inspect(target: Target, pin: ModelPin) -> Inspection:
    named = _named(target, pin)
    existing = _existing(target, pin, named)
    for installed in named:
        if _is_pinned(installed, pin) and installed.first_problem is None:
            return Inspection("intact", existing, installed)
    if not existing:
        return Inspection("absent")
    return Inspection("replaceable" if may_replace(target, pin) else "foreign", existing)


def may_replace(target: Target, pin: ModelPin) -> bool:
    """Return True if all that a target holds of a model is modelboot's own, so that it may be replaced or removed.

    That is what INSTALLER says is modelboot's and what its RECORD names, or what the dist-info in a staging directory
    of modelboot's proves to be the middle of its own publishing. A newer version and another build of this version are
    somebody's pins, too: two programs would replace each other's for ever.
    """
    named = _named(target, pin)
    if os.path.islink(target.folder / pin.name) or any(_must_stay(other, pin) for other in named):
        return False
    own = [*named, *_staged_dist_infos(target, pin)]
    recorded = {path for each in own for path in each.recorded}
    tops = target.folders_of(*_existing(target, pin, named))
    return bool(own) and all(name in recorded for name in files_below(tops, target.folder))


def _named(target: Target, pin: ModelPin) -> list[Installed]:
    named = (other._replace(name=pin.name) for other in all_in(target, pin.name))
    return [other for other in named if os.path.lexists(other.dist_info)]  # else another process has just moved it


def _existing(target: Target, pin: ModelPin, named: list[Installed]) -> tuple[Path, ...]:
    package = target.folder / pin.name
    return (*(other.dist_info for other in named), *([package] if os.path.lexists(package) else []))


def _is_pinned(installed: Installed, pin: ModelPin) -> bool:
    if pin.version is None:
        return installed.sha256 == pin.sha256
    hashes = {pin.sha256} if installed.target.require_hash else {None, pin.sha256}
    return same_version(installed.version, pin.version) and installed.sha256 in hashes


def _must_stay(other: Installed, pin: ModelPin) -> bool:
    """Return True if what is installed is another program's, or another pin's."""
    if other.installer != INSTALLER:
        return True
    if _is_pinned(other, pin) or other.first_problem is not None:
        return False  # it is the pinned one, or damaged
    # Without a version in the pin it is not known which is newer: then nothing is lost.
    is_other_build = pin.version is None or same_version(other.version, pin.version)
    return is_other_build or is_newer_version(other.version, pin.version or "")


def _staged_dist_infos(target: Target, pin: ModelPin) -> list[Installed]:
    """List modelboot's dist-infos of a model that are on their way into the target, or out of it."""
    found: list[Path] = []
    for staging in all_of(target.work, pin.name):
        with suppress(FileNotFoundError):  # its process is removing it
            found += staging.glob("*/*.dist-info")
    staged = [Installed(pin.name, target, path) for path in found if same_name(split_name(path.name)[0], pin.name)]
    return [each for each in staged if each.installer == INSTALLER]

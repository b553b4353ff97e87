"""What a target holds of a model: the pinned one, something that may be replaced, or something that has to stay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from modelboot._install.installed import Installed, all_in, files_below, split_name
from modelboot._install.stage import stages_of
from modelboot._install.targets import INSTALLER, Target
from modelboot._pin import ModelPin
from modelboot._versions import is_newer_version, same_name, same_version

LOOKS = 100
"""How often a folder is read anew because another process changes it meanwhile; it makes four renames."""


class Look(NamedTuple):
    """What one reading of a target's folder shows of a model."""

    existing: tuple[Path, ...]
    """Everything of that name, dist-infos first: what a new install replaces."""
    installed: Installed | None
    """The pinned model, when it is intact."""
    is_ours: bool
    """Whether all of it is modelboot's own and may be replaced or removed, which holds where nothing is there."""


def find_in(target: Target, pin: ModelPin) -> Installed | None:
    """Return the pinned model if a target has it intact; in about a millisecond, without writing or locking.

    Args:
        target: The target; its folder need not exist. What this user may not read is not there.
        pin: The model.

    Raises:
        OSError: It cannot be judged: too many open files, no memory, a broken disk.
    """
    with suppress(PermissionError):
        return _intact(_named(target, pin), pin)
    return None


def look(target: Target, pin: ModelPin, stages: Sequence[Path] | None = None) -> Look:
    """Judge what a target holds of a model, without writing or locking.

    Args:
        target: The target; its folder need not exist.
        pin: The model.
        stages: Those that may prove that what is half published is ours; all of the target when None.

    Returns:
        What is there. What this user may not read has to stay.

    Raises:
        OSError: It cannot be judged, as for `find_in`.
    """
    seen = Look((), None, is_ours=False)
    with suppress(PermissionError):
        for _ in range(LOOKS):
            named = _named(target, pin)
            seen = Look(_existing(target, pin, named), _intact(named, pin), _are_ours(target, pin, named, stages))
            # What is half published is ours by a dist-info in a stage, which may have come to the target since.
            if seen.is_ours or seen.existing == _existing(target, pin, _named(target, pin)):
                break
    return seen


def _named(target: Target, pin: ModelPin) -> list[Installed]:
    named = (other._replace(name=pin.name) for other in all_in(target, pin.name))
    return [other for other in named if os.path.lexists(other.dist_info)]  # else another process has just moved it


def _existing(target: Target, pin: ModelPin, named: Sequence[Installed]) -> tuple[Path, ...]:
    package = target.folder / pin.name
    return (*(other.dist_info for other in named), *([package] if os.path.lexists(package) else []))


def _intact(named: Sequence[Installed], pin: ModelPin) -> Installed | None:
    return next((each for each in named if _is_pinned(each, pin) and each.first_problem is None), None)


def _is_pinned(installed: Installed, pin: ModelPin) -> bool:
    if pin.version is None:
        return installed.sha256 == pin.sha256
    hashes = {pin.sha256} if installed.target.require_hash else {None, pin.sha256}
    return same_version(installed.version, pin.version) and installed.sha256 in hashes


def _are_ours(target: Target, pin: ModelPin, named: Sequence[Installed], stages: Sequence[Path] | None) -> bool:
    """Return True if all of it is what INSTALLER says is modelboot's and what its RECORD names.

    A dist-info in a stage of modelboot's counts, too: it proves the middle of our own publishing. A newer version and
    another build of this version are pins of others: two programs would replace each other's for ever.
    """
    if os.path.islink(target.folder / pin.name) or any(_has_to_stay(other, pin) for other in named):
        return False
    existing = _existing(target, pin, named)
    if not existing:
        return True
    own = [*named, *_staged_dist_infos(target, pin, stages)]
    recorded = {path for each in own for path in each.recorded}
    return bool(own) and all(name in recorded for name in files_below(target.folders_of(*existing), target.folder))


def _has_to_stay(other: Installed, pin: ModelPin) -> bool:
    """Return True if what is installed is another program's, or another pin's."""
    if other.installer != INSTALLER:
        return True
    if _is_pinned(other, pin) or other.first_problem is not None:
        return False  # it is the pinned one, or damaged
    # Without a version in the pin it is not known which is newer: then nothing is lost.
    is_other_build = pin.version is None or same_version(other.version, pin.version)
    return is_other_build or is_newer_version(other.version, pin.version or "")


def _staged_dist_infos(target: Target, pin: ModelPin, stages: Sequence[Path] | None) -> list[Installed]:
    """List modelboot's dist-infos of a model that are on their way into the target, or out of it."""
    found: list[Path] = []
    for stage in stages_of(target.work, pin.name) if stages is None else stages:
        with suppress(FileNotFoundError):  # its process is removing it
            found += stage.glob("*/*.dist-info")
    staged = [Installed(pin.name, target, path) for path in found if same_name(split_name(path.name)[0], pin.name)]
    return [each for each in staged if each.installer == INSTALLER]

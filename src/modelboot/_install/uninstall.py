"""Removing a model that modelboot installed, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from modelboot._deadline import Deadline
from modelboot._files import fsync_folder, rename
from modelboot._install.installed import Installed
from modelboot._install.lock import locked
from modelboot._install.publish import rename_all
from modelboot._install.stage import remove_dead, staged
from modelboot._install.targets import INSTALLER, Target
from modelboot.errors import InstallError, ModelbootError


def uninstall(installed: Installed, deadline: Deadline) -> None:
    """Remove a model, its dist-info first: a reader sees it complete or not at all.

    Nothing RECORD names is followed: what goes is the package's folder and the dist-info, both moved into a stage and
    deleted there. They are judged under the lock, and once more where no other program puts anything into them.

    Args:
        installed: The model.
        deadline: When to give up waiting for another process.

    Raises:
        InstallError: Another program installed it, it has unexpected files, or this user may not remove it.
    """
    model, target = str(installed), installed.target
    _refuse_unless_ours(installed, target)
    try:
        with (
            locked(target.lock_file(installed.name), model, deadline) as turn,
            staged(target.work, installed.name, is_locked=turn.is_locked) as stage,
        ):
            remove_dead(target.work, installed.name, is_locked=turn.is_locked, heir=stage.folder)
            if not installed.dist_info.exists():  # removed or replaced during the wait
                return
            _refuse_unless_ours(installed, target)
            _move_out(installed, stage.folder)
            fsync_folder(target.commit_folder)
    except ModelbootError:  # another process has the lock; that is an OSError, too
        raise
    except OSError as error:
        raise InstallError.from_os_error(error, model=model, path=str(target.folder), action="uninstall") from error


def _move_out(installed: Installed, backup: Path) -> None:
    """Move folders away, and back if they turn out to hold something that is not modelboot's.

    Those of a lower layer of an image, which cannot be renamed, are removed, RECORD first. Without its RECORD the model
    counts as absent; files of a lower layer can be renamed, the overlay copies them.
    """
    existing = [path for path in (installed.dist_info, installed.package) if path.exists()]
    renames = installed.target.renames_out(existing, backup)
    try:
        rename_all(renames)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        for folder, destination in renames:
            destination.mkdir()
            if os.path.exists(folder / "RECORD"):
                rename(folder / "RECORD", destination / "RECORD")
            shutil.rmtree(folder)
        return
    there = installed.target.moved_to(backup)
    try:
        _refuse_unless_ours(
            installed._replace(target=there, dist_info=there.folder / installed.dist_info.name), installed.target
        )
    except BaseException:  # Ctrl-C, or a file that cannot be read, too
        rename_all([(destination, source) for source, destination in reversed(renames)])
        raise


def _refuse_unless_ours(installed: Installed, target: Target) -> None:
    """Raise an InstallError, which names the target, unless a model is modelboot's to remove."""
    unexpected = installed.unexpected_files()
    if installed.installer != INSTALLER:
        reason = f"{installed.installer or 'another program'} installed it"
    elif unexpected:
        reason = f"RECORD does not list {', '.join(unexpected)}"
    else:
        return
    model = str(installed)
    raise InstallError(model=model, path=str(target.folder), fault="owner", reason=reason, action="uninstall")

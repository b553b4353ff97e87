"""Removing a model that modelboot installed, and nothing else."""

from __future__ import annotations

import errno
import os
import shutil

from modelboot._files import rename
from modelboot._fsync import fsync_folder
from modelboot._install import lock, stage
from modelboot._install.installed import Installed
from modelboot._install.publish import rename_all
from modelboot._install.target import INSTALLER, Rename
from modelboot._limits import Deadline
from modelboot.errors import InstallError, ModelbootError


def uninstall(installed: Installed, deadline: Deadline) -> None:
    """Remove a model, its dist-info first: a reader sees it complete or not at all.

    Nothing RECORD names is followed: what goes is the package's folder and the dist-info, both moved into a staging
    directory and deleted there.

    Args:
        installed: The model.
        deadline: When to give up waiting for another process.

    Raises:
        InstallError: Another program installed it, it has unexpected files, or this user may not remove it.
    """
    model, target = str(installed), installed.target
    refusal = _refusal(installed)
    if refusal is not None:
        raise InstallError(model=model, path=str(target.folder), fault="owner", reason=refusal, action="uninstall")
    locked = lock.locked(target.lock_file(installed.name), model, deadline)
    try:
        with locked, stage.staged(target.work, installed.name) as staging:
            stage.remove_stale(target.work, installed.name)
            existing = [path for path in (installed.dist_info, installed.package) if path.exists()]
            _move_out(target.renames_out(existing, staging))
            fsync_folder(target.renamed_in)
    except ModelbootError:  # another process has the lock; that is an OSError, too
        raise
    except OSError as error:
        raise InstallError.from_os_error(error, model=model, path=str(target.folder), action="uninstall") from error


def _move_out(renames: list[Rename]) -> None:
    """Move folders away; those of a lower layer of an image, which cannot be renamed, are removed, RECORD first.

    Without its RECORD the model counts as absent; files of a lower layer can be renamed, the overlay copies them.
    """
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


def _refusal(installed: Installed) -> str | None:
    """Say why a model is not modelboot's to remove; None when it is."""
    if installed.installer != INSTALLER:
        return f"{installed.installer or 'another program'} installed it"
    unexpected = installed.unexpected_files()
    return f"RECORD does not list {', '.join(unexpected)}" if unexpected else None

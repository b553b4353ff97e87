"""An overlay mount, real or stood in for: the lower layer of an image can be read and hidden, but no folder renamed."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000
_MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x4000, 0x40000, 2


def skip_without_overlay(folder: Path) -> None:
    """Skip the test, saying why, where no overlay can be mounted below a folder: by whom is not root, or on an overlay.

    Args:
        folder: It is made, and removed again.
    """
    import pytest

    try:
        mount(folder / "lower", folder / "merged")
    except OSError as error:
        pytest.skip(f"no overlay can be mounted here: {error.strerror}")
    unmount(folder / "merged")


def mount(lower: Path, merged: Path) -> None:
    """Mount an overlay with an empty upper layer; folders that are missing are made.

    Args:
        lower: The lower layer. It is never changed.
        merged: Where both layers are seen; the upper one lies beside its folder.

    Raises:
        OSError: It cannot be mounted here.
    """
    upper, work = _upper(merged), _upper(merged).with_suffix(".work")
    for folder in (lower, merged, upper, work):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    _call("mount", b"overlay", os.fsencode(merged), b"overlay", ctypes.c_ulong(0), options.encode())


def unmount(merged: Path) -> None:
    """Take an overlay away, with all that was written to it; nothing happens where there is none."""
    import shutil

    if os.path.ismount(merged):
        _call("umount2", os.fsencode(merged), _MNT_DETACH)
    for folder in (_upper(merged), _upper(merged).with_suffix(".work")):
        shutil.rmtree(folder, ignore_errors=True)


def refuse_renames(monkeypatch: pytest.MonkeyPatch, is_refused: Callable[[Path, Path], bool]) -> None:
    """Refuse renames as an overlay does those in its lower layer, and any system those to another disk.

    Args:
        monkeypatch: Undoes it.
        is_refused: Tells by source and destination.
    """
    rename = os.rename

    def renaming(source: str | Path, destination: str | Path) -> None:
        if is_refused(Path(source), Path(destination)):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, destination)

    monkeypatch.setattr(os, "rename", renaming)


def keep_mounts_private() -> None:
    """Let what this process mounts be seen here alone, and end with it; nothing happens where that is refused."""
    if _LIBC.unshare(_CLONE_NEWNS) == 0:
        _call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None)


def _upper(merged: Path) -> Path:
    """Return the folder of the upper layer, outside of the folder that the mount point is in."""
    return merged.parent.with_name(f"{merged.parent.name}-{merged.name}.upper")


def _call(function: str, *arguments: object) -> None:
    if getattr(_LIBC, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

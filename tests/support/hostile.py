"""Wheels that break the archive policy, each with what is said of it; and honest ones that need no spaCy."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from support.wheels import Tampering, build_wheel

if TYPE_CHECKING:
    from support.wheels import BuiltWheel

NAME, VERSION = "en_tiny_sm", "1.0.0"
INFO = f"{NAME}-{VERSION}.dist-info"
MEMBERS = {
    f"{NAME}/__init__.py": b"",
    f"{NAME}/meta.json": b'{"lang": "en", "name": "tiny_sm", "version": "1.0.0"}',
    f"{NAME}/{NAME}-{VERSION}/config.cfg": b"[nlp]\n" * 100,
}
"""Files of a package that can be installed and not loaded: enough for all that comes before loading."""
_MODELS = f"[spacy_models]\n{NAME} = {NAME}\n"


@dataclass(frozen=True, slots=True)
class Hostile:
    """One way to break the policy.

    Attributes:
        tampering: What sets the wheel apart from an honest one.
        issue: What is said of it, whole.
        version: The version the wheel is built as; the pin's is always `VERSION`.
    """

    tampering: Tampering
    issue: str
    version: str = VERSION


def plain_wheel(folder: Path, *, version: str = VERSION, tampering: Tampering | None = None) -> BuiltWheel:
    """Build a wheel of `MEMBERS`, without waiting for spaCy.

    Args:
        folder: Where to put it; made if missing.
        version: Version of the distribution.
        tampering: What makes it dishonest; nothing when None.

    Returns:
        The wheel and the facts a pin needs.
    """
    return build_wheel(folder, name=NAME, version=version, members=MEMBERS, tampering=tampering or Tampering())


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


def _extra(path: str, issue: str) -> Hostile:
    return Hostile(Tampering(extra={path: b"x"}), issue)


MUST_SHOW = {
    "parent": _extra("../x", "path '../x' leaves its folder"),
    "absolute": _extra("/x", "absolute or foreign path '/x'"),
    "link": Hostile(Tampering(links={f"{NAME}/x": "/etc/passwd"}), f"link or special file {NAME}/x"),
    "pth": _extra("x.pth", "path configuration file x.pth"),
    "data": _extra(f"{NAME}-{VERSION}.data/data/x", f"data member {NAME}-{VERSION}.data/data/x"),
    "console-script": Hostile(
        Tampering(entry_points=f"{_MODELS}[console_scripts]\nRun-It = {NAME}:load\n"),
        "script Run-It in entry_points.txt (console_scripts)",
    ),
    "not-in-record": Hostile(Tampering(unlisted={f"{NAME}/x": b"x"}), f"member {NAME}/x is not in RECORD"),
    "only-in-record": Hostile(Tampering(listed_only=[f"{NAME}/x"]), f"RECORD lists {NAME}/x, which is not there"),
    "metadata-name": Hostile(Tampering(metadata_name="en_other_sm"), f"METADATA names en_other_sm, not {NAME}"),
    "metadata-version": Hostile(Tampering(metadata_version="1.0.1"), "METADATA has version 1.0.1, not 1.0.0"),
}
"""What must each be refused with its own message before anything is written."""

ALL = MUST_SHOW | {
    "parent-inside": _extra(f"{NAME}/../../x", f"path '{NAME}/../../x' leaves its folder"),
    "dot": _extra("./x", "path './x' leaves its folder"),
    "empty-part": _extra(f"{NAME}//x", f"path '{NAME}//x' leaves its folder"),
    "backslash": _extra(f"{NAME}\\..\\x", f"absolute or foreign path '{NAME}\\\\..\\\\x'"),
    "drive": _extra("C:/x", "absolute or foreign path 'C:/x'"),
    "pth-in-package": _extra(f"{NAME}/x.pth", f"path configuration file {NAME}/x.pth"),
    "gui-script": Hostile(
        Tampering(entry_points=f"{_MODELS}[gui_scripts]\nrun = {NAME}:load\n"),
        "script run in entry_points.txt (gui_scripts)",
    ),
    "outside": _extra("other/x.py", f"member other/x.py outside {NAME}/ and {INFO}/"),
    "top-level": _extra("sitecustomize.py", f"member sitecustomize.py outside {NAME}/ and {INFO}/"),
    "folder-outside": Hostile(
        Tampering(unlisted={"other/": b""}),
        f"member other/ outside {NAME}/ and {INFO}/",
    ),
    "duplicate": Hostile(Tampering(duplicates=[f"{NAME}/meta.json"]), f"duplicate member {NAME}/meta.json"),
    "duplicate-case": _extra(f"{NAME}/META.json", f"duplicate member {NAME}/meta.json"),
    "compiled": _extra(f"{NAME}/__pycache__/x.pyc", f"compiled member {NAME}/__pycache__/x.pyc"),
    "installer": _extra(f"{INFO}/INSTALLER", f"member {INFO}/INSTALLER, which only an installer may write"),
    "requested": _extra(f"{INFO}/REQUESTED", f"member {INFO}/REQUESTED, which only an installer may write"),
    "direct-url": _extra(
        f"{INFO}/direct_url.json", f"member {INFO}/direct_url.json, which only an installer may write"
    ),
    "no-init": Hostile(Tampering(omitted=[f"{NAME}/__init__.py"]), f"no {NAME}/__init__.py"),
    "no-record": Hostile(Tampering(omitted=[f"{INFO}/RECORD"]), f"no {INFO}/RECORD"),
    "no-metadata": Hostile(Tampering(omitted=[f"{INFO}/METADATA"]), f"no {INFO}/METADATA"),
    "no-wheel": Hostile(Tampering(omitted=[f"{INFO}/WHEEL"]), f"no {INFO}/WHEEL"),
    "dist-info-version": Hostile(
        Tampering(metadata_version=VERSION), f"{NAME}-1.0.1.dist-info is not of {NAME} {VERSION}", "1.0.1"
    ),
    "platlib": Hostile(
        Tampering(wheel_text="Wheel-Version: 1.0\nRoot-Is-Purelib: false\n"),
        "WHEEL is not of a pure Python wheel, version 1",
    ),
    "wheel-version": Hostile(
        Tampering(wheel_text="Wheel-Version: 2.0\nRoot-Is-Purelib: true\n"),
        "WHEEL is not of a pure Python wheel, version 1",
    ),
}
"""Every way in which names, kinds and descriptions of members can break the policy."""

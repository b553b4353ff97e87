"""What some tests need of the machine: they are skipped, each saying why, where it is missing."""

from __future__ import annotations

import importlib.util
import os
import shutil
from dataclasses import dataclass

PATH = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin"
"""Where programs are looked for: Debian's servers lie where users have no PATH to."""


@dataclass(frozen=True, slots=True)
class Need:
    """What some tests cannot do without.

    Attributes:
        tests: The tests.
        programs: Names of programs.
        packages: Names of modules that can be imported.
        root: Whether only root may do what they do.
    """

    tests: str
    programs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    root: bool = False


NEEDS = (
    Need("tests/programs/network", ("nginx", "squid", "tinyproxy", "openssl", "unshare", "ip")),
    Need("tests/programs/network/test_indexes.py", packages=("pypiserver", "devpi_server")),
    Need("tests/unit/network/test_trust_env.py", ("openssl",)),
    Need("tests/promises/test_warm_start.py", ("strace", "unshare")),
    Need("tests/programs: test_installers.py, test_dependencies.py", packages=("uv",)),
    Need("tests/programs/test_notebook.py", packages=("ipykernel",)),
    Need("tests/programs/test_dask.py", ("unshare", "ip"), ("distributed",)),
    Need("tests/programs/test_spark.py", ("java", "unshare", "ip"), ("pyspark", "pandas", "pyarrow")),
    Need("tests/programs/test_image.py", ("buildah", "debootstrap", "unshare"), root=True),
    Need("tests/programs/test_image_layers.py: overlay mounts", root=True),
    Need("all tests that act as another user", ("setpriv",), root=True),
)


def missing_programs(*names: str) -> list[str]:
    """Return the programs that are not installed.

    Args:
        names: Names as on PATH.
    """
    return [name for name in names if shutil.which(name, path=PATH) is None]


def missing_packages(*names: str) -> list[str]:
    """Return the modules that cannot be imported.

    Args:
        names: Names as in an import.
    """
    return [name for name in names if importlib.util.find_spec(name) is None]


def missing() -> list[str]:
    """Return one line for each thing that some tests need and this machine or user lacks."""
    lines: list[str] = []
    for need in NEEDS:
        absent = [*missing_programs(*need.programs), *missing_packages(*need.packages)]
        lines += [f"{need.tests}: {name} is not installed" for name in absent]
        if need.root and (not hasattr(os, "geteuid") or os.geteuid() != 0):
            lines.append(f"{need.tests}: only root may do this")
    return lines

"""`python .ci/installed.py WHEEL`: fail unless the modelboot that Python imports is this wheel, to the byte."""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path


def is_same(path: Path, content: bytes) -> bool:
    """Return True if a file has this content."""
    return path.is_file() and path.read_bytes() == content


installed = metadata.distribution("modelboot")
with zipfile.ZipFile(sys.argv[1]) as wheel:
    files = [name for name in wheel.namelist() if name.startswith("modelboot/")]
    others = [name for name in files if not is_same(Path(str(installed.locate_file(name))), wheel.read(name))]
if others or not files:
    sys.exit(f"not from {sys.argv[1]}: {', '.join(others) or 'everything'}")
print(f"modelboot {installed.version} in {installed.locate_file('')}: {len(files)} files as in the wheel")  # noqa: T201

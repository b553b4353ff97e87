"""`python .ci/installed.py WHEEL`: fail unless the modelboot that Python imports is this wheel, to the byte."""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata

installed = metadata.distribution("modelboot")
with zipfile.ZipFile(sys.argv[1]) as wheel:
    files = [name for name in wheel.namelist() if name.startswith("modelboot/")]
    others = [name for name in files if installed.locate_file(name).read_bytes() != wheel.read(name)]
if others or not files:
    sys.exit(f"not from {sys.argv[1]}: {', '.join(others) or 'everything'}")
print(f"modelboot {installed.version} in {installed.locate_file('')}: {len(files)} files as in the wheel")  # noqa: T201

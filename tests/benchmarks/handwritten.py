"""What people write by hand, one step after another: `handwritten.py URL SHA256 TARGET [PIPELINE]`."""

import hashlib
import os
import shutil
import sys
import tempfile
import urllib.request
from pathlib import Path

import installer
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile

SCHEMES = ("purelib", "platlib", "headers", "scripts", "data")


def install(url: str, sha256: str, target: Path) -> None:
    """Download a wheel, compare its hash, and move what is in it to a folder."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        wheel, staged = Path(folder, url.rpartition("/")[2]), Path(folder, "staged")
        with urllib.request.urlopen(url) as response, wheel.open("wb") as file:  # noqa: S310 - the benchmark's own
            shutil.copyfileobj(response, file)
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != sha256:
            message = f"{url} has another hash"
            raise ValueError(message)
        with WheelFile.open(wheel) as source:
            schemes = dict.fromkeys(SCHEMES, str(staged))
            installer.install(source, SchemeDictionaryDestination(schemes, sys.executable, "posix"), {})
        for path in staged.iterdir():
            os.rename(path, target / path.name)


if __name__ == "__main__":
    install(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    if len(sys.argv) > 4:
        import spacy

        nlp = spacy.load(Path(sys.argv[3], sys.argv[4]))
        os._exit(0)  # where the pipeline is ready, as the loads it is compared with

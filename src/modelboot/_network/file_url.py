"""A file URL as a response: what is read from a disk goes the way of what comes over HTTP."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from modelboot._files import open_regular
from modelboot._network.response import RequestError, Response
from modelboot._turns import raise_if_from_signal
from modelboot.errors import Kind


def is_file_url(url: str) -> bool:
    """Return True if a URL names a file of this machine."""
    return urlsplit(url).scheme == "file"


def path_of(url: str) -> Path:
    """Return the path a file URL names; file names need not be UTF-8.

    Args:
        url: The file URL.

    Raises:
        OSError: No file can have that name: it has a null byte.
    """
    path = urlsplit(url).path
    if "%00" in path or "\0" in path:
        raise OSError(errno.EINVAL, "a file name cannot contain a null byte")
    return Path(_name_of(path))


if sys.platform == "win32":

    def _name_of(path: str) -> str:
        from urllib.request import url2pathname

        return url2pathname(path)

else:

    def _name_of(path: str) -> str:
        return os.fsdecode(unquote_to_bytes(path))


@contextmanager
def open_file(url: str) -> Iterator[Response]:
    """Open a file URL and yield it as a response, to be read inside the with block.

    Args:
        url: The file URL.

    Yields:
        The response.

    Raises:
        RequestError: It cannot be read.
    """
    with errors_translated(url):
        file = open_regular(path_of(url))
        total_bytes = os.fstat(file.fileno()).st_size

    def read(size: int) -> bytes:
        with errors_translated(url):
            return file.read(size)

    with file:
        yield Response(url=url, read=read, total_bytes=total_bytes)


@contextmanager
def errors_translated(url: str) -> Iterator[None]:
    """Raise a RequestError for what the system refuses while a file is read."""
    try:
        yield
    except OSError as error:
        raise_if_from_signal(error)
        kind: Kind = "missing" if isinstance(error, FileNotFoundError) else "other"
        raise RequestError(error.strerror or str(error), url, kind=kind) from error

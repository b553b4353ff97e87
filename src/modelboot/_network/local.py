"""A file URL → a stream of bytes, as `_http` gives for other URLs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from modelboot._network.response import PIECE_BYTES, Body, HttpError


@contextmanager
def opened(url: str) -> Iterator[Body]:
    """Open a file and yield it as a body.

    Args:
        url: Its file URL.

    Yields:
        The body, to be read inside the with block.

    Raises:
        HttpError: It cannot be opened or read.
    """
    path = Path(url2pathname(urlsplit(url).path))
    try:
        with path.open("rb") as file:
            yield Body(url=url, pieces=_pieces(file), total_bytes=path.stat().st_size)
    except OSError as error:
        raise HttpError(error.strerror or str(error), url) from error


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece

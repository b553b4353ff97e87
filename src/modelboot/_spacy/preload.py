"""What a load will import, imported while the wheel travels: half of a cold start is that."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from modelboot._pin import ModelPin
from modelboot._progress import Progress
from modelboot._spacy.turns import is_importing
from modelboot._threads import Worker


class PreloadingProgress:
    """Shows a download as another does, and starts a thread with its first byte: nothing comes, nothing starts."""

    def __init__(self, shown: Progress, worker: Worker) -> None:
        """Start nothing yet."""
        self._shown, self._worker = shown, worker
        self.ask, self.note, self.advance, self.close = shown.ask, shown.note, shown.advance, shown.close

    def start(self, label: str, total_bytes: int | None, present_bytes: int) -> None:
        """Show what is downloaded, and start the thread unless it was started before."""
        self._shown.start(label, total_bytes, present_bytes)
        self._worker.start()


@contextmanager
def preloading(pin: ModelPin, shown: Progress) -> Iterator[Progress]:
    """Import spaCy and the language of a model beside its download.

    What an import raises is not lost: the load imports the same again, and raises it where the caller sees it.

    Args:
        pin: The model, whose name begins with its language.
        shown: What a user sees of the download.

    Yields:
        What shows the download instead. The thread has ended when the block has.
    """
    # A thread that imports what waits for this one's import would never end.
    if is_importing(sys._getframe()):  # noqa: SLF001 - documented
        yield shown
        return
    worker = Worker(lambda: _import(f"spacy.lang.{pin.name.partition('_')[0]}"), "preload")
    try:
        yield PreloadingProgress(shown, worker)
    finally:
        worker.join()


def _import(module: str) -> None:
    with suppress(Exception):
        importlib.import_module("spacy")
        importlib.import_module(module)

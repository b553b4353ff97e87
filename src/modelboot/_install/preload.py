"""What comes after a download, imported while the wheel travels: for a cold start that is half of the time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from modelboot._progress import Progress
from modelboot._threads import Worker, is_importing


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
def preloading(modules: Sequence[str], shown: Progress) -> Iterator[Progress]:
    """Import modules beside a download.

    What an import raises is not lost: the code that needs the module imports it again, and the caller sees it there.

    Args:
        modules: Their names, in the order in which they are needed.
        shown: What a user sees of the download.

    Yields:
        What shows the download instead. The thread has ended when the block has.
    """
    # A thread that imports what waits for this one's import would never end.
    if is_importing(sys._getframe()):  # noqa: SLF001 - documented
        yield shown
        return
    worker = Worker(lambda: _import(modules), "preload")
    try:
        yield PreloadingProgress(shown, worker)
    finally:
        worker.join()


def _import(modules: Sequence[str]) -> None:
    with suppress(Exception):
        for module in modules:
            importlib.import_module(module)

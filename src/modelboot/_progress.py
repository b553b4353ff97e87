"""What a user sees while a wheel is downloaded: a bar on a terminal or in a notebook, one log line otherwise."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from tqdm import tqdm

_log = logging.getLogger(__name__)


class Progress(Protocol):
    """Follows one download after another."""

    def ask(self, label: str, source: str) -> None:
        """Show which source is asked for what, before the wait for its answer."""

    def start(self, label: str, total_bytes: int | None, present_bytes: int) -> None:
        """Show what is downloaded, its size where that is known, and how much of it is already here."""

    def note(self, text: str) -> None:
        """Show what the download waits for."""

    def advance(self, downloaded_bytes: int) -> None:
        """Show that so many more bytes were downloaded."""

    def close(self) -> None:
        """Leave the terminal clean, however the download ended."""


def make_progress(wanted: bool | None) -> Progress:  # noqa: FBT001 - the one thing it depends on
    """Return a bar where one is wanted (None: where a user watches) and can be seen, else a line in the log."""
    is_bar = _is_watched() if wanted is None else wanted
    return _Bar() if is_bar and _has_stderr() else _LogLine()


def _has_stderr() -> bool:
    """Return True if there is a stderr: daemons and programs without a console have none, or have closed it.

    What such a program puts in its place may be able to write and nothing else.
    """
    return sys.stderr is not None and not getattr(sys.stderr, "closed", False)


def _is_watched() -> bool:
    """Return True if stderr is a terminal, or what a Jupyter kernel shows below the cell."""
    is_terminal = getattr(sys.stderr, "isatty", lambda: False)
    return _has_stderr() and (is_terminal() or type(sys.stderr).__module__ == "ipykernel.iostream")


class _Silent:
    """Shows nothing: what is copied here has been shown while it came."""

    def ask(self, label: str, source: str) -> None:
        pass

    def start(self, label: str, total_bytes: int | None, present_bytes: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def advance(self, downloaded_bytes: int) -> None:
        pass

    def close(self) -> None:
        pass


SILENT = _Silent()


class _LogLine:
    """An INFO line for each source and one for the download: they say why a first call takes its time."""

    def ask(self, label: str, source: str) -> None:
        _log.info("%s: asking %s", label, source)

    def start(self, label: str, total_bytes: int | None, present_bytes: int) -> None:
        size = "unknown size" if total_bytes is None else f"{total_bytes / 1e6:.1f} MB"
        present = f", {present_bytes / 1e6:.1f} MB already here" if present_bytes else ""
        _log.info("downloading %s (%s%s)", label, size, present)

    def note(self, text: str) -> None:
        _log.info("%s", text)

    def advance(self, downloaded_bytes: int) -> None:
        pass

    def close(self) -> None:
        pass


class _Bar:
    """A tqdm bar on stderr: name, bytes, rate, time left. stdout is the program's own."""

    def __init__(self) -> None:
        self._bar: tqdm[NoReturn] | None = None

    def ask(self, label: str, source: str) -> None:
        from tqdm import tqdm

        self.close()
        self._bar = tqdm(
            desc=f"{label}: asking {source}", bar_format="{desc}", file=sys.stderr, leave=False, dynamic_ncols=True
        )

    def start(self, label: str, total_bytes: int | None, present_bytes: int) -> None:
        from tqdm import tqdm

        self.close()
        self._bar = tqdm(
            desc=label,
            total=total_bytes,
            initial=present_bytes,
            unit="B",
            unit_scale=True,
            file=sys.stderr,
            leave=False,
            dynamic_ncols=True,
        )

    def note(self, text: str) -> None:
        from tqdm import tqdm

        tqdm.write(text, file=sys.stderr)  # above the bar, which stays as it is

    def advance(self, downloaded_bytes: int) -> None:
        if self._bar is not None:
            self._bar.update(downloaded_bytes)

    def close(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()

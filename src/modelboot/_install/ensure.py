"""ensure_model: is the model there? Else it is installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from modelboot._catalog import DEFAULT_MODEL, resolve
from modelboot._install.find import find
from modelboot._install.importable import append_to_sys_path
from modelboot._install.installed import Installed
from modelboot._install.outcome import Outcome, Timings
from modelboot._install.target import purelib, targets_to_search
from modelboot._pin import ModelPin
from modelboot._settings import Settings, directories, directory, read_settings
from modelboot._turns import raise_if_from_signal
from modelboot.errors import InstallError, ModelbootError

if TYPE_CHECKING:
    from modelboot._install.report import InstalledModel

_log = logging.getLogger(__name__)
logging.getLogger("modelboot").addHandler(logging.NullHandler())


def ensure_model(
    model: str | ModelPin = DEFAULT_MODEL,
    /,
    *,
    target: str | os.PathLike[str] | None = None,
    wheelhouse: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None = None,
    offline: bool | None = None,
) -> InstalledModel:
    """Read the settings, apply the arguments, and install; see `modelboot.ensure_model`."""
    from modelboot._install.report import report

    timings = Timings()
    settings = read_settings()
    if target is not None:
        settings = settings._replace(target=directory(target))
    if wheelhouse is not None:
        settings = settings._replace(wheelhouse=directories(wheelhouse))
    if offline is not None:
        settings = settings._replace(offline=offline)
    pin = resolve(model, pins=settings.pins)
    outcome = ensure(pin, settings, timings=timings)
    append_to_sys_path(outcome.installed.folder)
    return report(pin, outcome, timings)


def ensure(
    pin: ModelPin,
    settings: Settings,
    *,
    replacing: Installed | None = None,
    preload: Sequence[str] = (),
    timings: Timings | None = None,
) -> Outcome:
    """Install a pin unless it is there; `ensure_model` for callers inside modelboot.

    Args:
        pin: What to install.
        settings: The settings in force.
        replacing: A model that looks intact but has modified files: it does not count as installed, and is replaced
            if it is modelboot's own; else the pinned model is installed into the store.
        preload: Names of modules that the caller needs next; they are imported beside a download.
        timings: Is told what each part took.

    Returns:
        Where the files are and how they got there.
    """
    timings = timings or Timings()
    try:
        installed = find(pin, targets_to_search(pin, settings), replacing)
        timings.mark("find")
        if installed is None:
            from modelboot._install.install import install

            return install(pin, settings, replacing=replacing, preload=preload, timings=timings)
    except ModelbootError:  # some are OSError, too
        raise
    except OSError as error:  # whatever the system refused on the way
        raise_if_from_signal(error)
        where = settings.target or purelib()
        raise InstallError.from_os_error(error, model=str(pin), path=str(where)) from error
    _warn_unless_verified(pin, installed)
    return Outcome(installed)


_warned: set[str] = set()


def _warn_unless_verified(pin: ModelPin, installed: Installed) -> None:
    """Log once per process that nothing proves an installed copy to be the pinned wheel."""
    if installed.sha256 is None and str(installed.dist_info) not in _warned:
        _warned.add(str(installed.dist_info))
        installer = installed.installer or "another program"
        _log.warning("%s: hash not recorded by %s; %s is used as it is", pin, installer, installed.folder)

"""ensure_model: is the model there? Else it is installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import astuple
from functools import partial
from typing import TYPE_CHECKING

from modelboot._catalog import DEFAULT_MODEL, resolve
from modelboot._install.failures import cached_failure
from modelboot._install.installed import Installed
from modelboot._install.look import find_in
from modelboot._install.outcome import Outcome, Timings
from modelboot._install.stage import stages_of
from modelboot._install.targets import Target, purelib, targets_to_search
from modelboot._pin import ModelPin
from modelboot._settings import Settings, directories, directory, network_variables, read_settings
from modelboot._turns import raise_if_from_signal, turn
from modelboot.errors import InstallError, ModelbootError

if TYPE_CHECKING:
    from modelboot._install.outcome import InstalledModel

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
    timings = Timings()
    settings = read_settings()
    if target is not None:
        settings = settings._replace(target=directory(target))
    if wheelhouse is not None:
        settings = settings._replace(wheelhouse=directories(wheelhouse))
    if offline is not None:
        settings = settings._replace(offline=offline)
    pin = resolve(model, pins=settings.pins)
    return ensure(pin, settings, timings=timings).report(pin, timings)


def ensure(
    pin: ModelPin,
    settings: Settings,
    *,
    replacing: Installed | None = None,
    for_loading: bool = False,
    timings: Timings | None = None,
) -> Outcome:
    """Install a pin unless it is there; `ensure_model` for callers inside modelboot.

    Args:
        pin: What to install.
        settings: The settings in force.
        replacing: A model that looks intact but has modified files: it does not count as installed, and is replaced
            if it is modelboot's own; else the pinned model is installed into the store.
        for_loading: Whether the caller loads the model next. Then what spaCy needs for that is imported beside a
            download, and a failure of the last minute is raised again without another try.
        timings: Is told what each part took.

    Returns:
        Where the files are and how they got there.
    """
    timings = timings or Timings()
    find = partial(_find, pin, settings, replacing)
    with _os_errors_translated(pin, settings):
        installed = find()
    timings.mark("find")
    if installed is not None:
        _warn_unless_verified(pin, installed)
        return Outcome(installed)
    busy = partial(InstallError, model=str(pin), path=_place(settings), fault="busy")
    # With another URL or another setting the next call may fare better.
    call = (*astuple(pin), settings, network_variables())
    preload = ["spacy", f"spacy.lang.{pin.name.partition('_')[0]}"] if for_loading else []
    limits = settings.limits()  # of all that follows: the waits for others, and the network
    with (
        turn(pin.name, limits.deadline, busy),
        cached_failure(call) if for_loading else nullcontext(),
        _os_errors_translated(pin, settings),
    ):
        from modelboot._install.install import Request, install

        return install(Request(pin, settings, limits, replacing, preload, timings), find)


def _place(settings: Settings) -> str:
    return str(settings.target or purelib())


@contextmanager
def _os_errors_translated(pin: ModelPin, settings: Settings) -> Iterator[None]:
    """Turn whatever the system refused on the way into an InstallError."""
    try:
        yield
    except ModelbootError:  # some are OSError, too
        raise
    except OSError as error:
        raise_if_from_signal(error)
        raise InstallError.from_os_error(error, model=str(pin), path=_place(settings)) from error


def _find(pin: ModelPin, settings: Settings, replacing: Installed | None) -> Installed | None:
    """Find a model, and remove what killed installs have left where it is and in the targets before.

    Args:
        pin: The model.
        settings: The settings in force.
        replacing: A model that looks intact but has modified files: then every file is hashed before one counts.

    Returns:
        The model from the first target that has it intact; None when none does.

    Raises:
        OSError: A target cannot be judged.
    """
    searched: list[Target] = []
    for target in targets_to_search(pin, settings):
        searched.append(target)
        installed = find_in(target, pin)
        if installed is not None and not (replacing and installed.modified_files()):
            for each in searched:  # an install that ended in the store may have begun in another target
                _remove_dead_stages(each, pin)
            return installed
    return None


def _remove_dead_stages(target: Target, pin: ModelPin) -> None:
    if stages_of(target.work, pin.name):
        from modelboot._install.lock import locked_if_free
        from modelboot._install.stage import remove_dead

        with locked_if_free(target.lock_file(pin.name)) as is_locked:
            remove_dead(target.work, pin.name, is_locked=is_locked)


_warned: set[str] = set()


def _warn_unless_verified(pin: ModelPin, installed: Installed) -> None:
    """Log once per process that nothing proves an installed copy to be the pinned wheel."""
    if installed.sha256 is None and str(installed.dist_info) not in _warned:
        _warned.add(str(installed.dist_info))
        installer = installed.installer or "another program"
        _log.warning("%s: hash not recorded by %s; %s is used as it is", pin, installer, installed.folder)

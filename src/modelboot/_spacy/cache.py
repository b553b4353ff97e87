"""`get_nlp`: one load per model per process, however it is spelled and however many threads ask."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelboot._catalog import resolve_model
from modelboot._deadline import Deadline
from modelboot._pin import ModelPin
from modelboot._settings import Settings
from modelboot._spacy.load import COMPONENTS, Options, component_names, failures, load_found, settings_of_call, turns

if TYPE_CHECKING:
    from typing import ParamSpec, Protocol, TypeVar

    from spacy.language import Language

    P = ParamSpec("P")
    R_co = TypeVar("R_co", covariant=True)

    class CachedFunction(Protocol[P, R_co]):
        """A function with the controls of an `lru_cache`, whose signature a type checker still sees."""

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Call the function, or recall its result."""

        def cache_info(self) -> CacheInfo:
            """Return hits, misses, maximum and current size."""

        def cache_clear(self) -> None:
            """Forget every model and every remembered failure."""


class CacheInfo(NamedTuple):
    """What `functools.lru_cache` reports, of models instead of calls: `misses` are loads, `currsize` is models."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class CacheKey(NamedTuple):
    """One model with one choice of components; all spellings of a call have the same key."""

    model: ModelPin | Path | str
    """A pin, or what spaCy loads by itself."""
    disable: frozenset[str]
    enable: frozenset[str]
    exclude: frozenset[str]

    def options(self) -> Options:
        """Return the arguments for spaCy; it has defaults for those that were not given."""
        chosen = {"disable": self.disable, "enable": self.enable, "exclude": self.exclude}
        return {option: sorted(names) for option, names in chosen.items() if names}


class State:
    """Everything `get_nlp` remembers in this process."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.lock = threading.Lock()
        self.models: dict[CacheKey, Language] = {}
        self.hits = self.misses = 0

    def reset_after_fork(self) -> None:
        """Replace a lock that another thread held when the process forked: that thread does not exist in the child."""
        self.lock = threading.Lock()


_state = State()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_state.reset_after_fork)


def cache_info() -> CacheInfo:
    """Return hits, misses, maximum and current size."""
    recalled = _cached_get_nlp.cache_info().hits
    return CacheInfo(recalled + _state.hits, _state.misses, None, len(_state.models))


def cache_clear() -> None:
    """Forget every model and every remembered failure."""
    with _state.lock:
        _cached_get_nlp.cache_clear()
        _state.models.clear()
        failures.clear()
        _state.hits = _state.misses = 0


def get_nlp(
    model: str | os.PathLike[str] | ModelPin,
    disable: str | Iterable[str],
    enable: str | Iterable[str],
    exclude: str | Iterable[str],
    offline: bool | None,  # noqa: FBT001 - handed through by position: a hit costs well under a microsecond
) -> Language:
    """Return the pipeline of an equal earlier call, or find or load it; see `modelboot.get_nlp`."""
    try:  # not `suppress`, which would be most of the cost of a hit
        return _cached_get_nlp(model, disable, enable, exclude, offline)  # type: ignore[arg-type]  # what cannot be hashed comes below
    except _RelativePathError:  # another one after a chdir
        pass
    except TypeError:
        if _is_hashable(model, disable, enable, exclude):  # then it is spaCy's own
            raise
    return _find(*_key_of_call(model, disable, enable, exclude, offline))


def _is_hashable(*arguments: object) -> bool:
    """Return True if the spelling of a call can be a key: with a list it cannot."""
    try:
        hash(arguments)
    except TypeError:
        return False
    return True


class _RelativePathError(Exception):
    """The spelling of a call means something else in another working directory."""


def _key_of_call(
    model: str | os.PathLike[str] | ModelPin,
    disable: str | Iterable[str],
    enable: str | Iterable[str],
    exclude: str | Iterable[str],
    offline: bool | None,  # noqa: FBT001 - see above
) -> tuple[CacheKey, Settings]:
    """Return what a call asks for, however it is spelled, and the settings in force."""
    chosen = (frozenset(component_names(*item)) for item in zip(COMPONENTS, (disable, enable, exclude), strict=True))
    settings = settings_of_call(offline=offline)
    return CacheKey(resolve_model(model, settings.pins), *chosen), settings


def _find(key: CacheKey, settings: Settings) -> Language:
    """Return the model of a call; the first thread that asks loads it."""
    with turns.turn(key, str(key.model), Deadline.after(settings.deadline_s)):
        nlp = _state.models.get(key)
        if nlp is not None:
            with _state.lock:
                _state.hits += 1
            return nlp
        with _state.lock:
            _state.misses += 1
        return _state.models.setdefault(key, load_found(key.model, settings, key.options(), key))


# Bounded, as it holds spellings, not models: each generator is a new one.
@functools.lru_cache(maxsize=1024)
def _cached_get_nlp(
    model: str | os.PathLike[str] | ModelPin,
    disable: str | Iterable[str],
    enable: str | Iterable[str],
    exclude: str | Iterable[str],
    offline: bool | None,  # noqa: FBT001 - see above
) -> Language:
    """Return the pipeline of a call with the same spelling, if that means the same wherever it is written.

    Raises:
        _RelativePathError: It does not.
    """
    key, settings = _key_of_call(model, disable, enable, exclude, offline)
    if isinstance(key.model, Path) and not os.path.isabs(model):  # type: ignore[arg-type]  # no pin leads to a folder
        raise _RelativePathError
    return _find(key, settings)

"""`get_nlp`: one load per model per process, however it is spelled and however many threads ask."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelboot._catalog import resolve_model
from modelboot._deadline import Deadline
from modelboot._install import failures
from modelboot._pin import ModelPin
from modelboot._settings import Settings
from modelboot._spacy.load import COMPONENTS, Options, component_names, load_found, settings_of_call
from modelboot._turns import turn
from modelboot.errors import LoadError

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
        return {option: sorted(names) for option, names in zip(COMPONENTS, self[1:], strict=True) if names}


_models: dict[CacheKey, Language] = {}
_counts = {"hits": 0, "misses": 0}


def cache_info() -> CacheInfo:
    """Return hits, misses, maximum and current size."""
    recalled = _cached_get_nlp.cache_info().hits
    return CacheInfo(recalled + _counts["hits"], _counts["misses"], None, len(_models))


def cache_clear() -> None:
    """Forget every model and every remembered failure."""
    _cached_get_nlp.cache_clear()
    _models.clear()
    failures.forget()
    _counts.update(hits=0, misses=0)


def get_nlp(
    model: str | os.PathLike[str] | ModelPin,
    disable: str | Iterable[str],
    enable: str | Iterable[str],
    exclude: str | Iterable[str],
    offline: bool | None,  # noqa: FBT001 - handed through by position: a hit costs well under a microsecond
) -> Language:
    """Return the pipeline of an equal earlier call, or find or load it; see `modelboot.get_nlp`."""
    if not (type(disable) in _COMPARABLE and type(enable) in _COMPARABLE and type(exclude) in _COMPARABLE):
        disable, enable, exclude = map(tuple, _names(disable, enable, exclude))  # read once: it may be a generator
    try:  # not `suppress`, which would be most of the cost of a hit
        return _cached_get_nlp(model, disable, enable, exclude, offline)  # type: ignore[arg-type]  # what cannot be hashed comes below
    except _RelativePathError:  # another one after a chdir
        pass
    except TypeError:
        if _is_hashable(model, disable, enable, exclude):  # then it is spaCy's own
            raise
    return _find(*_key_of_call(model, disable, enable, exclude, offline))


_COMPARABLE = {str, tuple, frozenset}
"""Types of component names that can be part of the key of `_cached_get_nlp` as they are."""


def _names(*given: str | Iterable[str]) -> Iterable[list[str]]:
    return map(component_names, COMPONENTS, given)


def _is_hashable(*arguments: object) -> bool:
    """Return True if the spelling of a call can be a key."""
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
    chosen = map(frozenset, _names(disable, enable, exclude))
    settings = settings_of_call(offline=offline)
    return CacheKey(resolve_model(model, settings.pins), *chosen), settings


def _find(key: CacheKey, settings: Settings) -> Language:
    """Return the model of a call; the first thread that asks loads it."""
    nlp = _models.get(key)
    if nlp is None:
        with turn(key, Deadline.after(settings.deadline_s), functools.partial(LoadError, model=str(key.model))):
            nlp = _models.get(key)
            if nlp is None:
                _counts["misses"] += 1
                return _models.setdefault(key, load_found(key.model, settings, key.options()))
    _counts["hits"] += 1
    return nlp


# Bounded, as it holds spellings, not models.
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

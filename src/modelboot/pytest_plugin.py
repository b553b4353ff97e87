"""Fixtures and options for pytest. Importing it loads neither spaCy nor the rest of modelboot; the fixtures do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from modelboot import get_nlp, load

if TYPE_CHECKING:
    from spacy.language import Language

    from modelboot import ModelPin

_MISSING = ("fail", "skip")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the command line and of the configuration file."""
    group = parser.getgroup("modelboot", "pinned spaCy pipelines")
    group.addoption("--modelboot-model", metavar="MODEL", help="pipeline of the fixtures, in place of modelboot_model")
    group.addoption("--modelboot-offline", action="store_true", help="never use the network: MODELBOOT_OFFLINE=1")
    parser.addini("modelboot_model", "pipeline of modelboot_nlp and modelboot_load", default="en_core_web_sm")
    parser.addini("modelboot_exclude", "components that both leave out", type="args", default=[])
    parser.addini("modelboot_missing", "what becomes of tests whose pipeline is missing: fail or skip", default="fail")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse an unknown choice before a test runs, and keep the run off the network where that is asked for."""
    if config.getini("modelboot_missing") not in _MISSING:
        message = f"modelboot_missing: {config.getini('modelboot_missing')!r} is not {' or '.join(_MISSING)}"
        raise pytest.UsageError(message)
    if config.getoption("modelboot_offline"):
        environment = pytest.MonkeyPatch()  # the code under test and its subprocesses read it, too
        environment.setenv("MODELBOOT_OFFLINE", "1")
        config.add_cleanup(environment.undo)


@pytest.fixture(scope="session")
def modelboot_nlp(pytestconfig: pytest.Config) -> Language:
    """The pipeline of the project, loaded once and shared: for tests that read it.

    It is the object that `get_nlp` returns for the same model and components.
    """
    with _short_errors(pytestconfig):
        return get_nlp(_model(pytestconfig), exclude=pytestconfig.getini("modelboot_exclude"))


@pytest.fixture(scope="session")
def modelboot_load(pytestconfig: pytest.Config) -> Callable[..., Language]:
    """A function that returns a fresh pipeline, for tests that change it.

    Its arguments are those of `modelboot.load`; the model and `exclude` default to the project's.
    """

    def load_fresh(model: str | ModelPin | None = None, /, **options: Any) -> Language:  # noqa: ANN401 - spaCy's types
        options.setdefault("exclude", pytestconfig.getini("modelboot_exclude"))
        with _short_errors(pytestconfig):
            return load(model or _model(pytestconfig), **options)

    return load_fresh


def _model(config: pytest.Config) -> str:
    return str(config.getoption("modelboot_model") or config.getini("modelboot_model"))


@contextmanager
def _short_errors(config: pytest.Config) -> Iterator[None]:
    """Turn an error of modelboot into its message and hint, without a traceback; skip a missing pipeline if told to."""
    from modelboot.errors import DownloadError, HashMismatchError, ModelbootError, OfflineError

    try:
        yield
    except ModelbootError as error:
        is_missing = isinstance(error, (DownloadError, OfflineError)) and not isinstance(error, HashMismatchError)
        if is_missing and config.getini("modelboot_missing") == "skip":
            pytest.skip(str(error))
        pytest.fail(str(error), pytrace=False)

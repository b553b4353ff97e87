"""A failure to get a model is repeated at once for a minute: 200 tests on a dead network wait for one time-out.

Whatever may have changed its outcome ends that.
"""

from __future__ import annotations

import copyreg
import functools
import gc
import importlib
import re
import shutil
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelboot import DownloadError, ModelPin, errors, get_nlp, load
from support.children import ENSURE, pin_arguments, python
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import BuiltWheel, Tampering, build_wheel

REMARK = r"\(remembered, and not tried again for \d+ s; .* or get_nlp\.cache_clear\(\) ends that\)"


def failure(pin: ModelPin, function: Callable[..., Any] = get_nlp) -> DownloadError:
    """Ask for a model that cannot be got."""
    with pytest.raises(DownloadError, match=r"could not get af_tiny_sm 1\.0\.0") as caught:
        function(pin)
    return caught.value


def test_failure_is_repeated(web_pin: ModelPin, server: ModelServer) -> None:
    """Either function gives it again at once for any components, with its cause, and says until when and why."""
    first = failure(web_pin)
    assert "remembered" not in str(first)
    for function in (get_nlp, load, functools.partial(get_nlp, exclude=["sentencizer"])):
        again = failure(web_pin, function)
        assert again is not first
        assert (type(again), again.message, again.hint) == (DownloadError, first.message, first.hint)
        assert first.message in str(again.__cause__)
        assert re.search(REMARK, str(again).splitlines()[0])
        assert "(remembered" not in str(again.__cause__)
    assert len(server.requests) == 1


def test_failure_of_many_threads(
    tiny: BuiltWheel, web_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long test run on a dead network: its threads wait for one time-out, and all get the same error."""
    monkeypatch.setenv("MODELBOOT_TIMEOUT", "0.3")
    monkeypatch.setenv("MODELBOOT_RETRIES", "0")
    server.serve(f"/{tiny.path.name}", Reply(stall="headers"))
    with ThreadPoolExecutor(8) as threads:
        raised = [*threads.map(lambda _: failure(web_pin), range(200))]
    assert len({(error.message, error.hint) for error in raised}) == 1
    assert server.wait_for(f"/{tiny.path.name}")  # a busy server hears of it late
    assert len(server.requests) == 1


def test_failure_of_a_refused_wheel_is_repeated(tmp_path: Path) -> None:
    """A wheel that may not be installed is refused at once the second time, whatever has become of its file."""
    wheel = build_wheel(tmp_path, tampering=Tampering(unlisted={"en_tiny_sm/x": b""}))
    pin = wheel.pin
    with pytest.raises(errors.InstallError, match="en_tiny_sm/x"):
        get_nlp(pin)
    wheel.path.unlink()
    with pytest.raises(errors.InstallError, match="en_tiny_sm/x"):
        get_nlp(pin)


def test_failure_ends_after_a_minute(web_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is repeated for 60 seconds and no longer."""
    for now_s, requests in ((1000.0, 1), (1059.9, 1), (1060.1, 2)):
        monkeypatch.setattr(time, "monotonic", lambda now_s=now_s: now_s)
        failure(web_pin)
        assert len(server.requests) == requests


@pytest.mark.parametrize(
    "variable", ["MODELBOOT_TIMEOUT", "HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "PIP_INDEX_URL", "UV_DEFAULT_INDEX"]
)
def test_failure_ends_with_a_change_of_settings(
    web_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Other settings, also another program's, are tried at once; those that have failed still are not."""
    failure(web_pin)
    with monkeypatch.context() as patch:
        patch.setenv(variable, "60")
        failure(web_pin)
        failure(web_pin)
        assert len(server.requests) == 2
    failure(web_pin)
    assert len(server.requests) == 2


def test_failure_ends_with_another_url(tiny_pin: ModelPin, web_pin: ModelPin) -> None:
    """An equal pin with another URL is tried at once: a mistyped URL can be corrected."""
    failure(web_pin)
    assert get_nlp(tiny_pin).meta["version"] == "1.0.0"


def test_failure_ends_with_cache_clear(tiny: BuiltWheel, web_pin: ModelPin, server: ModelServer) -> None:
    """A failure that was forgotten does not stand in the way of the model."""
    server.serve(f"/{tiny.path.name}", Reply(404), Reply(body=tiny.content))
    failure(web_pin)
    get_nlp.cache_clear()
    assert get_nlp(web_pin).meta["version"] == "1.0.0"


def test_failure_ends_with_an_install(tiny_pin: ModelPin, web_pin: ModelPin, server: ModelServer) -> None:
    """What another process has installed by now is loaded: a failure is not repeated without a look at the disk."""
    failure(web_pin)
    done = python(ENSURE, *pin_arguments(tiny_pin))
    assert done.returncode == 0, done.stderr
    assert get_nlp(web_pin).meta["version"] == "1.0.0"
    assert len(server.requests) == 1


def _with_traceback(error: DownloadError) -> tuple[object, ...]:
    """Reduce an error as tblib does."""
    revive, arguments = error.__reduce__()[:2]
    return lambda trace: revive(*arguments).with_traceback(trace), (error.__traceback__,)  # type: ignore[operator,misc]


def test_failure_keeps_nothing_of_its_caller(web_pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remembered failure does not keep alive what its first caller had in its variables.

    Not even where a library, as dask's tblib does, has taught pickle and thereby `copy` to keep errors' tracebacks.
    """
    monkeypatch.setitem(copyreg.dispatch_table, DownloadError, _with_traceback)

    class Large:
        """Something that a caller would like to be rid of."""

    def ask() -> weakref.ref[Large]:
        large = Large()
        failure(web_pin)
        return weakref.ref(large)

    large = ask()
    gc.collect()
    assert large() is None
    assert failure(web_pin).remembered_s


def test_failure_of_an_unknown_name_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the catalog has by now is found."""
    wheel = build_wheel(tmp_path / "wheels", name="af_brand_new", lang="af")
    with pytest.raises(errors.UnknownModelError, match="af_brand_new"):
        get_nlp("af_brand_new")
    publish(monkeypatch, tmp_path / "mirror", wheel)
    assert get_nlp("af_brand_new").meta["name"] == "brand_new"


def test_failure_that_costs_nothing_is_not_repeated(
    tiny: BuiltWheel, web_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting, a requirement or a wheelhouse that was put right meanwhile is seen at once, as in a notebook."""
    pin = replace(web_pin, requires=("modelboot-test-plugin>=2",))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(tmp_path))
    monkeypatch.setenv("MODELBOOT_RETRIES", "many")
    with pytest.raises(errors.SettingsError, match="MODELBOOT_RETRIES='many'"):
        get_nlp(pin)
    monkeypatch.delenv("MODELBOOT_RETRIES")
    with pytest.raises(errors.IncompatibleError, match=r"modelboot-test-plugin>=2 \(not installed\)"):
        get_nlp(pin)
    dist_info = tmp_path / "modelboot_test_plugin-2.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: modelboot-test-plugin\nVersion: 2.0\n")
    importlib.invalidate_caches()
    with pytest.raises(errors.OfflineError, match="MODELBOOT_OFFLINE=1"):
        get_nlp(pin)
    shutil.copy(tiny.path, tmp_path)
    assert get_nlp(pin).meta["version"] == "1.0.0"

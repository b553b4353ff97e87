"""`get_nlp` behaves as a cached function does: one object a model, however it is spelled and whoever asks."""

from __future__ import annotations

import contextlib
import copyreg
import functools
import gc
import importlib
import inspect
import os
import pickle
import pydoc
import re
import shutil
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import spacy

from modelboot import (
    DownloadError,
    IncompatibleError,
    InstallError,
    LoadError,
    ModelbootError,
    ModelPin,
    OfflineError,
    SettingsError,
    UnknownModelError,
    ensure_model,
    get_nlp,
)
from modelboot._spacy import failures
from support.children import pin_arguments, python
from support.server import ModelServer, Reply
from support.sources import publish
from support.wheels import BuiltWheel, Tampering, build_wheel

if TYPE_CHECKING:
    from spacy.language import Language

PATH = "/en_tiny_sm-1.0.0-py3-none-any.whl"
THREADS = 16
HUNG_AFTER_S = 30


@pytest.fixture
def web_pin(tiny: BuiltWheel, server: ModelServer) -> ModelPin:
    """Return the pin of the tiny pipeline on the loopback server, which has nothing yet."""
    return tiny.pin_at(server.url + PATH)


@pytest.fixture
def default_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltWheel:
    """Offer a tiny pipeline as the catalog's default."""
    wheel = build_wheel(tmp_path / "wheels", name="en_core_web_sm", version="3.8.0")
    publish(monkeypatch, tmp_path / "mirror", wheel)
    return wheel


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Record what spaCy is told to load."""
    told: list[Path] = []
    load = spacy.load

    def recording(path: Path, **options: Any) -> Language:  # noqa: ANN401 - whatever spaCy takes
        told.append(path)
        return load(path, **options)

    monkeypatch.setattr(spacy, "load", recording)
    return told


@pytest.mark.parametrize(
    "spell",
    [list, tuple, set, frozenset, iter, dict.fromkeys, lambda names: (name for name in names)],
    ids=["list", "tuple", "set", "frozenset", "iterator", "dict", "generator"],
)
def test_get_nlp_spelling_of_names(tiny_pin: ModelPin, spell: Callable[[list[str]], Iterable[str]]) -> None:
    """Any iterable of the same names is the same call, in any order and with names said twice."""
    first = get_nlp(tiny_pin, exclude=("sentencizer", "absent"))
    assert get_nlp(tiny_pin, exclude=spell(["absent", "sentencizer", "absent"])) is first
    assert first.component_names == []


@pytest.mark.parametrize("option", ["disable", "enable", "exclude"])
def test_get_nlp_single_string(tiny_pin: ModelPin, option: str) -> None:
    """One name on its own is that one name, not its letters."""
    assert get_nlp(tiny_pin, **{option: "sentencizer"}) is get_nlp(tiny_pin, **{option: ["sentencizer"]})  # type: ignore[arg-type]  # one of three


@pytest.mark.parametrize("nothing", [(), [], set(), {}, iter(())], ids=["tuple", "list", "set", "dict", "iterator"])
def test_get_nlp_no_names(tiny_pin: ModelPin, nothing: Iterable[str]) -> None:
    """Choosing nothing is the same as leaving the choice out."""
    assert get_nlp(tiny_pin, disable=nothing) is get_nlp(tiny_pin)


def test_get_nlp_equal_pins(tiny_pin: ModelPin) -> None:
    """Pins of the same wheel are the same model, whatever else they say."""
    elsewhere = "https://example.org/en_tiny_sm-1.0.0-py3-none-any.whl"
    other = ModelPin("en_tiny_sm", "1.0.0", tiny_pin.sha256.upper(), url=elsewhere, size_mb=1)
    assert get_nlp(tiny_pin) is get_nlp(other)


def test_get_nlp_default_model(default_wheel: BuiltWheel) -> None:
    """Nothing, the name, the name with its version and the equal pin are one model."""
    nlp = get_nlp()
    pin = default_wheel.pin_at(None)
    others: list[str | ModelPin] = ["en_core_web_sm", "en_core_web_sm==3.8.0", " en_core_web_sm == 3.8.0 ", pin]
    assert [get_nlp(spelling) is nlp for spelling in others] == [True] * 4
    assert (nlp.meta["name"], nlp.meta["version"]) == ("core_web_sm", "3.8.0")
    assert get_nlp.cache_info()[1:] == (1, None, 1)


@pytest.mark.parametrize(
    ("options", "running", "disabled"),
    [
        ({"disable": "sentencizer"}, [], ["sentencizer"]),
        ({"exclude": "sentencizer"}, [], []),
        ({"enable": "sentencizer"}, ["sentencizer"], []),
        ({"enable": "absent"}, [], ["sentencizer"]),
    ],
    ids=["disable", "exclude", "enable", "enable another"],
)
def test_get_nlp_components(
    tiny_pin: ModelPin, options: dict[str, str], running: list[str], disabled: list[str]
) -> None:
    """Another choice of components is another object, with what was chosen."""
    plain, chosen = get_nlp(tiny_pin), get_nlp(tiny_pin, **options)  # type: ignore[arg-type]  # one of three
    assert chosen is not plain
    assert (chosen.pipe_names, chosen.disabled) == (running, disabled)
    assert (plain.pipe_names, plain.disabled) == (["sentencizer"], [])


def test_cache_info_as_lru_cache(tiny_pin: ModelPin, tmp_path: Path) -> None:
    """The figures are those an lru_cache gives for the same calls, a failing one among them."""
    absent = ModelPin("en_none", "1.0.0", "0" * 64, url=(tmp_path / "en_none-1.0.0-py3-none-any.whl").as_uri())

    @functools.cache
    def reference(model: ModelPin) -> str:
        if model is absent:
            raise DownloadError(name="", version="", sha256="", attempts=())
        return model.name

    for model in (tiny_pin, tiny_pin, absent, absent, tiny_pin):
        for function in (get_nlp, reference):
            with contextlib.suppress(DownloadError):
                function(model)
        assert tuple(get_nlp.cache_info()) == tuple(reference.cache_info())
    assert get_nlp.cache_info()._fields == reference.cache_info()._fields
    assert get_nlp.cache_info() == (2, 3, None, 1)


def test_cache_info_other_spellings(tiny_pin: ModelPin) -> None:
    """Another spelling of a model that is there counts as a hit."""
    get_nlp(tiny_pin)
    get_nlp(tiny_pin, disable=[])
    get_nlp(tiny_pin, disable=[])
    assert get_nlp.cache_info() == (2, 1, None, 1)


def test_cache_clear_loads_again(tiny_pin: ModelPin) -> None:
    """Clearing forgets the models and the figures."""
    first = get_nlp(tiny_pin)
    get_nlp.cache_clear()
    assert get_nlp.cache_info() == (0, 0, None, 0)
    assert get_nlp(tiny_pin) is not first


def test_get_nlp_many_spellings_forgotten(tiny_pin: ModelPin) -> None:
    """A program that spells its calls with generators does not keep every one of them for ever."""

    def spelled() -> weakref.ref[object]:
        names = (name for name in ["sentencizer"])
        get_nlp(tiny_pin, exclude=names)
        return weakref.ref(names)

    first = spelled()
    for _ in range(1100):
        spelled()
    gc.collect()
    assert first() is None
    assert get_nlp.cache_info() == (1100, 1, None, 1)


def test_get_nlp_threads_at_once(tiny: BuiltWheel, web_pin: ModelPin, server: ModelServer, loads: list[Path]) -> None:
    """Threads that ask at once, in different spellings, wait for one download and one load and share the object."""
    server.serve(PATH, Reply(body=tiny.content, drip_bytes_per_s=100_000))
    barrier = threading.Barrier(THREADS)

    def ask(thread: int) -> Language:
        barrier.wait()
        return get_nlp(web_pin, exclude=[] if thread % 2 else ())

    with ThreadPoolExecutor(THREADS) as pool:
        models = list(pool.map(ask, range(THREADS)))
    assert len(set(map(id, models))) == 1
    assert (server.count(PATH), len(loads)) == (1, 1)
    assert get_nlp.cache_info() == (THREADS - 1, 1, None, 1)


def test_get_nlp_pipeline_that_asks_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline's own code may ask for it while it is imported: nothing waits for itself, and there is one object."""
    code = "from spacy.util import get_model_meta\nimport asking_hook\nasking_hook.ask()\n"
    wheel = build_wheel(tmp_path / "wheel", tampering=Tampering(extra={"en_tiny_sm/__init__.py": code.encode()}))
    pin = wheel.pin
    asked: list[object] = []
    monkeypatch.setitem(sys.modules, "asking_hook", SimpleNamespace(ask=lambda: asked.append(get_nlp(pin))))
    assert [get_nlp(pin)] == asked


def test_get_nlp_failure_is_repeated(web_pin: ModelPin, server: ModelServer) -> None:
    """A failure is given again at once, with its cause and without asking the server again."""
    first, second = _failure(web_pin), _failure(web_pin)
    assert second is not first
    assert second.message in str(second.__cause__)
    assert (type(second), second.message, second.hint) == (DownloadError, first.message, first.hint)
    assert server.count(PATH) == 1


def test_get_nlp_repeated_failure_says_so(web_pin: ModelPin) -> None:
    """It says for how long it is remembered and what lifts it; the first one does not."""
    first, second = _failure(web_pin), _failure(web_pin)
    assert "remembered" not in str(first)
    remark = r"\(remembered, and not tried again for \d+ s; .* or get_nlp\.cache_clear\(\) ends that\)"
    assert re.search(remark, str(second).splitlines()[0])
    assert "(remembered" not in str(_failure(web_pin).__cause__)


def _with_traceback(error: DownloadError) -> tuple[object, ...]:
    """Reduce an error as tblib does."""
    revive, arguments = error.__reduce__()[:2]
    return lambda trace: revive(*arguments).with_traceback(trace), (error.__traceback__,)  # type: ignore[operator,misc]


@pytest.mark.parametrize("pickles_tracebacks", [False, True], ids=["plain", "tblib"])
def test_get_nlp_failure_keeps_nothing_of_its_caller(
    web_pin: ModelPin,
    monkeypatch: pytest.MonkeyPatch,
    pickles_tracebacks: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A remembered failure does not keep alive what its first caller had in its variables.

    Nor where a library, as dask's tblib does, has taught pickle and thereby `copy` to keep the tracebacks of errors.
    """
    if pickles_tracebacks:
        monkeypatch.setitem(copyreg.dispatch_table, DownloadError, _with_traceback)

    class Large:
        """Something that a caller would like to be rid of."""

    def ask() -> weakref.ref[Large]:
        large = Large()
        _failure(web_pin)
        return weakref.ref(large)

    large = ask()
    gc.collect()
    assert large() is None


def test_get_nlp_failure_not_repeated_once_installed(
    tiny: BuiltWheel, web_pin: ModelPin, tmp_path: Path, target: Path
) -> None:
    """What another process has installed by now is loaded: no failure is repeated without a look."""
    _failure(web_pin)
    done = python(
        "import sys, modelboot as m; m.ensure_model(m.ModelPin(*sys.argv[1:4], url=sys.argv[4]))",
        *pin_arguments(tiny.pin),
        env={"MODELBOOT_TARGET": str(target), "MODELBOOT_HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr
    assert get_nlp(web_pin).meta["version"] == "1.0.0"


def test_get_nlp_failure_of_any_components(web_pin: ModelPin, server: ModelServer) -> None:
    """A wheel that cannot be got is not asked for again because other components are chosen."""
    first = _failure(web_pin)
    with pytest.raises(DownloadError, match="en_tiny_sm") as caught:
        get_nlp(web_pin, exclude=["sentencizer"])
    assert _repeats(caught.value, first)
    assert server.count(PATH) == 1


def test_get_nlp_failure_is_no_result(tiny: BuiltWheel, web_pin: ModelPin, server: ModelServer) -> None:
    """Once the failure is forgotten, the call gives the model."""
    server.serve(PATH, Reply(404), Reply(body=tiny.content))
    _failure(web_pin)
    get_nlp.cache_clear()
    assert get_nlp(web_pin).meta["version"] == "1.0.0"


def test_get_nlp_failure_settings_changed(
    web_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other settings are tried at once: who has just named a mirror need not wait; going back repeats the failure."""
    first = _failure(web_pin)
    with monkeypatch.context() as patch:
        patch.setenv("MODELBOOT_TIMEOUT", "7")
        assert not _repeats(_failure(web_pin), first)
    assert server.count(PATH) == 2
    assert _repeats(_failure(web_pin), first)
    assert server.count(PATH) == 2


def test_get_nlp_failure_url_changed(tiny_pin: ModelPin, web_pin: ModelPin) -> None:
    """An equal pin with another URL is tried at once: a mistyped URL can be corrected."""
    _failure(web_pin)
    assert get_nlp(tiny_pin).meta["version"] == "1.0.0"


@pytest.mark.parametrize(("after_s", "requests"), [(59.9, 1), (60.1, 2)], ids=["still repeated", "tried again"])
def test_get_nlp_failure_for_a_minute(
    web_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch, after_s: float, requests: int
) -> None:
    """A failure is repeated for 60 seconds and no longer."""
    clock = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(failures, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    _failure(web_pin)
    clock.now_s += after_s
    _failure(web_pin)
    assert server.count(PATH) == requests


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "PIP_INDEX_URL", "UV_DEFAULT_INDEX"])
def test_get_nlp_failure_ends_with_a_setting_of_others(
    web_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """What the hint says to change is tried at once, also where the variable is another program's."""
    _failure(web_pin)
    requests = server.count(PATH)
    monkeypatch.setenv(variable, "/etc/ssl/certs/ca-certificates.crt" if "CERT" in variable else "http://127.0.0.1:9")
    _failure(web_pin)
    assert server.count(PATH) == 2 * requests
    _failure(web_pin)
    assert server.count(PATH) == 2 * requests


def test_get_nlp_type_error_of_spacy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What spaCy raises for a pipeline of the caller's own comes out as it is, after one try."""
    tries = []

    def refuse(path: Path, **_: Any) -> NoReturn:  # noqa: ANN401 - whatever spaCy takes
        tries.append(path)
        raise TypeError("no such thing")

    monkeypatch.setattr(spacy, "load", refuse)
    with pytest.raises(TypeError, match="no such thing"):
        get_nlp(tmp_path)
    assert len(tries) == 1
    with pytest.raises(TypeError, match="no such thing"):
        get_nlp(tmp_path, exclude=["ner"])
    assert len(tries) == 2


def test_get_nlp_load_failure_of_these_components(tiny_pin: ModelPin, loads: list[Path]) -> None:
    """A choice that spaCy refuses is refused at once the second time, and does not stand in the way of others."""
    for _ in range(2):
        with pytest.raises(LoadError, match="E1042"):
            get_nlp(tiny_pin, enable="sentencizer", disable="sentencizer")
    assert len(loads) == 1
    assert get_nlp(tiny_pin).pipe_names == ["sentencizer"]


def test_get_nlp_install_failure_is_repeated(tmp_path: Path, loads: list[Path]) -> None:
    """A wheel that is refused is refused at once the second time, whatever has become of its file."""
    wheel = build_wheel(tmp_path, tampering=Tampering(unlisted={"en_tiny_sm/x": b""}))
    pin = wheel.pin
    with pytest.raises(InstallError, match="en_tiny_sm/x") as first:
        get_nlp(pin)
    wheel.path.unlink()
    with pytest.raises(InstallError, match="en_tiny_sm/x") as second:
        get_nlp(pin)
    assert _repeats(second.value, first.value)
    assert loads == []


def test_get_nlp_unknown_model_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that the catalog has by now is found."""
    wheel = build_wheel(tmp_path / "wheels", name="en_brand_new")
    with pytest.raises(UnknownModelError, match="en_brand_new"):
        get_nlp("en_brand_new")
    publish(monkeypatch, tmp_path / "mirror", wheel)
    assert get_nlp("en_brand_new").meta["name"] == "brand_new"


def test_get_nlp_settings_error_not_remembered(tiny_pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that was corrected is read again."""
    with monkeypatch.context() as patch:
        patch.setenv("MODELBOOT_RETRIES", "many")
        with pytest.raises(SettingsError, match="MODELBOOT_RETRIES='many'"):
            get_nlp(tiny_pin)
    assert get_nlp(tiny_pin).meta["version"] == "1.0.0"


def test_get_nlp_incompatible_not_remembered(tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A requirement that was installed in the meantime is found, as in a notebook after `%pip install`."""
    pin = replace(tiny.pin, requires=("modelboot-test-plugin>=2",))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(IncompatibleError, match="modelboot-test-plugin>=2 \\(not installed\\)"):
        get_nlp(pin)
    dist_info = tmp_path / "modelboot_test_plugin-2.0.dist-info"
    dist_info.mkdir()
    (dist_info / "METADATA").write_text("Metadata-Version: 2.1\nName: modelboot-test-plugin\nVersion: 2.0\n")
    importlib.invalidate_caches()
    assert get_nlp(pin).meta["version"] == "1.0.0"


def test_get_nlp_failure_keeps_no_frames(web_pin: ModelPin) -> None:
    """What the first caller had in its hands is let go, although its failure is remembered for the next."""

    class Large:
        """Something a caller would not want to keep."""

    def call() -> weakref.ref[Large]:
        large = Large()
        with pytest.raises(DownloadError):
            get_nlp(web_pin)
        return weakref.ref(large)

    let_go = call()
    gc.collect()
    assert let_go() is None
    with pytest.raises(DownloadError):
        get_nlp(web_pin)


def test_get_nlp_offline_not_remembered(
    tiny: BuiltWheel, web_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel that was put into the wheelhouse in the meantime is found."""
    wheelhouse = tmp_path / "wheelhouse"
    wheelhouse.mkdir()
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    monkeypatch.setenv("MODELBOOT_WHEELHOUSE", str(wheelhouse))
    with pytest.raises(OfflineError, match="MODELBOOT_OFFLINE=1"):
        get_nlp(web_pin)
    shutil.copy(tiny.path, wheelhouse)
    assert get_nlp(web_pin).meta["version"] == "1.0.0"


@pytest.mark.parametrize("model", [3, None, b"en_core_web_sm", ["en_core_web_sm"]], ids=type)
def test_get_nlp_model_misuse(model: Any, target: Path) -> None:  # noqa: ANN401 - what a type checker would refuse
    """A model that is neither a name nor a pin is named before anything is fetched."""
    with pytest.raises(SettingsError, match="is not a name, name==version or a ModelPin") as caught:
        get_nlp(model)
    assert (caught.value.variable, caught.value.value) == ("model", repr(model))
    assert not target.exists()


@pytest.mark.parametrize("option", ["disable", "enable", "exclude"])
@pytest.mark.parametrize("names", [3, None, b"ner", ["ner", 3], [["ner"]]], ids=repr)
def test_get_nlp_names_misuse(tiny_pin: ModelPin, option: str, names: Any, target: Path) -> None:  # noqa: ANN401 - see above
    """Anything but a name or names is refused before anything is fetched."""
    with pytest.raises(SettingsError, match="is not a component's name or several") as caught:
        get_nlp(tiny_pin, **{option: names})
    assert (caught.value.variable, caught.value.value) == (option, repr(names))
    assert not target.exists()


def test_get_nlp_keyword_model() -> None:
    """The model is given by position: the name of that parameter is nobody's to rely on."""
    with pytest.raises(TypeError, match="positional-only"):
        get_nlp(model="en_core_web_sm")  # type: ignore[call-arg]  # the point of the test


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_get_nlp_forked_while_loading(tiny_pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child forked while a thread is loading a model loads it itself instead of waiting for that thread."""
    ensure_model(tiny_pin)
    parent, entered, release, load = os.getpid(), threading.Event(), threading.Event(), spacy.load

    def held_up(path: Path, **options: Any) -> Language:  # noqa: ANN401 - whatever spaCy takes
        if os.getpid() == parent:
            entered.set()
            release.wait()
        return load(path, **options)

    monkeypatch.setattr(spacy, "load", held_up)
    with ThreadPoolExecutor(1) as pool:
        ours = pool.submit(get_nlp, tiny_pin)
        try:
            assert entered.wait(HUNG_AFTER_S)
            status = _in_fork(lambda: get_nlp(tiny_pin).meta["version"] == "1.0.0" and get_nlp.cache_info()[3] == 1)
        finally:
            release.set()
    assert status == 0
    assert get_nlp(tiny_pin) is ours.result()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_get_nlp_forked_after_loading(tiny_pin: ModelPin, loads: list[Path]) -> None:
    """A child has what its parent had loaded, without loading it again."""
    nlp = get_nlp(tiny_pin)
    assert _in_fork(lambda: get_nlp(tiny_pin) is nlp and len(loads) == 1) == 0


def test_get_nlp_pickle() -> None:
    """The function travels between processes by its name."""
    assert pickle.loads(pickle.dumps(get_nlp)) is get_nlp  # noqa: S301 - our own bytes


def test_get_nlp_signature() -> None:
    """Python shows the function's own parameters, not those of a wrapper."""
    parameters = inspect.signature(get_nlp).parameters.values()
    assert [(parameter.name, parameter.kind.name, parameter.default) for parameter in parameters] == [
        ("model", "POSITIONAL_ONLY", "en_core_web_sm"),
        ("disable", "KEYWORD_ONLY", ()),
        ("enable", "KEYWORD_ONLY", ()),
        ("exclude", "KEYWORD_ONLY", ()),
        ("offline", "KEYWORD_ONLY", None),
    ]


@pytest.mark.parametrize("told", ["get_nlp( model: ", "Return a pinned spaCy", "exclude: Component", "Raises:"])
def test_get_nlp_help(told: str) -> None:
    """`help(get_nlp)` shows the signature, the parameters and the errors."""
    shown = pydoc.plain(pydoc.render_doc(get_nlp)).replace("get_nlp(model", "get_nlp(\n    model")  # as since 3.13
    assert told in re.sub(r"\s+", " ", shown)


def test_cache_controls_documented() -> None:
    """`help` has a line for the controls, too."""
    assert inspect.getdoc(get_nlp.cache_info) is not None
    assert inspect.getdoc(get_nlp.cache_clear) is not None


def _failure(pin: ModelPin) -> DownloadError:
    """Ask for a model that cannot be got."""
    with pytest.raises(DownloadError, match=r"could not get en_tiny_sm 1\.0\.0") as caught:
        get_nlp(pin)
    return caught.value


def _repeats(error: ModelbootError, first: ModelbootError) -> bool:
    """Tell whether an error is an earlier one, given again without another try."""
    return error.remembered_s is not None and error.message == first.message and first.message in str(error.__cause__)


def _in_fork(check: Callable[[], bool]) -> int:
    """Run a check in a forked child; 0 when it holds, negative when the child hung."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that this process has threads is the point
        child = os.fork()
    if child == 0:
        signal.alarm(HUNG_AFTER_S)
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

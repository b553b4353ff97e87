"""`load` stands where `spacy.load` stood: the same arguments, results and warnings, and errors that callers catch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import spacy

import modelboot
from modelboot import (
    DownloadError,
    LoadError,
    ModelPin,
    OfflineError,
    SettingsError,
    UnknownModelError,
    ensure_model,
    get_nlp,
    load,
)
from support.forms import FORMS, outcome
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

if TYPE_CHECKING:
    from spacy.language import Language


@pytest.mark.parametrize("is_present", [True, False], ids=["present", "absent"])
@pytest.mark.parametrize("form", FORMS)
def test_load_gives_what_spacy_gives(
    tiny_pin: ModelPin,
    tmp_path: Path,
    form: str,
    is_present: bool,  # noqa: FBT001 - a column
) -> None:
    """Each form of a call has the same outcome and warnings as spaCy's own on the same files."""
    reference = ensure_model(tiny_pin, target=tmp_path / "reference").path
    if is_present:
        ensure_model(tiny_pin)
    assert outcome(load, tiny_pin, FORMS[form]) == outcome(spacy.load, reference, FORMS[form])


def test_load_is_fresh_each_time(tiny_pin: ModelPin) -> None:
    """What one caller adds to its pipeline, no other caller has; what is shared stays as it was."""
    shared, first = get_nlp(tiny_pin), load(tiny_pin)
    first.add_pipe("entity_ruler")
    first.max_length = 7
    second = load(tiny_pin)
    assert second is not first
    assert (second.pipe_names, second.max_length) == (shared.pipe_names, shared.max_length) == (["sentencizer"], 10**6)
    assert get_nlp(tiny_pin) is shared


def test_load_with_a_vocabulary(tiny_pin: ModelPin) -> None:
    """A vocabulary that is handed over is the pipeline's."""
    vocab = spacy.blank("en").vocab
    assert load(tiny_pin, vocab=vocab).vocab is vocab


def test_load_passes_on_what_spacy_accepts(tiny_pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument that a later spaCy may have reaches it; one that it does not have is its TypeError."""
    told: dict[str, object] = {}
    real = spacy.load

    def later(path: Path, *, device: str = "cpu", **options: Any) -> Language:  # noqa: ANN401 - spaCy's
        told["device"] = device
        return real(path, **options)

    monkeypatch.setattr(spacy, "load", later)
    load(tiny_pin, device="gpu")
    assert told == {"device": "gpu"}
    monkeypatch.undo()
    with pytest.raises(TypeError, match="devise"):
        load(tiny_pin, devise="gpu")


def test_load_signature() -> None:
    """It has every argument of `spacy.load`, by the same names."""
    accepted = inspect.signature(load).parameters
    assert {*inspect.signature(spacy.load).parameters} - {"name"} <= {*accepted}
    assert next(iter(accepted)) == "model"


@pytest.mark.parametrize("function", [load, get_nlp], ids=["load", "get_nlp"])
def test_offline_argument(tiny: BuiltWheel, server: ModelServer, function: Callable[..., Language]) -> None:
    """A library may say for its own call that nothing is fetched; what is there is loaded."""
    pin = tiny.pin_at(f"{server.url}/{tiny.path.name}")
    with pytest.raises(OSError, match=r"^Can't find model 'en_tiny_sm'") as caught:
        function(pin, offline=True)
    assert isinstance(caught.value, OfflineError)
    assert server.requests == []
    ensure_model(tiny.pin)
    assert function(pin, offline=True).meta["version"] == "1.0.0"


def test_offline_argument_beats_the_environment(tiny_pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """`offline=False` fetches although the environment says otherwise."""
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    assert load(tiny_pin, offline=False).meta["version"] == "1.0.0"


def test_load_shares_remembered_failures(tiny: BuiltWheel, server: ModelServer) -> None:
    """A failure to install is remembered for `load` and `get_nlp` together."""
    pin = tiny.pin_at(f"{server.url}/{tiny.path.name}")
    for function in (load, get_nlp, load):
        with pytest.raises(DownloadError, match="404"):
            function(pin)
    assert len(server.requests) == 1


def test_load_repairs(tiny_pin: ModelPin) -> None:
    """A damaged file is mended, as with `get_nlp`."""
    config = ensure_model(tiny_pin).path / "config.cfg"
    whole = config.read_bytes()
    config.write_bytes(b"x" * len(whole))
    assert load(tiny_pin).pipe_names == ["sentencizer"]
    assert config.read_bytes() == whole


def test_load_failure_of_a_config_is_not_remembered(tiny_pin: ModelPin) -> None:
    """One config that spaCy refuses does not stand in the way of another."""
    with pytest.raises(LoadError, match="absent"):
        load(tiny_pin, config={"components.absent.x": 1})
    assert load(tiny_pin, config={"nlp.batch_size": 3}).batch_size == 3


def test_load_names_misuse(tiny_pin: ModelPin) -> None:
    """What names no component is refused before anything is fetched."""
    with pytest.raises(SettingsError, match="exclude='3' is not a component's name or several"):
        load(tiny_pin, exclude=3)  # type: ignore[arg-type]  # the point of the test


def test_load_explains_itself() -> None:
    """`help(get_nlp)` says that its object is for reading and names `load`."""
    assert "for reading" in str(get_nlp.__doc__)
    assert "`load`" in str(get_nlp.__doc__)
    assert "fresh" in str(modelboot.load.__doc__)


def test_load_names_of_its_own(tiny_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, however it is named, and a blank pipeline pass to spaCy, unpinned; nothing is installed for them."""
    folder = ensure_model(tiny_pin, target=tmp_path / "elsewhere").path
    monkeypatch.chdir(folder.parent)
    for model in (folder, str(folder), f"./{folder.name}", folder.name):
        assert load(model).meta["version"] == "1.0.0"
        assert get_nlp(model) is get_nlp(folder)
    assert (load("blank:de").lang, get_nlp("blank:de") is get_nlp("blank:de")) == ("de", True)
    assert not (tmp_path / "target").exists()


def test_load_folder_with_an_at_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of people whose user names have a domain are folders, and no references."""
    folder = tmp_path / "ann@corp" / "model"
    folder.parent.mkdir()
    spacy.blank("de").to_disk(folder)
    monkeypatch.chdir(tmp_path)
    assert [load(model).lang for model in (str(folder), "ann@corp/model", "./ann@corp/model")] == ["de", "de", "de"]


@pytest.mark.parametrize("model", ["./model", Path("model"), "model"])
def test_get_nlp_relative_folder(model: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is the one below the working directory of each call, and loaded once each."""
    for lang in ("en", "de"):
        (tmp_path / lang).mkdir()
        spacy.blank(lang).to_disk(tmp_path / lang / "model")
    seen = []
    for lang in ("en", "de", "en", "de"):
        monkeypatch.chdir(tmp_path / lang)
        seen.append(get_nlp(model))
    assert [nlp.lang for nlp in seen] == ["en", "de", "en", "de"]
    assert (seen[0] is seen[2], seen[1] is seen[3], get_nlp.cache_info()[:2]) == (True, True, (2, 2))


def test_load_folder_of_the_name_of_an_installed_pipeline(
    tiny_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with spaCy, an installed pipeline comes before a folder of its name in the working directory."""
    spacy.blank("de").to_disk(tmp_path / "en_tiny_sm")
    monkeypatch.chdir(tmp_path)
    assert [load("en_tiny_sm").lang, spacy.load("en_tiny_sm").lang] == ["de", "de"]
    ensure_model(tiny_pin)
    assert [load("en_tiny_sm").lang, spacy.load("en_tiny_sm").lang] == ["en", "en"]


def test_load_installed_pipeline_of_its_own(tiny_pin: ModelPin) -> None:
    """An installed pipeline that the catalog does not know is loaded by its name; a package that is none is not."""
    ensure_model(tiny_pin)
    assert load("en_tiny_sm").meta["version"] == "1.0.0"
    assert get_nlp("en_tiny_sm") is get_nlp("en_tiny_sm")
    with pytest.raises(UnknownModelError, match=r"^Can't find model 'packaging'"):
        load("packaging")


@pytest.mark.parametrize("model", ["./absent", Path("absent"), "/absent/x"])
def test_load_folder_that_is_absent(model: str | Path) -> None:
    """A folder that does not exist is the error of spaCy that callers know."""
    with pytest.raises(OSError, match=r"\[E05[02]\] Can't find model"):
        load(model)


@pytest.mark.parametrize("function", [load, get_nlp], ids=["load", "get_nlp"])
def test_direct_reference(tiny: BuiltWheel, function: Callable[..., Language]) -> None:
    """A direct reference is a pin in one line."""
    assert function(f"en-tiny-sm @ {tiny.url}#sha256={tiny.sha256}").meta["version"] == "1.0.0"
    with pytest.raises(modelboot.HashMismatchError, match="not the pinned bytes"):
        function(f"en_tiny_sm @ {tiny.url}#sha256={'0' * 64}")


@pytest.mark.parametrize("name", ["en_tiny_sm-any-py3-none-any.whl", "4711"])
def test_direct_reference_without_a_version(tiny: BuiltWheel, server: ModelServer, name: str) -> None:
    """Where the URL has no version or no wheel's name, the verified wheel's METADATA decide; once is enough."""
    server.serve(f"/{name}", Reply(body=tiny.content))
    reference = f"en_tiny_sm @ {server.url}/{name}#sha256={tiny.sha256}"
    model = ensure_model(reference)
    assert (model.version, model.source) == ("1.0.0", "release")
    assert load(reference).meta["version"] == "1.0.0"
    assert (ensure_model(reference).source, len(server.requests)) == ("present", 1)
    other = ModelPin("en_tiny_sm", None, "0" * 64, url=f"{server.url}/{name}")
    with pytest.raises(modelboot.HashMismatchError):
        ensure_model(other)  # another wheel of that name is not taken for it


def test_pins_file_in_force(tiny: BuiltWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's own build stands in for a plain name in every call."""
    pins = tmp_path / "pins.txt"
    pins.write_text(f"en-tiny-sm @ {tiny.url}#sha256={tiny.sha256}\n")
    monkeypatch.setenv("MODELBOOT_PINS", str(pins))
    assert ensure_model("en_tiny_sm").sha256 == tiny.sha256
    assert load("en_tiny_sm").meta["version"] == get_nlp("en-tiny-sm").meta["version"] == "1.0.0"

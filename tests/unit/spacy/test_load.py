"""`load` stands where `spacy.load` stood: the same arguments, results and warnings, and errors that callers catch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import spacy

from modelboot import HashMismatchError, ModelPin, OfflineError, ensure_model, get_nlp, load
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

if TYPE_CHECKING:
    from spacy.language import Language

    Loads = Callable[..., Language]

BOTH = pytest.mark.parametrize("function", [load, get_nlp], ids=["load", "get_nlp"])


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
    vocab = spacy.blank("af").vocab
    assert load(tiny_pin, vocab=vocab).vocab is vocab


def test_load_passes_on_what_spacy_accepts(tiny_pin: ModelPin, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has every argument of `spacy.load`; one that a later spaCy has reaches it; any other is its TypeError."""
    assert {*inspect.signature(spacy.load).parameters} - {"name"} <= {*inspect.signature(load).parameters}
    told: dict[str, object] = {}
    really_load = spacy.load

    def later(path: Path, *, device: str = "cpu", **options: Any) -> Language:  # noqa: ANN401 - spaCy's
        told["device"] = device
        return really_load(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(spacy, "load", later)
        load(tiny_pin, device="gpu")
    assert told == {"device": "gpu"}
    with pytest.raises(TypeError, match="devise"):
        load(tiny_pin, devise="gpu")


@BOTH
def test_offline_argument(
    function: Loads, tiny: BuiltWheel, web_pin: ModelPin, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library may say for its own call whether anything is fetched, whatever the environment says."""
    with pytest.raises(OSError, match=r"^Can't find model 'af_tiny_sm'") as caught:
        function(web_pin, offline=True)
    assert isinstance(caught.value, OfflineError)
    assert server.requests == []
    server.publish(tiny)
    monkeypatch.setenv("MODELBOOT_OFFLINE", "1")
    for offline in (False, True):  # fetched, and then there
        assert function(web_pin, offline=offline).meta["version"] == "1.0.0"
    assert len(server.requests) == 1


def test_load_names_of_its_own(tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, however it is named, and a blank pipeline pass to spaCy, unpinned; nothing is installed for them.

    Folders of people whose user names have a domain are folders, and not references.
    """
    folder = tmp_path / "ann@corp" / "model"
    folder.parent.mkdir()
    spacy.blank("af").to_disk(folder)
    monkeypatch.chdir(tmp_path)
    for model in (folder, str(folder), "ann@corp/model", "./ann@corp/model", "blank:af"):
        assert load(model).lang == "af"
        assert get_nlp(model) is get_nlp("blank:af" if model == "blank:af" else folder)
    assert not target.exists()


@pytest.mark.parametrize("model", ["./model", Path("model"), "model"])
def test_get_nlp_relative_folder(model: str | Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder is the one below the working directory of each call, and loaded once each."""
    for lang in ("af", "xx"):
        (tmp_path / lang).mkdir()
        spacy.blank(lang).to_disk(tmp_path / lang / "model")
    seen = []
    for lang in ("af", "xx", "af", "xx"):
        monkeypatch.chdir(tmp_path / lang)
        seen.append(get_nlp(model))
    assert [nlp.lang for nlp in seen] == ["af", "xx", "af", "xx"]
    assert (seen[0] is seen[2], seen[1] is seen[3], get_nlp.cache_info()[:2]) == (True, True, (2, 2))


def test_load_installed_pipeline_of_its_own(
    tiny_pin: ModelPin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed pipeline that the catalog does not know is loaded by its name, and before a folder of that name."""
    spacy.blank("xx").to_disk(tmp_path / "af_tiny_sm")
    monkeypatch.chdir(tmp_path)
    assert [load("af_tiny_sm").lang, spacy.load("af_tiny_sm").lang] == ["xx", "xx"]
    ensure_model(tiny_pin)
    assert [load("af_tiny_sm").lang, spacy.load("af_tiny_sm").lang] == ["af", "af"]
    assert get_nlp("af_tiny_sm") is get_nlp("af_tiny_sm")


@BOTH
@pytest.mark.parametrize("model", ["./absent", Path("absent"), "/absent/x", "en_typo_sm", "packaging"])
def test_load_what_is_no_pipeline(function: Loads, model: str | Path) -> None:
    """A folder that does not exist, a mistyped name or another package is the error of spaCy that callers know."""
    with pytest.raises(OSError, match="Can't find model"):
        function(model)


@pytest.mark.parametrize("name", ["af_tiny_sm-any-py3-none-any.whl", "4711"])
def test_direct_reference_without_a_version(tiny: BuiltWheel, server: ModelServer, name: str) -> None:
    """Where the URL has no version or no wheel's name, the verified wheel's METADATA decide; once is enough."""
    server.serve(f"/{name}", Reply(body=tiny.content))
    reference = f"af_tiny_sm @ {server.url}/{name}#sha256={tiny.sha256}"
    model = ensure_model(reference)
    assert (model.version, model.source) == ("1.0.0", "release")
    assert load(reference).meta["version"] == "1.0.0"
    assert (ensure_model(reference).source, len(server.requests)) == ("present", 1)
    other = ModelPin("af_tiny_sm", None, "0" * 64, url=f"{server.url}/{name}")
    with pytest.raises(HashMismatchError):
        ensure_model(other)  # another wheel of that name is not taken for it

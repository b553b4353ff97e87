"""The table of official pipelines, and the way from a name to a pin."""

from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path

import pytest

import modelboot
from modelboot import IncompatibleError, ModelPin, UnknownModelError
from modelboot._catalog import CatalogEntry, catalog, check_requirements, resolve
from modelboot._versions import version_key
from support.children import python

SHIPPED = Path(modelboot.__file__).with_name("catalog.csv")
SHIPPED_SHA = "a9ec992280cd1a7fb6557ada4c4cdaee1194202b46431cb8fcc64391fff32fc9"
"""Of the table as it was taken from the publisher's metadata; `tests/tools/rebuild_catalog.py` makes another."""
MISSING = "modelboot-no-such-thing"
# What a bare process has loaded once a name has become a pin.
CHILD = """
import sys
from modelboot._catalog import resolve
heavy = {"spacy", "urllib3", "filelock", "installer", "tqdm", "packaging"}
print(resolve("en_core_web_sm"), *sorted(heavy & set(sys.modules)))
"""


def facts(entry: CatalogEntry) -> tuple[str, ...]:
    """Give an entry's facts as a row of the publisher's table."""
    pin = entry.pin
    size, requires = f"{pin.size_mb} MB", ";".join(pin.requires)
    return pin.name, str(pin.version), pin.sha256, entry.spacy_range, entry.license, size, requires


def pin(*requires: str) -> ModelPin:
    """Make a pin with these requirements."""
    return ModelPin("ja_acme_sm", "1.0.0", "0" * 64, requires=requires)


def test_catalog_is_whole() -> None:
    """The publisher's 192 rows are all there; each becomes a pin with all its facts, by name and from the oldest on."""
    text, found = SHIPPED.read_bytes(), catalog()
    assert hashlib.sha256(text).hexdigest() == SHIPPED_SHA
    _, *rows = map(tuple, csv.reader(text.decode().splitlines()))
    assert sorted(map(facts, found)) == sorted(rows)
    assert len(found) == len({entry.pin for entry in found}) == len({entry.pin.sha256 for entry in found}) == 192
    keys = [(entry.pin.name, version_key(str(entry.pin.version))) for entry in found]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("model", "spacy", "pinned", "made_for"),
    [
        ("en_core_web_sm", "3.7.1", "en_core_web_sm 3.7.0", None),
        ("en_core_web_sm", "3.7.5", "en_core_web_sm 3.7.1", None),
        ("en_core_web_sm", "3.8.0", "en_core_web_sm 3.8.0", None),
        ("en_core_web_sm", "3.8.1.dev0", "en_core_web_sm 3.8.0", None),
        ("en_core_web_trf", "3.7.1", "en_core_web_trf 3.7.2", None),
        ("en_core_web_trf", "3.7.2", "en_core_web_trf 3.7.3", None),
        ("en_core_web_sm==3.8.0", "3.8.0", "en_core_web_sm 3.8.0", None),
        ("en_core_web_sm==3.7.0", "3.7.5", "en_core_web_sm 3.7.0", None),
        ("en_core_web_sm==3.8", "3.8.0", "en_core_web_sm 3.8.0", None),
        (" en_core_web_sm == 3.8.0 ", "3.8.0", "en_core_web_sm 3.8.0", None),
        ("en-core-web-sm", "3.8.0", "en_core_web_sm 3.8.0", None),
        ("en_core_web_sm", "3.9.0", "en_core_web_sm 3.8.0", ">=3.8.0,<3.9.0"),
        ("en_core_web_sm==3.7.1", "3.8.11", "en_core_web_sm 3.7.1", ">=3.7.2,<3.8.0"),
    ],
)
def test_resolve(model: str, spacy: str, pinned: str, made_for: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """The newest release made for the spaCy there is taken, or the one named; for a newer spaCy with a warning."""
    assert str(resolve(model, spacy_version=spacy)) == pinned
    warning = ("WARNING", f"{pinned} was made for spaCy {made_for}; {spacy} is installed")
    assert [(each.levelname, each.getMessage()) for each in caplog.records] == ([warning] if made_for else [])


@pytest.mark.parametrize(
    ("model", "spacy", "refused", "needs"),
    [
        ("en_core_web_sm", "2.3.9", "en_core_web_sm 3.7.0", "spacy>=3.7.0,<3.8.0"),
        ("en_core_web_sm==3.8.0", "3.7.5", "en_core_web_sm 3.8.0", "spacy>=3.8.0,<3.9.0"),
        ("en_core_web_sm==3.8.0", "3.8.0.dev2", "en_core_web_sm 3.8.0", "spacy>=3.8.0,<3.9.0"),
    ],
)
def test_resolve_older_spacy(model: str, spacy: str, refused: str, needs: str) -> None:
    """A spaCy older than every release that is asked for is an error."""
    with pytest.raises(IncompatibleError, match=refused) as caught:
        resolve(model, spacy_version=spacy)
    assert (caught.value.model, caught.value.unmet) == (refused, ((needs, spacy),))


def test_resolve_without_spacy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where spaCy is not installed the error names the range it should be of."""
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(IncompatibleError, match="not installed") as caught:
        resolve("en_core_web_sm")
    assert caught.value.unmet == (("spacy>=3.8.0,<3.9.0", None),)


def test_resolve_reads_metadata_only() -> None:
    """The version of spaCy is read from its metadata: neither spaCy nor another library is imported for it."""
    assert python(CHILD).stdout.split() == str(resolve("en_core_web_sm")).split()


def test_resolve_a_pin() -> None:
    """A pin, or a reference to a wheel, is taken as it is, even one the catalog knows otherwise."""
    own = ModelPin("en_core_web_sm", "3.8.0", "0" * 64)
    assert resolve(own, spacy_version="2.0") is own
    assert resolve(f"en_core_web_sm @ {own.release_url}#sha256={own.sha256}") == own


@pytest.mark.parametrize(
    ("model", "nearest"),
    [
        ("en_core_web_small", "en_core_web_sm"),
        ("english", "en_core_web_sm"),
        ("en", "en_core_web_sm"),
        ("EN_CORE_WEB_SM", "en_core_web_sm"),
        ("fr_core_new_sm", "fr_core_news_sm"),
        ("en_core_web_smm==3.8.0", "en_core_web_sm"),
        ("", None),
        ("==3.8.0", None),
        ("qqqqqqqq", None),
    ],
)
def test_resolve_unknown_name(model: str, nearest: str | None) -> None:
    """An unknown name is an error that offers at most three names that look alike, if any do, the nearest first."""
    with pytest.raises(UnknownModelError, match="no pipeline of that name") as caught:
        resolve(model)
    unknown = caught.value
    assert (unknown.name, unknown.known_versions) == (model.partition("==")[0], ())
    assert unknown.near[:1] == ((nearest,) if nearest else ())
    assert len(unknown.near) <= 3


@pytest.mark.parametrize("version", ["3.6.0", "3.8.1", "newest", "3.8.0.dev0"])
def test_resolve_unknown_version(version: str) -> None:
    """An unknown version of a known name is an error that names the versions there are."""
    with pytest.raises(UnknownModelError, match=f"has no en_core_web_sm {version}, only") as caught:
        resolve(f"en_core_web_sm=={version}")
    assert (caught.value.version, caught.value.known_versions) == (version, ("3.7.0", "3.7.1", "3.8.0"))


@pytest.mark.parametrize("marker", ["python_version < '3'", "extra == 'ja'"])
def test_requirements_met(marker: str) -> None:
    """Requirements that are installed, in any case of letters, or that do not apply here, are not an error."""
    check_requirements(pin())
    check_requirements(pin("PyTest>=1", "packaging", f"{MISSING}; {marker}"))


def test_requirements_unmet() -> None:
    """Every requirement that is missing or of another version is named, with what is there; the others are not."""
    with pytest.raises(IncompatibleError, match=r"^ja_acme_sm 1\.0\.0 needs") as caught:
        check_requirements(pin("packaging", f"{MISSING}>=0.5; python_version >= '3'", "pytest<1"))
    assert caught.value.unmet == ((f"{MISSING}>=0.5; python_version >= '3'", None), ("pytest<1", pytest.__version__))


@pytest.mark.parametrize(
    ("model", "is_ours"), [("en_core_web_sm", True), ("en_core_web_sm==3.8.0", False), ("fr_core_news_sm", False)]
)
def test_resolve_pins_file_wins(tmp_path: Path, model: str, *, is_ours: bool) -> None:
    """A name that a pins file has is the file's, in its version; its other names are the catalog's.

    Names are compared as an index does, whatever stands between their words.
    """
    url = "https://host/en_core_web_sm-3.8.0+acme-py3-none-any.whl"
    (tmp_path / "pins.txt").write_text(f"# ours\nen--core_.web-SM @ {url}#sha256={'a' * 64}\n", "utf-8")
    pinned = resolve(model, pins=tmp_path / "pins.txt", spacy_version="3.8.0")
    assert (pinned.sha256 == "a" * 64) is is_ours
    assert (pinned.url == url) is is_ours

"""A client project with the three kinds of use found in the wild, and its own tests, before and after the switch.

It is run with the model present and absent, in an environment that may be written and in one that may not.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from spacy.about import __version__ as spacy_version

from support.children import (
    OTHER,
    TIMEOUT_S,
    as_user,
    environment,
    library_of,
    make_env,
    owned,
    public_folder,
    skip_unless_other_user,
)
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

LIBRARY = """\
import spacy

MODEL = "en_tiny_sm"


def pipeline(exclude=()):
    try:
        return spacy.load(MODEL, exclude=exclude)
    except OSError:
        spacy.cli.download(MODEL)
        return spacy.load(MODEL, exclude=exclude)


def sentences(text):
    return [str(sentence) for sentence in pipeline()(text).sents]
"""
LIBRARY_TESTS = """\
from .library import pipeline, sentences


def test_sentences():
    assert sentences("One. Two.") == ["One.", "Two."]


def test_exclude():
    assert pipeline(exclude=["sentencizer"]).pipe_names == []


def test_each_has_its_own():
    pipeline().max_length = 3
    assert sentences("One. Two.") == ["One.", "Two."]
"""
FRAMEWORK = """\
import spacy


class ConfigError(Exception):
    pass


class Engine:
    def __init__(self, config):
        try:
            self.nlp = spacy.load(config["model"], disable=config.get("disable", []), config=config.get("spacy", {}))
        except IOError as error:
            raise ConfigError(str(error)) from error
"""
FRAMEWORK_TESTS = """\
import pytest
import spacy

from .framework import ConfigError, Engine


def test_name():
    engine = Engine({"model": "en_tiny_sm", "disable": ["sentencizer"], "spacy": {"nlp": {"batch_size": 3}}})
    assert (engine.nlp.disabled, engine.nlp.batch_size) == (["sentencizer"], 3)


def test_path(tmp_path):
    spacy.blank("de").to_disk(tmp_path)
    assert Engine({"model": str(tmp_path)}).nlp.lang == "de"


def test_blank():
    assert Engine({"model": "blank:xx"}).nlp.lang == "xx"


@pytest.mark.parametrize("model", ["en_typo_sm", "./typo"])
def test_wrong_name_or_path(model):
    with pytest.raises(ConfigError, match="Can't find model"):
        Engine({"model": model})
"""
RULES = """\
import spacy

nlp = spacy.load("en_tiny_sm")
nlp.add_pipe("entity_ruler").add_patterns([{{"label": "{label}", "pattern": "{pattern}"}}])
"""
PACKAGE_TESTS = """\
from . import people, places


def test_both_have_their_rules():
    found = [[(ent.text, ent.label_) for ent in nlp("Ada in Rome.").ents] for nlp in (people.nlp, places.nlp)]
    assert found == [[("Ada", "PERSON")], [("Rome", "PLACE")]]
"""
PROJECT = {
    "library.py": LIBRARY,
    "framework.py": FRAMEWORK,
    "people.py": RULES.format(label="PERSON", pattern="Ada"),
    "places.py": RULES.format(label="PLACE", pattern="Rome"),
}
TESTS = {
    "__init__.py": "",
    "test_framework.py": FRAMEWORK_TESTS,
    "test_library.py": LIBRARY_TESTS,  # behind the framework's: it may bring the model along
    "test_package.py": PACKAGE_TESTS,
}
ALL = {"framework", "library", "package"}
CONFTEST = """\
import os
import spacy.about

spacy.about.__download_url__ = os.environ["RELEASES"]
spacy.about.__compatibility__ = os.environ["RELEASES"] + "/compatibility.json"
"""
"""How `spacy download` is led to a server of the test's own."""


def switched(text: str) -> str:
    """Return a file of the project after the switch."""
    download = LIBRARY[LIBRARY.index("    try:") : LIBRARY.index("\n\ndef sentences")]
    text = text.replace(download, "    return spacy.load(MODEL, exclude=exclude)\n")
    return text.replace("import spacy\n", "from modelboot import load\n").replace("spacy.load(", "load(")


@dataclass(frozen=True, slots=True)
class Place:
    """An environment that the project runs in, and who runs it."""

    folder: Path
    user: int | None
    server: ModelServer
    model: BuiltWheel

    @property
    def library(self) -> Path:
        """Its site-packages."""
        return library_of(self.folder / "env")

    def green(self, *states: str) -> set[str]:
        """Return the parts of the project whose tests all pass, each with the state it is in: "before/library"."""
        home = self.folder / "home"
        settings = {"HOME": str(home), "MODELBOOT_TARGET": None, "MODELBOOT_HOME": str(home / "modelboot")}
        settings |= {"MODELBOOT_PINS": str(self.folder / "pins.txt"), "RELEASES": self.server.url}
        settings |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        settings |= {"PYTEST_ADDOPTS": None, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        words = [*as_user(self.user), str(self.folder / "env" / "bin" / "python"), "-m", "pytest", "-rA"]
        options = ["-p", "no:cacheprovider", "--continue-on-collection-errors", f"--basetemp={home / 'tests'}"]
        done = subprocess.run(
            [*words, *options, *states],
            env=environment(settings),
            cwd=self.folder / "client",
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        print(done.stdout, done.stderr)  # noqa: T201 - what pytest shows of a test that failed
        outcomes = defaultdict(set)
        for outcome, part in re.findall(r"^(PASSED|FAILED|ERROR) (\w+/test_\w+)\.py", done.stdout, re.MULTILINE):
            outcomes[part.replace("test_", "")].add(outcome)
        assert len(outcomes) == len(ALL) * len(states)
        return {part for part, seen in outcomes.items() if seen == {"PASSED"}}


@pytest.fixture(params=["writable", "read-only"])
def place(request: pytest.FixtureRequest, server: ModelServer, tiny: BuiltWheel) -> Iterator[Place]:
    """Return a new environment with the project, and the model on a server; it is another user's if read-only."""
    user = None if request.param == "writable" else OTHER
    if user is not None:
        skip_unless_other_user()
    minor = ".".join(spacy_version.split(".")[:2])
    table = f'{{"spacy": {{"{minor}": {{"{tiny.name}": ["{tiny.version}"]}}}}}}'
    server.serve("/compatibility.json", Reply(body=table.encode()))
    server.serve(f"/{tiny.release_path}", Reply(body=tiny.content))
    with public_folder() as folder:
        make_env(folder / "env")
        owned(folder / "home", os.getuid() if user is None else user)
        (folder / "pins.txt").write_text(f"{tiny.name} @ {server.url}/{tiny.release_path}#sha256={tiny.sha256}\n")
        after = {path: switched(text) for path, text in PROJECT.items()}
        for state, files in {"before": PROJECT, "after": after}.items():
            (folder / "client" / state).mkdir(parents=True)
            for path, text in {**files, **TESTS}.items():
                (folder / "client" / state / path).write_text(text, "utf-8")
        (folder / "client" / "conftest.py").write_text(CONFTEST, "utf-8")
        yield Place(folder, user, server, tiny)


@pytest.mark.parametrize("file", PROJECT)
def test_switch_takes_one_or_two_lines(file: str) -> None:
    """No more than two lines of a file are written; whatever else differs is gone."""
    lines = difflib.ndiff(PROJECT[file].splitlines(), switched(PROJECT[file]).splitlines())
    assert 1 <= sum(line.startswith("+ ") for line in lines) <= 2


def test_client_after_the_switch(place: Place) -> None:
    """The model absent, its tests are green: one download, into the environment or, where it may not be, the store."""
    assert place.green("after") == {f"after/{part}" for part in ALL}
    assert place.server.count(f"/{place.model.release_path}") == 1
    stored = [*(place.folder / "home" / "modelboot").glob(f"{place.model.name}-{place.model.version}-*")]
    is_ours = place.user is None
    assert ((place.library / place.model.name).exists(), bool(stored)) == (is_ours, not is_ours)


def test_client_before_the_switch(place: Place) -> None:
    """The model absent, its tests were green only where it calls spaCy's own command, and that may write."""
    assert place.green("before") == ({"before/library"} if place.user is None else set())
    assert place.server.count("/compatibility.json") > 0


def test_client_where_the_model_is_there(place: Place) -> None:
    """The model present as pip leaves it, all tests are green before and after, and no server is asked."""
    with zipfile.ZipFile(place.model.path) as archive:
        archive.extractall(place.library)
    (place.library / f"{place.model.name}-{place.model.version}.dist-info" / "INSTALLER").write_text("pip\n", "utf-8")
    assert place.green("before", "after") == {f"{state}/{part}" for state in ("before", "after") for part in ALL}
    assert place.server.requests == []

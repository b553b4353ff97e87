"""A client project with the three kinds of use found in the wild, and its own tests, before and after the switch.

It is run with the model present and absent, in an environment that may be written and in one that may not.
"""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import children
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
RULES = """\
import spacy

nlp = spacy.load("en_tiny_sm")
nlp.add_pipe("entity_ruler").add_patterns([{{"label": "{label}", "pattern": "{pattern}"}}])
"""
PROJECT = {
    "library.py": LIBRARY,
    "framework.py": FRAMEWORK,
    "people.py": RULES.format(label="PERSON", pattern="Ada"),
    "places.py": RULES.format(label="PLACE", pattern="Rome"),
}
TESTS = """\
import pytest

from .framework import ConfigError, Engine
from .library import pipeline


def test_rules_of_each_module():
    from . import people, places
    found = [[(ent.text, ent.label_) for ent in nlp("Ada in Rome.").ents] for nlp in (people.nlp, places.nlp)]
    assert found == [[("Ada", "PERSON")], [("Rome", "PLACE")]]


def test_engine_by_name():
    engine = Engine({"model": "en_tiny_sm", "disable": ["sentencizer"], "spacy": {"nlp": {"batch_size": 3}}})
    assert (engine.nlp.disabled, engine.nlp.batch_size) == (["sentencizer"], 3)


def test_engine_with_a_wrong_name():
    with pytest.raises(ConfigError, match="Can't find model"):
        Engine({"model": "en_typo_sm"})


def test_library_excludes():
    assert pipeline(exclude=["sentencizer"]).pipe_names == []


def test_library_gives_each_its_own():
    pipeline().max_length = 3
    assert [str(sentence) for sentence in pipeline()("One. Two.").sents] == ["One.", "Two."]
"""


def switched(text: str) -> str:
    """Return a file of the project after the switch."""
    text = text.replace(LIBRARY[LIBRARY.index("    try:") :], "    return spacy.load(MODEL, exclude=exclude)\n")
    return text.replace("import spacy\n", "from modelboot import load\n").replace("spacy.load(", "load(")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with an environment and the project, the user who runs it, and the server that has the model."""

    folder: Path
    user: int | None
    server: ModelServer

    def failed(self, *states: str) -> set[str]:
        """Run the project's tests in these states; return those that failed."""
        home = self.folder / "home"
        settings: dict[str, str | None] = dict.fromkeys(("MODELBOOT_TARGET", "PYTEST_ADDOPTS"))
        settings |= {"HOME": str(home), "MODELBOOT_HOME": str(home / "modelboot")}
        settings |= {"MODELBOOT_PINS": str(self.folder / "pins.txt"), "PIP_CONFIG_FILE": os.devnull}
        settings |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        options = ["-rA", "-p", "no:cacheprovider", f"--basetemp={home / 'tests'}"]
        executable, cwd = str(self.folder / "env" / "bin" / "python"), str(self.folder / "client")
        done = children.python(
            children.PYTEST, *options, *states, user=self.user, env=settings, executable=executable, cwd=cwd
        )
        print(done.stdout, done.stderr)  # noqa: T201 - what pytest shows of a test that failed
        outcomes = re.findall(r"^(PASSED|FAILED|ERROR) \w+/test_client\.py::(\w+)", done.stdout, re.MULTILINE)
        assert len(outcomes) == 5 * len(states)
        return {test for outcome, test in outcomes if outcome != "PASSED"}


@pytest.fixture(params=[None, children.OTHER], ids=["writable", "read-only"])
def place(request: pytest.FixtureRequest, server: ModelServer, tiny: BuiltWheel) -> Iterator[Place]:
    """Return an environment with the project, which the user who runs it owns or not, and the model on a server."""
    if request.param is not None:
        children.skip_unless_other_user()
    server.serve(f"/{tiny.release_path}", Reply(body=tiny.content))
    with children.public_folder() as folder:
        children.make_env(folder / "env")
        children.owned(folder / "home", request.param or os.getuid())
        (folder / "pins.txt").write_text(f"{tiny.name} @ {server.url}/{tiny.release_path}#sha256={tiny.sha256}\n")
        after = {file: switched(text) for file, text in PROJECT.items()}
        for state, project in {"before": PROJECT, "after": after}.items():
            (folder / "client" / state).mkdir(parents=True)
            for file, text in {**project, "test_client.py": TESTS, "__init__.py": ""}.items():
                (folder / "client" / state / file).write_text(text, "utf-8")
        yield Place(folder, request.param, server)


def test_client_after_the_switch(place: Place, tiny: BuiltWheel) -> None:
    """The model absent, its tests pass: one download, into the environment or, where it may not be, the store."""
    assert place.failed("after") == set()
    assert place.server.count(f"/{tiny.release_path}") == 1
    there = children.library_of(place.folder / "env") / tiny.name
    stored = [*(place.folder / "home" / "modelboot").glob(f"{tiny.name}-{tiny.version}-*")]
    assert (there.exists(), bool(stored)) == ((True, False) if place.user is None else (False, True))


def test_client_where_the_model_is_there(place: Place, tiny: BuiltWheel) -> None:
    """The model present as pip leaves it, all tests pass before and after, and no server is asked."""
    library = children.library_of(place.folder / "env")
    with zipfile.ZipFile(tiny.path) as archive:
        archive.extractall(library)
    (library / f"{tiny.name}-{tiny.version}.dist-info" / "INSTALLER").write_text("pip\n", "utf-8")
    assert place.failed("before", "after") == set()
    assert place.server.requests == []

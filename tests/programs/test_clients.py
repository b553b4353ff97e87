"""A client project with the three kinds of use found in the wild, and its own tests, before and after the switch.

It is run with the model present and absent, in an environment that may be written and in one that may not.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from support import children
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel, unzipped

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
"""


def switched(text: str) -> str:
    """Return a file of the project after the switch."""
    text = text.replace(LIBRARY[LIBRARY.index("    try:") :], "    return spacy.load(MODEL, exclude=exclude)\n")
    return text.replace("import spacy\n", "from modelboot import load\n").replace("spacy.load(", "load(")


def write_project(folder: Path) -> None:
    """Write the project as it was before the switch, and as it is after it."""
    after = {file: switched(text) for file, text in PROJECT.items()}
    for state, project in {"before": PROJECT, "after": after}.items():
        (folder / state).mkdir(parents=True)
        for file, text in {**project, "test_client.py": TESTS, "__init__.py": ""}.items():
            (folder / state / file).write_text(text, "utf-8")


def outcomes(folder: Path, user: int | None, *states: str) -> list[str]:
    """Run the project's tests in these states, as a user; return what became of each test."""
    home = folder / "home"
    settings: dict[str, str | None] = dict.fromkeys(("MODELBOOT_TARGET", "PYTEST_ADDOPTS"))
    settings |= {"HOME": str(home), "MODELBOOT_HOME": str(home / "modelboot")}
    settings |= {"MODELBOOT_PINS": str(folder / "pins.txt"), "PIP_CONFIG_FILE": os.devnull}
    settings |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    options = ["-rA", "-p", "no:cacheprovider", f"--basetemp={home / 'tests'}"]
    executable, cwd = str(folder / "env" / "bin" / "python"), str(folder / "client")
    done = children.python(children.PYTEST, *options, *states, user=user, env=settings, executable=executable, cwd=cwd)
    print(done.stdout, done.stderr)  # noqa: T201 - what pytest shows of a test that failed
    return re.findall(r"^(PASSED|FAILED|ERROR) \w+/test_client\.py::", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("user", [None, children.OTHER], ids=["writable", "read-only"])
def test_client_before_and_after_the_switch(user: int | None, server: ModelServer, tiny: BuiltWheel) -> None:
    """The model absent, its tests pass after one download, into the environment or, where it may not be, the store.

    The model present as pip leaves it, they pass before and after the switch, and no server is asked.
    """
    if user is not None:
        children.skip_unless_other_user()
    server.serve(f"/{tiny.release_path}", Reply(body=tiny.content))
    with children.public_folder() as folder:
        children.make_env(folder / "env")
        home = children.owned(folder / "home", user or os.getuid())
        (folder / "pins.txt").write_text(f"{tiny.name} @ {server.url}/{tiny.release_path}#sha256={tiny.sha256}\n")
        write_project(folder / "client")
        assert outcomes(folder, user, "after") == ["PASSED"] * 4
        library, store = children.library_of(folder / "env"), home / "modelboot"
        stored = [*store.glob(f"{tiny.name}-{tiny.version}-*")]
        assert ((library / tiny.name).exists(), bool(stored)) == (user is None, user is not None)
        shutil.rmtree(store, ignore_errors=True)
        unzipped(tiny, library)
        assert outcomes(folder, user, "before", "after") == ["PASSED"] * 8
        assert server.count(f"/{tiny.release_path}") == len(server.requests) == 1

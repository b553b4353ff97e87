"""Small client projects of the kinds found in the wild, with their own tests, before and after the switch.

Each is run with the model present and absent, in an environment that may be written and in one that may not.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from spacy.about import __version__ as spacy_version

from support.children import OTHER, command, environment, make_env, owned, public_folder, skip_unless_other_user
from support.server import ModelServer, Reply
from support.wheels import BuiltWheel

Files = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Client:
    """A project: its files, its own tests, which stay as they are, and the lines that switch it."""

    files: Files
    tests: str
    switch: Mapping[str, str]
    """What stands in place of which text."""
    fetches_itself: bool = False
    """Whether it brings a missing model along before the switch."""

    def switched(self) -> Files:
        """Return its files after the switch."""
        return {path: _replaced(text, self.switch) for path, text in self.files.items()}

    def written_lines(self) -> list[str]:
        """Return the lines that the switch adds or rewrites, as a diff shows them."""
        after = self.switched()
        pairs = ((text.splitlines(), after[path].splitlines()) for path, text in self.files.items())
        return [line for before, now in pairs for line in difflib.ndiff(before, now) if line.startswith("+ ")]


def _replaced(text: str, switch: Mapping[str, str]) -> str:
    for old, new in switch.items():
        text = text.replace(old, new)
    return text


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
import unittest

import library


class Tests(unittest.TestCase):
    def test_sentences(self):
        self.assertEqual(library.sentences("One. Two."), ["One.", "Two."])

    def test_exclude(self):
        self.assertEqual(library.pipeline(exclude=["sentencizer"]).pipe_names, [])

    def test_each_has_its_own(self):
        library.pipeline().max_length = 3
        self.assertEqual(library.sentences("One. Two."), ["One.", "Two."])
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
import tempfile
import unittest

import spacy

from framework import ConfigError, Engine


class Tests(unittest.TestCase):
    def test_name(self):
        engine = Engine({"model": "en_tiny_sm", "disable": ["sentencizer"], "spacy": {"nlp": {"batch_size": 3}}})
        self.assertEqual((engine.nlp.disabled, engine.nlp.batch_size), (["sentencizer"], 3))

    def test_path(self):
        with tempfile.TemporaryDirectory() as folder:
            spacy.blank("de").to_disk(folder)
            self.assertEqual(Engine({"model": folder}).nlp.lang, "de")

    def test_blank(self):
        self.assertEqual(Engine({"model": "blank:fr"}).nlp.lang, "fr")

    def test_wrong_name(self):
        with self.assertRaisesRegex(ConfigError, "Can't find model 'en_typo_sm'"):
            Engine({"model": "en_typo_sm"})

    def test_wrong_path(self):
        with self.assertRaisesRegex(ConfigError, "Can't find model"):
            Engine({"model": "./typo"})
"""
MODELS = """\
import spacy


def pipeline():
    return spacy.load("en_tiny_sm")
"""
RULES = """\
from package.models import pipeline

nlp = pipeline()
nlp.add_pipe("entity_ruler").add_patterns([{{"label": "{label}", "pattern": "{pattern}"}}])
"""
PACKAGE_TESTS = """\
import unittest

from package import people, places


class Tests(unittest.TestCase):
    def test_both_have_their_rules(self):
        found = [[(ent.text, ent.label_) for ent in nlp("Ada in Rome.").ents] for nlp in (people.nlp, places.nlp)]
        self.assertEqual(found, [[("Ada", "PERSON")], [("Rome", "PLACE")]])
"""
CLIENTS = {
    "library": Client(
        {"library.py": LIBRARY},
        LIBRARY_TESTS,
        {
            "import spacy\n": "from modelboot import load\n",
            LIBRARY[LIBRARY.index("    try:") : LIBRARY.index("\n\ndef sentences")]: (
                "    return load(MODEL, exclude=exclude)\n"
            ),
        },
        fetches_itself=True,
    ),
    "framework": Client(
        {"framework.py": FRAMEWORK},
        FRAMEWORK_TESTS,
        {"import spacy\n": "from modelboot import load\n", "spacy.load(": "load("},
    ),
    "package": Client(
        {
            "package/__init__.py": "",
            "package/models.py": MODELS,
            "package/people.py": RULES.format(label="PERSON", pattern="Ada"),
            "package/places.py": RULES.format(label="PLACE", pattern="Rome"),
        },
        PACKAGE_TESTS,
        {"import spacy\n": "from modelboot import load\n", "spacy.load(": "load("},
    ),
}
RELEASES = """
import spacy.about
spacy.about.__compatibility__, spacy.about.__download_url__ = "{url}/compatibility.json", "{url}"
"""
"""How `spacy download` is led to a server of the test's own."""
TESTS = "import unittest; unittest.main('test_client', argv=['tests'])"


@dataclass(frozen=True, slots=True)
class Place:
    """An environment that clients run in, and who runs them."""

    python: Path
    folder: Path
    """Where the clients lie."""
    home: Path
    user: int | None

    @property
    def library(self) -> Path:
        """Its site-packages."""
        (library,) = self.python.parents[1].glob("lib/python*/site-packages")
        return library

    def run(self, files: Files, tests: str, *, before: str = "", pins: str = "") -> tuple[bool, str]:
        """Run a client's own tests; return whether they are green, and what was printed."""
        for path, text in {**files, "test_client.py": tests, "pins.txt": pins}.items():
            (self.folder / path).parent.mkdir(exist_ok=True)
            (self.folder / path).write_text(text, "utf-8")
        own = {"HOME": str(self.home), "MODELBOOT_TARGET": None, "MODELBOOT_HOME": str(self.home / "modelboot")}
        own |= {"MODELBOOT_PINS": str(self.folder / "pins.txt") if pins else None}
        own |= {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            command(f"{before}\n{TESTS}", user=self.user, executable=str(self.python)),
            env=environment(own),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that is made once and copied for every test."""
    return make_env(tmp_path_factory.mktemp("fresh") / "env")


@pytest.fixture(params=["writable", "read-only"])
def place(request: pytest.FixtureRequest, fresh: Path) -> Iterator[Place]:
    """Return a new environment: this user's own, or one that another user runs and may not write."""
    user = None if request.param == "writable" else OTHER
    if user is not None:
        skip_unless_other_user()
    with public_folder() as folder:
        (folder / "client").mkdir()
        home = owned(folder / "home", OTHER) if user is not None else folder / "home"
        shutil.copytree(fresh.parents[1], folder / "env", symlinks=True)
        yield Place(folder / "env" / "bin" / "python", folder / "client", home, user)


@pytest.fixture
def pins(tiny: BuiltWheel, server: ModelServer) -> str:
    """Serve the model as spaCy's release host does; return the line that pins it there."""
    minor = ".".join(spacy_version.split(".")[:2])
    table = f'{{"spacy": {{"{minor}": {{"{tiny.name}": ["{tiny.version}"]}}}}}}'
    server.serve("/compatibility.json", Reply(body=table.encode()))
    server.serve(f"/{tiny.release_path}", Reply(body=tiny.content))
    return f"{tiny.name} @ {server.url}/{tiny.release_path}#sha256={tiny.sha256}\n"


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_switch_takes_one_or_two_lines(client: Client) -> None:
    """No more than two lines are written; whatever else differs is gone."""
    assert 1 <= len(client.written_lines()) <= 2
    assert {*client.switched()} == {*client.files}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
def test_client_after_the_switch(
    client: Client, place: Place, pins: str, tiny: BuiltWheel, server: ModelServer
) -> None:
    """The model absent, its tests are green: one download, into the environment or, where it may not be, the store."""
    green, printed = place.run(client.switched(), client.tests, pins=pins)
    assert green, printed
    assert server.count(f"/{tiny.release_path}") == 1
    store = place.home / "modelboot" / f"{tiny.name}-{tiny.version}-{tiny.sha256[:12]}"
    is_ours = place.user is None
    assert ((place.library / tiny.name).exists(), store.exists()) == (is_ours, not is_ours)


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)
@pytest.mark.usefixtures("pins")
def test_client_before_the_switch(client: Client, place: Place, server: ModelServer) -> None:
    """The model absent, its tests were green only where it calls spaCy's own command, and that may write."""
    green, printed = place.run(client.files, client.tests, before=RELEASES.format(url=server.url))
    assert green == (client.fetches_itself and place.user is None), printed
    assert bool(server.count("/compatibility.json")) == client.fetches_itself


def test_clients_where_the_model_is_there(place: Place, pins: str, tiny: BuiltWheel, server: ModelServer) -> None:
    """The model present, the tests of all of them are green before and after, and no server is asked."""
    _install_as_pip(tiny, place.library)
    tests = "".join(
        client.tests.replace("class Tests", f"class {name.title()}Tests") for name, client in CLIENTS.items()
    )
    before = {path: text for client in CLIENTS.values() for path, text in client.files.items()}
    after = {path: text for client in CLIENTS.values() for path, text in client.switched().items()}
    for files, line in ((before, ""), (after, pins)):
        green, printed = place.run(files, tests, pins=line)
        assert green, printed
        assert "Ran 9 tests" in printed
    assert server.requests == []


def test_shared_pipeline_is_not_for_adding_pipes(tmp_path: Path, tiny: BuiltWheel) -> None:
    """Switched to `get_nlp`, the package adds its pipe twice to one object: that is what `load` is for."""
    client = CLIENTS["package"]
    shared = {path: text.replace("load", "get_nlp") for path, text in client.switched().items()}
    place = Place(make_env(tmp_path / "env"), tmp_path / "client", tmp_path / "home", None)
    place.folder.mkdir()
    green, printed = place.run(shared, client.tests, pins=f"{tiny.name} @ {tiny.url}#sha256={tiny.sha256}\n")
    assert (green, "[E007]" in printed) == (False, True)


def _install_as_pip(wheel: BuiltWheel, library: Path) -> None:
    """Put the model into an environment as pip does from a wheel of its own: nothing tells which wheel it was."""
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(library)
    (library / f"{wheel.name}-{wheel.version}.dist-info" / "INSTALLER").write_text("pip\n", "utf-8")

"""`modelboot check`: install, load, parse a sentence of the model's own language, time each part, and show it all."""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from textwrap import indent

from modelboot._catalog import resolve
from modelboot._environment import installed_version
from modelboot._install.ensure import ensure_model
from modelboot._install.report import InstalledModel
from modelboot._pin import ModelPin
from modelboot._settings import read_settings
from modelboot._spacy.cache import get_nlp
from modelboot.cli.output import Facts, download_size, table, terminal_width, words, wrap


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a pipeline found out about one token; empty strings for what it does not."""

    text: str
    pos: str
    tag: str
    dep: str
    entity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """A model that was installed, loaded and used."""

    installed: InstalledModel
    spacy: str
    """Version of spaCy that loaded it."""
    pipeline: tuple[str, ...]
    phases: tuple[tuple[str, float], ...]
    """Name and seconds of each part, those of the install first."""
    sentence: str
    tokens: tuple[Token, ...]

    def text(self) -> str:
        """Return what `check` prints: a title and the facts, then the sentence as the model reads it."""
        rows = [
            (each.text, each.pos, each.tag if each.tag != each.pos else "", each.dep, each.entity)
            for each in self.tokens
        ]
        read = table(("token", "pos", "tag", "dep", "entity"), rows)
        width = terminal_width() or sys.maxsize
        facts = [line for name, value in self._lines().items() for line in wrap(f"  {name:<9} ", value, width)]
        return "\n".join([str(self.installed), *facts, "", f"  {self.sentence}", "", indent("\n".join(read), "  ")])

    def _lines(self) -> dict[str, Sequence[str]]:
        """Name each fact, in pieces that a terminal is not to break."""
        model = self.installed
        return {
            "pipeline": _listed(self.pipeline),
            "spaCy": [self.spacy],
            "source": [f"{model.source}{download_size(model.downloaded_bytes)}"],
            "sha256": [f"{model.sha256} ", *([] if model.verified else words("(hash not recorded at the install)"))],
            "folder": [str(model.path.parents[1])],
            "seconds": _listed([f"{phase} {seconds:.2f}" for phase, seconds in self.phases]),
        }

    def to_dict(self) -> Facts:
        """Return the JSON of `check` but for the facts of the install: all it took, and the seconds of each phase."""
        phases = {phase: round(seconds, 4) for phase, seconds in self.phases}
        facts = {**asdict(self), "seconds": round(sum(phases.values()), 4), "phases": phases}
        del facts["installed"]
        return facts


def _listed(items: Sequence[str]) -> list[str]:
    """Put a comma behind each item but the last."""
    return [*(f"{item}, " for item in items[:-1]), *items[-1:]]


def check_model(model: str | ModelPin) -> CheckReport:
    """Install, load and use a model.

    Args:
        model: A catalog name, a name with a version, or a pin.

    Returns:
        What was found, and what it took.

    Raises:
        ModelbootError: It could not be installed or loaded.
    """
    pin = resolve(model, pins=read_settings().pins)  # once, or its warning would be logged twice
    installed = ensure_model(pin)
    started = time.perf_counter()
    nlp = get_nlp(pin, (), (), (), None)
    loaded = time.perf_counter()
    sentence = example_sentence(str(nlp.lang))
    doc = nlp(sentence)
    parsed = time.perf_counter()
    return CheckReport(
        installed=installed,
        spacy=installed_version("spacy") or "unknown",
        pipeline=tuple(nlp.pipe_names),
        phases=(*installed.phases, ("load", loaded - started), ("parse", parsed - loaded)),
        sentence=sentence,
        tokens=tuple(
            Token(text=token.text, pos=token.pos_, tag=token.tag_, dep=token.dep_, entity=token.ent_type_)
            for token in doc
        ),
    )


def example_sentence(language: str) -> str:
    """Choose among the example sentences spaCy ships for a language; the multi-language ones where it ships none."""
    for code in (language, "xx"):
        try:
            examples = importlib.import_module(f"spacy.lang.{code}.examples")
        except ModuleNotFoundError:  # Macedonian, among the official pipelines
            continue
        return _easiest([" ".join(str(sentence).split()) for sentence in examples.sentences])
    message = "spaCy ships no example sentences"
    raise AssertionError(message)


def _easiest(sentences: list[str]) -> str:
    """Return the shortest that is a sentence: small pipelines misread the headlines that most lists begin with."""
    return min((each for each in sentences if len(_WORDS.findall(each)) >= _MIN_WORDS), key=len, default=sentences[0])


_WORDS = re.compile(r"\w\S*")
_MIN_WORDS = 6

"""`modelboot check`: install, load, parse a sentence of the model's own language, time each part, and show it all."""

from __future__ import annotations

import argparse
import importlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from modelboot._catalog import DEFAULT_MODEL, resolve
from modelboot._environment import installed_version
from modelboot._settings import read_settings
from modelboot.cli.install import model_facts
from modelboot.cli.options import MODEL
from modelboot.cli.output import Facts, download_size, print_result, table, terminal_width, words, wrap

if TYPE_CHECKING:
    from modelboot._install.outcome import InstalledModel

SUMMARY = "install, load and try a model, and show what was found"


class Checked(NamedTuple):
    """A model that was installed, loaded and used."""

    installed: InstalledModel
    spacy: str
    """Version of spaCy that loaded it."""
    pipeline: Sequence[str]
    phases: Mapping[str, float]
    """Seconds of each part, those of the install first."""
    sentence: str
    tokens: Sequence[Mapping[str, str]]
    """What the pipeline found out about each token; empty strings for what it does not."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the model."""
    meaning = f"{MODEL} (default: {DEFAULT_MODEL})"
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=meaning)


def run(options: argparse.Namespace) -> None:
    """Install, load and use a model, and show what was found."""
    checked = _check(options.model)
    print_result(as_json=options.json, text=_text(checked), facts=_facts(checked), has_title=True)


def _check(model: str) -> Checked:
    from modelboot._install.ensure import ensure_model
    from modelboot._spacy.cache import get_nlp

    pin = resolve(model, pins=read_settings().pins)  # once, or its warning would be logged twice
    installed = ensure_model(pin)
    started_s = time.perf_counter()
    nlp = get_nlp(pin, (), (), (), None)
    loaded_s = time.perf_counter()
    sentence = example_sentence(str(nlp.lang))
    doc = nlp(sentence)
    parsed_s = time.perf_counter()
    return Checked(
        installed=installed,
        spacy=installed_version("spacy") or "unknown",
        pipeline=tuple(nlp.pipe_names),
        phases={**dict(installed.phases), "load": loaded_s - started_s, "parse": parsed_s - loaded_s},
        sentence=sentence,
        tokens=[
            {"text": each.text, "pos": each.pos_, "tag": each.tag_, "dep": each.dep_, "entity": each.ent_type_}
            for each in doc
        ],
    )


def _text(checked: Checked) -> str:
    """Return a title and the facts, then the sentence as the model reads it."""
    model = checked.installed
    lines = {
        "pipeline": _listed(checked.pipeline),
        "spaCy": [checked.spacy],
        "source": [f"{model.source}{download_size(model.downloaded_bytes)}"],
        "sha256": [f"{model.sha256} ", *([] if model.verified else words("(hash not recorded at the install)"))],
        "folder": [str(model.path.parents[1])],
        "seconds": _listed([f"{phase} {seconds:.2f}" for phase, seconds in checked.phases.items()]),
    }
    facts = [line for name, pieces in lines.items() for line in wrap(f"  {name:<9} ", pieces, terminal_width())]
    tokens = [{**each, "tag": ""} if each["tag"] == each["pos"] else each for each in checked.tokens]
    rows = table(("token", "pos", "tag", "dep", "entity"), [[*each.values()] for each in tokens])
    read = [f"  {line}" for row in rows for line in row.split("\n")]
    return "\n".join([str(model), *facts, "", f"  {checked.sentence}", "", *read])


def _listed(items: Sequence[str]) -> list[str]:
    """Put a comma behind each item but the last."""
    return [*(f"{item}, " for item in items[:-1]), *items[-1:]]


def _facts(checked: Checked) -> Facts:
    """Return the JSON: the facts of the install, all it took, and the seconds of each phase."""
    phases = {phase: round(seconds, 4) for phase, seconds in checked.phases.items()}
    seconds = round(sum(phases.values()), 4)
    facts = {**model_facts(checked.installed), **checked._asdict(), "seconds": seconds, "phases": phases}
    del facts["installed"]
    return facts


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
    whole = (each for each in sentences if len(re.findall(r"\w\S*", each)) >= _MIN_WORDS)
    return min(whole, key=len, default=sentences[0])


_MIN_WORDS = 6

"""How results look: plain text for people, plain data for `--json`. Nothing here acts or prints."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from modelboot._catalog import CatalogEntry
from modelboot._install.ensure import InstalledModel
from modelboot._install.installed import Installed
from modelboot._install.provision import ProvisionedWheel
from modelboot._pin import ModelPin
from modelboot.cli.output import aligned, table
from modelboot.errors import without_secrets

if TYPE_CHECKING:
    from modelboot.cli.check import Trial
    from modelboot.cli.doctor import Diagnosis, Finding

Facts = dict[str, object]


def installed_facts(model: InstalledModel) -> Facts:
    """Return what `install --json` says of one model."""
    return {
        "name": model.name,
        "version": model.version,
        "sha256": model.sha256,
        "source": model.source,
        "path": str(model.path),
        "downloaded_bytes": model.downloaded_bytes,
        "seconds": round(model.seconds, 4),
    }


def installed_line(model: InstalledModel) -> str:
    """Return what `install` says of one model."""
    size = f", {model.downloaded_bytes / 1e6:.1f} MB" if model.downloaded_bytes else ""
    return f"{model.name} {model.version}  {model.source}{size}, {model.seconds:.2f} s  {model.path.parent}"


def trial_facts(trial: Trial) -> Facts:
    """Return what `check --json` says."""
    return {
        **installed_facts(trial.installed),
        "seconds": {phase: round(seconds, 4) for phase, seconds in trial.phases},
        "spacy": trial.spacy,
        "pipeline": list(trial.pipeline),
        "sentence": trial.sentence,
        "tokens": [asdict(token) for token in trial.tokens],
    }


def trial_text(trial: Trial, *, is_terminal: bool) -> str:
    """Return what `check` says: the facts, then the sentence as the model reads it."""
    model = trial.installed
    came = f", {model.downloaded_bytes / 1e6:.1f} MB" if model.downloaded_bytes else ""
    facts = {
        "pipeline": ", ".join(trial.pipeline),
        "spaCy": trial.spacy,
        "source": f"{_SOURCES[model.source]}{came}",
        "sha256": model.sha256,
        "place": str(model.path.parent),
        "seconds": ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in trial.phases),
    }
    title = f"{model.name} {model.version}"
    lines = [_bold(title) if is_terminal else title]
    lines += [f"  {name:<9} {value}" for name, value in facts.items()]
    rows = [(token.text, token.pos, token.tag, token.dep, token.entity) for token in trial.tokens]
    read = table(("token", "pos", "tag", "dep", "entity"), rows)
    return "\n".join([*lines, "", f"  {trial.sentence}", "", *(f"  {line}" for line in read)])


_SOURCES = {
    "present": "already installed",
    "wheelhouse": "wheelhouse",
    "release": "release",
    "index": "package index",
}


def entry_facts(entry: CatalogEntry) -> Facts:
    """Return what `list --available --json` says of one release."""
    return {**pin_facts(entry.pin), "spacy": entry.spacy_range, "license": entry.license}


def catalog_text(entries: Iterable[CatalogEntry]) -> str:
    """Return the catalog as a table."""
    rows = [
        (
            entry.pin.name,
            entry.pin.version,
            entry.spacy_range,
            f"{entry.pin.size_mb} MB",
            entry.license,
            entry.pin.sha256,
        )
        for entry in entries
    ]
    return "\n".join(table(("name", "version", "spaCy", "size", "license", "sha256"), rows))


def item_facts(item: Installed) -> Facts:
    """Return what `list --json` says of one installed pipeline."""
    problem = item.first_problem
    return {
        "name": item.name,
        "version": item.version,
        "installer": item.installer,
        "folder": str(item.folder),
        "sha256": item.sha256,
        "damage": problem,
        "whole": problem is None,
    }


def audit_lines(item: Installed, issues: Sequence[str]) -> list[str]:
    """Return what `verify` says of one pipeline: a line, and one more for each issue."""
    state = "intact" if not issues else f"{len(issues)} {'issue' if len(issues) == 1 else 'issues'}"
    return [f"{item}  {state}  {item.folder}", *(f"  {issue}" for issue in issues)]


def inventory_text(items: Sequence[Installed]) -> str:
    """Return what is installed as a table."""
    if not items:
        return "no pipelines are installed; `modelboot list --available` shows which there are"
    rows = [
        (item.name, item.version, item.first_problem or "whole", item.installer or "unknown", str(item.folder))
        for item in items
    ]
    return "\n".join(table(("name", "version", "state", "installer", "folder"), rows))


def wheel_facts(wheel: ProvisionedWheel) -> Facts:
    """Return what `fetch --json` says of one wheel."""
    return {
        "name": wheel.pin.name,
        "version": wheel.pin.version,
        "sha256": wheel.pin.sha256,
        "source": wheel.source,
        "path": str(wheel.path),
        "downloaded_bytes": wheel.downloaded_bytes,
    }


def wheel_line(wheel: ProvisionedWheel) -> str:
    """Return what `fetch` says of one wheel."""
    size = f", {wheel.downloaded_bytes / 1e6:.1f} MB" if wheel.downloaded_bytes else ""
    return f"{wheel.pin}  {wheel.source}{size}  {wheel.path}"


def diagnosis_facts(diagnosis: Diagnosis) -> Facts:
    """Return what `doctor --json` says."""
    return asdict(diagnosis)


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Return what `doctor` says: a block each for settings, places and sources, and what comes of it."""
    settings = [
        (item.subject, item.origin, f"{item.value}{item.found and f'  ({item.found})'}") for item in diagnosis.settings
    ]
    lines = ["settings", *(f"  {line}" for line in aligned(settings)), ""]
    for title, findings in (
        ("places, in the order they are tried", diagnosis.places),
        ("sources, in the order they are asked", diagnosis.sources),
    ):
        lines += [title, *_looked_at(findings), ""]
    return "\n".join([*lines, *textwrap.wrap(_verdict(diagnosis), _WORDS_WIDTH)])


_MARKS = {True: "ok", False: "no", None: "--"}
_WORDS_WIDTH = 100
_BELOW = " " * 23
_URL_WORTH_ITS_PATH = 60
"""Signs: a longer URL is shown by its host, which is what answers or does not; the JSON has the whole."""


def _looked_at(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield two lines for each: what and where, and below it what was found, which may be a long sentence."""
    for finding in findings:
        yield f"  {_MARKS[finding.ok]}  {finding.subject:<15}  {_short(finding.value)}"
        through = [f"through {finding.through}"] if finding.through else []
        took = [f"{finding.seconds:.2f} s"] if finding.seconds is not None else []
        how = ", ".join([*through, *took])
        yield from textwrap.wrap(
            f"{finding.found}{how and f' ({how})'}",
            _WORDS_WIDTH,
            initial_indent=_BELOW,
            subsequent_indent=_BELOW,
            break_long_words=False,
            break_on_hyphens=False,
        )


def _short(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme in {"http", "https"} and len(value) > _URL_WORTH_ITS_PATH:
        return f"{parts.scheme}://{parts.netloc}/…/{parts.path.rpartition('/')[2]}"
    return value


def _verdict(diagnosis: Diagnosis) -> str:
    if diagnosis.place is None:
        return f"{diagnosis.model} cannot be installed here: no place can be written"
    answering = diagnosis.answering
    if not answering:
        return f"{diagnosis.model} cannot be fetched now: no source answers"
    names = " and ".join(dict.fromkeys(source.subject for source in answering))
    return f"{diagnosis.model} would be sought from {names} and installed into: {diagnosis.place.subject}"


def pin_facts(pin: ModelPin) -> Facts:
    """Return what `pin --json` says."""
    return {
        "name": pin.name,
        "version": pin.version,
        "sha256": pin.sha256,
        "url": without_secrets(pin.release_url),
        "requires": list(pin.requires),
        "size_mb": pin.size_mb,
    }


def _pin_python(pin: ModelPin) -> str:
    extra = f", requires={pin.requires!r}" if pin.requires else ""
    return f'ModelPin("{pin.name}", "{pin.version}", "{pin.sha256}"{extra}, size_mb={pin.size_mb})'


def _pin_requirement(pin: ModelPin) -> str:
    return f"{pin.name} @ {pin.release_url}#sha256={pin.sha256}"


def _pin_uv(pin: ModelPin) -> str:
    return f'{pin.name} = {{ url = "{pin.release_url}#sha256={pin.sha256}" }}'


PIN_FORMATS: dict[str, Callable[[ModelPin], str]] = {
    "python": _pin_python,
    "requirements": _pin_requirement,
    "uv": _pin_uv,
}


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m"

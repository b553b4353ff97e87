"""`modelboot pin`: the line that pins a model, in the format of the program that reads it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from modelboot._catalog import DEFAULT_MODEL, resolve
from modelboot._pin import ModelPin, reference_to, version_in
from modelboot._redact import without_secrets
from modelboot._settings import read_settings
from modelboot.cli.options import MODEL
from modelboot.cli.output import Facts, print_result

SUMMARY = "print the line that pins a model"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the model or wheel, and the format."""
    meaning = f"{MODEL}, or URL or file of a wheel (default: {DEFAULT_MODEL})"
    parser.add_argument("model", metavar="MODEL", nargs="?", default=DEFAULT_MODEL, help=meaning)
    meaning = "output format (default: python)"
    parser.add_argument("--format", choices=sorted(_FORMATS), default="python", help=meaning)


def run(options: argparse.Namespace) -> None:
    """Print the line that pins a model, or a wheel at a URL or in a file, which is read for that."""
    from modelboot._install.pin_from_file import is_url_or_path, pin_of

    settings, place = read_settings(), options.model
    wanted = pin_of(place, settings) if is_url_or_path(place) else resolve(place, pins=settings.pins)
    print_result(as_json=options.json, text=_FORMATS[options.format](wanted), facts=pin_facts(wanted))


def pin_facts(pin: ModelPin) -> Facts:
    """Return the JSON of `pin`."""
    return {**asdict(pin), "url": _url(pin)}


def _url(pin: ModelPin) -> str:
    return without_secrets(pin.release_url)


def _python(pin: ModelPin) -> str:
    arguments = [_quote(pin.name), _quote(pin.version) if pin.version else "None", _quote(pin.sha256)]
    arguments += [f"url={_quote(_url(pin))}"] if pin.url else []
    arguments += [f"requires={_tuple(pin.requires)}"] if pin.requires else []
    arguments += [f"size_mb={pin.size_mb}"] if pin.size_mb else []
    return f"ModelPin({', '.join(arguments)})"


def _tuple(texts: Sequence[str]) -> str:
    """Write a tuple as Python does: one of a single item ends with a comma."""
    return f"({', '.join(map(_quote, texts))}{',' if len(texts) == 1 else ''})"


def _quote(text: str) -> str:
    """Write a text as Python does, in double quotes whatever is in it."""
    return json.dumps(text, ensure_ascii=False)


def _uv(pin: ModelPin) -> str:
    return f'{pin.name} = {{ url = "{_url(pin)}#sha256={pin.sha256}" }}'


def _pylock(pin: ModelPin) -> str:
    """Write a lock file of this one package (PEP 751)."""
    hashes = f'{{ sha256 = "{pin.sha256}" }}'
    return "\n".join(
        [
            'lock-version = "1.0"',
            'created-by = "modelboot"',
            "",
            "[[packages]]",
            f'name = "{pin.name.replace("_", "-").lower()}"',
            *([f'version = "{pin.version}"'] if pin.version else []),
            f'wheels = [{{ name = "{_wheel_name(pin)}", url = "{_url(pin)}", hashes = {hashes} }}]',
        ]
    )


def _wheel_name(pin: ModelPin) -> str:
    """Return a name that pip and uv can read the version from: that in the URL may have none, as on the model hub."""
    has_version = version_in(pin.release_url, pin.name) is not None or pin.version is None
    return pin.filename if has_version else f"{pin.name}-{pin.version}-py3-none-any.whl"


_FORMATS: dict[str, Callable[[ModelPin], str]] = {
    "pylock": _pylock,
    "python": _python,
    "requirements": reference_to,
    "uv": _uv,
}

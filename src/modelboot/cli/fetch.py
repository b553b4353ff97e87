"""`modelboot fetch`: put verified wheels into a wheelhouse, a line each."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from modelboot._catalog import resolve
from modelboot._settings import read_settings
from modelboot.cli.options import MODEL, folder
from modelboot.cli.output import download_size, fit_line, print_each

if TYPE_CHECKING:
    from modelboot._install.fill_wheelhouse import SavedWheel

SUMMARY = "put verified wheels into a wheelhouse"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the models and the folder."""
    parser.add_argument("models", metavar="MODEL", nargs="+", help=MODEL)
    parser.add_argument("--dest", metavar="DIR", type=folder, required=True, help="folder to save wheels in")


def run(options: argparse.Namespace) -> None:
    """Put verified wheels into a wheelhouse."""
    from modelboot._install.fill_wheelhouse import fill_wheelhouse

    settings = read_settings()
    wheels = (fill_wheelhouse(resolve(model, pins=settings.pins), options.dest, settings) for model in options.models)
    print_each(wheels, as_json=options.json, line=_line, facts=asdict)


def _line(wheel: SavedWheel) -> str:
    return fit_line(str(wheel), f"{wheel.source}{download_size(wheel.downloaded_bytes)}", str(wheel.path))

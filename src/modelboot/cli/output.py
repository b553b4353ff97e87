"""Lines of words → aligned columns, as wide as a terminal shows them."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns under their heads, leaving out those that are empty in every row."""
    kept = [index for index in range(len(heads)) if any(row[index] for row in rows)]
    return aligned([[row[index] for index in kept] for row in (heads, *rows)])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Align the columns of some lines, two spaces between them."""
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(_padded, line, widths)).rstrip() for line in lines]


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Count the columns a text takes: Chinese and Japanese signs take two, marks on the sign before them none."""
    return sum(_columns(sign) for sign in text)


def _columns(sign: str) -> int:
    if unicodedata.category(sign) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in {"W", "F"} else 1

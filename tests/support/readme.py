"""README.md's fenced blocks and tables, for the tests that run or compare them."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def blocks(section: str, tag: str) -> list[str]:
    """Return the text of a section's blocks of one kind, in order.

    Args:
        section: The section's title.
        tag: What its blocks are tagged with, such as "python" or "sh".

    Returns:
        The text between the fences of each block; one at least.
    """
    _, found, below = README.partition(f"\n## {section}\n")
    assert found, f"README has no section {section!r}"
    texts = all_blocks(tag, below.partition("\n## ")[0])
    assert texts, f"README's section {section!r} has no block tagged {tag!r}"
    return texts


def all_blocks(tag: str, text: str = README) -> list[str]:
    """Return the text of all blocks of one kind, in order, wherever they stand."""
    return re.findall(rf"^```{tag}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(first_head: str) -> list[list[str]]:
    """Return the rows of the table whose first column has this head."""
    _, _, below = README.partition(f"\n| {first_head} |")
    rows = below.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in rows]

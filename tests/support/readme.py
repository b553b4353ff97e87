"""The fenced blocks of README.md's sections, for the tests that run them."""

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
    texts = re.findall(rf"^```{tag}\n(.*?)^```$", below.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    assert texts, f"README's section {section!r} has no block tagged {tag!r}"
    return texts

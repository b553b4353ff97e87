"""A plot as SVG, for README: bars of seconds, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any
from xml.sax.saxutils import escape

BAR, GAP, LEFT, WIDTH = 18, 7, 120, 720
OURS, OTHERS = "#2f81f7", "#8b949e"
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#57606a}.head{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}"
)


def plot(rows: Sequence[dict[str, Any]], heading: str) -> str:
    """Return the plot of each row's seconds.

    Args:
        rows: Each has a "tool", its "wall_s", and what the heading names.
        heading: What stands above a group of bars; rows of the same heading are a group.
    """
    groups = [(head, [*group]) for head, group in groupby(rows, lambda row: heading.format(**row))]
    height = sum(40 + len(bars) * (BAR + GAP) for _, bars in groups) + 10
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return "\n".join([f'{head} role="img">', f"<style>{STYLE}</style>", *_parts(groups), "</svg>", ""])


def _parts(groups: Sequence[tuple[str, list[dict[str, Any]]]]) -> Iterator[str]:
    top = 10
    for head, bars in groups:
        yield f'<text class="head" x="0" y="{top + 16}">{escape(head)}</text>'
        top += 28
        longest = max(bar["wall_s"] for bar in bars)
        for bar in bars:
            width = max(1.0, (WIDTH - LEFT - 70) * bar["wall_s"] / longest)
            colour = OURS if bar["tool"] == "modelboot" else OTHERS
            yield f'<text x="{LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(bar["tool"])}</text>'
            yield f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR}" rx="3" fill="{colour}"/>'
            yield f'<text x="{LEFT + width + 8:.1f}" y="{top + 14}">{bar["wall_s"]:.2f}</text>'
            top += BAR + GAP
        top += 12

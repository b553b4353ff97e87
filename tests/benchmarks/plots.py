"""Two plots as SVG, for README: bars of seconds, readable on a light and on a dark page."""

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

Group = tuple[str, list[tuple[str, float]]]
"""A heading, and the name and seconds of each bar below it."""


def install_plot(rows: Sequence[dict[str, Any]]) -> str:
    """Return the plot of install times, one group of bars for each wheel."""
    groups = groupby(rows, lambda row: f"install a wheel of {row['megabytes']} MB, seconds")
    return _svg([(head, [(row["tool"], row["wall_s"]) for row in group]) for head, group in groups])


def start_plot(rows: Sequence[dict[str, Any]]) -> str:
    """Return the plot of cold starts, one group of bars for each line."""
    groups = groupby(rows, lambda row: f"cold process to a ready pipeline at {row['mb_per_s']:g} MB/s, seconds")
    return _svg([(head, [(row["tool"], row["wall_s"]) for row in group]) for head, group in groups])


def _svg(groups: Sequence[Group]) -> str:
    height = sum(40 + len(bars) * (BAR + GAP) for _, bars in groups) + 10
    parts = "\n".join(_groups(groups))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    return f'{head} role="img">\n<style>{STYLE}</style>\n{parts}\n</svg>\n'


def _groups(groups: Sequence[Group]) -> Iterator[str]:
    top = 10
    for head, bars in groups:
        yield f'<text class="head" x="0" y="{top + 16}">{escape(head)}</text>'
        top += 28
        longest = max(seconds for _, seconds in bars)
        for name, seconds in bars:
            width = max(1.0, (WIDTH - LEFT - 70) * seconds / longest)
            colour = OURS if name == "modelboot" else OTHERS
            yield f'<text x="{LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>'
            yield f'<rect x="{LEFT}" y="{top}" width="{width:.1f}" height="{BAR}" rx="3" fill="{colour}"/>'
            yield f'<text x="{LEFT + width + 8:.1f}" y="{top + 14}">{seconds:.2f}</text>'
            top += BAR + GAP
        top += 12

"""Tables and tiles of a report's page.

Not what stands in them (see `page`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from everbrook.evaluate.report import Row

LESS_IS_BETTER = {"log_loss"}


def tiles(numbers: Mapping[str, float | None]) -> str:
    """Numbers in large print, each over its name."""
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{number(value)}</b><span class="soft">{escape(name)}</span></div>'
            for name, value in numbers.items()
        )
        + "</div>"
    )


def table(rows: Sequence[Row], columns: Mapping[str, str], caption: str, note: str, best: bool = True) -> str:
    """One line a system.

    Args:
        rows: the systems.
        columns: metric -> heading.
        caption: what the table shows.
        note: how to read it.
        best: whether the best of each column is marked.
    """
    head = "".join(f'<th scope="col">{escape(label)}</th>' for label in columns.values())
    winners = {name: _winner(rows, name) if best else None for name in columns}
    lines = []
    for row in rows:
        numbers = "".join(_cell(row.metrics.get(name), winners[name]) for name in columns)
        lines.append(f'<tr class="{escape(row.group)}"><td>{escape(row.system)}</td>{numbers}</tr>')
    return (
        f'<div class="wide"><table><caption>{escape(caption)}. {escape(note)}</caption>'
        f'<thead><tr><th scope="col">system</th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def cells(rows: Sequence[Row], metric: str) -> str:
    """One metric of several systems side by side, the best marked."""
    winner = _winner(rows, metric)
    return "".join(_cell(row.metrics.get(metric), winner) for row in rows)


def _winner(rows: Sequence[Row], metric: str) -> float | None:
    # a system that is seldom awake chooses its events: its log-loss cannot be compared
    found = [row for row in rows if metric not in LESS_IS_BETTER or (row.metrics.get("awake") or 0.0) > 0.99]
    numbers = [value for row in found if (value := row.metrics.get(metric)) is not None and value == value]
    if not numbers:
        return None
    return min(numbers) if metric in LESS_IS_BETTER else max(numbers)


def number(value: float | None) -> str:
    """A number as the page writes it."""
    if value is None or value != value:
        return "–"
    if value == int(value) and abs(value) >= 10:
        return f"{int(value):,}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.3f}"


def _cell(value: float | None, winner: float | None) -> str:
    mark = ' class="best"' if winner is not None and value == winner else ""
    return f"<td{mark}>{number(value)}</td>"

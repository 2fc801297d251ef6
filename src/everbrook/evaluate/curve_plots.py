"""Figures of quality against staleness; how they are written is `plots`'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from everbrook.evaluate.curve_data import Curve, Point
from everbrook.evaluate.plots import COLOURS, INK, LINES, panels
from everbrook.evaluate.report import ALL
from everbrook.types import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = {"hit_rate@20": "HR@20", "mrr@20": "MRR@20", "log_loss": "log-loss, nats"}
NEVER_APART = 0.8  # decades between the last delay and 'never', and from there to the batch world
MOST = 5  # systems drawn in one panel


def whole(curve: Curve) -> str:
    """Three panels over all events: hits, reciprocal ranks and log-loss of every system."""
    with panels(10.5, 3.3, 1, 3) as (axes, write):
        for panel, (metric, label) in zip(axes, METRICS.items(), strict=True):
            _panel(panel, curve, ALL, metric, curve.systems[:MOST])
            panel.set_title(label + (" (less is better)" if metric == "log_loss" else ""))
        _legend(axes)
        return write("Quality against staleness")


def sliced(curve: Curve, slices: Sequence[str], metric: str) -> str:
    """A small panel for each slice: the mixture and what learns alone.

    Args:
        curve: what was found.
        slices: which.
        metric: what is drawn.
    """
    drawn = [name for name in curve.systems if name.startswith(("mixture", "live", "sequence"))][:3]
    with panels(10.5, 2.6, 1, max(3, len(slices))) as (axes, write):
        for panel in axes[len(slices) :]:
            panel.set_axis_off()
        for panel, name in zip(axes, slices, strict=False):
            _panel(panel, curve, name, metric, drawn)
            panel.set_title(f"{name} ({curve.points[0].events_of(name):,})")
        axes[0].set_ylabel(METRICS[metric])
        _legend(axes)
        return write(f"{METRICS[metric]} of slices against staleness")


def places(points: Sequence[Point]) -> F64:
    """(P,) where each point stands: the logarithm of its delay; no delay one decade before the shortest."""
    delays = [point.delay_s for point in points if point.delay_s and not point.batch]
    least = float(np.log10(min(delays))) if delays else 0.0
    most = float(np.log10(max(delays))) if delays else 0.0
    found = []
    for point in points:
        if point.batch:
            found.append(most + 2 * NEVER_APART)
        elif point.delay_s is None:
            found.append(most + NEVER_APART)
        else:
            found.append(float(np.log10(point.delay_s)) if point.delay_s else least - 1.0)
    return np.array(found)


def _panel(axes: Axes, curve: Curve, slice_: str, metric: str, systems: Sequence[str]) -> None:
    at = places(curve.points)
    for colour, system in enumerate(systems):
        look = {"color": COLOURS[colour % len(COLOURS)], "linewidth": 2.2 if colour == 0 else 1.4}
        _line(axes, curve.points, at, (system, metric, slice_), look, system, LINES[0])
        if curve.control and colour < 2:
            faint = look | {"linewidth": 1.1, "alpha": 0.75}
            _line(axes, curve.control, at, (system, metric, slice_), faint, f"{system}, shuffled", LINES[1])
    labels = [point.label for point in curve.points]
    axes.set_xticks(at, labels, rotation=50, ha="right", rotation_mode="anchor")
    axes.set_xlabel("delay until an event takes effect" if len(at) > 1 else "")
    axes.margins(x=0.06, y=0.12)


def _line(
    axes: Axes, points: Sequence[Point], at: F64, what: tuple[str, str, str], look: dict[str, object], label: str,
    dash: str,
) -> None:  # fmt: skip
    """Delays joined by a line, 'never' by a dotted one, since it is no delay; the batch world as a diamond alone."""
    found = [point.value(*what) for point in points]
    values = np.array([np.nan if value is None else value for value in found])
    if np.isnan(values).all():
        return
    batch = np.array([point.batch for point in points])
    never = np.array([point.delay_s is None for point in points])
    lagging = ~batch & ~never
    axes.plot(at[lagging], values[lagging], dash, marker="o", markersize=3.5, label=label, **look)  # type: ignore[arg-type]
    if never.any() and lagging.any():
        both = [np.flatnonzero(lagging)[-1], np.flatnonzero(never)[0]]
        axes.plot(at[both], values[both], ":", **look)  # type: ignore[arg-type]
    axes.plot(at[never], values[never], "s", markersize=4.5, **look)  # type: ignore[arg-type]
    if dash == LINES[0]:
        axes.plot(at[batch], values[batch], "D", markersize=5.5, markeredgecolor=INK, markeredgewidth=0.6, **look)  # type: ignore[arg-type]


def _legend(axes: Sequence[Axes]) -> None:
    figure = axes[0].get_figure()
    handles: dict[str, object] = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    assert figure is not None  # the panels are drawn on one
    figure.legend(
        list(handles.values()), list(handles), loc="lower center", bbox_to_anchor=(0.5, 0.98), frameon=False,
        ncols=min(4, max(1, len(handles))),
    )  # type: ignore[call-overload]  # fmt: skip
    figure.tight_layout()  # type: ignore[union-attr]

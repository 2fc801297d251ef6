"""A report's figures as inline SVG that takes the page's text colour, so that it can be read in light and dark.

matplotlib is imported when a figure is drawn, not before.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from everbrook.evaluate.report import Delay, OverTime, Reliability, Weights
from everbrook.types import F64

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#010203"  # stands for the page's text colour until the figure is written
# Okabe and Ito's colours, which colour-blind readers can tell apart, less black and yellow: each vanishes on one page
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f")
LINES = ("-", "--", "-.", ":")


def over_time(found: OverTime, systems: Sequence[str], measure: str, label: str) -> str:
    """Quality of some systems by span of time.

    Args:
        found: what was measured.
        systems: which to draw, the most important first.
        measure: 'hit_rate' or 'mrr'.
        label: of the axis.
    """
    with _figure(9.0, 3.2) as (axes, write):
        moments = np.array(found.start_ms, "datetime64[ms]")
        for place, system in enumerate(systems):
            axes.plot(
                moments, found.series[system][measure], label=system, color=COLOURS[place % 8],
                linestyle=LINES[place // 2 % 4], linewidth=2.4 if place == 0 else 1.3,
                marker="o" if len(moments) < 3 else None,
            )  # fmt: skip
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        _dates(axes)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False)
        return write(f"{label} over time")


def weights(found: Weights, most: int = 7) -> str:
    """The mixture's weights over time, stacked; all but the heaviest go together."""
    values: F64 = np.array(found.values)
    order = np.argsort(-values.mean(axis=0), kind="stable")
    first, rest = order[:most], order[most:]
    bands, names = [values[:, column] for column in first], [found.names[column] for column in first]
    if len(rest):
        bands.append(values[:, rest].sum(axis=1))
        names.append(f"{len(rest)} others")
    with _figure(9.0, 3.0) as (axes, write):
        moments = np.array(found.ts_ms, "datetime64[ms]")
        axes.stackplot(moments, *bands, labels=names, colors=COLOURS[: len(bands)], alpha=0.85)
        axes.set_ylim(0, max(1e-9, float(np.sum(bands, axis=0).max())))
        if len(moments) > 1:
            axes.set_xlim(moments[0], moments[-1])
        axes.set_ylabel("weight")
        _dates(axes)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False, reverse=True)
        return write("Weights of the mixture over time")


def reliability(found: Reliability) -> str:
    """What the first place promised against what happened."""
    promised = np.array([np.nan if value is None else value for value in found.promised])
    happened = np.array([np.nan if value is None else value for value in found.happened])
    events = np.array(found.events, np.float64)
    here = events >= min(10, events.max())  # what a handful of events say is chance
    with _figure(4.2, 3.4) as (axes, write):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--", alpha=0.6)
        error = 1.96 * np.sqrt(np.maximum(happened[here] * (1 - happened[here]), 1e-9) / events[here])
        axes.errorbar(promised[here], happened[here], error, color=COLOURS[0], linewidth=1.2, capsize=2)
        area = 12 + 160 * events[here] / events.max()
        axes.scatter(promised[here], happened[here], s=area, color=COLOURS[0], alpha=0.8, zorder=3)
        axes.set_xlabel("promised probability of the first place")
        axes.set_ylabel("share that came true")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        return write("Calibration of the first place")


def staleness(found: Sequence[Delay]) -> str:
    """Quality against the delay between an event and its effect."""
    with _figure(7.0, 3.2) as (axes, write):
        places = np.arange(len(found))
        for place, (name, label) in enumerate((("hit_rate@20", "HR@20"), ("mrr@20", "MRR@20"))):
            values = np.array([delay.metrics.get(name) for delay in found], np.float64)
            axes.plot(places, values, marker="o", color=COLOURS[place], label=label)
        axes.set_xticks(places, [duration(delay.delay_s) for delay in found])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("delay until an event takes effect")
        axes.legend(frameon=False)
        return write("Quality against staleness")


def duration(seconds: float | None) -> str:
    """A time span in the unit that suits it; None is for ever."""
    if seconds is None or seconds == float("inf"):
        return "never"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


@contextmanager
def _figure(width: float, height: float) -> Iterator[tuple[Axes, Callable[[str], str]]]:
    with panels(width, height, 1, 1) as (axes, write):
        yield axes[0], write


@contextmanager
def panels(width: float, height: float, rows: int, columns: int) -> Iterator[tuple[list[Axes], Callable[[str], str]]]:
    """Empty panels to draw on, row by row, and what makes the page's element of them under a title.

    Args:
        width: of all of them, inches.
        height: of all of them, inches.
        rows: of panels.
        columns: of panels.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {
        "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "text.color": INK, "axes.labelcolor": INK,
        "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.grid": True,
        "axes.spines.right": False, "grid.color": INK, "grid.alpha": 0.15, "grid.linewidth": 0.6,
        "axes.titlesize": 9, "axes.titlecolor": INK,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        axes = [figure.add_subplot(rows, columns, place + 1) for place in range(rows * columns)]

        def write(title: str) -> str:
            mpl.rcParams["svg.hashsalt"] = title  # names within the file: the same each time, apart from other figures
            text = io.StringIO()
            figure.savefig(text, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
            return _inline(text.getvalue(), title)

        yield axes, write


def _dates(axes: Axes) -> None:
    from matplotlib import dates

    locator = dates.AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _inline(svg: str, title: str) -> str:
    """Only the element, in the page's text colour and font, wide as the page at most."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg).replace(INK, "currentColor")
    prefix = re.sub(r"\W+", "-", title.lower())
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)  # ids are of the page, not of the figure
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)

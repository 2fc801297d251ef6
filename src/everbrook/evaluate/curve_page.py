"""A curve of quality against staleness as one HTML page that needs nothing else, in the dress of a replay's report."""

from __future__ import annotations

from html import escape
from pathlib import Path

from everbrook.evaluate import curve_plots
from everbrook.evaluate.curve_data import Curve, Point, ends, relative, save_csv, save_json, sentences
from everbrook.evaluate.page import document
from everbrook.evaluate.plots import duration
from everbrook.evaluate.report import ALL
from everbrook.evaluate.tables import number, tiles

HEADS = {"hit_rate@20": "HR@20", "mrr@20": "MRR@20", "log_loss": "log-loss"}


def save(curve: Curve, folder: Path) -> Path:
    """Write curve.json, curve.csv and curve.html into a folder, which is made if missing.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_json(curve, folder / "curve.json")
    save_csv(curve, folder / "curve.csv")
    page = folder / "curve.html"
    page.write_text(html(curve), encoding="utf-8")
    return page


def html(curve: Curve) -> str:
    """The whole page."""
    parts = [_head(curve), _figures(curve), _slices(curve), _tables(curve), _conditions(curve)]
    return document(curve.conditions.title, "\n".join(part for part in parts if part))


def _head(curve: Curve) -> str:
    had = curve.conditions
    events = curve.points[0].events if curve.points else 0
    lines = [
        f"<h1>{escape(had.title)}: what freshness is worth</h1>",
        f'<p class="soft">{escape(had.data)} · {escape(had.start)} to {escape(had.end)}, {events:,} events judged '
        "at each point</p>",
    ]
    if had.shuffled:
        lines.append('<p class="warn">The order of the events was shuffled: this is a control, not a result.</p>')
    both = ends(curve.points)
    if both is None:
        return "".join(lines)
    fresh, stale = both
    lines.append(f'<p class="answer">{_answer(curve, fresh, stale)}</p>')
    shown = {
        f"{HEADS[metric]}, {point.label}": point.value("mixture", metric)
        for metric in HEADS
        for point in (fresh, stale)
    }
    return "".join([*lines, tiles(shown)])


def _answer(curve: Curve, fresh: Point, stale: Point) -> str:
    gain = relative(fresh, stale, "mixture", "hit_rate@20")
    if gain is None:
        return "Nothing was judged, so there is nothing to say."
    text = f"Taking effect after {fresh.label} rather than {_after(stale)}, an event is worth {100 * gain:+.1f} % HR@20"
    for one in stale.lost:
        if (one.system, one.metric) == ("mixture", "hit_rate@20"):
            text += f" ({100 * one.estimate:+.2f} points; 95 %: {100 * one.low:+.2f} to {100 * one.high:+.2f})"
    control = ends(curve.control or [])
    if control is not None and (there := relative(*control, "mixture", "hit_rate@20")) is not None:
        text += f"; with the order shuffled, where freshness can be worth nothing, {100 * there:+.1f} %"
    return text + "."


def _after(point: Point) -> str:
    return "never" if point.delay_s is None else f"after {point.label}"


def _figures(curve: Curve) -> str:
    words = (
        "Each point is a whole replay: every event is judged at its own time with histories as they are then, and what "
        "was learned lags by the delay (logarithmic axis). Squares: nothing is learned after the warm-up, all of which "
        "is known; with a delay near the warm-up's length little is known in the beginning. "
    )
    if any(point.batch for point in curve.points):
        words += "Diamonds: the batch world, in which everything waits for the next refit. "
    if curve.control:
        words += "Dashed: the same with the order of the events shuffled. "
    if curve.micro_batch_s >= 1.0:
        words += (
            "The live model learns in micro-batches; in this stream an event waits for its own to fill for "
            f"{_about(curve.micro_batch_s)} in the mean, which adds to each delay of that model. "
        )
    return f'<h2>Quality against staleness</h2><p class="soft">{words}</p><figure>{curve_plots.whole(curve)}</figure>'


def _about(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= size:
            return f"about {seconds / size:.2g} {unit}"
    return f"about {seconds:.2g} s"


def _slices(curve: Curve) -> str:
    names = [name for name in curve.slices if name != ALL]
    if not names:
        return ""
    figures = "".join(
        f"<figure>{curve_plots.sliced(curve, names, metric)}</figure>" for metric in ("hit_rate@20", "mrr@20")
    )
    return f'<h2>New items, new people</h2><p class="soft">In brackets: events judged.</p>{figures}'


def _tables(curve: Curve) -> str:
    parts = ["<h2>Figures</h2>", _table(curve, curve.points, ALL, "All events")]
    if curve.control:
        parts.append(_table(curve, curve.control, ALL, "All events, shuffled: the control"))
    for name in curve.slices:
        if name != ALL:
            more = _table(curve, curve.points, name, f"Events of the slice '{name}'")
            parts.append(f"<details><summary>{escape(name[0].upper() + name[1:])}</summary>{more}</details>")
    found = "".join(f"<li>{escape(line)}</li>" for line in sentences(curve))
    return "".join(parts) + (f"<ul>{found}</ul>" if found else "")


def _table(curve: Curve, points: list[Point], slice_: str, caption: str) -> str:
    systems = curve.systems
    above = "".join(f'<th scope="colgroup" colspan="3">{escape(name)}</th>' for name in systems)
    below = "".join(f'<th scope="col">{label}</th>' for _ in systems for label in HEADS.values())
    lines = []
    for point in points:
        cells = "".join(f"<td>{number(point.value(name, metric, slice_))}</td>" for name in systems for metric in HEADS)
        lines.append(f"<tr><td>{escape(point.label)}</td><td>{point.events_of(slice_):,}</td>{cells}</tr>")
    return (
        f'<div class="wide"><table><caption>{escape(caption)}.</caption><thead><tr><th></th><th></th>{above}</tr>'
        f'<tr><th scope="col">delay</th><th scope="col">events</th>{below}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _conditions(curve: Curve) -> str:
    had = curve.conditions
    facts = {
        "command": f"<code>{escape(had.command)}</code>",
        "commit": escape(had.commit),
        "version": escape(had.version),
        "settings": escape(had.settings_digest),
        "sample": f"{100 * had.sample:g} % of the events, seed {had.seed}",
        "histories lag by": duration(curve.history_delay_s),
        "processor time": f"{sum(point.cpu_s for point in [*curve.points, *(curve.control or [])]):,.0f} s",
        "machine": escape(had.machine),
    }
    lines = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    notes = [f"{point.label}: {note}" for point in curve.points for note in point.notes]
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<h2>Conditions</h2><dl>{lines}</dl>" + (f"<ul>{told}</ul>" if told else "")

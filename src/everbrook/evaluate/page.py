"""A report as one HTML page that needs nothing else: no network, no scripts, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from importlib import resources
from pathlib import Path

from everbrook.evaluate import plots
from everbrook.evaluate.report import ALL, Report, Row, save_csv, save_json
from everbrook.evaluate.tables import cells, number, table, tiles

COLUMNS = {
    "hit_rate@10": "HR@10",
    "hit_rate@20": "HR@20",
    "ndcg@10": "NDCG@10",
    "ndcg@20": "NDCG@20",
    "mrr@20": "MRR@20",
    "log_loss": "log-loss",
}
MORE = {
    "recall@10": "recall@10", "recall@20": "recall@20", "precision@10": "precision@10", "precision@20": "precision@20",
    "f1@10": "F1@10", "f1@20": "F1@20", "mrr@10": "MRR@10", "map@10": "MAP@10", "map@20": "MAP@20", "awake": "awake",
}  # fmt: skip
VARIETY = {
    "coverage": "coverage", "items_shown": "items shown", "novelty": "novelty (bits)",
    "diversity": "diversity within a list", "category_diversity": "diversity of categories",
}  # fmt: skip


def save(report: Report, folder: Path) -> Path:
    """Write report.json, report.csv and report.html into a folder, which is made if missing.

    Returns:
        The page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_json(report, folder / "report.json")
    save_csv(report, folder / "report.csv")
    page = folder / "report.html"
    page.write_text(html(report), encoding="utf-8")
    return page


def html(report: Report) -> str:
    """The whole page."""
    sections: list[Callable[[Report], str]] = [
        _head, _systems, _over_time, _slices, _weights, _calibration, _variety, _values, _control, _delays, _cost,
        _conditions,
    ]  # fmt: skip
    body = "\n".join(part for section in sections if (part := section(report)))
    return document(report.conditions.title, body)


def document(title: str, body: str) -> str:
    """A whole document around a page's body, with the style in it."""
    style = resources.files("everbrook.evaluate").joinpath("static/report.css").read_text(encoding="utf-8")
    title = escape(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    had, mixture = report.conditions, _mixture(report)
    parts = [f"<h1>{escape(had.title)}</h1>"]
    span = f"{escape(had.start)} to {escape(had.end)}, " if had.start or had.end else ""
    parts.append(f'<p class="soft">{escape(had.data)} · {span}{had.judged_events:,} events judged</p>')
    if had.shuffled:
        parts.append('<p class="warn">The order of the events was shuffled: this is a control, not a result.</p>')
    if mixture is None or not mixture.events:
        return "".join([*parts, '<p class="warn">Nothing was judged, so there is nothing to report.</p>'])
    parts.append(f'<p class="answer">{_answer(report, mixture)}</p>')
    heads = {"HR@20": "hit_rate@20", "NDCG@10": "ndcg@10", "MRR@20": "mrr@20", "log-loss, nats": "log_loss"}
    heads["coverage@20"] = "coverage@20"
    shown = {label: mixture.metrics[name] for label, name in heads.items() if mixture.metrics.get(name) is not None}
    return "".join([*parts, tiles(shown)])


def _answer(report: Report, mixture: Row) -> str:
    hits = mixture.metrics["hit_rate@20"] or 0.0
    text = f"Of all that people went for next, the mixture had {100 * hits:.1f} % in its list of 20"
    best = report.best("hit_rate@20")
    if best is None:
        return text + "."
    alone = best.metrics["hit_rate@20"] or 0.0
    text += f"; the best single expert, {escape(best.system)}, {100 * alone:.1f} %."
    for found in report.differences:
        if (
            found.system == best.system
            and found.measure == "hit_rate"
            and found.low is not None
            and found.high is not None
        ):
            sure = found.low > 0 or found.high < 0
            text += f" The difference is {100 * (found.estimate or 0):+.2f} points (95 %: {100 * found.low:+.2f} to "
            text += f"{100 * found.high:+.2f}{'' if sure else ', so it may be chance'})."
    return text


def _systems(report: Report) -> str:
    rows = [row for row in report.rows if row.slice == ALL]
    if not rows or not rows[0].events:
        return ""
    order = {"mixture": 0, "pool": 1, "floor": 2, "expert": 3}
    rows.sort(key=lambda row: (order.get(row.group, 4), -(row.metrics.get("hit_rate@20") or 0.0)))
    note = (
        "Every next item is ranked among all items known at that moment, ties count against the system. Shaded: the "
        "best of a column. Italics: the floors that any learning has to beat. Log-loss is in nats, over the events for "
        "which a system had something to say."
    )
    more = (
        "With one item to find, recall equals HR, MAP equals MRR, and precision is HR divided by the length of the "
        "list. Awake: the share of events for which the system had something to say."
    )
    head = (f"Mixture, floors and every expert over {rows[0].events:,} events", note)
    return (
        f"<h2>Who finds what comes next</h2>{table(rows, COLUMNS, *head)}"
        f"<details><summary>All other metrics</summary>{table(rows, MORE, 'All other metrics', more)}</details>"
    )


def _over_time(report: Report) -> str:
    found = report.over_time
    if not found.start_ms or not any(found.events):
        return ""
    drawn = _important(report)
    span = plots.duration(3_600.0 * found.span_hours)
    figures = [
        f"<figure>{plots.over_time(found, drawn, measure, label)}</figure>"
        for measure, label in (("hit_rate", "HR@20"), ("mrr", "MRR@20"))
    ]
    words = f"Each point is {span}; the mixture, the floors and the best experts. Times are UTC."
    return f'<h2>Over time</h2><p class="soft">{words}</p>{"".join(figures)}'


def _slices(report: Report) -> str:
    names = list(dict.fromkeys(row.slice for row in report.rows))
    mixture = _mixture(report)
    if len(names) < 2 or mixture is None:
        return ""
    drawn = _important(report)[:6]
    parts = [_slice_table(report, names, drawn, metric) for metric in ("hit_rate@20", "mrr@20")]
    return f"<h2>New items, new people, places</h2>{''.join(parts)}"


def _slice_table(report: Report, names: list[str], drawn: list[str], metric: str) -> str:
    head = "".join(f'<th scope="col">{escape(system)}</th>' for system in drawn)
    lines = []
    for name in names:
        rows = [report.row(system, name) for system in drawn]
        lines.append(f"<tr><td>{escape(name)}</td><td>{rows[0].events:,}</td>{cells(rows, metric)}</tr>")
    return (
        f'<div class="wide"><table><thead><tr><th scope="col">{COLUMNS[metric]}</th><th scope="col">events</th>'
        f"{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _weights(report: Report) -> str:
    if report.weights is None or not report.weights.ts_ms:
        return ""
    return (
        "<h2>Whom the mixture trusts</h2>"
        f"<figure>{plots.weights(report.weights)}<figcaption>Weights of the heaviest, stacked.</figcaption></figure>"
    )


def _calibration(report: Report) -> str:
    if report.reliability is None:
        return ""
    error = number(report.reliability.error)
    words = (
        "When the mixture gives its first place a probability, how often does it come true? On the dashed line promise "
        f"and truth agree; larger dots hold more events. Mean gap (expected calibration error): {error}."
    )
    return f"<h2>Calibration</h2><p>{words}</p><figure>{plots.reliability(report.reliability)}</figure>"


def _variety(report: Report) -> str:
    rows = [row for row in report.rows if row.slice == ALL and "items_shown@20" in row.metrics]
    if not rows:
        return ""
    note = (
        "Coverage: share of the known items shown to anybody. Novelty: mean self-information of what is shown. "
        "Diversity: 1 less the mean cosine of the pairs in a list."
    )
    tables = "".join(_variety_table(row) for row in rows)
    return f'<h2>Variety</h2>{tables}<p class="soft">{note}</p>'


def _variety_table(row: Row) -> str:
    lines = []
    for name, label in VARIETY.items():
        both = [row.metrics.get(f"{name}@{k}") for k in (10, 20)]
        if any(value is not None for value in both):
            lines.append(f"<tr><td>{label}</td>{''.join(f'<td>{number(value)}</td>' for value in both)}</tr>")
    head = "".join(
        f'<th scope="col">{name}</th>' for name in (f"Lists of {escape(row.system)}", "first 10", "first 20")
    )
    return (
        f'<div class="wide narrow"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def _values(report: Report) -> str:
    both = (("Predicted ratings", report.ratings), ("Predicted clicks", report.clicks))
    return "".join(
        f"<h2>{title}</h2>{tiles({name.replace('_', ' '): value for name, value in found.items()})}"
        for title, found in both
        if found is not None
    )


def _control(report: Report) -> str:
    if report.control is None:
        return ""
    both = []
    for row in report.control:
        real = report.row(row.system)
        if row.system in _important(report):
            both += [
                real,
                Row(
                    system=f"{row.system}, shuffled", group=row.group, slice=ALL, events=row.events, metrics=row.metrics
                ),
            ]
    note = "What adapting to time is worth must vanish when the same events come in a random order."
    return f"<h2>Control</h2>{table(both, COLUMNS, 'The same events in random order', note, best=False)}"


def _delays(report: Report) -> str:
    if not report.delays:
        return ""
    return f"<h2>Staleness</h2><figure>{plots.staleness(report.delays)}</figure>"


def _cost(report: Report) -> str:
    if not report.timings:
        return ""
    lines = "".join(
        f"<tr><td>{escape(cost.part)}</td><td>{cost.events:,}</td><td>{cost.seconds:,.2f}</td><td>{cost.us_per_event:,.1f}</td></tr>"
        for cost in report.timings
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("part", "events", "seconds", "µs an event"))
    return f'<h2>Cost</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


def _conditions(report: Report) -> str:
    had = report.conditions
    facts = {
        "command": f"<code>{escape(had.command)}</code>",
        "commit": escape(had.commit),
        "version": escape(had.version),
        "settings": escape(had.settings_digest),
        "data": escape(had.data),
        "from": escape(had.start),
        "to": escape(had.end),
        "sample": f"{100 * had.sample:g} % of the events, seed {had.seed}",
        "order": "shuffled" if had.shuffled else "as it happened",
        "delay": plots.duration(had.delay_s),
        "events learned": f"{had.learned_events:,}",
        "events judged": f"{had.judged_events:,}",
        "machine": escape(had.machine),
    }
    lines = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items() if value)
    notes = "".join(f"<p>{escape(note)}</p>" for note in had.notes)
    return f"<h2>Conditions</h2><dl>{lines}</dl>{notes}"


def _mixture(report: Report) -> Row | None:
    return next((row for row in report.rows if row.group == "mixture" and row.slice == ALL), None)


def _important(report: Report) -> list[str]:
    """The mixture, the floors, then the three best experts."""
    rows = [row for row in report.rows if row.slice == ALL]
    rows.sort(key=lambda row: -(row.metrics.get("hit_rate@20") or 0.0))
    by_group = {group: [row.system for row in rows if row.group == group] for group in ("mixture", "floor", "expert")}
    return [*by_group["mixture"], *by_group["expert"][:1], *by_group["floor"], *by_group["expert"][1:3]]

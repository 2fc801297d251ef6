"""Reports in the data directory, and what is refused before a process is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from everbrook.errors import InputError, NotFoundError
from everbrook.evaluate import report
from everbrook.evaluate.job_process import run
from everbrook.evaluate.jobs import Jobs, Order
from everbrook.events.records import Event
from everbrook.events.sqlite_log import SqliteLog
from everbrook.settings import Settings


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """A directory with two reports, one of them broken."""
    for name in ("good", "bad"):
        (tmp_path / "reports" / name).mkdir(parents=True)
    rows = [
        report.Row(system=system, group=group, slice="all", events=9, metrics={"hit_rate@20": hits, "log_loss": None})
        for system, group, hits in (("mixture", "mixture", 0.5), ("a/b", "expert", 0.25), ("floor", "floor", 0.375))
    ]
    over_time = report.OverTime(span_hours=1, start_ms=[], events=[], series={})
    found = report.Report(
        conditions=report.Conditions(title="x", judged_events=9), rows=rows, differences=[], over_time=over_time
    )
    report.save_json(found, tmp_path / "reports" / "good" / "report.json")
    (tmp_path / "reports" / "bad" / "curve.json").write_text("{", encoding="utf-8")
    return Jobs(tmp_path, lambda: 7)


def test_reports_are_listed_with_their_figures_and_broken_ones_say_so(jobs: Jobs) -> None:
    told = {one["name"]: one for one in jobs.reports()}
    assert told["good"]["mixture"]["hit_rate@20"] == 0.5
    assert told["good"]["best"]["system"] == "floor"
    assert "must be a replay's curve.json" in told["bad"]["error"]
    assert jobs.read("good")["report"]["conditions"]["judged_events"] == 9


@pytest.mark.parametrize("name", ["", "..", "../good", "a/b", ".hidden", "x" * 101, "ü"])
def test_a_name_never_leads_out_of_the_folder(jobs: Jobs, name: str) -> None:
    with pytest.raises(InputError, match="A report's name must be"):
        jobs.read(name)


def test_what_is_not_there_is_told(jobs: Jobs) -> None:
    with pytest.raises(NotFoundError):
        jobs.read("none")
    assert jobs.check() is None
    assert jobs.status() is None
    jobs.stop()


@pytest.mark.parametrize(
    "wrong", [{"sample": 0.0}, {"sample": 1.5}, {"days": -1.0}, {"kind": "curve", "delays": "soon"}]
)
def test_a_wrong_order_starts_nothing(jobs: Jobs, tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        jobs.start(Order(path=str(tmp_path), out=str(tmp_path / "out"), settings=Settings(), name="x", **wrong))  # type: ignore[arg-type]
    assert jobs.status() is None


def test_the_report_of_a_check_names_nobody(tmp_path: Path) -> None:
    with SqliteLog.open(tmp_path) as log:
        log.append([Event(user="ann-57", session="s-58", item=f"i{n}", ts=1_767_225_600_000 + n) for n in range(5)])
    out = tmp_path / "reports"
    run(Order(path=str(tmp_path), out=str(out), settings=Settings(), name="check", kind="check"), lambda _: None)
    told = "".join(file.read_text(encoding="utf-8") for file in out.rglob("*") if file.is_file())
    assert "every event has the same user" in told
    assert "every event has the same session" in told
    assert not [name for name in ("ann-57", "s-58") if name in told]

"""Replays and checks that are started while a server runs: one at a time, each in a process of its own; and the reports
that lie in the data directory."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Literal

import msgspec

from everbrook.errors import BusyError, DataError, InputError, NotFoundError
from everbrook.evaluate import curve_data, report
from everbrook.evaluate.options import parse_delays
from everbrook.settings import Settings

FOLDER = "reports"
REPORT, CURVE, CHECK = "report.json", "curve.json", "check.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MOST_REPORTS = 200
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
SHOWN = ("hit_rate@20", "mrr@20", "log_loss")
STOPPED = "It was stopped."


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to do."""

    path: str  # the data directory
    out: str  # the folder that is written to
    settings: Settings
    name: str
    kind: Literal["replay", "curve", "check"] = "replay"
    days: float = 0.0  # at the log's end that are scored; 0: the last tenth of the events
    sample: float = 1.0
    control: bool = False
    delays: str = "0s,10m,1d,never"
    now_ms: int = 0


class Jobs:
    """One job at a time. Safe to call from several threads."""

    def __init__(self, path: Path, now_ms: Callable[[], int]) -> None:
        """Nothing runs yet.

        Args:
            path: the data directory.
            now_ms: the present moment.
        """
        self._path, self._now_ms = path, now_ms
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._job: dict[str, Any] | None = None
        self._stopped = False
        self._thread: threading.Thread | None = None

    # -- running -------------------------------------------------------------------------------------------------

    def start(self, order: Order) -> dict[str, Any]:
        """Start a job.

        Raises:
            BusyError: another one runs.
            InputError: the order is wrong.
        """
        if not 0.0 < order.sample <= 1.0:
            raise InputError(f"'sample' must be above 0 and at most 1; got {order.sample:g}.")
        if order.days < 0.0:
            raise InputError(f"'days' must be at least 0; got {order.days:g}.")
        if order.kind == "curve":
            parse_delays(order.delays)
        with self._lock:
            if self._process is not None:
                raise BusyError("One backtest or check must end before the next begins; one runs.", "Stop it first.")
            self._stopped = False
            self._job = {"name": order.name, "kind": order.kind, "state": "running", "since_ms": self._now_ms(),
                         "step": "starting", "done": 0, "total": 0}  # fmt: skip
            words = tempfile.TemporaryFile()  # noqa: SIM115  the thread closes it
            self._process = subprocess.Popen(
                [sys.executable, "-m", "everbrook.evaluate.job_process"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=words, env=os.environ | dict.fromkeys(THREADS, "1"),
            )  # fmt: skip
            self._thread = threading.Thread(
                target=self._follow, args=(self._process, order, words), name="everbrook-job", daemon=True
            )
            self._thread.start()
            return dict(self._job)

    def stop(self) -> None:
        """Stop the job, if one runs."""
        with self._lock:
            process, self._stopped = self._process, True
        if process is not None:
            process.terminate()
            if self._thread is not None:
                self._thread.join(10.0)

    def status(self) -> dict[str, Any] | None:
        """The job that runs or ran last; None where there was none."""
        with self._lock:
            return None if self._job is None else dict(self._job)

    def _follow(self, process: subprocess.Popen[bytes], order: Order, words: IO[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        with words, process.stdout as lines:
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(msgspec.json.encode(order))
            for line in lines:
                self._note(line)
            code = process.wait()
            words.seek(0)
            said = words.read().decode("utf-8", "replace")
        if code and order.kind != "check":
            shutil.rmtree(order.out, ignore_errors=True)
        told = {"state": "done"} if not code else {"state": "failed", "error": self._because(said, code)}
        with self._lock:
            self._process = None
            if self._job is not None:
                self._job |= told | {"took_s": round((self._now_ms() - self._job["since_ms"]) / 1000.0, 1)}

    def _note(self, line: bytes) -> None:
        with contextlib.suppress(msgspec.DecodeError), self._lock:
            if self._job is not None:
                self._job |= msgspec.json.decode(line, type=dict[str, Any])

    def _because(self, words: str, code: int) -> str:
        if self._stopped:
            return STOPPED
        last = next((line for line in reversed(words.splitlines()) if line.strip()), "")
        return last.removeprefix("everbrook.errors.") or f"Its process ended with exit code {code}."

    # -- what lies there -----------------------------------------------------------------------------------------

    def place(self, name: str) -> Path:
        """The folder of a report.

        Raises:
            InputError: the name cannot be one of a folder.
        """
        if NAME.fullmatch(name) is None:
            raise InputError(
                f"A report's name must be letters, digits, '.', '_' and '-', at most 100 of them; got '{name[:120]}'."
            )
        return self._path / FOLDER / name

    def reports(self) -> list[dict[str, Any]]:
        """The reports, newest first; those that cannot be read say so."""
        found = []
        for file in (*self._path.glob(f"{FOLDER}/*/{REPORT}"), *self._path.glob(f"{FOLDER}/*/{CURVE}")):
            kind = "replay" if file.name == REPORT else "curve"
            told: dict[str, Any] = {
                "name": file.parent.name, "kind": kind, "made_ms": file.stat().st_mtime_ns // 1_000_000,
            }
            try:
                replay = kind == "replay"
                told |= _of_replay(report.load_json(file)) if replay else _of_curve(curve_data.load_json(file))
            except DataError as error:
                told["error"] = error.message
            found.append(told)
        found.sort(key=lambda one: -int(one["made_ms"]))
        return found[:MOST_REPORTS]

    def read(self, name: str) -> dict[str, Any]:
        """One report, all of it.

        Raises:
            NotFoundError: there is none of the name.
        """
        folder = self.place(name)
        if (folder / REPORT).exists():
            return {"name": name, "kind": "replay", "report": msgspec.to_builtins(report.load_json(folder / REPORT))}
        if (folder / CURVE).exists():
            curve = curve_data.load_json(folder / CURVE)
            said = {"systems": curve.systems, "slices": curve.slices, "sentences": curve_data.sentences(curve)}
            return {"name": name, "kind": "curve", "curve": msgspec.to_builtins(curve) | said}
        raise NotFoundError(f"A report must have the name '{name}'; there is none.")

    def check(self) -> dict[str, Any] | None:
        """What the last check found; None where none was made."""
        try:
            return msgspec.json.decode((self._path / FOLDER / CHECK).read_bytes(), type=dict[str, Any])
        except (FileNotFoundError, msgspec.DecodeError):
            return None


def _conditions(told: report.Conditions) -> dict[str, Any]:
    names = ("title", "start", "end", "sample", "judged_events", "learned_events", "shuffled", "command")
    return {name: getattr(told, name) for name in names}


def _of_replay(found: report.Report) -> dict[str, Any]:
    def figures(row: report.Row | None) -> dict[str, Any] | None:
        return None if row is None else {"system": row.system} | {name: row.metrics.get(name) for name in SHOWN}

    best = found.best("hit_rate@20")
    own = next((row for row in found.rows if row.system == "mixture" and row.slice == report.ALL), None)
    return _conditions(found.conditions) | {
        "mixture": figures(own), "best": figures(best), "control": found.control is not None,
    }


def _of_curve(found: curve_data.Curve) -> dict[str, Any]:
    return _conditions(found.conditions) | {
        "delays": [point.label for point in found.points], "control": found.control is not None,
    }

"""How right lists were lately, test-then-train: hits, reciprocal ranks and log-losses of every system over time.

Each live event's list is made before the event is learned; what became of a sample of these is summed here in bins of
time, overall and by scenario, in rings of fixed size. The live weights and the anchor are both asked, whichever of them
serves, so that learning is seen against standing still on the same events. Kept with each checkpoint, so that the lines
go on over a restart; a process that is killed loses what came since the last.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from everbrook.models.live_expert import LiveExpert
from everbrook.rank.mixture import Judgement, Mixture
from everbrook.types import F32, F64, I64, NO_ROW, Arrays, Step

TOP = 20  # hits are among so many
SPANS = {"hour": (5_000, 720), "days": (300_000, 576)}  # length of a bin in ms, and how many are kept
MOST_SCENARIOS = 8  # with sums of their own
MOST_PER_S = 20.0  # events that are summed; of more, a share
MORE = ("live", "anchor")
POOLED = "pool/all:"
LEAST = 0.02  # weight that a family must have had to be told of
_FLOOR = 1e-12


@dataclass(slots=True)
class _Ring:
    """The bins of one span and place, newest over oldest."""

    stamps: I64  # (T,) number of the bin that each place holds; -1: none
    events: F32  # (T,)
    sums: F32  # (T, S, 4) hits, reciprocal ranks, log-probabilities, events that the system was awake for
    weights: F32  # (T, W) the mixture's weights when the bin began


class Quality:
    """Sums over the last hours."""

    def __init__(self, mixture: Mixture) -> None:
        """Begin with nothing.

        Args:
            mixture: whose systems are followed.
        """
        self.systems = ("mixture", *mixture.names, *MORE)
        self.voices = (*mixture.names, *(f"{POOLED}{name}" for name in mixture.columns))
        self._rings: dict[tuple[str, int], _Ring] = {}
        self._lock = threading.Lock()
        self._tokens, self._then_ms = MOST_PER_S, 0

    def note(self, mixture: Mixture, step: Step, b: int, found: Judgement, now_ms: int) -> None:
        """Take note of a judged event, or pass it over where many come.

        Args:
            mixture: that judged, before it learned from the event's own experts.
            step: the event's step.
            b: its position there.
            found: the judgement.
            now_ms: the present moment.
        """
        if not self._is_chosen(now_ms):
            return
        live = next((family for family in mixture.experts if isinstance(family, LiveExpert)), None)
        extra = _both(mixture, live, step, b, found) if live is not None else np.full((2, 2), np.nan)
        ranks = np.concatenate((found.ranks, np.nan_to_num(extra[:, 0])))
        logps = np.concatenate(([found.logp], found.logps, extra[:, 1]))
        hits = (ranks > 0) & (ranks <= TOP)
        awake = ~np.isnan(logps)
        reciprocal = np.where(hits, 1.0 / np.maximum(ranks, 1), 0.0)
        values = np.stack((hits, reciprocal, np.where(awake, logps, 0.0), awake), 1)
        weights = np.concatenate((mixture.top, mixture.pools[0, 0])).astype(np.float32)
        scenario = int(step.scenario[b])
        with self._lock:
            for span in SPANS:
                for place in {NO_ROW, scenario if scenario < MOST_SCENARIOS else NO_ROW}:
                    self._add(span, place, now_ms, values, weights)

    def _is_chosen(self, now_ms: int) -> bool:
        past_s = max(0, now_ms - self._then_ms) / 1000.0
        self._tokens, self._then_ms = min(MOST_PER_S, self._tokens + MOST_PER_S * past_s), now_ms
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def _add(self, span: str, scenario: int, now_ms: int, values: F64, weights: F32) -> None:
        length_ms, count = SPANS[span]
        ring = self._rings.get((span, scenario))
        if ring is None:
            ring = self._rings[span, scenario] = self._empty(span)
        number = now_ms // length_ms
        at = number % count
        if ring.stamps[at] != number:
            ring.stamps[at], ring.events[at], ring.sums[at], ring.weights[at] = number, 0.0, 0.0, weights
        ring.events[at] += 1.0
        ring.sums[at] += values

    def told(
        self, span: str, scenario: int, now_ms: int, since_ms: int, systems: tuple[str, ...]
    ) -> dict[str, Any]:
        """The bins since a moment, oldest first.

        Args:
            span: a key of `SPANS`.
            scenario: row of one; NO_ROW for all events.
            now_ms: the present moment.
            since_ms: bins that end before it are left out.
            systems: which of them.
        """
        length_ms, count = SPANS[span]
        with self._lock:
            ring = self._rings.get((span, scenario))
            if ring is None:
                none: dict[str, Any] = {"layers": {}, "experts": {}}
                return {"step_ms": length_ms, "ts_ms": [], "events": [], "systems": {}, "weights": none}
            wanted = (ring.stamps > now_ms // length_ms - count) & ((ring.stamps + 1) * length_ms > since_ms)
            at = np.flatnonzero(wanted)
            at = at[np.argsort(ring.stamps[at])]
            stamps, events, sums, weights = ring.stamps[at], ring.events[at], ring.sums[at], ring.weights[at]
        places = {name: place for place, name in enumerate(self.systems) if name in systems}
        return {
            "step_ms": length_ms, "ts_ms": (stamps * length_ms).tolist(), "events": events.astype(np.int64).tolist(),
            "systems": {
                name: {
                    "hits": sums[:, place, 0].astype(np.int64).tolist(), "reciprocal": _rounded(sums[:, place, 1]),
                    "log_loss": _rounded(-sums[:, place, 2]), "awake": sums[:, place, 3].astype(np.int64).tolist(),
                }
                for name, place in places.items()
            },
            "weights": self._families(weights),
        }  # fmt: skip

    def _families(self, weights: F32) -> dict[str, dict[str, list[float]]]:
        """The weights by layer, and by family of experts in the pool of all; those that never mattered are left out."""
        found: dict[str, dict[str, F32]] = {"layers": {}, "experts": {}}
        for place, name in enumerate(self.voices):
            sums = found["experts" if name.startswith(POOLED) else "layers"]
            family = name.removeprefix(POOLED).partition("/")[0]
            sums[family] = sums[family] + weights[:, place] if family in sums else weights[:, place]
        return {
            kind: {name: _rounded(own) for name, own in sums.items() if own.max(initial=0.0) >= LEAST}
            for kind, sums in found.items()
        }

    def parts(self, scenarios: Sequence[str]) -> Arrays:
        """Copies of the bins that hold something, by span, field and scenario's name; see `load`.

        Args:
            scenarios: names by row.
        """
        found: Arrays = {}
        with self._lock:
            for (span, row), ring in self._rings.items():
                held, name = ring.stamps >= 0, "" if row == NO_ROW else scenarios[row]
                for field in fields(_Ring):
                    found[f"{span}/{field.name}/{name}"] = getattr(ring, field.name)[held]
        return found

    def load(self, parts: Arrays, rows: Mapping[str, int]) -> None:
        """Go on from what `parts` gave; a scenario that is unknown now is left out.

        Args:
            parts: of the same systems and voices.
            rows: of the scenarios, by name.
        """
        with self._lock:
            for key, stamps in parts.items():
                span, field, name = key.split("/", 2)
                row = NO_ROW if not name else rows.get(name)
                if field == "stamps" and row is not None:
                    ring = self._rings[span, row] = self._empty(span)
                    places = stamps % SPANS[span][1]
                    for one in fields(_Ring):
                        getattr(ring, one.name)[places] = parts[f"{span}/{one.name}/{name}"]

    def _empty(self, span: str) -> _Ring:
        count, width = SPANS[span][1], len(self.systems)
        return _Ring(
            np.full(count, -1, np.int64), np.zeros(count, np.float32),
            np.zeros((count, width, 4), np.float32), np.zeros((count, len(self.voices)), np.float32),
        )  # fmt: skip

    def best(self, mixture: Mixture, family: str) -> str | None:
        """The column of a family with the least loss in hindsight; None where the mixture has no such family."""
        first = len(mixture.names) - len(mixture.columns)
        own = [at for at, name in enumerate(mixture.names) if at >= first and name.startswith(family + "/")]
        return mixture.names[min(own, key=lambda at: float(mixture.losses[at]))] if own else None


def _rounded(values: F32) -> list[float]:
    return [round(value, 4) for value in values.tolist()]


def _both(mixture: Mixture, live: LiveExpert, step: Step, b: int, found: Judgement) -> F64:
    """(2, 2) rank and log-probability under the live weights and under the anchor; NaN where they have nothing to say.

    Both say only what the other says of whoever has no weights of its own.
    """
    weighed, target = found.weighed, found.lesson.target
    out = np.full((2, 2), np.nan)
    item = int(step.item[b])
    shown = weighed.rows[: weighed.shown]
    rows = shown if target >= 0 else np.append(shown, np.int32(item)).astype(np.int32)
    at = target if target >= 0 else weighed.shown
    popular = mixture.popular
    base = weighed.p[: len(rows), :popular] @ (mixture.base_weights * weighed.awake[:popular]).astype(np.float32)
    query = step.query(b)
    for place, anchor in enumerate((False, True)):
        p = live.under(query, rows, anchor)
        if p is None:
            continue
        p = p + np.float32(live.settings.rest) * base
        rank = float((p[: weighed.shown] >= p[at]).sum()) if target >= 0 else 0.0
        out[place] = rank, math.log(max(float(p[at]), _FLOOR))
    return out

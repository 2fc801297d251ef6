"""The gate on made streams: false alarms per allowed alarm, events until harm is found, cases, speed.

    python bench/gate.py [--events 2000000] [--runs 100]

Prints JSON lines. Streams without harm run under two budgets that are larger than a month's, so that alarms can be
counted: the bound is 1 alarm per allowed alarm at every budget, and a ratio that grew as the budget shrinks would say
that the correction for dependence is not enough. All events are over all and in one of three scenarios.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
from numba import njit

from everbrook.learn.gate import Gate
from everbrook.learn.gate_moves import Move
from everbrook.settings.gate import GateSettings
from everbrook.types import F64

T0 = 1_700_000_000_000
B = 200
Made = Callable[[np.random.Generator, int], F64]  # (rng, first event) -> (B,) differences with sd about 1
Rng = np.random.Generator


def independent(rng: Rng, at: int) -> F64:
    """Normal, independent."""
    return rng.normal(size=B)


def heavy(rng: Rng, at: int) -> F64:
    """Student's t with 3 degrees of freedom."""
    return rng.standard_t(3, B) / math.sqrt(3)


def skewed(rng: Rng, at: int) -> F64:
    """One event in a hundred gains much, all others lose a little; mean 0."""
    p = 0.01
    return np.where(rng.random(B) < p, 1.0 - p, -p) / math.sqrt(p * (1 - p))


def sawtooth(rng: Rng, at: int) -> F64:
    """The reference is renewed every 10,000 events, so differences grow and collapse."""
    return rng.normal(size=B) * (0.5 + (at % 10_000) / 10_000)


def runs(rng: Rng, at: int) -> F64:
    """Runs of five events on average that share half of their variance: the same user in a row."""
    begins = rng.random(B) < 0.2
    shared = rng.normal(size=B)[np.cumsum(begins) % B]
    return math.sqrt(0.5) * (shared + rng.normal(size=B))


class Autoregressive:
    """Differences that depend on the one before; all, or a share of the variance."""

    def __init__(self, rho: float, share: float = 1.0) -> None:
        self.rho, self.share, self.x = rho, share, 0.0

    def __call__(self, rng: Rng, at: int) -> F64:
        made = _filtered(rng.normal(size=B) * math.sqrt(1 - self.rho**2), self.rho, self.x)
        self.x = made[-1]
        return math.sqrt(self.share) * made + math.sqrt(1 - self.share) * rng.normal(size=B)


@njit(cache=True)
def _filtered(steps: F64, rho: float, x: float) -> F64:
    made = np.empty_like(steps)
    for b in range(len(steps)):
        x = rho * x + steps[b]
        made[b] = x
    return made


STREAMS: dict[str, Callable[[], Made]] = {
    "independent": lambda: independent,
    "heavy-tailed (t, 3)": lambda: heavy,
    "skewed (1 % gain, 99 % lose)": lambda: skewed,
    "recent renewed every 10,000 events": lambda: sawtooth,
    "runs of one user": lambda: runs,
    "autoregressive .9": lambda: Autoregressive(0.9),
    "autoregressive .99, a tenth of the variance": lambda: Autoregressive(0.99, 0.1),
    "autoregressive .999, a hundredth of the variance": lambda: Autoregressive(0.999, 0.01),
}


def report(name: str, value: object, unit: str, **more: object) -> None:
    """One line."""
    print(json.dumps({"name": name, "value": value, "unit": unit, **more}), flush=True)


def poisson_upper(count: int) -> float:
    """An upper 95 % bound for the mean of a Poisson count (Wilson-Hilferty)."""
    k = count + 1
    return k * (1 - 1 / (9 * k) + 1.6449 / (3 * math.sqrt(k))) ** 3


def alarms(made: Made, settings: GateSettings, events: int, ms_per_batch: int, seed: int) -> tuple[int, float]:
    """Alarms on a stream without harm, and the alarms that the budget allows in its time, after a fifth to learn from.

    The loss of both models drifts upwards together, which no difference can see; a paused gate would not roll back,
    so it runs live with harms that never repeat.
    """
    rng, gate, found = np.random.default_rng(seed), Gate(settings), 0
    to_anchor = independent
    begin = events // 5
    for at in range(0, begin + events, B):
        live = -5.0 - at / events + np.zeros(B)
        scenario = rng.integers(0, 3, B).astype(np.int16)
        recent, anchor = live - 0.1 * made(rng, at), live - 0.67 * to_anchor(rng, at)
        young = live - 0.05 * made(rng, at)
        for move in gate.observe(T0 + at // B * ms_per_batch, scenario, live, recent, anchor, None, young):
            if move.kind == "rollback":
                found += at >= begin
                gate.override("live", move.ts_ms)
    return found, settings.alarms_per_month * events / B * ms_per_batch / (30 * 86_400_000)


def bench_false_alarms(events: int) -> None:
    """Alarms per allowed alarm, recent differences of sd .1 and tolerance 0, so that the null is met with equality."""
    for name, make in STREAMS.items():
        for ms_per_batch in (50_000, 5_000):
            settings = GateSettings(
                start="live", alarms_per_month=1000.0, recent_tolerance=0.0, anchor_tolerance=0.0, harms=100
            )
            found, allowed = alarms(make(), settings, events, ms_per_batch, seed=1)
            report(f"false_alarms/{name}", found, "alarms", allowed=round(allowed, 1), ratio=round(found / allowed, 3),
                   upper_95=round(poisson_upper(found) / allowed, 3))


def until_found(seed: int, recent_harm: float, recent_sd: float, anchor_harm: float, anchor_sd: float) -> int:
    """Events from the beginning of a harm, after 20,000 healthy ones, to its rollback; -1: none within 100,000.

    Young weights differ from the live ones half as much as the recent ones, which is what real news show.
    """
    rng, gate = np.random.default_rng(seed), Gate(GateSettings(start="live"))
    live, scenario, size = np.full(100, -5.0), np.zeros(100, np.int16), 100
    for at in range(0, 120_000, size):
        on = at >= 20_000
        by_recent = rng.normal(-recent_harm if on else 0.0, recent_sd, size)
        by_anchor = rng.normal(-anchor_harm if on and anchor_harm else 0.05, anchor_sd, size)
        by_young = rng.normal(-recent_harm if on else 0.0, recent_sd / 2, size)
        moves = gate.observe(T0 + at, scenario, live, live - by_recent, live - by_anchor, None, live - by_young)
        if any(move.kind == "rollback" for move in moves):
            return at + size - 20_000
    return -1


def bench_found(runs_each: int) -> None:
    """Events until harm is found, at 1,000 events/s and one alarm a month."""
    for recent_harm, recent_sd, anchor_harm, anchor_sd in (
        (0.01, 0.7, 0.0, 0.67), (0.05, 0.7, 0.0, 0.67), (0.01, 0.2, 0.0, 0.67), (0.01, 0.1, 0.0, 0.67),
        (0.01, 0.05, 0.0, 0.67), (0.02, 0.1, 0.0, 0.67), (0.05, 0.1, 0.0, 0.67),
        (0.0, 0.1, 0.05, 0.67), (0.0, 0.1, 0.1, 0.67),
    ):  # fmt: skip
        found = np.array([until_found(n, recent_harm, recent_sd, anchor_harm, anchor_sd) for n in range(runs_each)])
        late = np.where(found < 0, 100_000, found)
        where, nats, sd = ("recent", recent_harm, recent_sd) if recent_harm else ("anchor", anchor_harm, anchor_sd)
        report(f"found/{nats:g} nats at sd {sd:g} against {where}", float(np.median(late)), "events",
               p95=float(np.quantile(late, 0.95)), before_harm=int((found < -1).sum()), never=int((found == -1).sum()),
               runs=runs_each)


def told(case: str, moves: Iterator[tuple[float, Move]]) -> None:
    """What the gate did, and when."""
    for at_s, move in moves:
        report(f"case/{case}", round(at_s, 1), "s", move=move.kind, to=move.to, because=move.because)


def play(case: str, seconds: float, start: str, means: Callable[[float], tuple[float, float]]) -> None:
    """Run a case at 1,000 events/s: seconds -> mean difference from recent and anchor."""
    rng, gate = np.random.default_rng(5), Gate(GateSettings(start=start))  # type: ignore[arg-type]
    live, scenario = np.full(100, -5.0), np.zeros(100, np.int16)

    def moves() -> Iterator[tuple[float, Move]]:
        for n in range(int(10 * seconds)):
            at_s = n / 10
            by_recent, by_anchor = means(at_s)
            recent, anchor = live - rng.normal(by_recent, 0.1, 100), live - rng.normal(by_anchor, 0.67, 100)
            for move in gate.observe(T0 + 100 * n, scenario, live, recent, anchor):
                yield at_s, move

    told(case, moves())


def bench_cases() -> None:
    """A young model that is first worse than a blank anchor; damage of a live model that is still above its anchor."""
    play("young model: -.5 nats, better than the anchor after 60 s", 200, "shadow",
         lambda s: (0.001, -0.5 * (1 - min(s, 120) / 60)))
    play("damage of .03 nats at 100 s; live still .1 above the aged anchor", 110, "live",
         lambda s: (-0.03 if s >= 100 else 0.0, 0.1 if s >= 100 else 0.13))
    play("damage of .2 nats just as a stretch ends (119.5 s)", 125, "live",
         lambda s: (-0.2 if s >= 119.5 else 0.0, -0.1 if s >= 119.5 else 0.1))


def bench_speed() -> None:
    """CPU time an event, with and without actors."""
    for size in (32, 100, 1000):
        rng, gate = np.random.default_rng(0), Gate()
        live, scenario = rng.normal(-5, 1, size), rng.integers(0, 6, size).astype(np.int16)
        recent, anchor = live - rng.normal(0, 0.1, size), live - rng.normal(0, 0.67, size)
        for actor in (None, rng.integers(0, 50, size).astype(np.int32)):
            gate.observe(T0, scenario, live, recent, anchor, actor)
            start, rounds = time.process_time(), 200_000 // size
            for n in range(rounds):
                gate.observe(T0 + n, scenario, live, recent, anchor, actor)
            cpu_s = time.process_time() - start
            report(f"speed/B={size}", round(1e6 * cpu_s / (rounds * size), 3), "us/event", actors=actor is not None)


def main() -> None:
    """Run all of them."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=2_000_000)
    options.add_argument("--runs", type=int, default=100)
    options.add_argument("--only", choices=("speed", "cases", "found", "alarms"), help="one part")
    chosen = options.parse_args()
    parts: dict[str, Callable[[], None]] = {
        "speed": bench_speed, "cases": bench_cases, "found": lambda: bench_found(chosen.runs),
        "alarms": lambda: bench_false_alarms(chosen.events),
    }
    for name, part in parts.items():
        if chosen.only in (None, name):
            part()


if __name__ == "__main__":
    main()

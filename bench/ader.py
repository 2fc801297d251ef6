"""The ADER protocol on 17 weeks of shop sessions: learn weeks 0..t, test week t+1 with everything frozen, t = 0..15.

Source: ADER (Mi, Lin, Faltings, RecSys 2020): weights stand still within a test week, targets that training has not
seen are left out, each next click is ranked among all items seen so far. When a week is learned after its test, the
mixture comes first, every expert still as it stood before the week, as in the test; then the experts; then the fit.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from everbrook.engine.building import new_core
from everbrook.engine.core import Core, Judging
from everbrook.engine.fitting import refit
from everbrook.models.sequence import SequenceModel
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.rank.mixture import Judgement
from everbrook.settings import Settings, load_settings
from everbrook.types import Step

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data

CHUNK = 4096
FIRST_SHARE = 0.7  # of week 0: a first model learns from it, and is judged on the rest


class Protocol:
    """One run over the weeks."""

    def __init__(self, settings: Settings, sample: float, warm: float) -> None:
        self.settings, self.sample, self.warm = settings, sample, warm
        self.columns, self.period = data.sessions()
        self.core: Core = new_core(settings, trail=True)
        self.model: SequenceModel | None = None
        self.fitted = 0

    def run(self, last: int) -> None:
        """Test weeks 1..last and print each and the mean."""
        start, stop = self._edges(0)
        cut = start + int(FIRST_SHARE * (stop - start))
        self._learn(self._fold(start, cut))
        self._fit()
        self._learn(self._fold(cut, stop))
        self._fit()
        found = []
        for week in range(1, last + 1):
            steps = self._fold(*self._edges(week))
            found.append(self._test(week, steps))
            self._learn(steps)
            self._fit()
        mean = np.mean(found, axis=0)
        for j, name in enumerate(("mixture", *self.core.mixture.names)):
            data.tell(f"ader/mean/{name}", mean[j, 0], "recall@20", weeks=last)
            data.tell(f"ader/mean/{name}", mean[j, 1], "mrr@20", weeks=last)

    def _edges(self, week: int) -> tuple[int, int]:
        return int(np.searchsorted(self.period, week)), int(np.searchsorted(self.period, week + 1))

    def _fold(self, start: int, stop: int) -> list[Step]:
        steps = []
        for a in range(start, stop, CHUNK):
            steps.append(self.core.state.fold(self.columns.slice(a, min(a + CHUNK, stop))))
            self.core.grow()
        return steps

    def _learn(self, steps: list[Step]) -> None:
        judging = Judging(share=self.warm, seed=100, first_of_session=False)
        for step in steps:
            self.core.judge_only(step, judging)
        for step in steps:
            self.core.mixture.observe(step, np.ones(len(step), dtype=np.bool_))
            self.core.events += len(step)
            if self.core.trail is not None:
                self.core.trail.add(step)

    def _fit(self) -> None:
        trail, expert = self.core.trail, self.core.family(SequenceExpert)
        if trail is None or expert is None:
            return
        began = time.perf_counter()
        self.model = refit(trail, self.core.state.n_items, self.settings, self.fitted, self.model)
        expert.publish(self.model)
        data.tell("ader/fit", time.perf_counter() - began, "s", events=trail.events - self.fitted)
        self.fitted = trail.events

    def _test(self, week: int, steps: list[Step]) -> np.ndarray:
        known = self.core.mixture.first_seen_ms > 0
        ranks: list[np.ndarray] = []

        def listen(step: Step, b: int, judgement: Judgement) -> None:
            ranks.append(judgement.ranks)

        judging = Judging(share=self.sample, seed=week, first_of_session=False, learn=False)
        for step in steps:
            self.core.judge_only(step, judging, listen, among=known[step.item])
        all_ranks = np.array(ranks)
        inside = (all_ranks > 0) & (all_ranks <= 20)
        reciprocal = np.where(inside, 1.0 / np.maximum(all_ranks, 1), 0.0)
        found = np.stack((inside.mean(axis=0), reciprocal.mean(axis=0)), axis=1)
        best = max(found[1:, 0])
        data.tell(f"ader/week-{week}/mixture", found[0, 0], "recall@20", mrr=round(float(found[0, 1]), 5),
                  best_part=round(float(best), 5), sequence=round(float(found[-1, 0]), 5), events=len(all_ranks))
        return found


def main() -> None:
    """Run the protocol."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weeks", type=int, default=16, help="how many weeks are tested")
    parser.add_argument("--sample", type=float, default=0.25, help="share of a test week's clicks that are scored")
    parser.add_argument("--warm", type=float, default=0.15, help="share of learned clicks that teach the mixture")
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE")
    options = parser.parse_args()
    settings = load_settings(assignments=options.assignments).settings
    Protocol(settings, options.sample, options.warm).run(options.weeks)


if __name__ == "__main__":
    main()

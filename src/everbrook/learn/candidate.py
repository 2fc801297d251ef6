"""A refitted model at the gate: compared with the present live weights until it is proven better, good enough, or harm.

It is in shadow all the while: it learns beside the live weights and serves nobody. Who runs it feeds both
log-probabilities and swaps it in when told; from then on the gate itself watches.
"""

from __future__ import annotations

import numpy as np

from everbrook.learn.evidence import Evidence, only_anchor
from everbrook.learn.gate_kernels import ANCHOR, BETTER, FAULTS, HARM_ANCHOR
from everbrook.learn.gate_moves import Move
from everbrook.settings.gate import GateSettings
from everbrook.types import F64, I16, I32, NO_ROW, Arrays


class Candidate:
    """The comparison of one refitted model with the live weights."""

    def __init__(self, settings: GateSettings | None = None) -> None:
        self.settings = settings or GateSettings()
        self._evidence = Evidence(self.settings)
        self._n: Arrays = {"alike_age": np.full(1, -1), "decided": np.zeros(1, np.int64)}

    def observe(self, ts_ms: int, scenario: I16, candidate: F64, live: F64, actor: I32 | None = None) -> Move | None:
        """Take in a micro-batch that neither has learned from.

        Args:
            ts_ms: the moment.
            scenario: (B,) rows; NO_ROW where there is none.
            candidate: (B,) log-probabilities under the refitted model.
            live: (B,) the same under the present live weights.
            actor: (B,) rows; where given, an actor counts once per batch and scenario.

        Returns:
            'swap' or 'discard' once it is decided; None until then, and afterwards.
        """
        if self._n["decided"][0]:
            return None
        e, s, n = self._evidence, self.settings, self._n
        e.observe(ts_ms, scenario, candidate, only_anchor(live), actor)
        age = e.age_ms()
        alike = e.stayed_alike(n["alike_age"])
        mean, _, events = e.moments(ANCHOR)
        told = f"lately {mean:+.4f} nats an event, {events} events compared"
        if e.told[FAULTS]:
            return self._decide("discard", "Log-probabilities under the candidate are not finite.", ts_ms)
        if e.holds(BETTER):
            return self._decide("swap", f"Proven better than the live weights: {told}.", ts_ms)
        if alike:
            return self._decide("swap", f"Proven within {s.margin:g} nats of the live weights: {told}.", ts_ms)
        if age >= 1000 * s.candidate_s:
            harm = "worse" if e.holds(HARM_ANCHOR) else "not proven good enough"
            return self._decide("discard", f"Still {harm} after {s.candidate_s:g} s: {told}.", ts_ms)
        return None

    def _decide(self, kind: str, because: str, ts_ms: int) -> Move:
        self._n["decided"][0] = 1
        nats, _ = self._evidence.nats(BETTER)
        return Move("swap" if kind == "swap" else "discard", "live", because, ts_ms, "live", NO_ROW, nats)

    def state(self) -> Arrays:
        """Everything, as named arrays."""
        own = {name: array.copy() for name, array in self._n.items()}
        return own | {f"evidence/{name}": array for name, array in self._evidence.state().items()}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        for name, array in self._n.items():
            array[...] = arrays[name]
        self._evidence.load({name: arrays[f"evidence/{name}"] for name in self._evidence.state()})

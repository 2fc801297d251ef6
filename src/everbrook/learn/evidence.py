"""Evidence that is valid at any time for claims about a difference of log-probabilities, per scenario and over all.

**Bets.** Differences live - reference of `block_events` events in a row make one block with mean x. For a claim such
as 'harm: the mean is below -tolerance' every block multiplies a capital by 1 + f z, where z = (-x - tolerance) / sd
and sd is a running estimate that was made before the block. If the claim is false, the capital cannot grow in
expectation (a betting martingale), whatever is looked at, and whenever. Several fractions f bet side by side.

**Budget in time.** A claim may become true at any moment, so capital is added all the time: a detector starts with
nothing, and each moment lends it as large a part of the month's allowed false alarms as the moment is of a month.
Evidence is the sum of what those loans have become (the Shiryaev-Roberts form); the claim is proven when it reaches
1. While the claim is false, evidence minus loans cannot grow in expectation, so by optional stopping the expected
number of alarms, each of which takes 1 away, is at most the sum of the loans. So the budget holds over any stretch of
time and at any rate of events, without an estimate of that rate. All detectors of harm share one budget: over all .25
(young), .25 (recent) and .2 (anchor), and .1 each for the scenarios seen so far, in equal parts.

**What is assumed.** Given the past, a block's mean difference is not below -tolerance in expectation, after a block
above .9 / f standard deviations is taken down to that (each fraction its own cut, so small bets cut next to nothing),
and one event to `clip_nats`. Neighbouring events may depend on each other (the same users in a row): dependence that
shows in the variances of longer blocks, up to 2,048 blocks, lowers every bet's capital by exp(-f² excess / 2), which
restores the odds of a random walk with that long-run variance. This correction only ever lowers evidence; that it is
enough is an approximation, good while the dependence is shorter than those blocks. A mean that really is below
-tolerance for a while is harm, even if it would have come back.

Source: Shin, Ramdas, Rinaldo, 'E-detectors: a nonparametric framework for sequential change detection' (2022),
mixtures of Shiryaev-Roberts e-detectors; Waudby-Smith, Ramdas, 'Estimating means of bounded random variables by
betting' (2023). Lending by time instead of one unit a step is ours; the bound above is its proof.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from everbrook.learn import gate_kernels as kernels
from everbrook.learn.elapsed import no_time
from everbrook.learn.gate_kernels import ALIKE, BETTER, HARM_ANCHOR, HARM_RECENT, HARM_YOUNG, KINDS
from everbrook.settings.gate import GateSettings
from everbrook.types import F64, I16, I32, I64, Arrays, Bool

HARM = (HARM_YOUNG, HARM_RECENT, HARM_ANCHOR)
STRETCH = (kernels.STRETCH_BETTER, kernels.STRETCH_ALIKE)
_ALL_SHARE = {HARM_YOUNG: 0.25, HARM_RECENT: 0.25, HARM_ANCHOR: 0.2, BETTER: 0.5, ALIKE: 0.5}
_SCENARIO_SHARE = {HARM_YOUNG: 0.1, HARM_RECENT: 0.1, HARM_ANCHOR: 0.1}
QUIET_NATS = 3.0  # of evidence for harm, above chance, over which nothing is promoted
_NOBODY = np.zeros(0, np.int32)
_UNIT_BLOCKS = 1000  # evidence in nats counts from what so many blocks are lent


def only_anchor(anchor: F64) -> F64:
    """(references, B) log-probabilities under earlier weights where there is none but the anchor."""
    earlier = np.full((kernels.REFERENCES, len(anchor)), np.nan)
    earlier[kernels.ANCHOR] = anchor
    return earlier


class Evidence:
    """What is proven about the live weights, by slot (0: over all, 1 + scenario) and kind of claim."""

    def __init__(self, settings: GateSettings) -> None:
        self._settings = s = settings
        S = 1 + s.scenarios
        R, recent = kernels.REFERENCES, -s.recent_tolerance
        self._shifts = np.array([recent, -s.anchor_tolerance, 0.0, s.margin, 0.0, s.margin, recent])
        self._a: Arrays = {
            "clock": no_time(),
            "sums": np.zeros((S, R)),
            "counts": np.zeros((S, R), np.int64),
            "events": np.zeros((S, R), np.int64),
            "gross": np.zeros((R, 2)),
            "wealth": np.zeros((S, KINDS, len(kernels.FRACTIONS))),
            "owed": np.zeros((S, KINDS)),
            "unit": np.zeros((S, KINDS)),
            "blocks": np.zeros((S, R), np.int64),
            "moments": np.zeros((S, R, 3)),
            "pending": np.full((S, R, kernels.LEVELS), np.nan),
            "variances": np.zeros((S, R, kernels.LEVELS)),
            "pairs": np.zeros((S, R, kernels.LEVELS), np.int64),
        }
        self._crossed: Bool = np.zeros((S, KINDS), np.bool_)
        self._lent = np.zeros((S, KINDS))  # of a month's budget, per detector
        self._told = np.zeros(kernels.TOTALS + KINDS)
        self.told: list[float] = self._told.tolist()
        self._share_out()

    def observe(
        self, ts_ms: int, scenario: I16, live: F64, earlier: F64, actor: I32 | None = None
    ) -> None:
        """Take a micro-batch in; afterwards `told` and `crossed` tell of it.

        Args:
            ts_ms: the moment.
            scenario: (B,) rows; NO_ROW where there is none.
            live: (B,) log-probabilities.
            earlier: (references, B) the same under recent weights, anchor and young weights; NaN where there are none.
            actor: (B,) rows; where given, an actor counts once per batch and scenario, with his mean.
        """
        a, s, told = self._a, self._settings, self._told
        kernels.take(
            ts_ms, scenario, live, earlier, _NOBODY if actor is None else actor, s.clip_nats, s.block_events,
            told, a["clock"], a["sums"], a["counts"], a["events"], a["gross"], self._lent, self._shifts, a["wealth"],
            a["owed"], a["unit"], self._crossed, a["blocks"], a["moments"], a["pending"], a["variances"], a["pairs"],
        )
        self.told = told.tolist()
        if self.told[kernels.NEW_SCENARIOS]:
            self._share_out()

    def _share_out(self) -> None:
        """How much of each month's budget every detector is lent: equal parts for the scenarios seen so far."""
        s, seen = self._settings, int((self._a["events"][1:].sum(axis=1) > 0).sum())
        for kind, share in _ALL_SHARE.items():
            self._lent[0, kind] = share * (s.alarms_per_month if kind in HARM else s.promotions_per_month)
        for kind, share in _SCENARIO_SHARE.items():
            self._lent[1:, kind] = share * s.alarms_per_month / max(seen, 1)

    def crossed(self, kind: int) -> int | None:
        """The first slot in which a claim was proven by the last batch; None where in none."""
        if not self.told[kernels.CROSSED]:
            return None
        found = self._crossed[:, kind]
        return int(found.argmax()) if found.any() else None

    def age_ms(self) -> int:
        """Time that passed so far: a jump forward counts as a minute, one back not at all."""
        return int(self._a["clock"][2])

    def holds(self, kind: int) -> bool:
        """Whether a claim over all is proven now."""
        return self.told[kernels.TOTALS + kind] >= 1.0

    def stayed_alike(self, since_age: I64) -> bool:
        """Whether weights are proven good enough now, and were first `noninferior_s` ago without a hint of harm since.

        Args:
            since_age: (1,) when that was first proven, -1 where it was not or harm was suspected; changed in place.
        """
        age = self.age_ms()
        if since_age[0] < 0:
            since_age[0] = age if self.holds(ALIKE) else -1
        elif self.most_nats((HARM_ANCHOR,)) > QUIET_NATS:
            since_age[0] = -1
        elif age - since_age[0] >= 1000 * self._settings.noninferior_s:
            return self.holds(ALIKE)
        return False

    def events(self) -> int:
        """Events compared with any reference, over all."""
        return int(self._a["events"][0].max())

    def forget(self, kinds: tuple[int, ...]) -> None:
        """Begin anew: what was proven or half proven about these claims is dropped; the scales stay."""
        for kind in kinds:
            self._a["wealth"][:, kind] = 0.0
            self._a["owed"][:, kind] = 0.0
            self._crossed[:, kind] = False
        references = {int(kernels.REFERENCE[kind]) for kind in kinds}
        for r in references:
            self._a["sums"][:, r] = 0.0
            self._a["counts"][:, r] = 0
            self._a["gross"][r] = 0.0
        self._tell()

    def stretch(self) -> None:
        """Begin a new stretch: its claims start from their own error probability and are lent nothing."""
        for kind in STRETCH:
            self._a["wealth"][:, kind] = 0.0
            self._a["wealth"][0, kind] = self._settings.stretch_error * kernels.PRIOR
        self._tell()

    def nats(self, kind: int, slot: int = 0) -> tuple[float, float]:
        """Evidence for a claim above what chance is worth, and what it needs.

        Returns:
            Both in nats, above what 1,000 blocks are lent.
        """
        unit = _UNIT_BLOCKS * float(self._a["unit"][slot, kind])
        total = float(self._a["wealth"][slot, kind].sum())
        if kind in STRETCH:
            unit = self._settings.stretch_error
        if unit <= 0.0:
            return 0.0, math.inf
        return max(math.log(max(total, 1e-300) / unit), 0.0), max(-math.log(unit), 0.0)

    def most_nats(self, kinds: tuple[int, ...]) -> float:
        """The most evidence, over all slots, for any of some claims."""
        unit = _UNIT_BLOCKS * self._a["unit"][:, kinds]
        total = self._a["wealth"][:, kinds].sum(axis=2)
        known = unit > 0.0
        return float(np.log(np.maximum(total[known] / unit[known], 1.0)).max(initial=0.0))

    def moments(self, reference: int, slot: int = 0) -> tuple[float, float, int]:
        """Recent mean difference, standard deviation of a block's mean, and events so far."""
        m = self._a["moments"][slot, reference]
        return float(m[1]), math.sqrt(max(float(m[0]), 0.0)), int(self._a["events"][slot, reference])

    def scenarios(self) -> NDArray[np.int64]:
        """Scenario rows that were seen, of those judged on their own."""
        return np.flatnonzero(self._a["events"][1:].sum(axis=1))

    def state(self) -> Arrays:
        """Everything, as named arrays."""
        return {name: array.copy() for name, array in self._a.items()}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        for name, array in self._a.items():
            array[...] = arrays[name]
        self._crossed[:] = False
        self._share_out()
        self._tell()

    def _tell(self) -> None:
        self.told[kernels.TOTALS :] = self._a["wealth"][0].sum(axis=1).tolist()

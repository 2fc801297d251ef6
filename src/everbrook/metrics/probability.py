"""How good probabilities were: log-loss and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.types import F64, I64

FLOOR = 1e-12


def log_loss(probability: F64) -> F64:
    """(B,) nats lost on what happened: -ln p, with p at least `FLOOR`.

    Args:
        probability: (B,) what was given to the event that happened.
    """
    return -np.log(np.maximum(probability, FLOOR))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was promised against what happened, in bins of the promise."""

    edges: F64  # (bins + 1,)
    events: I64  # (bins,)
    promised: F64  # (bins,) mean probability, NaN where no event fell
    happened: F64  # (bins,) share that came true, NaN where no event fell

    @property
    def error(self) -> float:
        """Expected calibration error: mean of |promised - happened| over events.

        Source: Naeini, Cooper, Hauskrecht, 'Obtaining well calibrated probabilities using Bayesian binning', AAAI 2015.
        """
        total = self.events.sum()
        if total == 0:
            return float("nan")
        gap = np.abs(np.nan_to_num(self.promised) - np.nan_to_num(self.happened))
        return float((gap * self.events).sum() / total)


def calibration(probability: F64, happened: F64, bins: int = 10) -> Calibration:
    """Compare promised probabilities with what came true.

    Args:
        probability: (B,) in 0..1.
        happened: (B,) 0 or 1.
        bins: how many, of equal width.
    """
    place = np.clip((probability * bins).astype(np.int64), 0, bins - 1)
    events = np.bincount(place, minlength=bins).astype(np.int64)
    promised, true = (np.bincount(place, each, minlength=bins).astype(np.float64) for each in (probability, happened))
    return from_sums(events, promised, true)


def from_sums(events: I64, promised: F64, happened: F64) -> Calibration:
    """The comparison, from what each bin of equal width sums to.

    Args:
        events: (bins,) how many fell into each.
        promised: (bins,) sum of their probabilities.
        happened: (bins,) how many came true.
    """
    empty = np.full(len(events), np.nan)
    return Calibration(
        edges=np.linspace(0.0, 1.0, len(events) + 1),
        events=events,
        promised=np.divide(promised, events, out=empty.copy(), where=events > 0),
        happened=np.divide(happened, events, out=empty.copy(), where=events > 0),
    )

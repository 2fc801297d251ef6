"""How large steps of item rows are, chosen while serving: what was learned last must pay for itself.

Each micro-batch is tested under the live weights and under those of some seconds ago, before either learns it. Where
the younger learning helps on average, steps are right or could be larger; where it costs, the steps follow what was
seen last more than what comes next repays, and they become smaller:

    log pace += rate * sum of (live - young log-probability), within [log least, 0].

A row's steps shrink with the root of their number down to the pace, so that new rows learn as fast as ever.
A world that moves fast (news) keeps whole steps; one that stands still (an aged catalogue) gets steps a few times
smaller, and grows them again when it moves. The idea is that of learning step sizes from their effect on the next
examples (Sutton, 'Adapting bias by gradient descent', AAAI 1992; Baydin et al., 'Online learning rate adaptation with
hypergradient descent', ICLR 2018), with a measured difference of losses in the place of a product of gradients.
"""

from __future__ import annotations

import math

import numpy as np

from everbrook.settings.live import LiveSettings
from everbrook.types import F64, Arrays

_MOST_NATS = 4.0  # of one event


class Pace:
    """A multiple of the step size, between `live.pace_least` and 1."""

    def __init__(self, settings: LiveSettings) -> None:
        self._rate, self._least = settings.pace_rate, settings.pace_least
        self._log = np.zeros(1)

    @property
    def factor(self) -> float:
        """What the step size of rows that have moved often is multiplied with."""
        return math.exp(float(self._log[0]))

    def observe(self, live: F64, young: F64) -> None:
        """Take in what was tested.

        Args:
            live: (B,) log-probabilities under the live weights.
            young: (B,) the same under weights of some seconds ago; NaN where there were none.
        """
        apart = live - young
        apart = apart[np.isfinite(apart)]
        if len(apart):
            moved = self._log[0] + self._rate * np.clip(apart, -_MOST_NATS, _MOST_NATS).sum()
            self._log[0] = min(max(moved, math.log(self._least)), 0.0)

    def state(self) -> Arrays:
        """Everything, as named arrays."""
        return {"log": self._log.copy()}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        self._log[...] = arrays["log"]

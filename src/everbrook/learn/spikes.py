"""Loss spikes: a micro-batch whose loss is far above the usual is not learned from, a few times in a row at most."""

from __future__ import annotations

import numpy as np

from everbrook.settings.live import LiveSettings
from everbrook.types import F64, Arrays

_WARM = 50  # micro-batches before anything is called unusual
_KEEP = 0.99


class Spikes:
    """Mean and spread of the loss of micro-batches, lately."""

    def __init__(self, settings: LiveSettings) -> None:
        self.settings = settings
        self._a = np.zeros(5)  # batches, mean loss, variance of one event's loss, skipped in a row, skipped in all

    def judge(self, live: F64) -> str:
        """Why a micro-batch should not be learned from; empty where it should.

        Args:
            live: (B,) log-probabilities.
        """
        s, a = self.settings, self._a
        loss = -live
        if not np.isfinite(loss).all():
            a[4] += 1
            return "A loss is not finite."
        mean, count = float(loss.mean()), len(loss)
        spread = float(np.sqrt(a[2] / count + 1e-6))
        if a[0] >= _WARM and mean > a[1] + s.spike * spread and a[3] < s.spikes:
            a[3:] += 1
            return f"The loss of {mean:.2f} nats is a spike; {a[1]:.2f} is usual."
        a[3] = 0
        keep = min(_KEEP, a[0] / (a[0] + 1.0))
        before = a[1]
        a[1] = keep * a[1] + (1 - keep) * mean
        a[2] = keep * a[2] + (1 - keep) * float(((loss - before) ** 2).mean() if a[0] else loss.var())
        a[0] += 1
        return ""

    def state(self) -> Arrays:
        """What it remembers."""
        return {"numbers": self._a}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        self._a[...] = arrays["numbers"]

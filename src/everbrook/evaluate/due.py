"""When an event takes effect on what is learned: at once, after a delay, at the next refit, or never.

Everything learned goes by this one clock: the experts' counts, the pools, the stacker, the insurance, the live model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.evaluate.options import ReplayOptions
from everbrook.types import I64

NEVER_MS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Due:
    """The moment from which an event counts.

    Args:
        delay_ms: between an event and its effect.
        every_ms: everything waits for the next of the moments that lie so far apart; None does not wait.
        first_ms: one of those moments.
        freeze_ms: events from here on never take effect; None for none.
    """

    delay_ms: int = 0
    every_ms: int | None = None
    first_ms: int = 0
    freeze_ms: int | None = None

    @classmethod
    def of(cls, options: ReplayOptions, first_ms: int) -> Due:
        """As the options say.

        Args:
            options: of the replay.
            first_ms: time of the first scored event, from which the moments of refits are counted.
        """
        every_ms = options.refit_ms if options.batch else None
        return cls(options.delay_ms, every_ms, first_ms, options.freeze_ms)

    def moments(self, ts_ms: I64) -> I64:
        """(B,) when each event takes effect; `NEVER_MS` for never."""
        due = ts_ms + self.delay_ms
        if self.every_ms is not None:
            due = self.first_ms + ((ts_ms - self.first_ms) // self.every_ms + 1) * self.every_ms
        if self.freeze_ms is not None:
            due = np.where(ts_ms < self.freeze_ms, due, NEVER_MS)
        return due

    def known_ms(self, now_ms: int) -> int:
        """Time of the youngest event that can have taken effect by a moment."""
        known = now_ms - self.delay_ms
        if self.every_ms is not None:
            known = now_ms - (now_ms - self.first_ms) % self.every_ms - 1
        return known if self.freeze_ms is None else min(known, self.freeze_ms - 1)

"""How many lists may be made to learn how to mix: at rest one for each event, under load within a share of a core.

A list costs a thousand times what learning an event does, so the lists come out of the time that the process has left:
where it has none they get a quarter of their share. What is not judged is still learned by every expert and, more
coarsely, by the mixture's weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable

FIRST_COST_S = 0.003  # a list, before any was measured
SMOOTHING = 0.05
WHEN_BUSY = 0.25  # of the share: what lists get of a process that has not a moment left


class Allowance:
    """A purse of lists that fills with time, as fast as lists of the present cost fit into the share of a core.

    Args:
        core_share: of one core, for judging; 0 sets no limit.
        burst: the most lists after a pause.
        now_s: a clock that never goes back.
        worked_s: processor seconds of this process.
    """

    def __init__(
        self, core_share: float, burst: int, now_s: Callable[[], float] = time.monotonic,
        worked_s: Callable[[], float] = time.process_time,
    ) -> None:  # fmt: skip
        self._core_share, self._burst, self._now_s, self._worked_s = core_share, float(burst), now_s, worked_s
        self._lists, self._then_s, self._then_worked_s = float(burst), now_s(), worked_s()
        self._cost_s = FIRST_COST_S

    def share_of(self, events: int) -> float:
        """The share of so many events that may be judged now.

        Args:
            events: that were taken in since the last call.
        """
        if not self._core_share:
            return 1.0
        now_s, worked_s = self._now_s(), self._worked_s()
        passed_s = now_s - self._then_s
        left_s = max(WHEN_BUSY * passed_s, passed_s - (worked_s - self._then_worked_s))
        self._lists = min(self._burst, self._lists + left_s * self._core_share / self._cost_s)
        self._then_s, self._then_worked_s = now_s, worked_s
        return min(1.0, max(0.0, self._lists) / max(events, 1))

    def spent(self, lists: int, took_s: float) -> None:
        """So many lists were made.

        Args:
            lists: how many.
            took_s: how long they took.
        """
        self._lists -= lists
        if lists:
            self._cost_s += SMOOTHING * (max(took_s / lists, 1e-6) - self._cost_s)

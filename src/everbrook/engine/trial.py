"""A refitted model on trial: judged on live events beside the published one, until the gate has decided.

Neither of the two changes while they are compared, so that events are noted when they happen and scored later, beside
the lists and not in their way. What was found so far is kept in a file (`kept_arrays`), and a process that comes after
goes on with it: the evidence is valid at any time, so that it may be interrupted at any time.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from everbrook.errors import DataError
from everbrook.learn.candidate import Candidate
from everbrook.learn.gate_moves import Move
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.settings import Settings
from everbrook.types import F32, F64, Arrays, Query, Step

if TYPE_CHECKING:
    from everbrook.models.sequence import SequenceModel

MOST_WAITING = 4096  # events; further ones are left out of the comparison
WORK_S = 0.05  # of scoring at once, so that the lists keep their core
FLOOR = 1e-12


@dataclass(frozen=True, slots=True)
class _Noted:
    query: Query
    item: int


class Trial:
    """The comparison of one refitted model with the one that is published."""

    def __init__(self, model: SequenceModel, published: SequenceModel, settings: Settings) -> None:
        """Begin without a judged event.

        Args:
            model: the refitted one.
            published: the one that answers.
            settings: of the gate and the model.
        """
        self.model, self.published = model, published
        self._experts = tuple(SequenceExpert(settings.sequence, one) for one in (model, published))
        self._least_items = max(model.items, published.items)
        self._gate = Candidate(settings.gate)
        self._waiting: deque[_Noted] = deque()
        self.judged, self._left_out, self._gain = 0, 0, 0.0  # events compared, events not compared, nats

    def note(self, step: Step, b: int) -> None:
        """Take note of an event that happened, to be scored later."""
        if len(self._waiting) >= MOST_WAITING:
            self._left_out += 1
            return
        query = step.query(b)
        own = msgspec.structs.replace(
            query, items=query.items.copy(), times=query.times.copy(), kinds=query.kinds.copy()
        )
        self._waiting.append(_Noted(own, int(step.item[b])))

    def judge(self, ts_ms: int) -> Move | None:
        """Score what waits, and say what is decided; None until then.

        Args:
            ts_ms: the present moment.
        """
        noted: list[_Noted] = []
        found: list[F64] = []
        until = time.thread_time() + WORK_S
        while len(noted) < len(self._waiting) and time.thread_time() < until:
            noted.append(self._waiting[len(noted)])
            found.append(self._scores(noted[-1]))
        if not noted:
            return None
        move = self._compare(ts_ms, noted, found)
        for _ in noted:  # they wait until they count
            self._waiting.popleft()
        return move

    def _compare(self, ts_ms: int, noted: list[_Noted], found: list[F64]) -> Move | None:
        scores = np.array(found)
        said = ~np.isnan(scores[:, 0])
        scores, told = scores[said], [one.query for one, has in zip(noted, said, strict=True) if has]
        self.judged += len(scores)
        self._gain += float((scores[:, 0] - scores[:, 1]).sum())
        scenario = np.array([query.scenario for query in told], np.int16)
        actor = np.array([query.actor for query in told], np.int32)
        return self._gate.observe(ts_ms, scenario, scores[:, 0].copy(), scores[:, 1].copy(), actor)

    def _scores(self, noted: _Noted) -> F64:
        """(2,) log-probability of what came next under both; NaN where neither has anything to say."""
        items = max(self._least_items, noted.item + 1)
        row = np.array([noted.item], np.int32)
        out = np.full(2, -np.log(items))
        asleep = 0
        for at, expert in enumerate(self._experts):
            mass: F32 = np.zeros((1, 1), np.float32)
            rest: F32 = np.zeros(1, np.float32)
            expert.score(noted.query, row, mass, rest)
            if np.isnan(rest[0]):
                asleep += 1
            else:
                out[at] = np.log(max(float(mass[0, 0]) + float(rest[0]) / items, FLOOR))
        return out if asleep < 2 else np.full(2, np.nan)

    # -- keeping -------------------------------------------------------------------------------------------------

    def state(self) -> Arrays:
        """What was found so far, as named arrays; events that wait to be scored are not in it."""
        own: Arrays = {
            "counts": np.array([self.judged, self._left_out + len(self._waiting)], np.int64),
            "gain": np.array([self._gain]),
        }
        return own | {f"gate/{name}": array for name, array in self._gate.state().items()}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave.

        Raises:
            DataError: it is of another shape.
        """
        prefix = "gate/"
        gate = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        try:
            self.judged, self._left_out = (int(number) for number in arrays["counts"])
            self._gain = float(arrays["gain"][0])
            self._gate.load(gate)
        except (KeyError, ValueError, IndexError) as error:
            raise DataError(f"The evidence of a trial must have the shape of today's; it has not: {error}.") from error

    def told(self) -> dict[str, Any]:
        """How the comparison stands, for `status`."""
        return {
            "judged": self.judged, "waiting": len(self._waiting), "left_out": self._left_out,
            "mean_nats": self._gain / max(self.judged, 1),
        }  # fmt: skip

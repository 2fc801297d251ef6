"""The gate: whom the live weights serve, when they go back, and when they become the anchor. It knows only numbers.

Stages: in *shadow* the live weights learn and serve nobody (lists use the anchor); in *canary* they serve a share of
users; *live*, everybody. Up: proven better than the anchor, or good enough for long. Down, one stage each time: harm
that is proven against the anchor, or against recent or young weights, of about a minute and some seconds ago; then the
weights go back to what has lately done best of these. Repeated harm leads to shadow and a rest from learning. In shadow
nobody is hurt, so a new model that is at first worse than a blank anchor is let learn: only values that are not finite
or grossly wrong go back from there, and, in weights that fell there lately, harm against earlier ones, so that what
broke them does not go on unseen.

Decisions come back as values; whoever asked acts on them and logs them.
"""

from __future__ import annotations

import math

import numpy as np

from everbrook.learn import gate_kernels as kernels
from everbrook.learn.evidence import HARM, QUIET_NATS, Evidence
from everbrook.learn.gate_kernels import (
    ALIKE,
    ANCHOR,
    BETTER,
    HARM_ANCHOR,
    HARM_RECENT,
    HARM_YOUNG,
    MEAN_ERROR,
    RECENT,
    STRETCH_ALIKE,
    STRETCH_BETTER,
    YOUNG,
)
from everbrook.learn.gate_moves import KINDS as MOVES
from everbrook.learn.gate_moves import STAGES, GateStanding, Kind, Move, Reading, Stage, serves_live
from everbrook.settings.gate import GateSettings
from everbrook.types import F64, I16, I32, NO_ROW, Arrays

_EVERY = tuple(range(kernels.KINDS))
_HARMS = ((HARM_ANCHOR, "anchor", ANCHOR), (HARM_RECENT, "recent", RECENT), (HARM_YOUNG, "young", YOUNG))
_AHEAD = 0.01  # nats by which other earlier weights must have done better to be gone back to
_SURE = 2.0  # standard errors by which a lead must exceed nothing to count as one
_REFERENCES = {name: reference for _, name, reference in _HARMS}


class Gate:
    """A paired sequential test of live weights against recent and anchor weights, and the stage that follows."""

    def __init__(self, settings: GateSettings | None = None) -> None:
        self.settings = s = settings or GateSettings()
        self._evidence = Evidence(s)
        self._evidence.stretch()
        self._n: Arrays = {  # ages count the time that passed, moments the clock
            "stage": np.array([STAGES.index(s.start)]),
            "paused": np.zeros(1, np.int64),
            "since_ms": np.zeros(1, np.int64),
            "since_age": np.zeros(1, np.int64),
            "rest": np.zeros(2, np.int64),  # age and moment at which it ends; 0: learning does not rest
            "anchor": np.zeros(3, np.int64),  # age, moment and events at which the anchor was taken
            "alike_age": np.full(1, -1),  # since when being good enough is proven; -1: it is not
            "stretch": np.zeros(2, np.int64),  # age and events at its begin
            "harm_ages": np.full(s.harms, -1),  # of the last harms, oldest first; -1: none yet
            "counts": np.zeros(len(MOVES), np.int64),
        }

    @property
    def stage(self) -> Stage:
        """Whom the live weights serve."""
        return STAGES[int(self._n["stage"][0])]

    @property
    def paused(self) -> bool:
        """Whether the gate makes no moves by itself."""
        return bool(self._n["paused"][0])

    @property
    def resting(self) -> bool:
        """Whether learning rests after repeated harm."""
        return bool(self._n["rest"][0])

    def serves(self, user_id: str) -> bool:
        """Whether a user's lists are made by the live weights rather than by the anchor."""
        return serves_live(self.stage, user_id, self.settings.canary_share)

    def observe(
        self, ts_ms: int, scenario: I16, live: F64, recent: F64, anchor: F64, actor: I32 | None = None,
        young: F64 | None = None,
    ) -> list[Move]:  # fmt: skip
        """Take in a micro-batch that none of the weights has learned from, and say what should be done.

        Args:
            ts_ms: the moment; better the learner's own or the log's than what a client claims.
            scenario: (B,) rows; NO_ROW where there is none.
            live: (B,) log-probabilities under the live weights.
            recent: (B,) the same under the weights of about a minute ago; NaN where there is none.
            anchor: (B,) the same under the anchor; NaN where there is none.
            actor: (B,) rows; where given, an actor counts once per batch and scenario, with his mean difference.
            young: (B,) log-probabilities under the weights of some seconds ago; NaN, or none, where there are none.

        Returns:
            Moves in the order in which to act; mostly none.
        """
        earlier = np.stack((recent, anchor, np.full(len(live), np.nan) if young is None else young))
        self._evidence.observe(ts_ms, scenario, live, earlier, actor)
        if not self._n["since_ms"][0]:
            self._n["since_ms"][0] = ts_ms
        if self.paused:
            return []
        moves = self._woken(ts_ms)
        back = self._broken(ts_ms) or self._harmed(ts_ms)
        if back:
            return moves + back
        return moves + (self._anchored(ts_ms) if self.stage == "live" else self._promoted(ts_ms))

    def pause(self, ts_ms: int) -> Move:
        """No moves by itself until `resume`; evidence is gathered on."""
        self._n["paused"][0] = 1
        return self._move("pause", self.stage, "Asked for.", ts_ms)

    def resume(self, ts_ms: int) -> Move:
        """Moves by itself again."""
        self._n["paused"][0] = 0
        return self._move("resume", self.stage, "Asked for.", ts_ms)

    def override(self, stage: Stage, ts_ms: int, because: str = "Asked for.") -> Move:
        """Set the stage by hand; evidence begins anew, and unless paused the gate goes on from there."""
        self._to_stage(STAGES.index(stage), ts_ms)
        self.renewed()
        return self._move("override", stage, because, ts_ms)

    def renewed(self) -> None:
        """Weights were replaced by other hands: what was found about the old ones counts no more."""
        self._evidence.forget(_EVERY)
        self._n["alike_age"][0] = -1
        self._begin_stretch()

    def _woken(self, ts_ms: int) -> list[Move]:
        if not self.resting or self._evidence.age_ms() < self._n["rest"][0]:
            return []
        self._n["rest"][:] = 0
        return [self._move("wake", "learning", "Learning has rested for as long as it was set to.", ts_ms)]

    def _broken(self, ts_ms: int) -> list[Move]:
        """Not finite or grossly wrong: back at once, in every stage."""
        told = self._evidence.told
        recent = bool(told[kernels.HAS_RECENT])
        lowest = told[kernels.GROSS + (RECENT if recent else ANCHOR)]
        if told[kernels.FAULTS]:
            because = f"{told[kernels.FAULTS]:.0f} log-probabilities under the live weights are not finite."
        elif lowest < -self.settings.gross_nats:
            because = f"The live weights lose {-lowest:.2f} nats an event over 64 events."
        else:
            return []
        against = "recent" if recent else "anchor"
        return self._fall(against, against, because, ts_ms, NO_ROW, 0.0, falls=True)

    def _harmed(self, ts_ms: int) -> list[Move]:
        shadow = self.stage == "shadow"
        if shadow and not self._fell_lately():
            return []
        for kind, against, reference in _HARMS[shadow:]:
            slot = self._evidence.crossed(kind)
            if slot is not None:
                mean, _, _ = self._evidence.moments(reference, slot)
                nats, _ = self._evidence.nats(kind, slot)
                where = "" if slot == 0 else f" in scenario row {slot - 1}"
                because = f"Live weights are worse than the {against} ones{where}: lately {mean:+.4f} nats an event."
                to = _best_of(self._evidence, against, mean, slot)
                falls = to == "anchor" or not _ahead_of_anchor(self._evidence)
                return self._fall(to, against, because, ts_ms, slot - 1, nats, falls=falls)
        return []

    def _fell_lately(self) -> bool:
        last = int(self._n["harm_ages"][-1])
        return last >= 0 and self._evidence.age_ms() - last <= 1000 * self.settings.harms_within_s

    def _fall(
        self, to: str, against: str, because: str, ts_ms: int, scenario: int, nats: float, *, falls: bool
    ) -> list[Move]:
        """Weights go back and, where it falls, the stage goes down; harm that repeats leads to a rest too."""
        s, n, age = self.settings, self._n, self._evidence.age_ms()
        stage = int(n["stage"][0])
        n["harm_ages"][:-1] = n["harm_ages"][1:]
        n["harm_ages"][-1] = age
        repeated = n["harm_ages"][0] >= 0 and age - n["harm_ages"][0] <= 1000 * s.harms_within_s
        falls = falls and stage > 0
        to = "anchor" if repeated and falls else to
        moves = [self._move("rollback", to, because, ts_ms, against, scenario, nats)]
        if falls:
            stage = 0 if repeated else stage - 1
            self._to_stage(stage, ts_ms)
            moves.append(self._move("demote", STAGES[stage], because, ts_ms, against, scenario, nats))
        if repeated and s.rest_s > 0.0 and not self.resting:
            rest_ms = int(1000 * s.rest_s)
            n["rest"][:] = age + max(rest_ms, 1), ts_ms + rest_ms
            because = f"{s.harms} harms within {s.harms_within_s:g} s."
            moves.append(self._move("rest", "learning", because, ts_ms, until_ms=ts_ms + rest_ms))
        self.renewed()
        return moves

    def _promoted(self, ts_ms: int) -> list[Move]:
        """Shadow to canary, canary to live."""
        e, s, n, age = self._evidence, self.settings, self._n, self._evidence.age_ms()
        alike = e.stayed_alike(n["alike_age"])
        better = e.holds(BETTER)
        if not (better or alike) or self.resting or self._suspected(better):
            return []
        stage = int(n["stage"][0])
        if stage == 1 and age - n["since_age"][0] < 1000 * s.canary_least_s:
            return []
        mean, _, events = e.moments(ANCHOR)
        nats, _ = e.nats(BETTER if better else ALIKE)
        claim = "better than" if better else f"within {s.margin:g} nats of"
        because = f"Proven {claim} the anchor: lately {mean:+.4f} nats an event, {events} events compared in all."
        self._to_stage(stage + 1, ts_ms)
        self.renewed()
        return [self._move("promote", STAGES[stage + 1], because, ts_ms, "anchor", NO_ROW, nats)]

    def _suspected(self, better: bool) -> bool:
        """Whether there is more than a hint of harm; against younger weights only where no lead outweighs it."""
        return self._evidence.most_nats((HARM_ANCHOR,) if better else HARM) > QUIET_NATS

    def _anchored(self, ts_ms: int) -> list[Move]:
        """Live weights become the anchor on evidence of the present stretch alone."""
        e, s, n, age = self._evidence, self.settings, self._n, self._evidence.age_ms()
        better = e.holds(STRETCH_BETTER) and age - n["anchor"][0] >= 1000 * s.stretch_s
        calm_ms = age - max(int(n["anchor"][0]), int(n["harm_ages"][-1]))
        alike = e.holds(STRETCH_ALIKE) and calm_ms >= 1000 * s.anchor_every_s
        old = e.events() - n["anchor"][2] >= s.anchor_events
        if old and (better or alike) and not self._suspected(better):
            mean, _, _ = e.moments(ANCHOR)
            nats, _ = e.nats(STRETCH_BETTER if better else STRETCH_ALIKE)
            claim = "better than" if better else f"within {s.margin:g} nats of"
            because = f"Live weights were {claim} the anchor in the last stretch: lately {mean:+.4f} nats an event."
            n["anchor"][:] = age, ts_ms, e.events()
            e.forget((HARM_ANCHOR, BETTER, ALIKE))
            self._begin_stretch()
            return [self._move("anchor", "live", because, ts_ms, "anchor", NO_ROW, nats)]
        if age - n["stretch"][0] >= 1000 * s.stretch_s and e.events() - n["stretch"][1] >= s.stretch_events:
            self._begin_stretch()
        return []

    def _to_stage(self, stage: int, ts_ms: int) -> None:
        self._n["stage"][0] = stage
        self._n["since_ms"][0] = ts_ms
        self._n["since_age"][0] = self._evidence.age_ms()

    def _begin_stretch(self) -> None:
        self._evidence.stretch()
        self._n["stretch"][:] = self._evidence.age_ms(), self._evidence.events()

    def _move(
        self, kind: Kind, to: str, because: str, ts_ms: int, against: str = "", scenario: int = NO_ROW,
        nats: float = 0.0, until_ms: int = 0,
    ) -> Move:
        self._n["counts"][MOVES.index(kind)] += 1
        return Move(kind, to, because, ts_ms, against, scenario, nats, until_ms)

    def standing(self) -> GateStanding:
        """Stage, evidence, counts: what `status` shows."""
        n = self._n
        rows = [NO_ROW, *(int(row) for row in self._evidence.scenarios())]
        readings = [self._reading("harm", kind, name, row) for kind, name, _ in reversed(_HARMS) for row in rows]
        if self.stage == "live":
            claims = (("better", STRETCH_BETTER), ("alike", STRETCH_ALIKE))
        else:
            claims = (("better", BETTER), ("alike", ALIKE))
        readings += [self._reading(claim, kind, "anchor", NO_ROW) for claim, kind in claims]
        return GateStanding(
            stage=self.stage, since_ms=int(n["since_ms"][0]), paused=self.paused, resting_until_ms=int(n["rest"][1]),
            anchor_since_ms=int(n["anchor"][1]), events=self._evidence.events(),
            counts={kind: int(n["counts"][at]) for at, kind in enumerate(MOVES)}, readings=tuple(readings),
        )

    def _reading(self, claim: str, kind: int, against: str, scenario: int) -> Reading:
        nats, needed = self._evidence.nats(kind, scenario + 1)
        mean, sd, events = self._evidence.moments(_REFERENCES[against], scenario + 1)
        return Reading(claim, against, scenario, nats, needed, mean, sd, events)

    def state(self) -> Arrays:
        """All, as named arrays."""
        own = {name: array.copy() for name, array in self._n.items()}
        return own | {f"evidence/{name}": array for name, array in self._evidence.state().items()}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        for name, array in self._n.items():
            array[...] = arrays[name]
        self._evidence.load({name: arrays[f"evidence/{name}"] for name in self._evidence.state()})


def _best_of(evidence: Evidence, against: str, mean: float, slot: int) -> str:
    """The earlier weights that have lately done best: those that harm was proven against, unless others are ahead.

    Damage that went on for a while is in the youngest weights too.
    """
    known = {name: evidence.moments(reference, slot) for _, name, reference in _HARMS}
    best = min(known, key=lambda name: known[name][0])
    error = MEAN_ERROR * math.hypot(known[best][1], known[against][1])
    return best if known[best][0] < mean - _AHEAD - _SURE * error else against


def _ahead_of_anchor(evidence: Evidence) -> bool:
    """Whether the live weights have lately done better than the anchor, harm or not, by more than chance."""
    mean, sd, _ = evidence.moments(ANCHOR)
    return mean > _SURE * sd * MEAN_ERROR

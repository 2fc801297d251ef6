"""Learning everything anew from the log: counts, then the sequence model, then how much to trust it.

The sequence model is first learned from the earlier part of the log and joins the mixture for the rest, so that its
weight is earned on events that it has not seen; then it goes on learning from everything and is published.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from everbrook.engine.allowance import Allowance
from everbrook.engine.building import new_core
from everbrook.engine.core import Core, Judging, OnJudged
from everbrook.engine.publishing import share
from everbrook.engine.trail import Trail
from everbrook.events.log import Readable
from everbrook.models.live_expert import LiveExpert
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.settings import Settings
from everbrook.settings.engine import EngineSettings
from everbrook.state.numbering import number
from everbrook.types import Arrays

if TYPE_CHECKING:
    from everbrook.engine.learning import LiveLearning
    from everbrook.learn.fit import Fitted, Hooks, Progress
    from everbrook.models.sequence import SequenceModel

OnProgress = Callable[["Progress"], None]
LARGE_BACKLOG = 10_000  # events; what a server that keeps up takes in at once is less


@dataclass(frozen=True, slots=True)
class Stretch:
    """How a part of the log is taken in: decided once, so that it gives the same however it is cut."""

    stop: int  # offset
    judging: Judging
    is_live: bool
    allowance: Allowance | None  # that the lists are counted to


@dataclass(slots=True)
class Most:
    """How much is taken in at once, so that whoever waits for the lock or the loop waits for milliseconds.

    Args:
        records: of the log.
        lists: made to learn from.
        begun: the part of the log that is being taken in.
    """

    records: int
    lists: int
    begun: Stretch | None = None


@dataclass(frozen=True, slots=True)
class Relearned:
    """What learning anew gave."""

    core: Core
    model: SequenceModel | None  # None where there is too little to learn from, or the mixture has no such expert
    quality: dict[str, float]  # of the model on the events kept for validation
    learning: LiveLearning | None = None  # the live model, learned along; None where the mixture has none


def learn_model(trail: Trail, items: int, settings: Settings, hooks: Hooks | None = None) -> Fitted:
    """Fit the sequence model anew to everything in a trail; its end is kept for validation, as the settings say.

    Args:
        trail: what was folded.
        items: N, how many item rows there are.
        settings: of the model and the fit.
        hooks: progress, stop and checkpoint.
    """
    from everbrook.learn.fit import Lesson, fit  # PyTorch is there where something is fitted, and not to serve

    stop = trail.events
    cut = stop - int(stop * settings.fit.validation)
    validation = trail.histories(0, stop, wanted_from=cut) if cut < stop else None
    lesson = Lesson(trail.histories(0, cut), items, validation=validation, features=settings.features)
    return fit(lesson, settings.sequence, settings.fit, hooks)


def relearn(
    log: Readable, settings: Settings, progress: OnProgress | None = None, rows: Arrays | None = None
) -> Relearned:
    """Build a core from the whole log, the sequence model with it.

    Args:
        log: what happened.
        settings: all of them.
        progress: told how the fit goes.
        rows: the numbering to keep to, where there is one; see `everbrook.state.numbering`.
    """
    from everbrook.engine.learning import LiveLearning
    from everbrook.learn.fit import Hooks

    core = new_core(settings, trail=True)
    if rows is not None:
        number(core.state, rows)
    live = core.family(LiveExpert) is not None and settings.learner.mode != "off"
    learning = LiveLearning(settings) if live else None
    if learning is not None and rows is not None:
        number(learning.state, rows)
    end = log.end
    cut = int(end * settings.engine.first_fit_share)
    judging = Judging(share=catch_up_share(settings.engine, cut), exclude_seen=settings.rank.exclude_seen)
    follow(core, log, cut, judging, settings.engine.chunk, learning)
    expert = core.family(SequenceExpert)
    trail = core.trail
    assert trail is not None  # new_core made it
    if expert is None or trail.events < settings.engine.least_fit_events:
        follow(core, log, end, judging, settings.engine.chunk, learning)
        return Relearned(core, None, {}, learning)
    hooks = Hooks(progress=progress)
    first = learn_model(trail, core.state.n_items, settings, hooks)
    expert.publish(first.model)
    fitted = trail.events
    share = min(1.0, settings.engine.trust_events / max(end - cut, 1))
    judging = Judging(share=share, exclude_seen=settings.rank.exclude_seen)
    follow(core, log, end, judging, settings.engine.chunk, learning)
    last = refit(trail, core.state.n_items, settings, fitted, first.model, hooks)
    expert.publish(last)
    core.trail = None
    quality = next((epoch.quality for epoch in reversed(first.epochs) if epoch.quality), {})
    return Relearned(core, last, quality, learning)


def catch_up(
    core: Core, log: Readable, stop: int, settings: Settings, on_judged: OnJudged | None = None,
    allowance: Allowance | None = None, most: Most | None = None, lists: int | None = None,
) -> None:  # fmt: skip
    """Take in the log up to an offset, its events judged as live ones or, where many wait, as a backlog.

    Args:
        core: what takes it in.
        log: what happened.
        stop: the offset.
        settings: all of them.
        on_judged: told of each judged live event.
        allowance: bounds how many are judged of what is no large backlog; None bounds nothing.
        most: bounds what is taken in by this call; the rest of the way is left for others. None goes all the way.
        lists: about how many lists are made to learn from, where somebody waits; None: as many as may be.
    """
    stretch = None if most is None else most.begun
    if stretch is None or core.offset >= stretch.stop:
        stretch = _decided(core.offset, stop, settings, allowance, lists)
    if most is not None:
        most.begun = stretch
        left = min(stretch.stop - core.offset, most.records)
        stop = core.offset + stretch.judging.within(left, core.events, most.lists)
    judged, judging_s = core.judged, core.judging_s
    follow(core, log, stop, stretch.judging, settings.engine.chunk, on_judged=on_judged if stretch.is_live else None)
    if stretch.allowance is not None:
        stretch.allowance.spent(core.judged - judged, core.judging_s - judging_s)


def _decided(start: int, stop: int, settings: Settings, allowance: Allowance | None, lists: int | None) -> Stretch:
    behind = stop - start
    live = behind <= settings.engine.live_events
    share = settings.mixture.judge_share if live else catch_up_share(settings.engine, behind)
    bounded = allowance if behind <= LARGE_BACKLOG else None
    if bounded is not None:
        share = min(share, bounded.share_of(behind))
    if lists is not None:
        share = min(share, lists / max(behind, 1))
    return Stretch(stop, Judging(share=share, exclude_seen=settings.rank.exclude_seen), live, bounded)


def catch_up_share(settings: EngineSettings, behind: int) -> float:
    """The share of a backlog's events whose lists are made: as set, but no more than teach the mixture enough."""
    return min(settings.catch_up_judge_share, settings.trust_events / max(behind, 1))


def follow(
    core: Core, log: Readable, stop: int, judging: Judging, chunk: int, learning: LiveLearning | None = None,
    on_judged: OnJudged | None = None,
) -> None:  # fmt: skip
    """Take in the log up to an offset.

    Args:
        core: what follows.
        log: what happened.
        stop: the offset.
        judging: which lists are made.
        chunk: events at once, where no live model learns along.
        learning: the live model, which learns each portion after its lists were judged.
        on_judged: told of each judged event.
    """
    expert = None if learning is None else core.family(LiveExpert)
    limit = chunk if learning is None else learning.settings.learner.micro_batch_events
    for run in log.runs(core.offset, stop, TYPES, limit=limit):
        core.absorb(run, judging, on_judged)
        if learning is not None and expert is not None:
            learning.absorb(run)
            share(learning, expert)
    core.offset = max(core.offset, stop)
    if learning is not None:
        learning.offset = core.offset


def learn_on(learning: LiveLearning | None, log: Readable, stop: int) -> None:
    """Let a live model alone take in the log up to an offset; nothing is done where there is none."""
    if learning is not None:
        for run in log.runs(learning.offset, stop, TYPES, limit=learning.settings.learner.micro_batch_events):
            learning.absorb(run)
        learning.offset = max(learning.offset, stop)


TYPES = ("event", "item", "user", "deletion")
"""Types of records that change a core."""


def refit(
    trail: Trail, items: int, settings: Settings, since: int, earlier: SequenceModel | None, hooks: Hooks | None = None
) -> SequenceModel:
    """Fit the sequence model to everything in a trail, anew or going on from earlier weights, as the settings say.

    Going on learns what came since and a replayed sample of what came before. A model that begins anew learns all
    events, with none kept for validation where an earlier one was validated.

    Args:
        trail: what was folded.
        items: N.
        settings: of the model and the fit.
        since: number of the first event that the earlier weights have not learned.
        earlier: None begins anew.
        hooks: progress, stop and checkpoint.
    """
    from everbrook.learn.fit import Lesson, fit

    if earlier is None:
        return learn_model(trail, items, settings, hooks).model
    if settings.fit.refit == "anew":
        lesson = Lesson(trail.histories(), items, features=settings.features)
        return fit(lesson, settings.sequence, settings.fit, hooks).model
    newer = trail.histories(since)
    older = trail.histories(0, since)
    wanted = settings.fit.replay * (trail.events - since)
    share = min(1.0, wanted / max(since, 1))
    rng = np.random.default_rng((settings.fit.seed, since))
    kept = np.flatnonzero(rng.random(len(older)) < share)
    lesson = Lesson(newer, items, replayed=older.take(kept) if len(kept) else None, earlier=earlier)
    return fit(lesson, settings.sequence, settings.fit, hooks).model

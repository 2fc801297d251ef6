"""Learn a sequence model in batch from packed histories: epochs, validation, early stopping, interruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import torch

from everbrook.learn.batches import Batch, Histories, epoch
from everbrook.learn.device import device_named, threads
from everbrook.learn.optimisers import rate_at
from everbrook.learn.resume import Place, keep, restore
from everbrook.learn.scalars import Scalars
from everbrook.learn.spectral import placed_near, spectral_vectors
from everbrook.learn.trainer import Trainer
from everbrook.learn.validation import quality
from everbrook.models.sequence import SequenceModel
from everbrook.models.sequence_registry import grown, new_model
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.fit import FitSettings
from everbrook.settings.sequence import SequenceSettings

_WEEK_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a fit learns from."""

    histories: Histories
    items: int  # N, item rows below which everything lies
    replayed: Histories | None = None  # older histories, mixed in so that they are not forgotten
    validation: Histories | None = None  # later than all of these; judged after every epoch, never learned
    earlier: SequenceModel | None = None  # weights to go on from, left as they are
    features: FeaturesSettings = field(default_factory=FeaturesSettings)  # how inputs are coded; `earlier`'s if any


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fit is; given about every fiftieth step and at the end of every epoch."""

    epoch: int  # from 0
    epochs: int
    step: int  # steps done in this epoch
    steps: int
    loss: float  # mean of this epoch so far
    quality: dict[str, float] = field(default_factory=dict)  # of the validation, at the end of an epoch


@dataclass(frozen=True, slots=True)
class Hooks:
    """How the world watches and ends a fit."""

    progress: Callable[[Progress], None] | None = None
    judge: Callable[[SequenceModel], dict[str, float]] | None = None  # more measures at the end of an epoch
    stop: Callable[[], bool] | None = None  # asked before every step
    checkpoint: Path | None = None  # where an interrupted fit is kept and found again


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit gives."""

    model: SequenceModel  # in evaluation mode, on the CPU
    epochs: list[Progress]
    finished: bool  # False where `stop` ended it; the same call goes on from the checkpoint


def fit(lesson: Lesson, sequence: SequenceSettings, settings: FitSettings, hooks: Hooks | None = None) -> Fitted:
    """Learn a sequence model.

    Args:
        lesson: what from.
        sequence: the model's shape; the earlier model's where the lesson has one.
        settings: how.
        hooks: progress, stop and checkpoint.

    Returns:
        The model of the best epoch where there is a validation and patience, else the last.
    """
    with threads(settings.threads), torch.random.fork_rng():
        return _Fit(lesson, sequence, settings, hooks or Hooks()).run()


class _Fit:
    """One fit under way."""

    def __init__(self, lesson: Lesson, sequence: SequenceSettings, settings: FitSettings, hooks: Hooks) -> None:
        self.lesson, self.settings, self.hooks = lesson, settings, hooks
        earlier = lesson.earlier
        model = _begun(lesson, sequence, settings)
        device = device_named(settings.device)
        model.to(device)
        self.epochs = settings.refit_epochs if earlier else settings.epochs
        teacher = earlier.to(device).eval() if earlier and settings.distillation else None
        self.trainer = Trainer(model, settings, self._counts(), teacher)
        self.place = Place()
        self.done: list[Progress] = []

    def run(self) -> Fitted:
        """All epochs that are left."""
        model = self.trainer.model
        if self.hooks.checkpoint and self.hooks.checkpoint.exists():
            self.place = restore(self.hooks.checkpoint, self.trainer)
            self.done = [Progress(**kept) for kept in self.place.done]
        finished = True
        with Scalars(self.settings.tensorboard) as scalars:
            while finished and self.place.epoch < self.epochs and not self._stale():
                finished = self._epoch()
                if finished:
                    scalars.write(self.done[-1])
        if finished and self.place.best:
            model.load_state_dict(self.place.best)
        if finished and self.hooks.checkpoint:
            self.hooks.checkpoint.unlink(missing_ok=True)
        return Fitted(model.cpu().eval(), self.done, finished)

    def _epoch(self) -> bool:
        """Go to the end of the epoch; False where it was stopped before."""
        place, plan = self.place, self._plan()
        total = max(1, len(plan) * self.epochs)
        for step in range(place.step, len(plan)):
            if self.hooks.stop and self.hooks.stop():
                self._keep()
                return False
            batch, replayed = plan[step]
            rate = rate_at(place.epoch * len(plan) + step, total, self.settings)
            place.loss += self.trainer.step(batch, rate, (self.settings.seed, place.epoch, step), replayed)
            place.step = step + 1
            if self.hooks.progress and place.step % 50 == 0:
                self.hooks.progress(self._progress(len(plan), {}))
        self._close(len(plan))
        return True

    def _plan(self) -> list[tuple[Batch, bool]]:
        """The epoch's batches and whether each is replayed: a function of the seed and the epoch alone."""
        rng = np.random.default_rng((self.settings.seed, self.place.epoch))
        model, size = self.trainer.model, self.settings.batch_events
        length, features = model.settings.history, model.features
        plan = [(batch, False) for batch in epoch(self.lesson.histories, length, size, rng, features)]
        if self.lesson.replayed is not None:
            plan += [(batch, True) for batch in epoch(self.lesson.replayed, length, size, rng, features)]
            plan = [plan[k] for k in rng.permutation(len(plan))]
        return plan

    def _close(self, steps: int) -> None:
        """Judge the epoch, remember the best, and be ready for the next."""
        lesson, place = self.lesson, self.place
        judged = quality(self.trainer.model, lesson.validation) if lesson.validation is not None else {}
        more = self.hooks.judge(self.trainer.model) if self.hooks.judge else {}
        report = self._progress(steps, judged | more)
        self.done.append(report)
        if judged and self.settings.patience:
            place.judge(judged["log_loss"], self.trainer.model.state_dict())
        if self.hooks.progress:
            self.hooks.progress(report)
        place.next_epoch()

    def _stale(self) -> bool:
        return bool(self.settings.patience) and self.place.waited >= self.settings.patience

    def _progress(self, steps: int, judged: dict[str, float]) -> Progress:
        place = self.place
        return Progress(place.epoch, self.epochs, place.step, steps, place.loss / max(1, place.step), judged)

    def _keep(self) -> None:
        if self.hooks.checkpoint:
            keep(self.hooks.checkpoint, self.trainer, self.place, self.done)

    def _counts(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        counts = np.bincount(self.lesson.histories.items, minlength=self.lesson.items)
        if self.lesson.replayed is not None:
            counts = counts + np.bincount(self.lesson.replayed.items, minlength=self.lesson.items)
        return counts


def _begun(lesson: Lesson, sequence: SequenceSettings, settings: FitSettings) -> SequenceModel:
    """The model before its first step: a new one, or the earlier one with room for the new items."""
    seed, earlier, seen = settings.seed, lesson.earlier, lesson.histories
    if earlier is None:
        hour = sequence.hour and seen.span_ms() >= sequence.hour_weeks * _WEEK_MS
        model = new_model(msgspec.structs.replace(sequence, hour=hour), lesson.items, seed, lesson.features)
    else:
        model = grown(earlier, lesson.items, seed)
    known = earlier.items if earlier else 0
    with torch.no_grad():
        if settings.start == "spectral" and not known:
            model.table.copy_(torch.from_numpy(spectral_vectors(seen, lesson.items, sequence.width, seed)))
        elif settings.start == "spectral" and known < lesson.items:
            table = model.table.cpu().numpy()
            model.table[known:] = torch.from_numpy(placed_near(seen, table, known, seed)).to(model.table.device)
    return model

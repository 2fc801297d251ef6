"""The refit's process: `python -m everbrook.engine.refit_process`, started by a server for one fit of the large model.

It is told what to do on standard input, reads the log and never writes it, says how far it is on standard output, and
leaves a model's file in the data directory before it ends. Whoever started it judges what it left.
"""

from __future__ import annotations

import sys
import time
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from everbrook.engine.building import new_core
from everbrook.engine.fitting import TYPES, learn_model, refit, relearn
from everbrook.engine.learning_files import read_arrays, write_arrays
from everbrook.engine.side_process import Tell, obey
from everbrook.engine.trail import Trail
from everbrook.events.log_follower import LogFollower
from everbrook.models.sequence_file import save
from everbrook.rank.mixture import Mixture
from everbrook.settings import Settings
from everbrook.state.numbering import number
from everbrook.types import Arrays

if TYPE_CHECKING:
    from everbrook.learn.fit import Progress
    from everbrook.models.sequence import SequenceModel

FOLDER = "refit"
MODEL = "model.safetensors"
WEIGHTS = "mixture.safetensors"
ROWS = "rows.safetensors"  # which row each item has where the model will answer; there while it is fitted


class Order(msgspec.Struct, frozen=True):
    """What is to be fitted."""

    path: str  # the data directory
    settings: Settings
    digest: str  # of the settings that shape what is learned
    earns: bool  # whether the model also earns its weight in the mixture, on events that it has not seen


class Outcome(msgspec.Struct, frozen=True):
    """What was fitted; the notes of the model's file."""

    offset: int  # of the log, up to which it has learned
    events: int
    items: int
    digest: str
    took_s: float
    judged: int  # lists from which the mixture's weights were learned; 0 where none were
    quality: dict[str, float] = {}
    id: str = ""  # of this fit, so that evidence about one is not taken for evidence about another


def run(order: Order, tell: Tell) -> Outcome | None:
    """Fit, and leave the files; None where there is too little to learn from.

    Args:
        order: what to do.
        tell: told how far it is.
    """
    started = time.perf_counter()
    settings = order.settings
    with LogFollower(Path(order.path), lenient=True) as log:
        if order.earns:
            done = relearn(log, settings, lambda at: tell(_told(at)), _rows(order))
            found = (done.model, done.core.events, done.core.offset, done.core.state.n_items, done.quality)
            weights = mixture_weights(done.core.mixture)
            judged = int(done.core.mixture.loss[1])
        else:
            found, weights, judged = _fitted(log, order, tell), {}, 0
    model, events, offset, items, quality = found
    if model is None:
        return None
    outcome = Outcome(
        offset, events, items, order.digest, round(time.perf_counter() - started, 2), judged, quality,
        uuid.uuid4().hex,
    )
    folder = Path(order.path) / FOLDER
    folder.mkdir(exist_ok=True)
    if weights:
        write_arrays(folder / WEIGHTS, weights)
    save(model, folder / MODEL, msgspec.to_builtins(outcome))
    return outcome


def _fitted(
    log: LogFollower, order: Order, tell: Tell
) -> tuple[SequenceModel | None, int, int, int, dict[str, float]]:
    """A model that has learned everything: validated on the last events, then gone on over them."""
    from everbrook.learn.fit import Hooks

    settings = order.settings
    trail, offset, items = fold(log, settings, _rows(order))
    if trail.events < settings.engine.least_fit_events:
        return None, trail.events, offset, items, {}
    hooks = Hooks(progress=lambda at: tell(_told(at)))
    first = learn_model(trail, items, settings, hooks)
    since = trail.events - int(trail.events * settings.fit.validation)
    model = first.model
    if since < trail.events:
        model = refit(trail, items, settings, since, first.model, hooks)
    quality = next((epoch.quality for epoch in reversed(first.epochs) if epoch.quality), {})
    return model, trail.events, offset, items, quality


def fold(log: LogFollower, settings: Settings, rows: Arrays | None = None) -> tuple[Trail, int, int]:
    """What batch learning is fed with: events as the server folded and weighed them, the offset, and N.

    Args:
        log: what happened.
        settings: all of them.
        rows: the numbering to keep to, where there is one.
    """
    alone = msgspec.structs.replace(settings.mixture, experts=settings.mixture.experts[:1])
    core = new_core(msgspec.structs.replace(settings, mixture=alone), trail=True)
    if rows is not None:
        number(core.state, rows)
    end = log.end
    for part in log.runs(0, end, TYPES, limit=settings.engine.chunk):
        if part.events is not None:
            core.fold(part.events)
        else:
            core.absorb_records(part.records)
    assert core.trail is not None  # new_core made it
    return core.trail, end, core.state.n_items


def _rows(order: Order) -> Arrays | None:
    path = Path(order.path) / FOLDER / ROWS
    return read_arrays(path) if path.exists() else None


def mixture_weights(mixture: Mixture) -> Arrays:
    """How much each expert is trusted, without what the experts know."""
    stacker = mixture.stacker
    return {
        "base_weights": mixture.base_weights, "pools": mixture.pools, "top": mixture.top, "theta": stacker.theta,
        "squares": stacker.squares, "inside": stacker.inside,
    }  # fmt: skip


def _told(at: Progress) -> dict[str, Any]:
    return {name: value for name, value in asdict(at).items() if value != {}}


def main() -> int:
    """Do what standard input says; gives the exit code."""
    return obey(Order, lambda order, tell: tell({"outcome": run(order, tell)}))


if __name__ == "__main__":
    sys.exit(main())

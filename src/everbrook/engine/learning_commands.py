"""What someone may ask of the live model: to go back, pause, go on, change whom it serves, tell how it stands.

A command changes the model by its arguments alone, so that a journal can hold it and do it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from everbrook.errors import InputError, UnknownNameError
from everbrook.learn.gate_moves import STAGES, Stage

if TYPE_CHECKING:
    from everbrook.engine.learning import LiveLearning

Arguments = dict[str, Any]


def obey(learning: LiveLearning, name: str, arguments: Arguments) -> dict[str, Any]:
    """Do what someone asks for.

    Args:
        learning: the live model.
        name: one of `COMMANDS`.
        arguments: `to` of a rollback, `stage` of an override.

    Raises:
        UnknownNameError: there is no such command, version or stage.
        InputError: an argument is missing.
    """
    if name not in COMMANDS:
        raise UnknownNameError("command", name, COMMANDS)
    return COMMANDS[name](learning, arguments)


def _rollback(learning: LiveLearning, arguments: Arguments) -> dict[str, Any]:
    to = arguments.get("to")
    if not isinstance(to, str):
        raise InputError(f"'to' must be the name of a version; got {to!r}.")
    weights = learning.learner.weights
    if to == "anchor":
        rows, offset = weights.back_to(weights.anchor), weights.anchor.offset
    else:
        weights.change(learning.ring.rows_since(to))
        changed, dense, point = learning.ring.rollback(weights.tables, to)
        weights.changes[changed] += 1.0
        weights.network.load(dense)
        weights.steps.drop()
        rows, offset = len(changed), point.offset
    learning.gate.renewed()
    told = {"to": to, "to_offset": offset, "rows": rows}
    learning.tell({"kind": "rollback", "because": "Asked for.", "ts_ms": learning.clock_ms} | told)
    return told


def _pause(learning: LiveLearning, _: Arguments) -> dict[str, Any]:
    learning.act(learning.gate.pause(learning.clock_ms))
    return {"paused": True}


def _resume(learning: LiveLearning, _: Arguments) -> dict[str, Any]:
    learning.act(learning.gate.resume(learning.clock_ms))
    return {"paused": False}


def _override(learning: LiveLearning, arguments: Arguments) -> dict[str, Any]:
    wanted = str(arguments.get("stage"))
    stage: Stage | None = next((one for one in STAGES if one == wanted), None)
    if stage is None:
        raise UnknownNameError("stage", wanted, STAGES)
    learning.act(learning.gate.override(stage, learning.clock_ms))
    return {"stage": stage}


def _standing(learning: LiveLearning, _: Arguments) -> dict[str, Any]:
    """Where everything stands, for `status`."""
    learner, anchor = learning.learner, learning.learner.weights.anchor
    return {
        "offset": learning.offset, "events": learning.events, "version": learning.version, "items": learner.items,
        "clock_ms": learning.clock_ms, "gate": asdict(learning.gate.standing()),
        "drift": asdict(learning.drift.standing()), "counts": learner.counts,
        "stale_states_nats": learner.stale_nats, "pace": learner.pace.factor,
        "held_back": learning.guard.held_back if learning.guard else 0,
        "anchor": {"offset": anchor.offset, "ts_ms": anchor.ts_ms},
        "versions": [
            {"version": one.version, "offset": one.offset, "ts_ms": one.ts_ms} for one in learning.ring.points()
        ],
    }  # fmt: skip


COMMANDS: dict[str, Callable[[LiveLearning, Arguments], dict[str, Any]]] = {
    "rollback": _rollback, "pause": _pause, "resume": _resume, "override": _override, "standing": _standing,
}  # fmt: skip
"""Commands by name."""

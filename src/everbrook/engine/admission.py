"""Which events are taken: in a closed shop those whose names the settings know; in any, no more names than may be."""

from __future__ import annotations

from collections.abc import Sequence

from everbrook.errors import InputError, RecordError, unknown_name
from everbrook.events.columns import EventColumns
from everbrook.events.records import Event
from everbrook.settings.state import StateSettings
from everbrook.state import State
from everbrook.state.ids import IdMap


def check_names(events: Sequence[Event], settings: StateSettings) -> None:
    """Refuse a batch in which an event has a kind or a scenario that nobody has announced.

    Args:
        events: the batch.
        settings: name what is known.

    Raises:
        RecordError: the first such event, with the nearest right name.
    """
    for position, event in enumerate(events):
        if event.kind not in settings.kinds:
            raise RecordError(unknown_name("kind", event.kind, settings.kinds), position)
        if event.scenario is not None and event.scenario not in settings.scenarios:
            raise RecordError(unknown_name("scenario", event.scenario, settings.scenarios), position)


def check_room(events: Sequence[Event], state: State) -> None:
    """Refuse a batch that brings more kinds or scenarios than there are rows for; costs next to nothing while few are.

    What the log has and the state has not taken in yet is not counted: names beyond the rows are then taken as none.

    Args:
        events: the batch.
        state: knows the names so far; nothing in it is changed.

    Raises:
        RecordError: the first event for whose name there is no room.
    """
    if state.kinds.names.room < len(events):
        _check_room([event.kind for event in events], "kind", state.kinds.names)
    if state.scenarios.room < len(events):
        _check_room([event.scenario for event in events], "scenario", state.scenarios)


def _check_room(names: Sequence[str | None], field: str, known: IdMap) -> None:
    new: set[str] = set()
    for position, name in enumerate(names):
        if name is None or name in new or name in known:
            continue
        if len(new) >= known.room:
            told = f"Field '{field}' must be one of the known, as there may be {known.most} at most; got '{name}'."
            raise RecordError(told, position)
        new.add(name)


def check_columns_room(columns: EventColumns, state: State) -> None:
    """The same for events that an importer gives, of whose names all are counted, whichever events have them.

    Raises:
        InputError: there are more new names than there is room for.
    """
    for field, coded, known in (
        ("kinds", columns.kind, state.kinds.names), ("scenarios", columns.scenario, state.scenarios),
    ):  # fmt: skip
        if known.room < len(coded.names):
            new = sum(name not in known for name in set(coded.names))
            if new > known.room:
                told = f"{new} new beside {len(known)} known"
                raise InputError(f"There must be at most {known.most} {field}; got {told}.")

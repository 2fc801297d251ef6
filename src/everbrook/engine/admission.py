"""Which events a closed shop takes: those whose kind and scenario the settings name."""

from __future__ import annotations

from collections.abc import Sequence

from everbrook.errors import RecordError, unknown_name
from everbrook.events.records import Event
from everbrook.settings.state import StateSettings


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

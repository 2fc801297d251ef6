"""Which events a report looks at apart: on young items, of new actors, of each scenario."""

from __future__ import annotations

import numpy as np

from everbrook.types import I16, I32, I64, Bool

HOUR_MS = 3_600_000
NEW_ACTOR_EVENTS = 5


def slices_of(item_age_ms: I64, actor_events: I32, scenario: I16, scenarios: list[str]) -> dict[str, Bool]:
    """Mark the events of each slice; slices that no scenario names are left out.

    Args:
        item_age_ms: (B,) since the item was first known.
        actor_events: (B,) what the actor had done before.
        scenario: (B,) codes into `scenarios`, -1 for none.
        scenarios: names.
    """
    marks = {
        "item younger than 1 h": item_age_ms < HOUR_MS,
        "item younger than 1 day": item_age_ms < 24 * HOUR_MS,
        "item of 1 day or more": item_age_ms >= 24 * HOUR_MS,
        f"actor with fewer than {NEW_ACTOR_EVENTS} events": actor_events < NEW_ACTOR_EVENTS,
        f"actor with {NEW_ACTOR_EVENTS} events or more": actor_events >= NEW_ACTOR_EVENTS,
    }
    for code in np.unique(scenario[scenario >= 0]).tolist():
        marks[f"scenario {scenarios[code]}"] = scenario == code
    return marks

"""Where a core stands, in numbers."""

from __future__ import annotations

from typing import Any

from everbrook.engine.core import Core
from everbrook.rank import contexts


def standing(core: Core, end: int) -> dict[str, Any]:
    """Offsets, counts, and how the experts are weighed.

    Args:
        core: what was learned.
        end: of the log.
    """
    mixture, state = core.mixture, core.state
    events = max(float(mixture.loss[1]), 1.0)
    return {
        "ready": core.offset >= end,
        "offset": core.offset,
        "end": end,
        "lag": end - core.offset,
        "events": core.events,
        "items": state.n_items,
        "actors": state.n_actors,
        "kinds": list(state.kinds.names.names()),
        "scenarios": list(state.scenarios.names()),
        "mixture": {
            "judged_events": int(mixture.loss[1]),
            "log_loss": float(mixture.loss[0]) / events,
            "regret_per_event": mixture.regret(),
            "regret_bound_per_event": mixture.regret_bound(),
            "weights": {name: round(float(w), 4) for name, w in zip(mixture.names, mixture.top, strict=True)},
            "pool": {
                name: round(float(w), 4) for name, w in zip(mixture.columns, mixture.pools[0, 0], strict=True)
            },
            "pool_by_scenario": {
                scenario: {
                    name: round(float(w), 4)
                    for name, w in zip(mixture.columns, mixture.pools[3, row + 1], strict=True)
                }
                for row, scenario in enumerate(state.scenarios.names())
                if row + 1 < contexts.BUCKETS
            },
        },
    }  # fmt: skip

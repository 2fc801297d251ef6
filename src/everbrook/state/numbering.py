"""Which row each item, kind and scenario has, so that another state can be made in which they have the same.

A state that is folded anew from a log numbers them as its events first name them. After a person was forgotten that is
another order than that of the state which is running, and what one has learned by rows means nothing to the other.
"""

from __future__ import annotations

from everbrook.state.fold import State
from everbrook.state.ids import IdMap
from everbrook.state.texts import under, within
from everbrook.types import Arrays


def numbering(state: State) -> Arrays:
    """The ids in the order of their rows, as named arrays."""
    arrays: Arrays = {}
    for name, ids in _maps(state).items():
        arrays |= under(name, ids.arrays())
    return arrays


def number(state: State, arrays: Arrays) -> None:
    """Give ids the rows that `numbering` told.

    Args:
        state: one that has seen nothing.
        arrays: as told.
    """
    for name, ids in _maps(state).items():
        ids.load(within(arrays, name))


def _maps(state: State) -> dict[str, IdMap]:
    return {"items": state.items, "kinds": state.kinds.names, "scenarios": state.scenarios}

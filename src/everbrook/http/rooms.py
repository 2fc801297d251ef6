"""All rooms, in the order of the description. A new one is one line here."""

from __future__ import annotations

from everbrook.http.backtests import Backtests
from everbrook.http.catalogue import Catalogue
from everbrook.http.experimenting import Experiments
from everbrook.http.lists import Lists
from everbrook.http.made_traffic import MadeTraffic
from everbrook.http.operation import Operation
from everbrook.http.page import Page
from everbrook.http.records import Records
from everbrook.http.room import Room
from everbrook.http.steering import Steering
from everbrook.http.watching import Watching

ROOMS: tuple[type[Room], ...] = (
    Records, Lists, Steering, Experiments, Catalogue, Backtests, MadeTraffic, Watching, Page,
)  # fmt: skip


def operations() -> tuple[Operation, ...]:
    """Every route there is."""
    return tuple(one for room in ROOMS for one in room.operations)

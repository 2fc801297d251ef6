"""Experiments on lists: which variants there are, whose list is made under which, and where that is kept.

Who belongs to which variant follows from the id alone, by a hash with the experiment's own salt: nothing is kept of
anybody, the same person meets the same variant on every door and after every restart, and what came of it can be
counted from the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from everbrook.engine.joined_wishes import check_boosts, joined
from everbrook.errors import DataError, InputError, NotFoundError, unknown_name
from everbrook.events.log_files import disk_errors, write_durably
from everbrook.rank.requests import Boost, Recommend

FILE = "experiments.json"
MOST_RUNNING = 16
MOST_VARIANTS = 8
_RANGES = {"diversity": 0.0, "calibration": 0.0, "explore": 0.0, "freshness": -1.0, "popularity": -1.0}

Name = Annotated[str, Meta(min_length=1, max_length=64, description="text of 1 to 64 signs")]
Influence = Annotated[float | None, Meta(description="In place of the wish's and the settings' own.")]


class Wishes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a variant wishes of a list in place of what is asked or set; a filter and boosts join those asked for."""

    diversity: Influence = None
    calibration: Influence = None
    freshness: Influence = None
    popularity: Influence = None
    explore: Influence = None
    exclude_seen: bool | None = None
    filter: str | None = None
    boost: tuple[Boost, ...] = ()


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A way to make lists, and the share of the people who get them."""

    name: Name
    share: Annotated[float, Meta(gt=0, le=1, description="Of all people; what the shares leave is no part of it.")]
    wishes: Wishes = Wishes()


class Experiment(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Variants that are compared; the first is what the others are held against."""

    name: Name
    variants: tuple[Variant, ...]
    started_ms: int
    offset: int  # of the log; what was shown before does not count
    scenario: str | None = None  # only lists of it; all where None
    kinds: tuple[str, ...] = ()  # of events that take something from a list; all that say something good where empty
    stopped_ms: int | None = None
    outcome: dict[str, Any] | None = None  # as it was when it was stopped

    def variant_of(self, user: str | None, session: str | None) -> int | None:
        """Whose variant: its place; None for those who are no part of it, and for who does not say who it is."""
        who = f"u{user}" if user is not None else None if session is None else f"s{session}"
        if who is None:
            return None
        at = drawn(f"{self.name}:{self.started_ms}", who) / 2.0**64
        for place, variant in enumerate(self.variants):
            at -= variant.share
            if at < 0.0:
                return place
        return None


def drawn(salt: str, who: str) -> int:
    """A number below 2^64 that looks drawn, the same for the same texts."""
    given = f"{salt}\0{who}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(given, digest_size=8).digest(), "big")


def check(name: str, variants: Sequence[Variant]) -> None:
    """Refuse what is no experiment.

    Raises:
        InputError: there are too few or too many variants, two of one name, shares beyond 1, a number out of range, or
            boosts that no list may have.
    """
    if not 2 <= len(variants) <= MOST_VARIANTS:
        raise InputError(f"Experiment '{name}' must have 2 to {MOST_VARIANTS} variants; got {len(variants)}.")
    names = [one.name for one in variants]
    twice = [one for place, one in enumerate(names) if one in names[:place]]
    if twice:
        raise InputError(f"Variants of an experiment must have names of their own; got '{twice[0]}' twice.")
    total = sum(one.share for one in variants)
    if total > 1.0 + 1e-9:
        raise InputError(f"The shares of an experiment's variants must be at most 1 together; got {total:g}.")
    for variant in variants:
        for field, least in _RANGES.items():
            value = getattr(variant.wishes, field)
            if value is not None and not least <= value <= 1.0:
                raise InputError(
                    f"'{field}' of variant '{variant.name}' must be between {least:g} and 1; got {value:g}."
                )
        check_boosts(variant.wishes.boost, f" of variant '{variant.name}'")


def applied(wish: Recommend, wishes: Wishes) -> Recommend:
    """A wish for a list as a variant has it."""
    numbers = (*_RANGES, "exclude_seen")
    changes: dict[str, Any] = {name: found for name in numbers if (found := getattr(wishes, name)) is not None}
    wish = msgspec.structs.replace(wish, **changes) if changes else wish
    filters = () if wishes.filter is None else (wishes.filter,)
    return joined(wish, filters, wishes.boost) if filters or wishes.boost else wish


class Experiments:
    """The experiments of a data directory.

    Args:
        path: the directory.

    Raises:
        DataError: what is kept there is something else.
    """

    def __init__(self, path: Path) -> None:
        self._file = path / FILE
        self.all: tuple[Experiment, ...] = self._read()
        self.running: tuple[Experiment, ...] = tuple(one for one in self.all if one.stopped_ms is None)

    def _read(self) -> tuple[Experiment, ...]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=tuple[Experiment, ...])
        except FileNotFoundError:
            return ()
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(f"'{self._file}' must hold experiments as they were written; got: {error}.") from None

    def _keep(self, experiments: tuple[Experiment, ...]) -> None:
        with disk_errors(self._file):
            write_durably(self._file, msgspec.json.encode(experiments))
        self.all = experiments
        self.running = tuple(one for one in experiments if one.stopped_ms is None)

    def start(self, experiment: Experiment) -> None:
        """Let an experiment begin; one of the same name that was stopped is forgotten.

        Raises:
            InputError: one of this name runs, or too many do.
        """
        check(experiment.name, experiment.variants)
        if any(one.name == experiment.name for one in self.running):
            raise InputError(f"Experiment '{experiment.name}' must be stopped before it is started anew; it runs.")
        if len(self.running) >= MOST_RUNNING:
            raise InputError(f"At most {MOST_RUNNING} experiments must run at once; so many do.", "Stop one first.")
        self._keep((*(one for one in self.all if one.name != experiment.name), experiment))

    def find(self, name: str) -> Experiment:
        """An experiment that runs.

        Raises:
            NotFoundError: none of this name does.
        """
        for one in self.running:
            if one.name == name:
                return one
        raise NotFoundError(unknown_name("experiment", name, [one.name for one in self.running]))

    def stop(self, name: str, now_ms: int, outcome: dict[str, Any]) -> Experiment:
        """Let an experiment end, with what came of it."""
        ended = msgspec.structs.replace(self.find(name), stopped_ms=now_ms, outcome=outcome)
        self._keep(tuple(ended if one.name == name else one for one in self.all))
        return ended

    def applied(self, wish: Recommend) -> tuple[Recommend, dict[str, str]]:
        """A wish for a list under the variants of whoever it is for, and which those are, by experiment."""
        variants = {}
        for one in self.running:
            if one.scenario is None or one.scenario == wish.scenario:
                place = one.variant_of(wish.user, wish.session)
                if place is not None:
                    wish = applied(wish, one.variants[place].wishes)
                    variants[one.name] = one.variants[place].name
        return wish, variants

"""From what callers ask to what the ranking understands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from everbrook.engine.core import Core
from everbrook.engine.joined_wishes import filters_of
from everbrook.engine.searching import searched, typed
from everbrook.engine.shaping_wishes import shaping_of
from everbrook.errors import EverbrookError, InputError, UnknownNameError
from everbrook.events.log_intake import parse_time_ms
from everbrook.events.records import MAX_ID_BYTES, MAX_TIME_MS, TIME_RULE
from everbrook.rank.lists import Wish
from everbrook.rank.requests import Recommend
from everbrook.rank.unknown_fields import unknown_field
from everbrook.settings.rank import UNTOLD_S, RankSettings
from everbrook.state import State
from everbrook.state.asking import UNNAMED, queries_of
from everbrook.state.remembered import SEEN, UNWANTED
from everbrook.types import I32, NO_ROW, Query

_NO_ROWS: I32 = np.empty(0, np.int32)
_SHORT_ID = MAX_ID_BYTES // 4  # characters: never more bytes than an id may have


def wish_of(fields: Mapping[str, Any]) -> Recommend:
    """A wish from its fields by name.

    Raises:
        UnknownNameError: a wish has no such field.
        InputError: a field is of a wrong type.
    """
    strange = fields.keys() - set(Recommend.__struct_fields__)
    if strange:
        raise UnknownNameError("field", min(strange), Recommend.__struct_fields__)
    try:
        return msgspec.convert(fields, Recommend)
    except msgspec.ValidationError as error:
        if unknown := unknown_field(error, Recommend):
            raise unknown from None
        found = re.fullmatch(r"Expected `(.+)`, got `(.+)` - at `\$\.(.+)`", str(error))
        if found is None:
            raise InputError(f"A wish for a list must have fields of the right types; {error}.") from error
        raise InputError(f"Field '{found[3]}' must be of type {found[1]}; got {found[2]}.") from error


def read_wishes(
    wishes: Sequence[Recommend], core: Core, settings: RankSettings, now_ms: int,
    draws: np.random.Generator | None = None,
) -> list[Wish | EverbrookError]:  # fmt: skip
    """Read several wishes that wait at the same moment; see `read_wish`, which reads those that are unusual.

    Returns:
        (B,) what each asks for, or why it cannot be had.
    """
    state = core.state
    found: list[Wish | EverbrookError | None] = [None] * len(wishes)
    if not _shapes(settings):
        own = [at for at, wish in enumerate(wishes) if _is_usual(wish, settings.most)]
        _read_usual([wishes[at] for at in own], own, found, state, settings, now_ms)
    for at, wish in enumerate(wishes):
        if found[at] is None:
            try:
                found[at] = read_wish(wish, core, settings, now_ms, draws)
            except EverbrookError as error:
                found[at] = error
    return [one for one in found if one is not None]


def _shapes(settings: RankSettings) -> bool:
    """Whether more than the probability decides where a wish says nothing."""
    return bool(
        settings.diversity or settings.calibration or settings.freshness or settings.popularity or settings.explore
    )


def _is_usual(wish: Recommend, most: int) -> bool:
    """Whether a wish asks for nothing that needs more than a look at histories, and is not wrong."""
    user, session = wish.user, wish.session
    return not (
        wish.query is not None or wish.candidates is not None or wish.categories or wish.filter is not None
        or wish.boost or wish.pin or wish.diversity or wish.calibration or wish.freshness or wish.popularity
        or wish.__class__ is not Recommend or wish.explore or wish.at is not None or not 1 <= wish.k <= most
        or (user is not None and not 1 <= len(user) <= _SHORT_ID)
        or (session is not None and not 1 <= len(session) <= _SHORT_ID)
    )  # fmt: skip


def _read_usual(
    wishes: Sequence[Recommend], places: Sequence[int], found: list[Wish | EverbrookError | None], state: State,
    settings: RankSettings, now_ms: int,
) -> None:  # fmt: skip
    """Put what usual wishes ask for in their places; those that turn out to be unusual are left out."""
    user_row, session_row, scenario_row = state.users.row, state.sessions.row, state.scenarios.row
    askers, scenarios, given = [], [], list[int]()
    for wish in wishes:
        named = 0
        if wish.items or wish.item is not None:
            own = _known(state, wish.items if wish.item is None else (*wish.items, wish.item)).tolist()
            given += own
            named = len(own)
        user, session = wish.user, wish.session
        askers.append((
            UNNAMED if user is None else user_row(user), UNNAMED if session is None else session_row(session), named,
        ))  # fmt: skip
        scenarios.append(NO_ROW if wish.scenario is None else scenario_row(wish.scenario))
    if not askers:
        return
    allowed, excludes = state.visible(now_ms), settings.exclude_seen
    for at, wish, asked in zip(places, wishes, queries_of(state, now_ms, askers, scenarios, given), strict=True):
        if asked is None or asked[1] or (wish.scenario is not None and asked[0].scenario == NO_ROW):
            continue  # histories are to be joined, something is not wanted, or nobody knows the scenario
        left_out = _NO_ROWS
        if wish.exclude or wish.items or wish.item is not None or wish.exclude_seen or excludes:
            left_out = _left_out(wish, state, asked[0], settings, _NO_ROWS)
        found[at] = Wish(asked[0], wish.k, allowed, False, left_out, None)


def read_wish(
    wish: Recommend, core: Core, settings: RankSettings, now_ms: int, draws: np.random.Generator | None = None
) -> Wish:
    """Check a wish and find its rows. Changes nothing.

    Args:
        wish: what is asked for.
        core: knows who and what there is.
        settings: limits, and what holds where the wish says nothing.
        now_ms: the present.
        draws: where chance comes from, for lists that explore; fresh where None.

    Raises:
        InputError: k or another number is out of range, an id has no bytes or too many, a time cannot be read, a
            filter is wrong.
        UnknownNameError: the scenario or a category is unknown.
    """
    if not 1 <= wish.k <= settings.most:
        raise InputError(f"'k' must be between 1 and {settings.most}; got {wish.k}.")
    _check_id("user", wish.user)
    _check_id("session", wish.session)
    state = core.state
    at_ms = _moment(wish.at, now_ms)
    query = state.query(
        now_ms=at_ms, user=wish.user, session=wish.session, item=wish.item, items=wish.items, scenario=wish.scenario,
        text=typed(core, wish.query),
    )  # fmt: skip
    allowed = state.visible(at_ms)
    if wish.categories:
        allowed = allowed & state.in_categories(wish.categories)
    filters = filters_of(wish)
    for text in filters:
        allowed = allowed & core.filters.mask(text, at_ms)
    only = None if wish.candidates is None else np.unique(_known(state, wish.candidates))
    guest = state.guest_beside(query.actor, wish.session)
    disliked = disliked_of(state, query, guest)
    left_out = _left_out(wish, state, query, settings, disliked, guest)
    if len(disliked):
        query = without_disliked(query, disliked)
    shaping = shaping_of(wish, core, settings, query, disliked, draws)
    narrow = bool(wish.categories) or bool(filters)
    asked = Wish(query, wish.k, allowed, narrow, left_out, only, shaping=shaping)
    return searched(core, asked, settings.scan)


def _check_id(name: str, text: str | None) -> None:
    """See that who asks could be named in a record: the list that is shown becomes one."""
    if text is None or 1 <= len(text) <= MAX_ID_BYTES // 4:
        return
    size = len(text.encode("utf-8", "surrogatepass"))
    if not 1 <= size <= MAX_ID_BYTES:
        raise InputError(f"Field '{name}' must be text of 1 to {MAX_ID_BYTES} bytes; got {size} bytes.")


def _left_out(
    wish: Recommend, state: State, query: Query, settings: RankSettings, disliked: I32, guest: int = NO_ROW
) -> I32:
    """The rows that may not be shown: what the asker does not want is among them."""
    exclude_seen = settings.exclude_seen if wish.exclude_seen is None else wish.exclude_seen
    own = (wish.item,) if wish.item is not None else ()  # the page's own item is no recommendation
    parts = [_known(state, ids) for ids in (wish.exclude, wish.items, own) if ids]
    if len(disliked):
        parts.append(disliked)
    if exclude_seen:
        parts.append(seen_of(state, query, settings, guest))
    if not parts:
        return _NO_ROWS
    return np.unique(np.concatenate(parts)).astype(np.int32)


def seen_of(state: State, query: Query, settings: RankSettings, guest: int = NO_ROW) -> I32:
    """What was met and still counts as seen, each kind for as long as the settings say; newest kept last.

    Args:
        state: what is known.
        query: whose list.
        settings: of lists.
        guest: whose history the query holds too; see `State.guest_beside`.
    """
    met = state.remembered.of(query.actor, guest)
    items: I32 = np.concatenate((query.items, met.items))
    lasts_s = settings.seen_s
    lasts_ms = np.array(
        [1000.0 * lasts_s.get(kind, UNTOLD_S.get(kind, np.inf)) for kind in state.kinds.names.names()], np.float64
    )
    times, kinds = np.concatenate((query.times, met.times)), np.concatenate((query.kinds, met.kinds))
    lasts_ms = lasts_ms[kinds]
    return items[(lasts_ms > 0.0) & (query.now_ms - times < lasts_ms)]  # at 0 not even what is still to come


def disliked_of(state: State, query: Query, guest: int = NO_ROW) -> I32:
    """The items of which the last that was heard says that they are not wanted, latest last.

    The memory knows low ratings too, of which the history has only the kind; events that are only seen say nothing.

    Args:
        state: what is known.
        query: whose list.
        guest: whose history the query holds too; see `State.guest_beside`.
    """
    remembers = state.remembered.has_unwanted(query.actor) or state.remembered.has_unwanted(guest)
    if not remembers and not state.kinds.negative()[query.kinds].any():
        return np.empty(0, np.int32)
    met = state.remembered.of(query.actor, guest)
    judged = met.says != SEEN
    items: I32 = np.concatenate((query.items, met.items[judged]))
    unwanted = np.concatenate((state.kinds.negative()[query.kinds], met.says[judged] == UNWANTED))
    order = np.argsort(np.concatenate((query.times, met.times[judged])), kind="stable")  # of equal ones the memory's
    items, unwanted = items[order], unwanted[order]
    _, back = np.unique(items[::-1], return_index=True)
    last = np.sort(len(items) - 1 - back)
    return items[last[unwanted[last]]]


def without_disliked(query: Query, disliked: I32) -> Query:
    """The history as if what is not wanted had not been there: it speaks for nothing."""
    kept = ~np.isin(query.items, disliked)
    session_n = int(kept[len(kept) - query.session_n :].sum())
    return msgspec.structs.replace(
        query, items=query.items[kept], times=query.times[kept], kinds=query.kinds[kept], session_n=session_n
    )


def _known(state: State, ids: tuple[str, ...]) -> I32:
    rows = state.items.rows(list(ids))
    return rows[rows >= 0]


def _moment(at: int | str | None, now_ms: int) -> int:
    if at is None:
        return now_ms
    try:
        at_ms = at if isinstance(at, int) else parse_time_ms(at)
    except ValueError as error:
        raise InputError(f"'at' must be {TIME_RULE}; got '{at}'.") from error
    if not 0 <= at_ms <= MAX_TIME_MS:
        raise InputError(f"'at' must be {TIME_RULE}, 0 to {MAX_TIME_MS}; got {at}.")
    return at_ms


__all__ = ["disliked_of", "read_wish", "read_wishes", "seen_of", "wish_of", "without_disliked"]

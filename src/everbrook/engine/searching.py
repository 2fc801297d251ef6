"""Personalised search: what a typed text matches, weighed with what the asker would take."""

from __future__ import annotations

import msgspec
import numpy as np

from everbrook.engine.core import Core
from everbrook.errors import InputError
from everbrook.models.content import Content
from everbrook.rank.lists import Match, Wish
from everbrook.types import F32, I32, Query

MOST_MATCHES = 1000
_ENOUGH = 100  # matches that may be shown; where there are fewer, more of the catalogue is read


def typed(core: Core, text: str | None) -> F32 | None:
    """(D,) the features of a typed text; None where nothing was typed.

    Raises:
        InputError: the mixture has no expert that reads texts.
    """
    if text is None or not text.strip():
        return None
    content = core.family(Content)
    if content is None:
        raise InputError("'query' needs the expert 'content' in the setting mixture.experts; it is not there.")
    return content.text(text)


def searched(core: Core, wish: Wish, scan: int) -> Wish:
    """The wish with what its typed text matches among what may be shown; as it is where nothing was typed.

    Args:
        core: knows what there is.
        wish: what is asked for, its match not yet known.
        scan: up to so many allowed rows are all compared with the text where a filter is narrow.
    """
    text = wish.query.text
    content = None if text is None else core.family(Content)
    if text is None or content is None:
        return wish
    rows = _named(wish, scan)
    if rows is not None:
        return msgspec.structs.replace(wish, match=matched(core, wish.query, rows))
    found = content.search(text, MOST_MATCHES, wish.allowed, wish.left_out, max(_ENOUGH, wish.k))
    return msgspec.structs.replace(wish, match=Match(found[0], found[1].astype(np.float64)))


def _named(wish: Wish, scan: int) -> I32 | None:
    """The rows that are all compared with the text; None where they are looked for in the whole catalogue."""
    if wish.only is not None:
        return wish.only[wish.allowed[wish.only]]
    if wish.narrow and np.count_nonzero(wish.allowed) <= scan:
        return np.flatnonzero(wish.allowed).astype(np.int32)
    return None


def matched(core: Core, query: Query, rows: I32) -> Match | None:
    """Which of some rows, (M,), the typed text matches, each of them compared; None where nothing was typed."""
    content = None if query.text is None else core.family(Content)
    if query.text is None or content is None:
        return None
    found, relevance = content.search_among(query.text, rows)
    return Match(found, relevance.astype(np.float64))

"""Personalised search: what a typed text matches, weighed with what the asker would take."""

from __future__ import annotations

import numpy as np

from everbrook.engine.core import Core
from everbrook.errors import InputError
from everbrook.models.content import Content
from everbrook.rank.lists import Match
from everbrook.types import F32, Query

MOST_MATCHES = 1000


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


def matches(core: Core, query: Query) -> Match | None:
    """The items that the typed text matches; None where nothing was typed."""
    content = None if query.text is None else core.family(Content)
    if query.text is None or content is None:
        return None
    rows, relevance = content.search(query.text, MOST_MATCHES)
    return Match(rows, relevance.astype(np.float64))

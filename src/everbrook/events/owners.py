"""Whose the events of a session are, as the fold over the log has it: of the user who was named last in it.

Events before anyone was named are a guest's, who became the first that was. Not the fold itself, which is `state`: this
looks at a few sessions, those of a person who is to be forgotten, so that others keep what they did in them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection

import numpy as np

from everbrook.events.columns import EventColumns
from everbrook.types import I64


class Owners:
    """Who was named when, by session."""

    def __init__(self) -> None:
        self._turns: dict[str, tuple[list[int], list[str]]] = {}  # from which offset on whose

    def note(self, columns: EventColumns, offsets: I64, sessions: Collection[str]) -> None:
        """Take note of events, in log order.

        Args:
            columns: the events.
            offsets: (B,) where they lie.
            sessions: what is of interest.
        """
        codes = [code for code, name in enumerate(columns.session.names) if name in sessions]
        named = np.flatnonzero(np.isin(columns.session.codes, codes) & (columns.user.codes >= 0))
        for row in named.tolist():
            session = columns.session.names[columns.session.codes[row]]
            user = columns.user.names[columns.user.codes[row]]
            starts, users = self._turns.setdefault(session, ([], []))
            if not users or users[-1] != user:
                starts.append(int(offsets[row]))
                users.append(user)

    def of(self, session: str, offset: int) -> str:
        """Whose an event of a session is that names nobody."""
        starts, users = self._turns[session]
        return users[max(0, bisect_right(starts, offset) - 1)]

    def last(self, session: str) -> str:
        """Whose a session is in the end."""
        return self._turns[session][1][-1]

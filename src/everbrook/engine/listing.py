"""Lists out, one by one or several that are waited for at the same time."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from everbrook.engine.answers import describe, impression_of
from everbrook.engine.looking import Looking
from everbrook.engine.spans import span
from everbrook.engine.times import Times
from everbrook.engine.wishes import read_wishes, wish_of
from everbrook.errors import EverbrookError
from everbrook.rank.lists import make_lists
from everbrook.rank.requests import Recommend, Recommendation


class Listing(Looking):
    """The part of a recommender that makes lists."""

    list_waits: Times

    def recommend(self, wish: Recommend | None = None, **fields: Any) -> Recommendation:
        """Make a list.

        Args:
            wish: what is asked for; or its fields as keywords.

        Raises:
            InputError: the wish is wrong: an unknown scenario or category, a bad k or time.
        """
        found = self.recommend_many((wish or wish_of(fields),))[0]
        if isinstance(found, EverbrookError):
            raise found
        return found

    def recommend_many(self, wishes: Sequence[Recommend]) -> list[Recommendation | EverbrookError]:
        """Make several lists, all of what is known and published at one moment; each is what it would be alone.

        Args:
            wishes: what is asked for.

        Returns:
            A list for each wish, or why there is none.
        """
        began_s, now_ms = time.perf_counter(), self.clock.now_ms()
        varied = [self.varied(wish) for wish in wishes]
        with span("list", lists=len(wishes), k=max((wish.k for wish in wishes), default=0)), self._lock:
            self.list_waits.observe(time.perf_counter() - began_s)
            found = self._listed(varied, now_ms, began_s)
        if self.settings.engine.log_impressions:
            shown = [
                impression_of(wish, answer, now_ms) for (wish, _), answer in zip(varied, found, strict=True)
                if isinstance(answer, Recommendation) and answer.items
            ]  # fmt: skip
            if shown:  # the log writes what was shown; nobody waits for it
                self.log.submit(shown).add_done_callback(self._note_failure)
        return found

    def _listed(
        self, varied: Sequence[tuple[Recommend, dict[str, str]]], now_ms: int, began_s: float
    ) -> list[Recommendation | EverbrookError]:
        core, settings = self._core, self.settings.rank
        read = read_wishes([wish for wish, _ in varied], core, settings, now_ms, self.draws)
        asked = [one for one in read if not isinstance(one, EverbrookError)]
        made = iter(make_lists(core.mixture, asked, settings.scan))
        stamp, self._lists = self._stamp(now_ms), self._lists + len(asked)
        found: list[Recommendation | EverbrookError] = []
        for (wish, variants), own in zip(varied, read, strict=True):
            if isinstance(own, EverbrookError):
                found.append(own)
                continue
            most = settings.reasons if wish.explain else 0
            found.append(Recommendation(
                request=f"r-{os.urandom(8).hex()}", items=describe(core.mixture, core.state, next(made), own, most),
                model=stamp, variants=variants, took_ms=round(1000.0 * (time.perf_counter() - began_s), 3),
            ))  # fmt: skip
        return found

    def _note_failure(self, future: Any) -> None:
        if not future.cancelled() and (error := future.exception()) is not None:
            self.note_error(f"An impression was not written: {error}")

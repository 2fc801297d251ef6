"""What was answered lately, for the calls that ask the same again: lists that are made together ask in turns."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

MOST = 32

AnswerT = TypeVar("AnswerT")


class Lately(Generic[AnswerT]):
    """Keeps the newest answers by what was asked, until something is learned."""

    def __init__(self) -> None:
        self._answers: dict[Hashable, AnswerT] = {}

    def clear(self) -> None:
        """Something was learned: none of them holds any more."""
        if self._answers:
            self._answers = {}

    def get(self, key: Hashable) -> AnswerT | None:
        """The answer; None where there is none."""
        return self._answers.get(key)

    def newest(self) -> AnswerT | None:
        """The answer that was kept last; None where there is none."""
        return next(reversed(self._answers.values()), None)

    def put(self, key: Hashable, answer: AnswerT) -> AnswerT:
        """Keep an answer; the oldest goes where there are many."""
        if len(self._answers) >= MOST and key not in self._answers:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = answer
        return answer

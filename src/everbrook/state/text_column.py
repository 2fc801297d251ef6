"""One text an item as codes into the distinct texts, so that a question is asked once a text and not once an item."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everbrook.types import I32, Bool

_MISSING = -1
_CACHED = 16
_PACK_FROM = 1024


class TextColumn:
    """Texts of item rows; distinct ones are kept once, and dropped when most of them are of no item any more."""

    def __init__(self) -> None:
        self._codes: I32 = np.full(64, _MISSING, np.int32)
        self._known: dict[str, int] = {}
        self._texts: list[str] = []
        self._carried = 0  # items that have a text
        self._found: dict[str, Bool] = {}  # which of the first texts hold a piece

    def put(self, row: int, text: str | None) -> None:
        """Give a row its text; None takes it away."""
        if row >= len(self._codes):
            self._codes = self._longer(max(row + 1, int(1.5 * len(self._codes))))
        self._carried += (text is not None) - int(self._codes[row] != _MISSING)
        self._codes[row] = _MISSING if text is None else self._code(text)
        if len(self._texts) > _PACK_FROM and len(self._texts) > 2 * self._carried:
            self._pack()

    def _code(self, text: str) -> int:
        code = self._known.get(text)
        if code is None:
            code = self._known[text] = len(self._texts)
            self._texts.append(text)
        return code

    def _pack(self) -> None:
        """Drop the texts of no item."""
        here = np.flatnonzero(self._codes != _MISSING)
        used, codes = np.unique(self._codes[here], return_inverse=True)
        self._codes[here] = codes
        self._texts = [self._texts[code] for code in used.tolist()]
        self._known = {text: code for code, text in enumerate(self._texts)}
        self._found.clear()

    def equal(self, texts: tuple[str, ...], n_items: int) -> Bool:
        """(N,) which items carry one of the texts."""
        codes = [self._known[text] for text in texts if text in self._known]
        own = self._longer(n_items)
        if not codes:
            return np.zeros(n_items, np.bool_)
        return np.asarray(own == codes[0]) if len(codes) == 1 else np.isin(own, np.array(codes, np.int32))

    def present(self, n_items: int) -> Bool:
        """(N,) which items carry a text at all."""
        return np.asarray(self._longer(n_items) != _MISSING)

    def holding(self, piece: str, n_items: int) -> Bool:
        """(N,) which items' texts hold a piece, letters of either case alike."""
        found = self._found.get(piece)
        known = 0 if found is None else len(found)
        if found is None or known < len(self._texts):
            new = pa.array(self._texts[known:], pa.string())
            held = pc.match_substring(new, piece, ignore_case=True).to_numpy(zero_copy_only=False).astype(np.bool_)
            found = held if found is None else np.concatenate([found, held])
            if len(self._found) >= _CACHED:
                self._found.clear()
            self._found[piece] = found
        return np.append(found, False)[self._longer(n_items)]  # code -1 finds the last

    def _longer(self, n_items: int) -> I32:
        if n_items <= len(self._codes):
            return self._codes[:n_items]
        return np.concatenate([self._codes, np.full(n_items - len(self._codes), _MISSING, np.int32)])

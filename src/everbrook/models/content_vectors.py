"""Items by given vectors (of pictures, of texts): a table of unit vectors, searched by a full scan. Not a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from everbrook.types import F32, I32, NO_ROW, Arrays


class ContentVectors:
    """One unit vector an item: its given vectors side by side, of the width of the first that came."""

    def __init__(self) -> None:
        self._rows: F32 = np.zeros((0, 0), np.float32)

    def put(self, row: int, vectors: Mapping[str, Sequence[float] | None]) -> None:
        """Give a row its vectors in place of the ones it had; those of another total width count as none."""
        given = [_unit(vectors[name] or ()) for name in sorted(vectors)]
        whole = np.concatenate(given) if given else np.zeros(0, np.float32)
        if not self._rows.shape[1] and len(whole):
            self._rows = np.zeros((len(self._rows), len(whole)), np.float32)
        if row >= len(self._rows):
            wider = np.zeros((max(row + 1, 2 * len(self._rows)), self._rows.shape[1]), np.float32)
            wider[: len(self._rows)] = self._rows
            self._rows = wider
        self._rows[row] = _unit(whole) if len(whole) == self._rows.shape[1] else 0.0

    def alike(self, recent: I32, decay: float, left_out: I32, top: int) -> tuple[I32, F32]:
        """(C,) the nearest items of the recent ones' mean and (C,) their cosines above 0; equal ones in row order."""
        rows = recent[recent < len(self._rows)]
        profile = _unit(decay ** np.arange(len(rows)) @ self._rows[rows]) if self._rows.shape[1] else np.zeros(0)
        if not profile.any():
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        cosines = self._rows @ profile.astype(np.float32)
        cosines[left_out[(left_out >= 0) & (left_out < len(cosines))]] = 0.0
        if top < len(cosines):
            floor = np.partition(cosines, -top)[-top]
            found = np.flatnonzero((cosines > 0) & (cosines >= floor))[:top]
        else:
            found = np.flatnonzero(cosines > 0)
        return found.astype(np.int32), np.minimum(cosines[found], np.float32(1))

    def because(self, recent: I32, rows: I32) -> I32:
        """(M,) the recent item that is nearest to each row; NO_ROW where none is."""
        recent = recent[recent < len(self._rows)]
        known = (rows >= 0) & (rows < len(self._rows))
        out = np.full(len(rows), NO_ROW, np.int32)
        if len(recent) and known.any():
            cosines = self._rows[rows[known]] @ self._rows[recent].T
            out[known] = np.where(cosines.max(axis=1) > 0, recent[cosines.argmax(axis=1)], NO_ROW)
        return out

    def state(self) -> Arrays:
        """All vectors."""
        return {"rows": self._rows}

    def load(self, arrays: Arrays) -> None:
        """Take over all vectors."""
        self._rows = np.array(arrays["rows"])


def _unit(numbers) -> F32:  # type: ignore[no-untyped-def]
    vector = np.asarray(numbers, np.float64)
    norm = float(np.linalg.norm(vector)) if len(vector) else 0.0
    return (vector / norm if np.isfinite(norm) and norm > 0 else np.zeros_like(vector)).astype(np.float32)

"""Items by their features: rows that can be replaced at any time, and items that resemble a profile. Not a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.models import content_kernels as kernels
from everbrook.state.mapped import owned
from everbrook.types import F32, I32, I64, NO_ROW, Arrays

POOL = ("post_row", "post_column", "post_value", "post_next")
ROWS = ("starts", "counts")


@dataclass(frozen=True, slots=True)
class Profile:
    """What somebody is about: columns and values of length 1, most telling first."""

    columns: I32
    values: F32


class ContentIndex:
    """An inverted index over sparse unit rows."""

    def __init__(self, n_columns: int) -> None:
        self._arrays: Arrays = {
            "sizes": np.zeros(2, np.int64),
            "starts": np.zeros(0, np.int64), "counts": np.zeros(0, np.int32),
            "heads": np.full(n_columns, kernels.END, np.int64),
            "post_row": np.zeros(1024, np.int32), "post_column": np.zeros(1024, np.int32),
            "post_value": np.zeros(1024, np.float32), "post_next": np.zeros(1024, np.int64),
        }  # fmt: skip
        self._dense: F32 = np.zeros(n_columns, np.float32)
        self._counted: I32 | None = np.zeros(n_columns, np.int32)  # see `_lengths`
        self._votes: F32 = np.zeros(0, np.float32)

    @property
    def n_items(self) -> int:
        """Room for item rows."""
        return len(self._votes)

    @property
    def is_empty(self) -> bool:
        """Whether no item has any feature."""
        sizes = self._arrays["sizes"]
        return bool(sizes[kernels.USED] == sizes[kernels.STALE])

    def grow(self, items: int) -> None:
        """Make room for item rows below `items`."""
        for name in ROWS:
            self._widen(name, items)
        self._votes = np.zeros(len(self._arrays["starts"]), np.float32)

    def put(self, rows: I32, indptr: I64, columns: I32, values: F32) -> None:
        """Give rows these features in place of the ones they had."""
        a = self._arrays
        for name in POOL:
            self._widen(name, int(a["sizes"][kernels.USED]) + len(columns))
        kernels.put(
            rows, indptr, columns, values, a["sizes"], a["starts"], a["counts"], a["heads"], self._lengths(),
            a["post_row"], a["post_column"], a["post_value"], a["post_next"],
        )  # fmt: skip
        if a["sizes"][kernels.STALE] > 65_536 and 2 * a["sizes"][kernels.STALE] > a["sizes"][kernels.USED]:
            kernels.compact(
                a["sizes"], a["starts"], a["counts"], a["heads"], self._lengths(),
                a["post_row"], a["post_column"], a["post_value"], a["post_next"],
            )  # fmt: skip

    def profile(self, recent: I32, decay: float, text: Profile, text_share: float) -> Profile:
        """The recent items (newest first) and a typed text as one unit vector."""
        a = self._arrays
        columns, values = kernels.profile(
            recent, decay, text.columns, text.values, text_share,
            a["starts"], a["counts"], a["post_column"], a["post_value"], self._dense,
        )  # fmt: skip
        order = np.argsort(-values, kind="stable")
        return Profile(columns[order], values[order])

    def alike(self, wanted: Profile, left_out: I32, budget: int) -> tuple[I32, F32]:
        """(C,) items that share features and (C,) their cosines, without those left out."""
        a = self._arrays
        return kernels.alike(
            wanted.columns, wanted.values, left_out, budget, int(a["sizes"][kernels.STALE]),
            a["starts"], a["counts"], a["heads"], self._lengths(), a["post_row"], a["post_value"], a["post_next"],
            self._votes,
        )  # fmt: skip

    def entries(self, wanted: Profile) -> int:
        """How many entries there are of the features of a profile; `alike` reads no more."""
        return int(self._lengths()[wanted.columns].sum())

    def cosines(self, wanted: Profile, rows: I32) -> F32:
        """(M,) the cosine of each row, whatever else there is; 0 where nothing is shared or nothing is known of it."""
        a = self._arrays
        inside = np.flatnonzero(rows < self.n_items)
        starts, counts = a["starts"][rows[inside]], a["counts"][rows[inside]]
        owners = np.repeat(inside, counts)
        entries = np.arange(len(owners)) + np.repeat(starts - np.cumsum(counts) + counts, counts)
        self._dense[wanted.columns] = wanted.values
        shared = self._dense[a["post_column"][entries]] * a["post_value"][entries]
        self._dense[wanted.columns] = 0.0
        return np.minimum(np.bincount(owners, shared, len(rows)), 1.0).astype(np.float32)

    def because(self, recent: I32, decay: float, rows: I32) -> I32:
        """(M,) the recent item that resembles each row most; NO_ROW where none does."""
        a = self._arrays
        out = np.full(len(rows), NO_ROW, np.int32)
        kernels.nearest_of(
            recent, np.ascontiguousarray(rows, np.int32), decay,
            a["starts"], a["counts"], a["post_column"], a["post_value"], self._dense, out,
        )  # fmt: skip
        return out

    def state(self) -> Arrays:
        """All rows; the unused end of the pool is left out."""
        used = int(self._arrays["sizes"][kernels.USED])
        return {name: array[:used] if name in POOL else array for name, array in self._arrays.items()}

    def load(self, arrays: Arrays) -> None:
        """Take over all rows."""
        self._arrays = {name: owned(arrays[name]) for name in self._arrays}
        self._votes = np.zeros(len(self._arrays["starts"]), np.float32)
        self._dense = np.zeros(len(self._arrays["heads"]), np.float32)
        self._counted = None

    def _lengths(self) -> I32:
        """Entries of each feature's chain; not kept on disk, but counted when they are wanted first."""
        if self._counted is None:
            self._counted = np.zeros(len(self._dense), np.int32)
            kernels.count(self._arrays["post_column"], int(self._arrays["sizes"][kernels.USED]), self._counted)
        return self._counted

    def _widen(self, name: str, size: int) -> None:
        old = self._arrays[name]
        if size > len(old):
            wider = np.zeros(max(size, 2 * len(old)), old.dtype)
            wider[: len(old)] = old
            self._arrays[name] = wider

"""What the network of the live model reads: the last events of some actors, as windows of one length. No tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everbrook.features.moments import gap_codes
from everbrook.settings.live import LiveSettings
from everbrook.types import I16, I32, I64, Bool


@dataclass(frozen=True, slots=True)
class Windows:
    """The last L events of B actors, right-aligned; places that hold none come first."""

    items: I32  # (B, L) rows; 0 where there is none
    held: Bool  # (B, L)
    kinds: I64  # (B, L)
    gaps: I64  # (B, L) code of the time since the event before
    ahead: I64  # (B,) code of the time from the last event to the moment asked about

    def __len__(self) -> int:
        return len(self.ahead)

    @property
    def flat(self) -> I32:
        """(P,) the items of all places that hold one: actor by actor, oldest first."""
        return self.items[self.held]

    def take(self, chosen: I64 | Bool | slice) -> Windows:
        """Only some of them."""
        return Windows(*(getattr(self, name)[chosen] for name in self.__slots__))


def windows_of(
    items: I32, times: I64, kinds: I16, n: I32, now_ms: I64, settings: LiveSettings
) -> Windows:
    """Windows over the ends of histories.

    Args:
        items: (B, H) item rows, oldest first, left-aligned.
        times: (B, H)
        kinds: (B, H)
        n: (B,) how many there are.
        now_ms: (B,) the moment asked about.
        settings: of the live model.
    """
    L = settings.history
    places = n[:, None].astype(np.int64) - L + np.arange(L)
    held = places >= 0
    places = np.maximum(places, 0)
    if items.shape[1] == 0:
        blank = np.zeros((len(n), L), np.int64)
        return Windows(blank.astype(np.int32), blank > 0, blank, blank, np.zeros(len(n), np.int64))
    when = np.take_along_axis(times, places, 1)
    gaps = np.zeros(when.shape, np.int64)
    gaps[:, 1:] = np.where(held[:, :-1], when[:, 1:] - when[:, :-1], 0)
    waited = np.where(n > 0, now_ms - when[:, -1], 0)
    seen = np.minimum(np.take_along_axis(kinds, places, 1), settings.kinds - 1).astype(np.int64)
    return Windows(
        items=np.where(held, np.take_along_axis(items, places, 1), 0).astype(np.int32), held=held, kinds=seen,
        gaps=gap_codes(gaps, settings.time_buckets).astype(np.int64),
        ahead=gap_codes(waited, settings.time_buckets).astype(np.int64),
    )

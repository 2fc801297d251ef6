"""Histories as the inputs of a sequence model: padded arrays of codes. One code for training, replay and serving.

Features are declared once, in `EVENT_FEATURES`: name, how many codes, how they come from a history. A model takes the
sizes of its tables from there, and its inputs from `sequence_inputs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from everbrook.features.moments import PAUSES_S, gap_codes, pause_codes, week_codes
from everbrook.features.windows import Window
from everbrook.settings.features import FeaturesSettings
from everbrook.types import I16, I32, I64, NO_ROW


@dataclass(frozen=True, slots=True)
class EventFeature:
    """One code for each event of a history."""

    help: str
    size: Callable[[FeaturesSettings], int]  # how many codes
    codes: Callable[[Window, FeaturesSettings], I16]  # (B, L); places beyond the history hold anything


def _since_ms(window: Window) -> I64:
    """(B, L) from the event before to each; 0 for the first."""
    since_ms = np.zeros_like(window.times)
    since_ms[:, 1:] = window.times[:, 1:] - window.times[:, :-1]
    return since_ms


def _asked_ms(window: Window) -> I64:
    """(B, L) the moment asked about after each event: the next one, or now after the last."""
    asked_ms = np.empty_like(window.times)
    asked_ms[:, :-1] = window.times[:, 1:]
    if asked_ms.shape[1]:
        np.put_along_axis(asked_ms, np.maximum(window.n - 1, 0)[:, None], window.now_ms[:, None], 1)
    return asked_ms


def _gaps(window: Window, settings: FeaturesSettings) -> I16:
    return gap_codes(_since_ms(window), settings.gap_buckets)


def _pauses(window: Window, settings: FeaturesSettings) -> I16:
    return pause_codes(_since_ms(window))


def _ahead(window: Window, settings: FeaturesSettings) -> I16:
    return pause_codes(_asked_ms(window) - window.times)


def _hours(window: Window, settings: FeaturesSettings) -> I16:
    return week_codes(_asked_ms(window), settings.hour_offset_h, settings.day_parts)


EVENT_FEATURES: dict[str, EventFeature] = {
    "gap": EventFeature("Time since the event before, finely.", lambda settings: settings.gap_buckets, _gaps),
    "pause": EventFeature("Time since the event before, coarsely.", lambda settings: len(PAUSES_S) + 1, _pauses),
    "ahead": EventFeature(
        "Time from the event to the moment asked about after it, coarsely.", lambda settings: len(PAUSES_S) + 1, _ahead
    ),
    "hour": EventFeature(
        "Part of the day, on a weekday or a weekend, of that moment.", lambda settings: 2 * settings.day_parts, _hours
    ),
}
"""Every feature of an event that is a code; its item and kind are rows, and places and times are compared in pairs."""


@dataclass(frozen=True, slots=True)
class SequenceInputs:
    """B histories, left-aligned: places beyond `n` hold item NO_ROW and zeros."""

    items: I32  # (B, L) rows
    kinds: I16  # (B, L) rows
    n: I32  # (B,)
    since_first_ms: I64  # (B, L), for the codes of pairs
    codes: dict[str, I16]  # (B, L) by the names of EVENT_FEATURES

    def __len__(self) -> int:
        return len(self.n)


def sequence_inputs(window: Window, settings: FeaturesSettings) -> SequenceInputs:
    """Turn histories into codes."""
    held = window.held
    return SequenceInputs(
        items=np.where(held, window.items, NO_ROW).astype(np.int32),
        kinds=window.kinds * held,
        n=window.n,
        since_first_ms=(window.times - window.times[:, :1]) * held,
        codes={name: feature.codes(window, settings) * held for name, feature in EVENT_FEATURES.items()},
    )

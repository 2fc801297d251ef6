"""Histories as the inputs of a sequence model: padded arrays of codes. One code for training, replay and serving.

Features are declared once, in `EVENT_FEATURES`: name, how many codes, how they come from a history. A model takes the
sizes of its tables from there, and its inputs from `sequence_inputs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from everbrook.features.moments import HOURS, gap_codes, hour_codes
from everbrook.settings.features import FeaturesSettings
from everbrook.types import I16, I32, I64, NO_ROW, Bool, Query, Step


@dataclass(frozen=True, slots=True)
class Window:
    """The last events of B actors, left-aligned; places beyond `n` hold zeros."""

    items: I32  # (B, L)
    times: I64  # (B, L)
    kinds: I16  # (B, L)
    n: I32  # (B,)
    now_ms: I64  # (B,)
    held: Bool  # (B, L) whether there is an event


@dataclass(frozen=True, slots=True)
class EventFeature:
    """One code for each event of a history."""

    help: str
    size: Callable[[FeaturesSettings, int], int]  # from the settings and the length of windows: how many codes
    codes: Callable[[Window, FeaturesSettings], I16]  # (B, L)


def _gaps(window: Window, settings: FeaturesSettings) -> I16:
    before = np.concatenate([window.times[:, :1], window.times[:, :-1]], axis=1)
    return gap_codes(window.times - before, settings.gap_buckets)


def _ages(window: Window, settings: FeaturesSettings) -> I16:
    return gap_codes(window.now_ms[:, None] - window.times, settings.gap_buckets)


def _hours(window: Window, settings: FeaturesSettings) -> I16:
    return hour_codes(window.times, settings.hour_offset_h)


def _positions(window: Window, settings: FeaturesSettings) -> I16:
    """Counted from the latest, so that a place means the same in short histories and long ones."""
    return (window.n[:, None] - 1 - np.arange(window.items.shape[1])).astype(np.int16)


EVENT_FEATURES: dict[str, EventFeature] = {
    "gap": EventFeature("Time since the event before.", lambda settings, length: settings.gap_buckets, _gaps),
    "age": EventFeature("Time from the event to the moment asked about.", lambda s, length: s.gap_buckets, _ages),
    "hour": EventFeature("Hour of the week.", lambda settings, length: HOURS, _hours),
    "position": EventFeature("Place in the history, 0 for the latest.", lambda settings, length: length, _positions),
}
"""Every feature of an event but its item and kind, whose rows are codes already."""


@dataclass(frozen=True, slots=True)
class SequenceInputs:
    """B histories, left-aligned: places beyond `n` hold item NO_ROW and zeros."""

    items: I32  # (B, L) rows
    kinds: I16  # (B, L) rows
    n: I32  # (B,)
    codes: dict[str, I16]  # (B, L) by the names of EVENT_FEATURES
    now_gap: I16  # (B,) code of the time from the last event to the moment asked about
    now_hour: I16  # (B,) hour of the week of that moment

    def __len__(self) -> int:
        return len(self.n)


def sequence_inputs(window: Window, settings: FeaturesSettings) -> SequenceInputs:
    """Turn histories into codes."""
    L = window.items.shape[1]
    last = np.maximum(window.n - 1, 0)[:, None]
    last_ms = np.take_along_axis(window.times, last, axis=1)[:, 0] if L else window.now_ms
    waited = np.where(window.n > 0, window.now_ms - last_ms, 0)
    return SequenceInputs(
        items=np.where(window.held, window.items, NO_ROW).astype(np.int32),
        kinds=window.kinds,
        n=window.n,
        codes={name: feature.codes(window, settings) * window.held for name, feature in EVENT_FEATURES.items()},
        now_gap=gap_codes(waited, settings.gap_buckets),
        now_hour=hour_codes(window.now_ms, settings.hour_offset_h),
    )


def step_window(step: Step, length: int) -> Window:
    """The histories before each event of a step, their last `length` events at most."""
    n = np.minimum(step.n, length).astype(np.int32)
    places = (step.n - n)[:, None] + np.arange(length)
    held = np.arange(length) < n[:, None]
    if step.items.shape[1] == 0:
        places, held = places[:, :0], held[:, :0]
    else:
        places = np.minimum(places, step.items.shape[1] - 1)

    def taken(column: np.ndarray) -> np.ndarray:
        return np.where(held, np.take_along_axis(column, places, axis=1), 0).astype(column.dtype)

    return Window(taken(step.items), taken(step.times), taken(step.kinds), n, step.ts_ms, held)


def query_window(query: Query, length: int) -> Window:
    """The history of one who asks, as a batch of one."""
    n = min(len(query.items), length)

    def padded(column: np.ndarray) -> np.ndarray:
        out = np.zeros((1, length), column.dtype)
        out[0, :n] = column[len(column) - n :]
        return out

    held = (np.arange(length) < n)[None]
    count, now_ms = np.array([n], np.int32), np.array([query.now_ms], np.int64)
    return Window(padded(query.items), padded(query.times), padded(query.kinds), count, now_ms, held)

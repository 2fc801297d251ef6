"""Gaps and hours as codes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from everbrook.features.declared import FEATURES
from everbrook.features.moments import gap_codes, hour_codes
from everbrook.features.sequence import EVENT_FEATURES


def test_gaps_are_coded_by_their_logarithm() -> None:
    gaps_ms = np.array([-5, 0, 1, 1000, 1001, 3000, 3001, 7000, 86_400_000, 2**60])
    expected = [min(31, int(np.ceil(np.log2(1 + max(0, gap) / 1000)))) for gap in gaps_ms.tolist()]
    assert gap_codes(gaps_ms, 32).tolist() == expected
    assert gap_codes(gaps_ms, 2).tolist() == [0, 0, *[1] * 8]


@pytest.mark.parametrize("offset_h", [0.0, 5.5, -8.0])
def test_the_hour_of_the_week_is_the_calendars(offset_h: float) -> None:
    moments = [datetime(1969, 12, 28, tzinfo=UTC) + timedelta(hours=7.3 * n) for n in range(100)]
    ts_ms = np.array([round(moment.timestamp() * 1000) for moment in moments])
    local = [moment + timedelta(hours=offset_h) for moment in moments]
    assert hour_codes(ts_ms, offset_h).tolist() == [24 * moment.weekday() + moment.hour for moment in local]


def test_every_event_feature_is_declared() -> None:
    assert FEATURES.keys() >= EVENT_FEATURES.keys()
    assert all(feature.help.endswith(".") for feature in FEATURES.values())

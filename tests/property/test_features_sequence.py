"""Sequence inputs: a batch against one by one, training against serving, codes within their tables."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everbrook.events.columns import EventColumns
from everbrook.events.records import Event
from everbrook.features.sequence import EVENT_FEATURES, sequence_inputs
from everbrook.features.windows import query_window, step_window
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.state import StateSettings
from everbrook.state import State
from everbrook.types import NO_ROW

SETTINGS = FeaturesSettings(gap_buckets=12, hour_offset_h=5.5)

events = st.lists(
    st.tuples(
        st.sampled_from("uvw"), st.sampled_from("abcde"), st.sampled_from(["view", "buy"]), st.integers(0, 10**8)
    ),
    min_size=1, max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(events, st.integers(1, 9))
def test_a_batch_for_training_is_what_serving_makes_one_by_one(drafts: list, length: int) -> None:
    state, ts_ms, served, made = State(StateSettings(history_events=6)), 1_700_000_000_000, [], []
    for user, item, kind, pause_ms in drafts:
        ts_ms += pause_ms
        made.append(Event(user=user, item=item, kind=kind, ts=ts_ms))
        served.append(sequence_inputs(query_window(state.query(now_ms=ts_ms, user=user), length), SETTINGS))
        state.fold(EventColumns.from_records(made[-1:]))
    step = State(StateSettings(history_events=6)).fold(EventColumns.from_records(made))
    trained = sequence_inputs(step_window(step, length), SETTINGS)
    assert len(trained) == len(drafts)
    for b, one in enumerate(served):
        assert one.n[0] == trained.n[b]
        np.testing.assert_array_equal(one.items[0], trained.items[b])
        np.testing.assert_array_equal(one.kinds[0], trained.kinds[b])
        np.testing.assert_array_equal(one.since_first_ms[0], trained.since_first_ms[b])
        for name in EVENT_FEATURES:
            np.testing.assert_array_equal(one.codes[name][0], trained.codes[name][b])


@settings(max_examples=40, deadline=None)
@given(events, st.integers(1, 9))
def test_codes_stay_within_their_tables_and_padding_is_blank(drafts: list, length: int) -> None:
    ts_ms, made = 1_700_000_000_000, []
    for user, item, kind, pause_ms in drafts:
        ts_ms += pause_ms
        made.append(Event(user=user, item=item, kind=kind, ts=ts_ms))
    inputs = sequence_inputs(step_window(State().fold(EventColumns.from_records(made)), length), SETTINGS)
    padding = np.arange(length) >= inputs.n[:, None]
    assert (inputs.items[padding] == NO_ROW).all()
    assert (inputs.items[~padding] >= 0).all()
    for name, feature in EVENT_FEATURES.items():
        codes = inputs.codes[name]
        assert codes.shape == inputs.items.shape
        assert not codes[padding].any()
        assert codes.min(initial=0) >= 0
        assert codes.max(initial=0) < feature.size(SETTINGS)

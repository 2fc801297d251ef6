"""The gate with several earlier weights, and what it takes for dependence."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.learn.evidence import Evidence, only_anchor
from everbrook.learn.gate import Gate
from everbrook.learn.gate_kernels import ANCHOR
from everbrook.learn.gate_moves import Move
from everbrook.learn.live_weights import LiveWeights
from everbrook.settings.gate import GateSettings
from everbrook.settings.live import LiveSettings

T0 = 1_700_000_000_000
B = 100
NO_SCENARIO = np.full(B, -1, np.int16)
LIVE = np.full(B, -5.0)


def play(gate: Gate, seconds: int, harm_s: float, lead: float, harm: float) -> list[tuple[float, Move]]:
    """1,000 events/s: live leads the recent weights, and from a moment on is harmed; young ones share neither."""
    rng, found = np.random.default_rng(3), []
    for n in range(10 * seconds):
        lost = harm if n >= 10 * harm_s else 0.0
        recent, anchor = LIVE - rng.normal(lead - lost, 0.5, B), LIVE - rng.normal(lead - lost, 0.6, B)
        young = LIVE - rng.normal(-lost, 0.15, B)
        moves = gate.observe(T0 + 100 * n, NO_SCENARIO, LIVE, recent, anchor, None, young)
        found += [(n / 10, move) for move in moves]
    return found


def test_harm_that_a_lead_over_older_weights_hides_is_found_against_the_young_ones() -> None:
    gate = Gate(GateSettings(start="live"))
    back = [(at_s, move) for at_s, move in play(gate, 50, 20.0, 0.13, 0.05) if move.kind == "rollback"]
    assert back[0][1].to == back[0][1].against == "young"
    assert 20 < back[0][0] < 23


def test_weights_go_back_to_what_has_lately_done_best_where_the_damage_is_in_the_young_ones_too() -> None:
    rng, gate, back = np.random.default_rng(3), Gate(GateSettings(start="live")), []
    for n in range(400):
        lost = 1.0 if n >= 200 else 0.0
        recent, anchor = LIVE - rng.normal(0.1 - 0.3 * lost, 2.0, B), LIVE - rng.normal(0.2, 0.6, B)
        young = LIVE - rng.normal(-0.06 * lost, 0.5, B)
        moves = gate.observe(T0 + 100 * n, NO_SCENARIO, LIVE, recent, anchor, None, young)
        back += [move for move in moves if move.kind == "rollback"]
    assert back[0].because.startswith("Live weights are worse than the young ones")
    assert (back[0].to, back[0].against) == ("recent", "young")


def test_without_young_weights_the_lead_hides_that_harm() -> None:
    rng, gate = np.random.default_rng(3), Gate(GateSettings(start="live"))
    for n in range(500):
        mean = 0.13 if n < 200 else 0.08
        recent, anchor = LIVE - rng.normal(mean, 0.5, B), LIVE - rng.normal(mean, 0.6, B)
        assert all(m.kind != "rollback" for m in gate.observe(T0 + 100 * n, NO_SCENARIO, LIVE, recent, anchor))


def test_no_anchor_is_younger_than_so_many_events() -> None:
    gate = Gate(GateSettings(start="live", stretch_s=1.0, anchor_every_s=1.0, anchor_events=7_000))
    rng, anchors = np.random.default_rng(1), []
    for n in range(400):
        anchor = LIVE - rng.normal(0.2, 0.6, B)
        moves = gate.observe(T0 + 100 * n, NO_SCENARIO, LIVE, np.full(B, np.nan), anchor)
        anchors += [B * (n + 1) for move in moves if move.kind == "anchor"]
    assert len(anchors) >= 3
    assert np.diff([0, *anchors]).min() >= 7_000


@pytest.mark.parametrize("shrinks", [0.05, 20.0])
def test_differences_that_grow_or_shrink_are_not_taken_for_dependence(shrinks: float) -> None:
    evidence, rng = Evidence(GateSettings()), np.random.default_rng(5)
    for n in range(1_000):
        spread = 0.1 * shrinks ** (n / 1_000)
        evidence.observe(T0 + 100 * n, NO_SCENARIO, LIVE, only_anchor(LIVE - rng.normal(0.0, spread, B)))
    assert evidence.state()["moments"][0, ANCHOR, 2] < 1.0


def test_differences_that_come_in_waves_are_taken_for_dependence() -> None:
    evidence, rng = Evidence(GateSettings()), np.random.default_rng(5)
    for n in range(1_000):
        wave = 0.1 * np.sin(n / 8)
        evidence.observe(T0 + 100 * n, NO_SCENARIO, LIVE, only_anchor(LIVE - rng.normal(wave, 0.3, B)))
    assert evidence.state()["moments"][0, ANCHOR, 2] > 3.0


def test_young_weights_are_some_seconds_old_and_recent_ones_a_minute() -> None:
    live = LiveWeights(LiveSettings(width=4, young_s=10.0, young_events=100, recent_s=60.0, recent_events=100))
    live.grow(8)
    for n in range(300):  # 1,000 events a second
        live.begin(1000 * n, 1000 * n, np.zeros(0, np.int32))
        if n > 130:
            assert 10_000 <= 1000 * n - live.young.ts_ms < 20_000
            assert 60_000 <= 1000 * n - live.recent.ts_ms < 120_000


def test_going_back_to_recent_weights_leaves_no_younger_ones_that_share_what_was_wrong() -> None:
    live = LiveWeights(LiveSettings(width=4, young_s=1.0, young_events=0, recent_s=10.0, recent_events=0))
    live.grow(8)
    rows = np.array([1, 3], np.int32)
    kept: dict[int, np.ndarray] = {}
    for n in range(40):
        live.begin(10 * n, 1000 * n, np.zeros(0, np.int32))
        kept[10 * (n - 1)] = live.rows.table[rows].copy()
        live.step(rows, np.ones((2, 4), np.float32), (1.0, 1.0), 1000 * n)
    before = live.recent.offset
    assert live.young.offset > before
    live.back_to(live.recent)
    np.testing.assert_array_equal(live.rows.table[rows], kept[before])
    for reference in (live.recent, live.young):
        np.testing.assert_array_equal(reference.rows_of(live.rows.table, rows), kept[before])
    live.back_to(live.young)
    np.testing.assert_array_equal(live.rows.table[rows], kept[before])

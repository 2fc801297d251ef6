"""Metrics equal their slow definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from everbrook.metrics import confidence, prediction, probability, ranking, variety

quick = settings(max_examples=60, deadline=None)
ranks_of = hnp.arrays(np.int32, st.integers(1, 30), elements=st.integers(0, 40))
unit = st.floats(0, 1, width=32)


@quick
@given(ranks_of, st.integers(1, 25))
def test_rank_metrics_are_list_metrics_with_one_relevant_item(ranks: np.ndarray, k: int) -> None:
    marks = np.zeros((len(ranks), 40), np.bool_)
    marks[np.flatnonzero(ranks), ranks[ranks > 0] - 1] = True
    whole = ranking.list_metrics(marks, np.ones(len(ranks), np.int32), k)
    for name, metric in ranking.RANK_METRICS.items():
        assert metric(ranks, k) == pytest.approx(whole[name]), name


@quick
@given(hnp.arrays(np.bool_, (5, 12)), st.integers(0, 9), st.integers(1, 12))
def test_list_metrics_equal_the_definitions(marks: np.ndarray, missed: int, k: int) -> None:
    total = np.maximum(marks.sum(axis=1) + missed, 1).astype(np.int32)
    got = ranking.list_metrics(marks, total, k)
    for b in range(len(marks)):
        places = [place for place in range(1, k + 1) if marks[b, place - 1]]
        gain = sum(1 / math.log2(place + 1) for place in places)
        ideal = sum(1 / math.log2(place + 1) for place in range(1, min(k, int(total[b])) + 1))
        precisions = [sum(1 for other in places if other <= place) / place for place in places]
        p, r = len(places) / k, len(places) / total[b]
        expected = {
            "hit_rate": float(bool(places)), "recall": r, "precision": p, "f1": 2 * p * r / (p + r) if places else 0,
            "ndcg": gain / ideal, "mrr": 1 / places[0] if places else 0,
            "map": sum(precisions) / min(k, int(total[b])),
        }  # fmt: skip
        assert {name: values[b] for name, values in got.items()} == pytest.approx(expected)


@quick
@given(hnp.arrays(np.float32, (4, 9), elements=st.integers(0, 3).map(float)), st.integers(0, 8))
def test_ties_count_against_the_target(scores: np.ndarray, column: int) -> None:
    target = np.full(4, column, np.int32)
    expected = [sum(other >= row[column] for other in row) for row in scores.tolist()]
    assert ranking.pessimistic_ranks(scores, target).tolist() == expected


@quick
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=25))
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in pairs], np.float64)
    actual = np.array([happened for _, happened in pairs])
    wins = [(p > n) + 0.5 * (p == n) for p in scores[actual] for n in scores[~actual]]
    expected = sum(wins) / len(wins) if wins else math.nan
    assert prediction.auc(scores, actual) == pytest.approx(expected, nan_ok=True)


@quick
@given(st.lists(st.tuples(unit, st.booleans()), min_size=1, max_size=40), st.integers(1, 12))
def test_calibration_error_is_the_mean_gap_of_the_bins(pairs: list[tuple[float, bool]], bins: int) -> None:
    promised = np.array([p for p, _ in pairs])
    happened = np.array([float(h) for _, h in pairs])
    gap = 0.0
    for place in range(bins):
        inside = [b for b in range(len(pairs)) if min(int(promised[b] * bins), bins - 1) == place]
        if inside:
            gap += abs(promised[inside].mean() - happened[inside].mean()) * len(inside) / len(pairs)
    table = probability.calibration(promised, happened, bins)
    assert table.error == pytest.approx(gap, abs=1e-9)
    assert table.events.sum() == len(pairs)


lists_of = hnp.arrays(np.int32, (4, 6), elements=st.integers(-1, 9)).map(lambda rows: -np.sort(-rows, axis=1))


@quick
@given(lists_of, hnp.arrays(np.float32, (10, 3), elements=st.integers(-2, 2).map(float)), st.integers(1, 6))
def test_diversity_is_one_minus_the_mean_cosine_of_pairs(lists: np.ndarray, vectors: np.ndarray, k: int) -> None:
    got = variety.diversity(lists, vectors, k)
    for b in range(len(lists)):
        rows = [row for row in lists[b, :k] if row >= 0]
        cosines = []
        for i, one in enumerate(rows):
            for two in rows[i + 1 :]:
                length = np.linalg.norm(vectors[one]) * np.linalg.norm(vectors[two])
                cosines.append(vectors[one] @ vectors[two] / length if length else 0.0)
        expected = 1 - np.mean(cosines) if cosines else math.nan
        assert got[b] == pytest.approx(expected, nan_ok=True, abs=1e-6)


@quick
@given(lists_of, hnp.arrays(np.int64, 10, elements=st.integers(0, 50)), st.integers(1, 6))
def test_novelty_is_the_mean_self_information(lists: np.ndarray, popularity: np.ndarray, k: int) -> None:
    total = popularity.sum() + 10
    got = variety.novelty(lists, popularity, k)
    for b in range(len(lists)):
        bits = [-math.log2((popularity[row] + 1) / total) for row in lists[b, :k] if row >= 0]
        assert got[b] == pytest.approx(np.mean(bits) if bits else math.nan, nan_ok=True)


@quick
@given(lists_of, lists_of, st.integers(1, 6))
def test_coverage_is_the_share_of_items_ever_shown(one: np.ndarray, two: np.ndarray, k: int) -> None:
    shown = np.zeros(10, np.bool_)
    for lists in (one, two):
        variety.mark_shown(lists, shown, k)
    expected = {row for lists in (one, two) for row in lists[:, :k].ravel().tolist() if row >= 0}
    assert variety.coverage(shown, 10) == len(expected) / 10


@quick
@given(hnp.arrays(np.float64, st.integers(2, 30), elements=st.floats(-5, 5)))
def test_an_interval_from_sums_is_the_interval_of_the_values(values: np.ndarray) -> None:
    got = confidence.normal_interval(values)
    half = confidence.Z_95 * values.std(ddof=1) / math.sqrt(len(values))
    assert got == pytest.approx((values.mean(), values.mean() - half, values.mean() + half), abs=1e-6)

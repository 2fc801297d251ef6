import numpy as np
import pytest

from everbrook.events.records import ItemChange
from everbrook.features.content import ContentFeatures
from everbrook.features.numbers import Numbers
from everbrook.features.vectors import GivenVectors
from everbrook.models.content import Content, _first
from everbrook.models.content_index import ContentIndex, Profile
from everbrook.models.content_kernels import STALE
from everbrook.models.content_scan import NumberScan, VectorScan
from everbrook.settings.content import ContentSettings
from everbrook.settings.features import FeaturesSettings
from everbrook.testing.contracts import EXPERT_CHECKS, ITEMS, Capabilities
from everbrook.types import NO_ROW, Query


def made():
    return Content(features=ContentFeatures(FeaturesSettings(text_bits=12)))


def shelf():
    content = made()
    colours = ("red", "green", "blue", "black")
    records = [
        ItemChange(
            id=f"i{i}",
            title=f"{colours[i % 4]} shoes number {i}",
            categories=[colours[i % 4]],
            vectors={"v": [1.0, float(i)]},
        )
        for i in range(ITEMS)
    ]
    content.put(np.arange(ITEMS, dtype=np.int32), records)
    return content


def asked(*items, text=None):
    rows = np.array(items, np.int32)
    return Query(0, NO_ROW, NO_ROW, rows, np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int16), len(rows), text)


@pytest.mark.parametrize("name", EXPERT_CHECKS)
@pytest.mark.parametrize("make", [made, shelf])
def test_content_keeps_the_contract(name, make):
    EXPERT_CHECKS[name](make, Capabilities(observe_sleeps=True))


def scores(content, query):
    mass, rest = np.empty((ITEMS, len(content.names)), np.float32), np.empty(len(content.names), np.float32)
    content.score(query, np.arange(ITEMS, dtype=np.int32), mass, rest)
    return mass, rest


def test_similar_items_come_first_without_any_event():
    mass, _ = scores(shelf(), asked(4))
    best = np.argsort(-mass[:, 0])[:11]
    assert 4 not in best
    assert (best % 4 == 0).all()


def test_a_brand_new_item_with_a_title_has_a_place_at_once():
    content = shelf()
    content.put(np.array([60], np.int32), [ItemChange(id="new", title="red shoes", categories=["red"])])
    assert 60 in content.propose(asked(0, 4), 12)


def test_a_changed_item_is_found_by_its_new_content_only():
    content = shelf()
    content.put(np.array([4], np.int32), [ItemChange(id="i4", title="yellow hat")])
    mass, _ = scores(content, asked(0))
    assert mass[4, :2].sum() == 0
    content.put(np.array([60], np.int32), [ItemChange(id="h", title="yellow scarf")])
    assert content.propose(asked(60), 3)[0] == 4


def test_an_item_without_content_is_forgotten():
    content = shelf()
    content.put(np.arange(ITEMS, dtype=np.int32), [None] * ITEMS)
    _, rest = scores(content, asked(0))
    assert np.isnan(rest[:2]).all()


def test_a_typed_query_finds_items_also_those_one_has():
    content = shelf()
    typed = content.text("blue shoes")
    mass, _ = scores(content, asked(2, text=typed))
    assert mass[2, 0] > 0
    assert sorted(content.propose(asked(text=typed), 12).tolist()) == list(range(2, ITEMS, 4))


def test_a_text_compared_with_some_rows_finds_what_it_finds_among_all():
    content = shelf()
    content.put(np.array([3], np.int32), [ItemChange(id="i3", title="blue boots")])  # entries that are valid no more
    typed = content.text("blue shoes number 6")
    found = dict(zip(*content.search(typed, 2 * ITEMS), strict=True))
    every = np.arange(3 * ITEMS, dtype=np.int32)  # of rows beyond all that were put nothing is known
    again = dict(zip(*content.search_among(typed, every), strict=True))
    assert len(found) > ITEMS // 2
    assert again == pytest.approx(found, rel=1e-4, abs=1e-12)
    some = np.array([10, 3, 7], np.int32)
    assert sorted(content.search_among(typed, some)[0].tolist()) == [3, 7, 10]
    assert [len(part) for part in content.search_among(content.text("qqqqq"), some)] == [0, 0]
    assert [len(part) for part in made().search_among(typed, some)] == [0, 0]


def test_more_entries_are_read_where_few_of_the_items_count():
    content = Content(ContentSettings(postings=100), ContentFeatures(FeaturesSettings(text_bits=12)))
    content.put(np.arange(900, dtype=np.int32), [ItemChange(id=f"i{i}", title="shoes") for i in range(900)])
    typed, allowed = content.text("shoes"), np.arange(900) < 5
    assert len(content.search(typed, 50, allowed)[0]) == 0  # a hundred entries are those of the last items
    assert sorted(content.search(typed, 50, allowed, least=5)[0].tolist()) == [0, 1, 2, 3, 4]
    assert sorted(content.search(typed, 50, allowed, np.array([2], np.int32), 5)[0].tolist()) == [0, 1, 3, 4]


def test_a_search_reads_the_most_telling_word_first():
    content = Content(ContentSettings(postings=100), ContentFeatures(FeaturesSettings(text_bits=12)))
    words = ["shoes"] * 898 + ["shoes laces", "shoes boots"]
    content.put(np.arange(900, dtype=np.int32), [ItemChange(id=f"i{i}", title=word) for i, word in enumerate(words)])
    content.put(np.arange(900, 1100, dtype=np.int32), [ItemChange(id="x", title="shoes") for _ in range(200)])
    for word, row in (("laces", 898), ("boots", 899)):
        assert content.search(content.text(f"shoes {word}"), 1)[0].tolist() == [row]


def test_a_lower_temperature_is_sharper():
    mass, rest = scores(shelf(), asked(4))
    shares = mass / (1 - rest)
    assert shares[:, 0].max() > shares[:, 1].max()


def test_given_vectors_are_compared_by_angle():
    content = made()
    vectors = [[1.0, 0.0], [10.0, 1.0], [0.0, 1.0]]
    content.put(np.arange(3, dtype=np.int32), [ItemChange(id=f"{i}", vectors={"v": v}) for i, v in enumerate(vectors)])
    mass, _ = scores(content, asked(0))
    assert mass[1, 2] > 0
    assert mass[[0, 2], 2].sum() == 0


def test_the_reason_is_the_item_of_the_history_that_resembles_it():
    assert shelf().because(asked(1, 2), np.array([5, 6], np.int32)).tolist() == [1, 2]


def test_cosines_equal_those_of_dense_rows():
    content = shelf()
    indptr, columns, values = content.features.csr(np.arange(ITEMS, dtype=np.int32))
    dense = np.zeros((ITEMS, content.features.n_columns))
    for row in range(ITEMS):
        dense[row, columns[indptr[row] : indptr[row + 1]]] = values[indptr[row] : indptr[row + 1]]
    profile = dense[5] + 0.8 * dense[8]
    want = dense @ (profile / np.linalg.norm(profile))
    want[[5, 8]] = 0
    parts = np.exp(want / 0.05) - 1
    mass, rest = scores(content, asked(8, 5))
    np.testing.assert_allclose(mass[:, 0], (1 - rest[0]) * parts / parts.sum(), rtol=1e-3, atol=1e-6)


def test_a_small_budget_still_finds_items_by_their_most_telling_features():
    content = Content(ContentSettings(postings=100), ContentFeatures(FeaturesSettings(text_bits=12)))
    records = [ItemChange(id=f"{i}", title=f"thing kind{i // 2}") for i in range(600)]
    content.put(np.arange(600, dtype=np.int32), records)
    assert content.propose(asked(100), 1).tolist() == [101]


def test_many_changes_of_an_item_do_not_pile_up():
    content = made()
    text = " ".join(f"word{i}" for i in range(200))
    rows = np.arange(20, dtype=np.int32)
    before = None
    for turn in range(30):
        content.put(rows, [ItemChange(id=f"{i}", title=f"red shoe {i % 3}", text=text) for i in rows])
        proposed = content.propose(asked(0), 3).tolist()
        assert before is None or proposed == before, turn
        before = proposed
    assert len(content.state()["index.post_row"]) < 15 * 20 * 1500


@pytest.mark.parametrize(
    ("near", "far", "column"),
    [
        ({"properties": {"price": 11}}, {"properties": {"price": 900}}, -1),
        ({"vectors": {"image": [1.0, 0.1]}}, {"vectors": {"image": [0.1, 1.0]}}, -2),
        ({"title": "red"}, {"title": "hat"}, 0),
    ],
)
def test_an_item_with_nothing_but_one_feature_is_placed_near_those_alike_in_it(near, far, column):
    content = made()
    bought = {"title": "red shoes", "properties": {"price": 10, "weight": 3}, "vectors": {"image": [1.0, 0.0]}}
    records = [ItemChange(id="bought", **bought), ItemChange(id="far", **far), ItemChange(id="near", **near)]
    content.put(np.arange(3, dtype=np.int32), records)
    mass, rest = scores(content, asked(0))
    assert mass[2, column] > 2 * mass[1, column]
    assert rest[column] < 1
    assert content.propose(asked(0), 3)[0] == 2
    assert content.because(asked(0), np.array([2], np.int32)).tolist() == [0]


def slow_vectors(rows, recent, decay):
    """Mean cosine over the names that an item shares with the recent items' weighted mean, name by name."""
    out = np.zeros(len(rows))
    for i, row in enumerate(rows):
        cosines = []
        for name in ("a", "b"):
            parts = [decay**k * np.array(rows[r][name]) / np.linalg.norm(rows[r][name])
                     for k, r in enumerate(recent) if name in rows[r]]  # fmt: skip
            if parts and name in row:
                cosines.append(sum(parts) @ row[name] / np.linalg.norm(sum(parts)) / np.linalg.norm(row[name]))
        out[i] = np.mean(cosines) if cosines else 0.0
    return out


def slow_numbers(rows, recent, decay, width):
    values = {name: [row[name] for row in rows if name in row] for name in ("p", "q")}
    scaled = [
        {name: (value - np.mean(values[name])) / np.std(values[name]) for name, value in row.items()} for row in rows
    ]
    middle = {}
    for name in values:
        pulls = [(decay**k, scaled[r][name]) for k, r in enumerate(recent) if name in scaled[r]]
        if pulls:
            middle[name] = sum(pull * value for pull, value in pulls) / sum(pull for pull, _ in pulls)
    out = np.zeros(len(rows))
    for i, row in enumerate(scaled):
        shared = [name for name in middle if name in row]
        if shared:
            apart = np.mean([(row[name] - middle[name]) ** 2 for name in shared])
            out[i] = len(shared) / len(middle) * np.exp(-apart / 2 / width**2)
    return out


def test_scans_equal_slow_definitions_for_all_rows_and_for_some():
    rng = np.random.default_rng(3)
    vectors, numbers, n = GivenVectors(), Numbers(clip=100.0, names=4), 40
    given = [{name: rng.normal(size=3) for name in "ab" if rng.random() < 0.6} for _ in range(n)]
    held = [{name: float(rng.normal(50, 9)) for name in "pq" if rng.random() < 0.6} for _ in range(n)]
    for row in range(n):
        vectors.put(row, {name: vector.tolist() for name, vector in given[row].items()})
        numbers.put(row, held[row])
    recent, some = np.array([7, 3, 30, 11], np.int32), np.array([5, 39, 7, -1, 400], np.int32)
    pull = 0.8 ** np.arange(4)
    for scan, slow in (
        (VectorScan(vectors), slow_vectors(given, recent, 0.8)),
        (NumberScan(numbers, 0.5), slow_numbers(held, recent, 0.8, 0.5)),
    ):
        whole = scan.likeness(recent, pull)
        np.testing.assert_allclose(whole[:n], slow[: len(whole)], atol=1e-5)
        np.testing.assert_allclose(scan.likeness(recent, pull, some), [*slow[some[:3]], 0, 0], atol=1e-5)
        items, likeness = scan.alike(recent, 0.8, np.array([7, -1], np.int32), 5)
        slow[7] = 0
        assert set(items.tolist()) == set(np.argsort(-slow)[:5].tolist())
        np.testing.assert_allclose(likeness, slow[items], atol=1e-5)


def test_an_item_that_is_forgotten_has_neither_vectors_nor_numbers():
    content = made()
    records = [ItemChange(id=f"{i}", properties={"price": i}, vectors={"v": [1.0, i]}) for i in range(3)]
    content.put(np.arange(3, dtype=np.int32), records)
    content.put(np.arange(1, 3, dtype=np.int32), [None, None])
    _, rest = scores(content, asked(0))
    assert np.isnan(rest).all()


def test_the_first_are_those_of_the_whole_order_also_where_many_are_level():
    rng = np.random.default_rng(0)
    for n in (0, 1, 7, 300):
        items, mass = rng.permutation(n).astype(np.int32), rng.integers(0, 5, n).astype(np.float32)
        whole = items[np.lexsort((items, -mass))]
        for limit in (0, 1, 5, 299, 300, 400):
            assert _first(items, mass, limit).tolist() == whole[:limit].tolist()


def test_what_was_said_of_items_before_changes_nothing_of_who_is_alike():
    once, again = shelf(), made()
    records = [ItemChange(id=f"i{i}", title=f"other words {i}", categories=["grey"]) for i in range(ITEMS)]
    again.put(np.arange(ITEMS, dtype=np.int32), records)
    again.put(
        np.arange(ITEMS, dtype=np.int32),
        [
            ItemChange(
                id=f"i{i}", title=f"{('red', 'green', 'blue', 'black')[i % 4]} shoes number {i}",
                categories=[("red", "green", "blue", "black")[i % 4]], vectors={"v": [1.0, float(i)]},
            )
            for i in range(ITEMS)
        ],
    )  # fmt: skip
    assert again._index._arrays["sizes"][STALE] > 0 == once._index._arrays["sizes"][STALE]
    mass, rest = scores(once, asked(8, 5))
    mass_again, rest_again = scores(again, asked(8, 5))
    np.testing.assert_allclose(mass_again, mass, rtol=1e-5)
    np.testing.assert_allclose(rest_again, rest, rtol=1e-5)


def _walked(index, columns, values, budget):
    """What the budget's entries say, one chain after the other, each from its newest entry."""
    a, votes = index._arrays, {}
    for column, value in zip(columns.tolist(), values.tolist(), strict=True):
        e = int(a["heads"][column])
        while e >= 0 and budget > 0:
            budget -= 1
            row = int(a["post_row"][e])
            if a["starts"][row] <= e < a["starts"][row] + a["counts"][row]:
                votes[row] = votes.get(row, 0.0) + value * float(a["post_value"][e])
            e = int(a["post_next"][e])
    return votes


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("budget", [0, 1, 40, 90, 10_000])
def test_chains_that_are_followed_together_say_what_they_say_one_by_one(budget, loaded):
    rng = np.random.default_rng(budget)
    index = ContentIndex(64)
    index.grow(50)
    for rows in (np.arange(50, dtype=np.int32), np.arange(0, 50, 3, dtype=np.int32)):  # a third is written twice
        counts = rng.integers(1, 30, len(rows))
        columns = np.concatenate([rng.permutation(40)[:n] for n in counts]).astype(np.int32)
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        index.put(rows, indptr, columns, rng.uniform(0.01, 0.2, len(columns)).astype(np.float32))
    if loaded:
        other = ContentIndex(64)
        other.grow(50)
        other.load({name: array.copy() for name, array in index.state().items()})
        index = other
    for size in (0, 1, 5, 60):
        wanted = rng.permutation(64)[:size].astype(np.int32)
        values, out = rng.uniform(0.1, 0.5, size).astype(np.float32), rng.integers(0, 50, 6).astype(np.int32)
        items, cosines = index.alike(Profile(wanted, values), out, budget)
        expected = {r: v for r, v in _walked(index, wanted, values, budget).items() if r not in out.tolist()}
        assert sorted(items.tolist()) == sorted(expected)
        np.testing.assert_allclose(cosines, [min(1.0, expected[row]) for row in items.tolist()], rtol=1e-5)

"""TF-IDF rows of items and of typed queries."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from everbrook.events.records import ItemChange
from everbrook.features.content import ContentFeatures
from everbrook.features.text import code_points, label_column, text_terms
from everbrook.settings.features import FeaturesSettings

BITS = 22


def rows(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.int32)


def made(*records: ItemChange, settings: FeaturesSettings | None = None) -> ContentFeatures:
    content = ContentFeatures(settings)
    content.update(rows(len(records)), records)
    return content


def titled(*titles: str) -> ContentFeatures:
    return made(*(ItemChange(id=str(n), title=title) for n, title in enumerate(titles)))


def likeness(content: ContentFeatures, query: str) -> list[float]:
    columns, values = content.text_vector(query)
    wanted = dict(zip(columns.tolist(), values.tolist(), strict=True))
    return [
        sum(wanted.get(int(column), 0.0) * float(value) for column, value in zip(*content.row_vector(row), strict=True))
        for row in range(content.n_rows)
    ]


@pytest.mark.parametrize(
    ("titles", "query"),
    [
        (["red running shoes", "blue winter jacket", "garden hose"], "running shoe"),
        (["фильм о войне", "рецепты супов", "история музыки"], "фильмы"),
        (["千と千尋の神隠し", "もののけ姫", "火垂るの墓"], "神隠し"),
        (["深度学习入门", "红楼梦", "唐诗三百首"], "学习"),
        (["हिन्दी फ़िल्म", "तमिल गीत", "बंगाली किताब"], "हिन्दी"),
        (["กรุงเทพมหานคร", "เชียงใหม่", "ภูเก็ต"], "กรุงเทพ"),
        (["서울의 봄", "부산행", "기생충"], "서울"),
        (["Amélie", "Persepolis", "Metropolis"], "AMELIE"),
        (["ｆｕｌｌ ｗｉｄｔｈ", "half", "quarter"], "full width"),
        (["Godfather", "Goodfellas", "Casino"], "godfathr"),
    ],
)
def test_a_query_finds_its_item_in_any_language(titles: list[str], query: str) -> None:
    scores = likeness(titled(*titles), query)
    assert scores[0] > 0.05
    assert int(np.argmax(scores)) == 0


def test_a_text_has_its_words_pairs_and_pieces() -> None:
    def terms(text: str) -> Counter[int]:
        return Counter(text_terms(text, 1000, BITS, 0.3)[0].tolist())

    padded = [f"\2{word}\2" for word in ("a", "cat")]
    pieces = sum(max(0, len(word) - n + 1) for word in padded for n in (3, 4, 5))
    both = terms("a cat")
    assert sum(both.values()) == 2 + 1 + pieces
    assert not terms("a") - both
    assert not terms("cat") - both
    assert sum((both - terms("a") - terms("cat")).values()) == 1  # the pair
    assert sum(terms("東京都").values()) == 3 + 2 + 1
    assert terms("A  Cat!") == both
    assert not terms(" … ")
    assert sum(text_terms("a cat", 1000, BITS, 0.0)[1].tolist()) == 3.0


def test_only_the_beginning_of_a_text_is_read() -> None:
    assert len(code_points("x" * 1000, 10)) == 10


def test_values_are_damped_frequency_times_rarity_at_length_one() -> None:
    settings = FeaturesSettings(char_weight=0.0, text_bits=BITS, label_weight=2.0)
    texts = ["sun", "sun moon sun", "moon star"]
    content = made(*(ItemChange(id="-", title=text, tags=["x"]) for text in texts), settings=settings)

    def grams(text: str) -> Counter[str]:
        words = text.split()
        return Counter(words + [" ".join(words[at : at + 2]) for at in range(len(words) - 1)])

    holders = Counter(gram for text in texts for gram in grams(text))
    for row, text in enumerate(texts):
        weights = {gram: math.log2(1 + count) for gram, count in grams(text).items()}
        weights |= {"tag": math.log2(1 + 2.0), "word of tag": math.log2(1 + 0.5)}
        held = np.array([holders.get(gram, 3) for gram in weights])
        expected = np.array(list(weights.values())) * np.log(1 + (3 - held + 0.5) / (held + 0.5))
        expected /= np.linalg.norm(expected)
        _, values = content.row_vector(row)
        np.testing.assert_allclose(np.sort(values), np.sort(expected), rtol=1e-5)


def test_one_row_a_batch_and_an_item_not_taken_in_come_out_the_same() -> None:
    records = [
        ItemChange(id=str(n), title=f"title {n % 7}", text="some longer text " * n, categories=[f"c{n % 3}"],
                   properties={"brand": f"b{n % 4}", "price": n, "new": n % 2 == 0, "sizes": ["s", "m"]})
        for n in range(40)
    ]
    content = made(*records)
    indptr, columns, values = content.csr()
    some = np.array([3, 39, 0], np.int32)
    some_indptr, some_columns, some_values = content.csr(some)
    for row, record in enumerate(records):
        span = slice(indptr[row], indptr[row + 1])
        for one_columns, one_values in (content.row_vector(row), content.record_vector(record)):
            np.testing.assert_array_equal(one_columns, columns[span])
            np.testing.assert_array_equal(one_values, values[span])
        assert (np.diff(columns[span]) > 0).all()
        assert abs(float(np.linalg.norm(values[span])) - 1) < 1e-5
    for place, row in enumerate(some):
        np.testing.assert_array_equal(
            some_columns[some_indptr[place] : some_indptr[place + 1]], columns[indptr[row] : indptr[row + 1]]
        )
        np.testing.assert_array_equal(
            some_values[some_indptr[place] : some_indptr[place + 1]], values[indptr[row] : indptr[row + 1]]
        )


def test_changes_leave_what_the_last_records_alone_would_have_made() -> None:
    rng, content = np.random.default_rng(0), ContentFeatures()
    last: dict[int, ItemChange | None] = {}
    for n in range(400):
        row = int(rng.integers(0, 30))
        last[row] = None if rng.random() < 0.2 else ItemChange(id="-", title=f"word{rng.integers(0, 9)} {n % 5}")
        content.update(np.array([row], np.int32), [last[row]])
    fresh = ContentFeatures()
    fresh.update(rows(30), [last.get(row) for row in range(30)])
    loaded = ContentFeatures()
    loaded.load(content.arrays())
    for other in (fresh, loaded):
        for mine, theirs in zip(content.csr(), other.csr(), strict=True):
            np.testing.assert_array_equal(mine[: len(theirs)], theirs)
        np.testing.assert_array_equal(content.text_vector("word3 4")[1], other.text_vector("word3 4")[1])


def test_an_item_without_content_is_an_empty_row() -> None:
    content = made(ItemChange(id="a"), ItemChange(id="b", title="b"))
    assert content.csr()[0].tolist()[:2] == [0, 0]
    assert len(content.text_vector("")[0]) == 0
    assert len(content.row_vector(99)[0]) == 0


def test_labels_of_different_fields_are_different_features() -> None:
    columns = {label_column(field, "x", BITS) for field in ("category", "tag", "property brand")}
    assert len(columns) == 3


def test_numbers_are_no_labels_and_names_are() -> None:
    content = made(
        ItemChange(id="a", properties={"price": 3, "brand": "ACME"}), ItemChange(id="b", properties={"brand": "acme"})
    )
    assert content.row_vector(0)[0].tolist() == content.row_vector(1)[0].tolist()

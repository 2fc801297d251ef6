"""Spans and moments as people write them."""

from __future__ import annotations

import pytest

from everbrook.errors import InputError
from everbrook.evaluate.options import moment_text, parse_delays, parse_span_ms


@pytest.mark.parametrize(
    ("text", "span_ms"),
    [
        ("250ms", 250), ("1s", 1_000), ("10m", 600_000), ("1.5h", 5_400_000), ("1d", 86_400_000), ("2w", 1_209_600_000),
        (" 7d ", 604_800_000), ("0s", 0),
    ],
)  # fmt: skip
def test_spans_are_read(text: str, span_ms: int) -> None:
    assert parse_span_ms(text) == span_ms


@pytest.mark.parametrize("text", ["", "d", "1", "1 d", "-1d", "1y", "1.d", "1d2h", "one day", "1D"])
def test_what_is_no_span_is_told(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_span_ms(text)
    expected = f"A span of time must be a number and one of ms, s, m, h, d, w, such as '1d'; got '{text}'."
    assert error.value.message == expected


def test_moments_are_told_in_utc() -> None:
    assert moment_text(0) == "1970-01-01T00:00:00Z"
    assert moment_text(1_750_000_000_999) == "2025-06-15T15:06:40Z"


def test_delays_are_read_in_order_with_never_last() -> None:
    assert parse_delays("1d,0s, 10m,never,1s") == (0, 1_000, 600_000, 86_400_000, None)
    assert parse_delays("never") == (None,)


def test_a_delay_twice_is_told() -> None:
    with pytest.raises(InputError) as error:
        parse_delays("60s,never,1m")
    assert error.value.message == "Each delay must come once; got '1m' again in '60s,never,1m'."

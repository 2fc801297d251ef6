"""Powers of many numbers at once against NumPy's in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.models.powers import log_all, raise_all, softmax


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0, 1.4, 8.0])
def test_powers_are_those_of_numpy_to_six_digits(power: float) -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate((rng.random(5_000), 10.0 ** -rng.integers(0, 4, 20), [1.0, 0.70710677, 0.7071068, 0.5]))
    out = values.astype(np.float32)
    raise_all(out, power)
    np.testing.assert_allclose(out, values.astype(np.float32).astype(np.float64) ** power, rtol=8e-6)


def test_nothing_stays_nearly_nothing_and_one_stays_one() -> None:
    out = np.array([0.0, 1e-40, 1.0], np.float32)
    raise_all(out, 1.4)
    assert (out[:2] < 1e-37).all()
    assert out[2] == pytest.approx(1.0, abs=3e-7)


def test_logarithms_are_those_of_numpy_to_single_precision() -> None:
    rng = np.random.default_rng(1)
    given = np.concatenate((10.0 ** rng.uniform(-12, 20, 5_000), rng.uniform(0.5, 2.0, 5_000), [1.0, 0.0, 1e-40]))
    values = given.astype(np.float32)
    out = np.empty_like(values)
    log_all(values, out)
    np.testing.assert_allclose(out, np.log(np.maximum(values.astype(np.float64), 1e-12)), rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 2000.0])
def test_a_softmax_is_that_of_numpy_to_twelve_digits(spread: float) -> None:
    scores = np.random.default_rng(2).normal(0.0, 1.0, 301) * spread - 5.0
    expected = np.exp(np.maximum(scores - scores.max(), -700.0))
    softmax(scores)
    np.testing.assert_allclose(scores, expected / expected.sum(), rtol=1e-12, atol=1e-290)


def test_a_softmax_of_nothing_is_nothing() -> None:
    scores = np.empty(0)
    softmax(scores)
    assert not len(scores)

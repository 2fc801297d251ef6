"""Powers of many numbers at once against NumPy's in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from everbrook.models.powers import raise_all


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

"""The fake clock."""

from everbrook.testing.clock import FakeClock
from everbrook.types import Clock


def test_a_fake_clock_stands_still_until_it_is_moved() -> None:
    fake = FakeClock(1_000)
    clock: Clock = fake
    assert clock.now_ms() == clock.now_ms() == 1_000
    assert fake.advance(2.5) == clock.now_ms() == 3_500
    fake.set_ms(7)
    assert clock.now_ms() == 7

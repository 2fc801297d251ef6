"""The second thread: it gives answers and faults back, and shares the learning of a run without a difference."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from everbrook.models.popularity import Popularity
from everbrook.models.transitions import Transitions
from everbrook.rank import beside
from everbrook.rank.mixture import Mixture
from everbrook.settings.mixture import MixtureSettings
from everbrook.testing.probes import same_arrays
from everbrook.testing.streams import ACTORS, ITEMS, random_stream
from everbrook.types import F32, Step

MANY = 200


@pytest.fixture(params=["two cores", "one core"])
def cores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(beside, "_has_cores", lambda: request.param == "two cores")
    return str(request.param)


def test_work_is_done_on_a_thread_of_its_own_where_there_is_a_core_for_it(cores: str) -> None:
    own = threading.get_ident()
    assert (beside.begin(threading.get_ident)() == own) == (cores == "one core")


@pytest.mark.usefixtures("cores")
def test_what_it_raises_is_raised_where_the_answer_is_wanted() -> None:
    answer = beside.begin(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        answer()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of newer Pythons, which say that forks are dangerous
def test_a_forked_process_has_a_thread_of_its_own() -> None:
    beside.begin(int)()
    child = os.fork()
    if not child:
        os._exit(beside.begin(lambda: 7)())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


class Broken(Popularity):
    """A family that cannot learn."""

    def observe(self, step: Step, mass: F32, rest: F32) -> None:
        """Fails."""
        raise ZeroDivisionError


def _learned(step: Step, *families: type[Popularity | Transitions]) -> Mixture:
    mixture = Mixture([kind() for kind in families], MixtureSettings())
    mixture.grow(ITEMS, ACTORS)
    mixture.observe(step)
    return mixture


def test_a_run_is_learned_alike_with_one_core_and_two(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for has_cores in (False, True):
        monkeypatch.setattr(beside, "_has_cores", lambda has=has_cores: has)
        states.append(_learned(random_stream(5, MANY), Popularity, Transitions).state())
    same_arrays(*states, "with two cores")


@pytest.mark.usefixtures("cores")
def test_a_family_that_fails_is_heard_when_the_slow_one_is_done() -> None:
    with pytest.raises(ZeroDivisionError):
        _learned(random_stream(5, MANY), Popularity, Transitions, Broken)
    assert np.isfinite(_learned(random_stream(5, MANY), Popularity, Transitions).losses).all()

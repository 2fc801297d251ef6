"""The part of a recommender that runs experiments on its lists."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from everbrook.engine.core import Core
from everbrook.engine.experiment_outcomes import Outcomes
from everbrook.engine.experiments import Experiment, Experiments, Variant, Wishes, check
from everbrook.engine.fresh_lock import FreshLock
from everbrook.engine.log_lines import say
from everbrook.errors import DataError, InputError
from everbrook.events.log import Log
from everbrook.rank.requests import Recommend
from everbrook.settings import Settings
from everbrook.types import Clock

TYPES = ("event", "impression")
READ_RECORDS = 65_536  # of the log at once

_log = logging.getLogger("everbrook.experiments")


class Experimenting:
    """Starts, counts and stops experiments; see `experiments` for what they are."""

    path: Path
    log: Log
    settings: Settings
    clock: Clock
    _core: Core
    _lock: FreshLock

    def note_error(self, text: str) -> None:
        """Remember a background failure; see `Steering`."""
        raise NotImplementedError

    @cached_property
    def _experiments(self) -> Experiments:
        return Experiments(self.path)

    @cached_property
    def _outcomes(self) -> dict[str, Outcomes]:
        return {}

    @cached_property
    def _counting(self) -> threading.RLock:
        return threading.RLock()

    def varied(self, wish: Recommend) -> tuple[Recommend, dict[str, str]]:
        """A wish for a list as the experiments that run have it, and the variant of each."""
        try:
            experiments = self._experiments
        except DataError as error:  # lists go on without
            self.note_error(f"No experiment runs: {error.message}")
            return wish, {}
        return experiments.applied(wish) if experiments.running else (wish, {})

    def start_experiment(
        self, name: str, variants: Sequence[Variant | dict[str, Any]], scenario: str | None = None,
        kinds: Sequence[str] = (),
    ) -> dict[str, Any]:  # fmt: skip
        """Make lists in several ways from now on, each for its share of the people, and count what they take.

        Args:
            name: of the experiment.
            variants: each with a name, a share and its wishes; the first is what the others are held against.
            scenario: only lists of this scenario.
            kinds: of events that take something from a list; all that say something good where empty.

        Raises:
            InputError: it is no experiment, one of this name runs, a filter is wrong, or lists are not written down.
        """
        if not self.settings.engine.log_impressions:
            raise InputError("Setting 'engine.log_impressions' must be true for experiments; it is false.")
        try:
            read = msgspec.convert([one if isinstance(one, dict) else msgspec.to_builtins(one) for one in variants],
                                   tuple[Variant, ...])  # fmt: skip
        except msgspec.ValidationError as error:
            raise InputError(f"Variants must have a name, a share and wishes; {error}.") from None
        check(name, read)
        now_ms = self.clock.now_ms()
        with self._lock:
            self._core.state.scenario_row(scenario)
            for text in [text for one in read for text in _filters(one)]:
                self._core.filters.mask(text, now_ms)
        with self._counting:
            made = Experiment(
                name=name, variants=read, scenario=scenario, kinds=tuple(kinds), started_ms=now_ms, offset=self.log.end,
            )  # fmt: skip
            self._experiments.start(made)
            self._outcomes.pop(name, None)
        say(_log, "An experiment began.", variants=len(read))
        return self._shown_experiment(made)

    def stop_experiment(self, name: str) -> dict[str, Any]:
        """Make lists in one way again, and keep what came of it.

        Raises:
            NotFoundError: no experiment of this name runs.
        """
        with self._counting:
            found = self._counted(self._experiments.find(name))
            ended = self._experiments.stop(name, self.clock.now_ms(), found)
            self._outcomes.pop(name, None)
        say(_log, "An experiment was stopped.")
        return self._shown_experiment(ended)

    def experiments(self) -> dict[str, Any]:
        """All experiments and what came of them so far; counts the log's news first."""
        with self._counting:
            return {"experiments": [self._shown_experiment(one) for one in self._experiments.all]}

    def _shown_experiment(self, one: Experiment) -> dict[str, Any]:
        outcome = one.outcome if one.outcome is not None else self._counted(one)
        by_name = {found["name"]: found for found in outcome["variants"]}
        variants = [
            {"share": variant.share, "wishes": _plain(variant.wishes), **by_name[variant.name]}
            for variant in one.variants
        ]
        return {
            "name": one.name, "running": one.stopped_ms is None, "started_ms": one.started_ms,
            "stopped_ms": one.stopped_ms, "scenario": one.scenario, "kinds": list(one.kinds),
            **outcome, "variants": variants,
        }  # fmt: skip

    def _counted(self, one: Experiment) -> dict[str, Any]:
        with self._counting:
            outcomes = self._outcomes.get(one.name)
            if outcomes is None:
                outcomes = self._outcomes[one.name] = Outcomes(
                    one, lambda kind: self._counts(one, kind), round(1000.0 * self.settings.log.future_tolerance_s)
                )
            for run in self.log.runs(outcomes.offset, self.log.end, TYPES, limit=READ_RECORDS):
                outcomes.take(run)
            return outcomes.told()

    def _counts(self, one: Experiment, kind: str) -> bool:
        state = self.settings.state
        return kind in one.kinds if one.kinds else state.kinds.get(kind, state.kind_default) > 0.0

    def _recount_experiments(self) -> None:
        """Count anew from the log: somebody was taken out of it."""
        with self._counting:
            self._outcomes.clear()


def _filters(variant: Variant) -> list[str]:
    wishes = variant.wishes
    return [*([wishes.filter] if wishes.filter is not None else []), *(boost.filter for boost in wishes.boost)]


def _plain(wishes: Wishes) -> Any:
    return msgspec.json.decode(msgspec.json.encode(wishes))

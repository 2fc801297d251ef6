"""`everbrook fit`: learn the large model from everything in the log, and publish it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from everbrook.cli.opening import opened
from everbrook.cli.progress import bars

if TYPE_CHECKING:
    from everbrook.learn.fit import Progress


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Learn and say how it went."""
    with opened(arguments) as engine, fit_bar() as told:
        outcome: dict[str, Any] = engine.fit(told)
    if arguments.json:
        print(json.dumps(outcome, default=str))
    else:
        print("Learned and published: " + ", ".join(f"{name} {_shown(value)}" for name, value in outcome.items()))
    return 0


@contextmanager
def fit_bar() -> Iterator[Callable[[Progress], None]]:
    """A bar over the steps of a fit, with its loss and what the validation says."""
    with bars() as progress:
        task = progress.add_task("fitting", total=None, note="")

        def told(state: Progress) -> None:
            note = " ".join(
                [f"epoch {state.epoch + 1}/{state.epochs}", f"loss {state.loss:.4f}",
                 *(f"{name} {value:.4f}" for name, value in state.quality.items())]
            )
            done = state.epoch * state.steps + state.step
            progress.update(task, completed=done, total=state.epochs * state.steps, note=note)
            if not sys.stderr.isatty() and state.step == state.steps:
                print(f"fitting: {note}", file=sys.stderr, flush=True)  # a line an epoch where there is no bar

        yield told


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Events a second that the live model tests and learns on one core, with its fold: portions of several sizes.

    OMP_NUM_THREADS=1 python bench/online.py [--warm 12800] [--events 25600] [--portions 20 64 128 512]

News clicks from the beginning, as fast as it goes; earlier weights are tested on the shares that a fast stream has.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from everbrook.engine.building import new_core
from everbrook.engine.learning import LiveLearning
from everbrook.events.columns import EventColumns
from everbrook.settings import Settings, load_settings

sys.path.insert(0, str(Path(__file__).parent))
import streams_data as data


def learned(columns: EventColumns, warm: int, portion: int, settings: Settings) -> tuple[float, float]:
    """CPU seconds, and share of the time that the fold took, for the events after the warm ones."""
    core, learning = new_core(settings), LiveLearning(settings)
    spent = folding = 0.0
    for start in range(0, len(columns), portion):
        stop = min(start + portion, len(columns))
        begun = time.process_time()
        folded = core.fold(columns.slice(start, stop))
        between = time.process_time()
        core.events = stop
        learning.take_step(folded.learned, stop, core.state.n_items)
        if start >= warm:
            spent += time.process_time() - begun
            folding += between - begun
    return spent, folding / max(spent, 1e-9)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", type=int, default=12_800)
    parser.add_argument("--events", type=int, default=25_600)
    parser.add_argument("--portions", type=int, nargs="+", default=[20, 64, 128, 512])
    parser.add_argument("--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE")
    options = parser.parse_args()
    fast = ["mixture.experts=popularity,live", "live.tested_below=0"]
    settings = load_settings(assignments=[*fast, *options.assignments]).settings
    columns = data.news().slice(0, options.warm + options.events).compact()
    learned(columns.slice(0, min(len(columns), 2_000)).compact(), 0, 128, settings)  # compiles
    for portion in options.portions:
        spent, share = learned(columns, options.warm, portion, settings)
        data.tell(f"online/portions of {portion}", round(options.events / spent), "events/s of CPU",
                  us=round(1e6 * spent / options.events, 1), fold=round(share, 3))  # fmt: skip


if __name__ == "__main__":
    main()

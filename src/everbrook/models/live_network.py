"""The network of the live model: a gated recurrence over the last events, read out at the last of them.

One layer, so that what is read out is h = keep * h + (1 - keep) * value over the events of one actor, with no work on
padding, and an actor's state costs O(D^2) to carry on. Holds no item rows: they are passed in, so that live, older and
published rows share one code. Its numbers are plain arrays: what they compute is in `live_forward`, how they learn in
`learn.live_gradient`, and what serves single histories in `live_one`.
"""

from __future__ import annotations

import math

import numpy as np

from everbrook.models.live_forward import forward
from everbrook.models.live_numbers import LiveNumbers, Numbers
from everbrook.models.live_windows import Windows
from everbrook.settings.live import LiveSettings
from everbrook.types import F32


class LiveNetwork(LiveNumbers):
    """The numbers of the network as they are before anything was learned.

    A state begins as the vector of the last item: both parts that add to it end in zeros. Other weights of a layer of
    n inputs are uniform within 1 / sqrt(n) (LeCun et al. 1998), and a number of the state lasts half an event to
    twenty.
    """

    def __init__(self, settings: LiveSettings) -> None:
        super().__init__(settings)
        rng = np.random.default_rng((settings.seed, 1))
        views = self.views
        views["kind"][...] = 0.02 * rng.standard_normal(views["kind"].shape, np.float32)
        views["remember"][...] = np.linspace(-1.0, 3.0, settings.width, dtype=np.float32)
        for name in ("norm", "norm_state", "norm_wide", "norm_out"):
            views[f"{name}.weight"][...] = 1.0
        for name in ("project", "widen"):
            most = 1.0 / math.sqrt(views[f"{name}.weight"].shape[1])
            for part in ("weight", "bias"):
                numbers = views[f"{name}.{part}"]
                numbers[...] = rng.uniform(-most, most, numbers.shape)


def states_of(network: Numbers, rows: F32, windows: Windows) -> F32:
    """(B, D) states without learning; `rows` (P, D) are those of `windows.flat`."""
    return forward(network.views, rows, windows).out

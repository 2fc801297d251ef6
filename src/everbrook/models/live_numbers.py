"""The numbers of the live model's network as plain arrays: all that serving needs of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from everbrook.settings.live import LiveSettings
from everbrook.types import Arrays


class Numbers(Protocol):
    """A network's numbers by name, wherever they are."""

    @property
    def views(self) -> Arrays:
        """The numbers as they are at any time: they are only ever changed in place."""
        ...

    def arrays(self) -> Arrays:
        """The numbers as copies."""
        ...

    def load(self, arrays: Arrays) -> None:
        """Take over other ones."""
        ...


class LiveNumbers:
    """The numbers of one network, all zero until some are loaded."""

    def __init__(self, settings: LiveSettings) -> None:
        D, buckets = settings.width, settings.time_buckets
        shapes: dict[str, tuple[int, ...]] = {
            "kind": (settings.kinds, D), "since": (buckets, D), "ahead": (buckets, D), "time": (buckets, D),
            "remember": (D,),
        }  # fmt: skip
        for name in ("norm", "norm_state", "norm_wide", "norm_out"):
            shapes |= {f"{name}.weight": (D,), f"{name}.bias": (D,)}
        for name, wide, narrow in (("project", 3 * D, D), ("out", D, D), ("widen", 4 * D, D), ("narrow", D, 4 * D)):
            shapes |= {f"{name}.weight": (wide, narrow), f"{name}.bias": (wide,)}
        self.views: Arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}

    def arrays(self) -> Arrays:
        """The numbers as copies."""
        return {name: numbers.copy() for name, numbers in self.views.items()}

    def load(self, arrays: Arrays) -> None:
        """Take over what a network's `arrays` gave."""
        for name, numbers in self.views.items():
            np.copyto(numbers, arrays[name])

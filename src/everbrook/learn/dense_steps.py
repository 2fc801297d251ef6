"""Adam for the few dense numbers of the live model, in flat arrays that a checkpoint can keep, with clipped steps."""

from __future__ import annotations

import numpy as np

from everbrook.types import F32, Arrays

_KEEP = (0.9, 0.98)
_EPSILON = 1e-8


class DenseSteps:
    """Moves the numbers of a network; holds their moments and the sums of their gradients.

    No step moves a number by more than `clip[0]` of its size plus `clip[1]`: where one would, the whole tensor's step
    shrinks (Clippy: Tang et al., KDD 2023).
    """

    def __init__(self, numbers: Arrays, clip: tuple[float, float]) -> None:
        """Begin.

        Args:
            numbers: by name; they are moved in place.
            clip: of a number's own size and of 1: what one step may change it by.
        """
        self._numbers = numbers
        self._clip = clip
        sizes = [array.size for array in numbers.values()]
        self._edges = np.concatenate(([0], np.cumsum(sizes)))
        self._mean: F32 = np.zeros(int(self._edges[-1]), np.float32)
        self._square: F32 = np.zeros_like(self._mean)
        self._sum: F32 = np.zeros_like(self._mean)
        self._times = np.zeros(2, np.int64)  # steps, events gathered since the last
        self.sums: Arrays = {
            name: self._sum[first:stop].reshape(array.shape)
            for (name, array), (first, stop) in zip(numbers.items(), self._spans(), strict=True)
        }
        """Views by name, to which gradients are added."""

    def gather(self, events: int) -> None:
        """Take note that gradients, summed over so many events, were added to `sums`."""
        self._times[1] += events

    @property
    def gathered(self) -> int:
        """Events since the last step."""
        return int(self._times[1])

    def drop(self) -> None:
        """Forget the gradients since the last step."""
        self._sum[:] = 0.0
        self._times[1] = 0

    def step(self, rate: float, norm: float) -> None:
        """Move by the mean of what was gathered (Kingma & Ba 2015).

        Args:
            rate: step size.
            norm: largest length of the gradient.
        """
        gradient = self._sum / np.float32(max(self.gathered, 1))
        length = float(np.sqrt(np.dot(gradient, gradient)))
        self.drop()
        if not np.isfinite(length):
            return
        gradient *= np.float32(min(1.0, norm / max(length, 1e-12)))
        self._times[0] += 1
        times = int(self._times[0])
        self._mean += np.float32(1 - _KEEP[0]) * (gradient - self._mean)
        self._square += np.float32(1 - _KEEP[1]) * (gradient * gradient - self._square)
        mean = self._mean / np.float32(1 - _KEEP[0] ** times)
        move = np.float32(rate) * mean / (np.sqrt(self._square / np.float32(1 - _KEEP[1] ** times)) + _EPSILON)
        for array, (first, stop) in zip(self._numbers.values(), self._spans(), strict=True):
            values = array.reshape(-1)
            most = self._clip[0] * np.abs(values) + np.float32(self._clip[1])
            over = max(1.0, float((np.abs(move[first:stop]) / most).max(initial=0.0)))
            values -= move[first:stop] / np.float32(over)

    def _spans(self) -> list[tuple[int, int]]:
        return [(int(a), int(b)) for a, b in zip(self._edges[:-1], self._edges[1:], strict=True)]

    def state(self) -> Arrays:
        """Moments and counts."""
        return {"mean": self._mean, "square": self._square, "sum": self._sum, "times": self._times}

    def load(self, arrays: Arrays) -> None:
        """Take over what `state` gave."""
        for name, mine in self.state().items():
            mine[...] = arrays[name]

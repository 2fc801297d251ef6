"""Rules of the steps, by name: torch's for the network, our own for the item table, where only touched rows move."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from everbrook.errors import UnknownNameError
from everbrook.settings.fit import FitSettings

EPSILON = 1e-8


def network_optimiser(parameters: list[nn.Parameter], settings: FitSettings) -> torch.optim.Optimizer:
    """The rule for everything but the item table.

    Raises:
        UnknownNameError: no optimiser of that name.
    """
    rate, decay = settings.learning_rate, settings.weight_decay
    build: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd": lambda: torch.optim.SGD(parameters, lr=rate, weight_decay=decay, fused=True),
        "momentum": lambda: torch.optim.SGD(parameters, lr=rate, momentum=0.9, nesterov=True, weight_decay=decay),
        "adam": lambda: torch.optim.AdamW(parameters, lr=rate, betas=(0.9, 0.98), weight_decay=decay, fused=True),
        "rmsprop": lambda: torch.optim.RMSprop(parameters, lr=rate, weight_decay=decay),
        "adagrad": lambda: torch.optim.Adagrad(parameters, lr=rate, weight_decay=decay, eps=EPSILON),
    }
    if settings.optimiser not in build:
        raise UnknownNameError("optimiser", settings.optimiser, build)
    return build[settings.optimiser]()


class TableOptimiser:
    """Steps for the rows of a table that a batch touched; no dense gradient, no decay of rows that rest.

    A row's own count of steps corrects Adam's bias, so that a row seen for the first time late in a fit moves as
    a new one should. 'adagrad' keeps one number a row (Gupta et al. 2014; as in DLRM).
    """

    _SLOTS = {"sgd": 0, "momentum": 1, "adam": 2, "rmsprop": 1, "adagrad": 1}  # noqa: RUF012  # read only

    def __init__(self, table: nn.Parameter, settings: FitSettings) -> None:
        if settings.optimiser not in self._SLOTS:
            raise UnknownNameError("optimiser", settings.optimiser, self._SLOTS)
        self.table, self.name, self.decay = table, settings.optimiser, settings.weight_decay
        shape = (len(table), 1) if self.name == "adagrad" else table.shape
        self.slots = [torch.zeros(shape, device=table.device) for _ in range(self._SLOTS[self.name])]
        self.steps = torch.zeros(len(table), 1, device=table.device)

    @torch.no_grad()
    def step(self, rows: Tensor | None, grad: Tensor, rate: float) -> None:
        """Move some rows.

        Args:
            rows: (R,) int64 without repeats; None is all.
            grad: (R, D) their gradient.
            rate: the learning rate.
        """
        move = self._direction(rows, grad)
        if self.decay:
            move = move + self.decay * _rows(self.table, rows)
        if rows is None:
            self.table.sub_(move, alpha=rate)
        else:
            self.table.index_add_(0, rows, move, alpha=-rate)

    def _direction(self, rows: Tensor | None, grad: Tensor) -> Tensor:
        if self.name == "sgd":
            return grad
        if self.name == "momentum":
            return self._put(0, rows, _rows(self.slots[0], rows) * 0.9 + grad) * 0.9 + grad
        if self.name == "rmsprop":
            return grad / (self._blend(0, rows, grad * grad, 0.99).sqrt() + EPSILON)
        if self.name == "adagrad":
            sums = _rows(self.slots[0], rows) + (grad * grad).mean(1, keepdim=True)
            return grad / (self._put(0, rows, sums).sqrt() + EPSILON)
        times = self._put_steps(rows)
        mean = self._blend(0, rows, grad, 0.9) / (1 - torch.exp(times * math.log(0.9)))
        square = self._blend(1, rows, grad * grad, 0.98) / (1 - torch.exp(times * math.log(0.98)))
        return mean / (square.sqrt_() + EPSILON)

    def _put_steps(self, rows: Tensor | None) -> Tensor:
        """Count one more step of each row; the counts, (R, 1)."""
        times = _rows(self.steps, rows) + 1
        if rows is None:
            self.steps.copy_(times)
        else:
            self.steps.index_copy_(0, rows, times)
        return times

    def _blend(self, slot: int, rows: Tensor | None, new: Tensor, keep: float) -> Tensor:
        return self._put(slot, rows, torch.lerp(new, _rows(self.slots[slot], rows), keep))

    def _put(self, slot: int, rows: Tensor | None, value: Tensor) -> Tensor:
        if rows is None:
            self.slots[slot].copy_(value)
        else:
            self.slots[slot].index_copy_(0, rows, value)
        return value

    def state(self) -> dict[str, Tensor]:
        """What it remembers, by name."""
        return {"steps": self.steps} | {f"slot{k}": slot for k, slot in enumerate(self.slots)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        self.steps.copy_(state["steps"])
        for k, slot in enumerate(self.slots):
            slot.copy_(state[f"slot{k}"])


def rate_at(step: int, steps: int, settings: FitSettings) -> float:
    """Learning rate of a step: a linear rise, then a cosine to the final share."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = min(1.0, step / max(1, steps))
    fall = (1 + math.cos(math.pi * done)) / 2
    return settings.learning_rate * (settings.final_rate + (1 - settings.final_rate) * fall)


def _rows(table: Tensor, rows: Tensor | None) -> Tensor:
    return table if rows is None else table.index_select(0, rows)

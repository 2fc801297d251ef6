"""One step of batch learning: a batch in, moved weights out. The loop over epochs stands in `fit`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from everbrook.learn.batches import Batch
from everbrook.learn.negatives import Negatives
from everbrook.learn.optimisers import TableOptimiser, network_optimiser
from everbrook.models.losses import Compared, loss_named
from everbrook.models.sequence import SequenceModel
from everbrook.settings.fit import FitSettings
from everbrook.types import I64


class Trainer:
    """Holds a model, its optimisers and the negatives; each `step` is a function of its arguments and a seed alone."""

    def __init__(
        self, model: SequenceModel, settings: FitSettings, counts: I64, teacher: SequenceModel | None = None
    ) -> None:
        """Prepare the steps.

        Args:
            model: what learns, in place, on the device where it is.
            settings: how.
            counts: (N,) how often each item is a target; draws of negatives follow it.
            teacher: the model before, for distillation; its items come first in the model's.
        """
        self.model, self.settings, self.teacher = model, settings, teacher
        self.loss = loss_named(settings.loss)
        self.negatives = Negatives(counts, settings.popularity if self.loss.popular else 0.0)
        self.parameters: list[nn.Parameter] = [p for name, p in model.named_parameters() if name != "table"]
        self.network = network_optimiser(self.parameters, settings)
        self.table = TableOptimiser(model.table, settings)

    def step(self, batch: Batch, rate: float, seed: tuple[int, ...], distil: bool = False) -> float:
        """Learn from one batch.

        Args:
            batch: what to learn from.
            rate: the learning rate.
            seed: decides dropout and negatives.
            distil: whether to stay close to the teacher as well.

        Returns:
            The loss before the step.
        """
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(rng.integers(1 << 62)))
        self.model.train()
        loss, rows, table = self._sampled(batch, rng, distil) if self.loss.sampled else self._full(batch, rng, distil)
        loss.backward()  # type: ignore[no-untyped-call]
        if table.grad is not None:
            self.table.step(rows, table.grad, rate)
            table.grad = None
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        for group in self.network.param_groups:
            group["lr"] = rate
        self.network.step()
        self.network.zero_grad()
        return float(loss.detach())

    def _full(self, batch: Batch, rng: np.random.Generator, distil: bool) -> tuple[Tensor, None, Tensor]:
        model, device = self.model, self.model.table.device
        states = self._states(batch, None)
        wanted = batch.wanted.to(device)
        blank = states.new_empty(0)
        compared = Compared(states, model.targets(), wanted, blank, blank, batch.values.to(device), model.items)
        loss = self.loss.value(compared, self.settings)
        if distil:
            drawn = torch.from_numpy(self.negatives.draw(self.settings.negatives, rng)[0]).to(device)
            loss = loss + self._distilled(batch, states, drawn, model.targets(model.table[drawn]))
        return loss, None, model.table

    def _sampled(self, batch: Batch, rng: np.random.Generator, distil: bool) -> tuple[Tensor, Tensor, Tensor]:
        model, device = self.model, self.model.table.device
        drawn, log_q = self.negatives.draw(self.settings.negatives, rng)
        parts = (batch.inputs.items.flatten(), batch.wanted, torch.from_numpy(drawn))
        rows, place = torch.unique(torch.cat(parts), return_inverse=True)
        rows, place = rows.to(device), place.to(device)
        table = model.table.detach().index_select(0, rows).requires_grad_()
        items, wanted, candidates = place.split([len(part) for part in parts])
        states = self._states(batch, table, items.view(batch.inputs.items.shape))
        column = torch.full((len(rows),), -1, device=device)
        column[candidates] = torch.arange(len(candidates), device=device)
        vectors = model.targets(table)
        compared = Compared(
            states=states, candidates=vectors.index_select(0, candidates), column=column[wanted],
            own=vectors.index_select(0, wanted),
            log_q=torch.from_numpy(log_q).to(device), values=batch.values.to(device), items=model.items,
        )
        loss = self.loss.value(compared, self.settings)
        if distil:
            loss = loss + self._distilled(batch, states, torch.from_numpy(drawn).to(device), compared.candidates)
        return loss, rows, table

    def _states(self, batch: Batch, table: Tensor | None, items: Tensor | None = None) -> Tensor:
        """States of the positions that have something to predict: (P, D)."""
        device = self.model.table.device
        inputs = batch.inputs.to(device)
        if items is not None:
            inputs = replace(inputs, items=items)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            states = self.model.encode(inputs, table)
        return states.float().flatten(0, 1).index_select(0, batch.places.to(device))

    def _distilled(self, batch: Batch, states: Tensor, drawn: Tensor, candidates: Tensor) -> Tensor:
        """Cross-entropy with the teacher's probabilities over the drawn items that it knows."""
        if self.teacher is None or not self.settings.distillation:
            return states.new_zeros(())
        known = drawn < self.teacher.items
        with torch.no_grad():
            before = self.teacher.encode(batch.inputs.to(states.device)).flatten(0, 1)[batch.places.to(states.device)]
            wish = (before @ self.teacher.targets(self.teacher.table[drawn[known]]).T).softmax(1)
        now = functional.log_softmax(states @ candidates[known].T, 1)
        return -self.settings.distillation * (wish * now).sum(1).mean()

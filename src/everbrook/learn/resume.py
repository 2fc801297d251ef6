"""An interrupted fit on disk: weights, optimisers and place in one safetensors file; going on is not starting over.

There is no random state to keep: each step's randomness is a function of the seed, the epoch and the step.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from everbrook.errors import DataError
from everbrook.learn.trainer import Trainer

FORMAT = 1


@dataclass(slots=True)
class Place:
    """Where a fit stands."""

    epoch: int = 0
    step: int = 0  # steps done in this epoch
    loss: float = 0.0  # their sum
    waited: int = 0  # epochs since the best
    best_loss: float = float("inf")
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the best epoch
    done: list[dict[str, Any]] = field(default_factory=list)  # reports of finished epochs

    def judge(self, loss: float, weights: dict[str, Tensor]) -> None:
        """Take note of an epoch's validation."""
        if loss < self.best_loss:
            self.best_loss, self.waited = loss, 0
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
        else:
            self.waited += 1

    def next_epoch(self) -> None:
        """Stand at the beginning of the next epoch."""
        self.epoch, self.step, self.loss = self.epoch + 1, 0, 0.0


def keep(path: Path, trainer: Trainer, place: Place, done: Sequence[Any]) -> None:
    """Write an interrupted fit, whole or not at all."""
    header = {
        "format": FORMAT, "settings": _settings(trainer), "epoch": place.epoch, "step": place.step,
        "loss": place.loss, "waited": place.waited, "best_loss": place.best_loss if place.best else None,
        "done": [asdict(report) for report in done],
    }  # fmt: skip
    tensors = {f"model.{name}": tensor for name, tensor in trainer.model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in place.best.items()}
    tensors |= {f"table.{name}": tensor for name, tensor in trainer.table.state().items()}
    for number, slots in trainer.network.state_dict()["state"].items():
        tensors |= {f"network.{number}.{name}": torch.as_tensor(value) for name, value in slots.items()}
    beside = path.with_name(path.name + ".new")
    apart = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    save_file(apart, beside, {"everbrook": json.dumps(header)})
    beside.replace(path)


def restore(path: Path, trainer: Trainer) -> Place:
    """Set a trainer to where an interrupted fit stood.

    Raises:
        DataError: the file is no checkpoint of a fit, or of one with other settings or another model.
    """
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("everbrook", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except SafetensorError as error:
        raise DataError(f"Checkpoint of a fit must be a safetensors file; got '{path}': {error}.") from error
    if header.get("format") != FORMAT or header["settings"] != _settings(trainer):
        raise DataError(f"Checkpoint '{path}' must be of this fit; got one of other settings. Delete it to begin anew.")
    trainer.model.load_state_dict(_under("model.", tensors))
    trainer.table.load(_under("table.", tensors))
    _restore_network(trainer, _under("network.", tensors))
    best_loss = header["best_loss"]
    return Place(
        epoch=header["epoch"], step=header["step"], loss=header["loss"], waited=header["waited"],
        best_loss=float("inf") if best_loss is None else best_loss,
        best={name: tensor.to(trainer.model.table.device) for name, tensor in _under("best.", tensors).items()},
        done=header["done"],
    )


def _restore_network(trainer: Trainer, tensors: dict[str, Tensor]) -> None:
    state = trainer.network.state_dict()
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, slot = name.split(".", 1)
        slots.setdefault(int(number), {})[slot] = tensor
    trainer.network.load_state_dict(state | {"state": slots})


def _settings(trainer: Trainer) -> dict[str, Any]:
    return {
        "fit": msgspec.to_builtins(trainer.settings), "sequence": msgspec.to_builtins(trainer.model.settings),
        "items": trainer.model.items,
    }


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

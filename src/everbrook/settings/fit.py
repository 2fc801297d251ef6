"""How the sequence model is learned in batch. What it is made of stands in `sequence`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

LossName = Literal["softmax", "sampled", "bce", "gbce", "mse"]
OptimiserName = Literal["sgd", "momentum", "adam", "rmsprop", "adagrad"]


class FitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Batch learning of the sequence model."""

    loss: Annotated[
        LossName,
        Meta(description="Full or sampled softmax, binary cross-entropy, gBCE, or squared error of ratings."),
    ] = "sampled"
    negatives: Annotated[
        int, Meta(description="Negatives that a batch shares where the loss samples.", ge=1, extra={"unit": "items"})
    ] = 2048
    popularity: Annotated[
        float, Meta(description="Power of an item's count in drawing negatives; 0 draws all alike.", ge=0, le=1,
                    extra={"unit": "1"})
    ] = 0.75
    calibration: Annotated[
        float, Meta(description="t of gBCE: 0 is plain binary cross-entropy, 1 is fully calibrated.", ge=0, le=1,
                    extra={"unit": "share"})
    ] = 0.75
    label_smoothing: Annotated[
        float, Meta(description="Share of the target that full softmax spreads over all items.", ge=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.0
    start: Annotated[
        Literal["spectral", "random"],
        Meta(description="Where item vectors begin: at eigenvectors of what follows what, or at random."),
    ] = "spectral"
    optimiser: Annotated[
        OptimiserName, Meta(description="Rule of the steps; adagrad is row-wise for the item table.")
    ] = "adam"
    learning_rate: Annotated[float, Meta(description="Size of the largest step.", gt=0, extra={"unit": "1"})] = 1e-2
    final_rate: Annotated[
        float, Meta(description="Share of the learning rate left at the end of a fit (cosine decay).", ge=0, le=1,
                    extra={"unit": "share"})
    ] = 0.1
    warmup_steps: Annotated[
        int, Meta(description="Steps over which the learning rate rises from zero.", ge=0, extra={"unit": "steps"})
    ] = 50
    weight_decay: Annotated[
        float, Meta(description="Share of each weight that a step of size 1 takes away.", ge=0, extra={"unit": "1"})
    ] = 0.0
    clip: Annotated[float, Meta(description="Largest norm of the network's gradient; 0 does not clip.", ge=0,
                                extra={"unit": "1"})] = 5.0
    epochs: Annotated[int, Meta(description="Passes over the histories when fitted from nothing.", ge=1,
                                extra={"unit": "epochs"})] = 3
    refit_epochs: Annotated[
        int, Meta(description="Passes over new and replayed histories when earlier weights are continued.", ge=1,
                  extra={"unit": "epochs"})
    ] = 3
    refit: Annotated[
        Literal["anew", "continue"],
        Meta(description="Whether a later fit begins anew from everything, or goes on from the earlier weights."),
    ] = "anew"
    batch_events: Annotated[
        int, Meta(description="Positions of a batch, padding included.", ge=1, extra={"unit": "events"})
    ] = 512
    patience: Annotated[
        int, Meta(description="Epochs without a better validation before stopping; 0 never stops early.", ge=0,
                  extra={"unit": "epochs"})
    ] = 3
    validation: Annotated[
        float, Meta(description="Share of the histories, the last in time, kept for validation.", ge=0, le=0.5,
                    extra={"unit": "share"})
    ] = 0.05
    replay: Annotated[
        float, Meta(description="Older histories replayed in a refit, as a multiple of the new ones.", ge=0,
                    extra={"unit": "share"})
    ] = 1.0
    distillation: Annotated[
        float, Meta(description="Weight of staying close to the earlier model on replayed positions.", ge=0,
                    extra={"unit": "1"})
    ] = 0.0
    seed: Annotated[int, Meta(description="Start of all randomness of a fit.", ge=0, extra={"unit": "1"})] = 0
    device: Annotated[
        str, Meta(description="'auto' takes a GPU where there is one; else a name such as 'cpu' or 'cuda:0'.")
    ] = "auto"
    threads: Annotated[int, Meta(description="Threads of a fit on CPU; 0 leaves it to the machine.", ge=0,
                                 extra={"unit": "threads"})] = 0
    bfloat16: Annotated[
        bool, Meta(description="Compute the network in bfloat16; worth it from a width of 128.")
    ] = False
    tensorboard: Annotated[
        str | None, Meta(description="Folder for TensorBoard scalars; none writes none.")
    ] = None

"""Settings of the live model: what it is made of, and how it learns from every event."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class LiveSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sequence model that learns while it serves."""

    width: Annotated[int, Meta(description="Width of an item's vector.", ge=4, extra={"unit": "numbers"})] = 64
    history: Annotated[
        int, Meta(description="How many of an actor's last events the model reads.", ge=1, extra={"unit": "events"})
    ] = 16
    kinds: Annotated[
        int, Meta(description="Event kinds that have a vector of their own; later ones share the last.", ge=1, le=1024,
                  extra={"unit": "kinds"})
    ] = 32
    time_buckets: Annotated[
        int, Meta(description="Buckets of the logarithm of a time gap.", ge=2, le=64, extra={"unit": "buckets"})
    ] = 24
    negatives: Annotated[
        int, Meta(description="Items drawn for comparison, shared by a micro-batch.", ge=8, extra={"unit": "items"})
    ] = 768
    windows_events: Annotated[
        tuple[Annotated[int, Meta(ge=1)], ...],
        Meta(description="Negatives are drawn from the targets of the last so many events, each window alike.",
             min_length=1, extra={"unit": "events"}),
    ] = (1_000, 10_000, 100_000)
    uniform: Annotated[
        float, Meta(description="Share of the negatives that takes all items alike.", gt=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.2
    start: Annotated[
        float, Meta(description="Spread of the numbers of a row at first sight.", gt=0, extra={"unit": "1"})
    ] = 0.05
    row_rate: Annotated[
        float, Meta(description="Step size of item rows; it does not decay.", gt=0, extra={"unit": "1"})
    ] = 0.02
    row_first: Annotated[
        float, Meta(description="How many times larger a row's first step is; it falls with the root of their number.",
                    ge=1, le=100, extra={"unit": "1"})
    ] = 4.0
    place: Annotated[
        float, Meta(description="Share of its first history's rows that a new row takes up.", ge=0, le=1,
                    extra={"unit": "share"})
    ] = 0.5
    pace_rate: Annotated[
        float, Meta(description="How fast steps of rows adapt to whether what was learned last helps; 0: not at all.",
                    ge=0, le=1, extra={"unit": "1/nat"})
    ] = 1e-3
    pace_least: Annotated[
        float, Meta(description="Least multiple of `live.row_rate` to which steps of rows adapt.", gt=0, le=1,
                    extra={"unit": "1"})
    ] = 0.2
    row_memory: Annotated[
        int, Meta(description="Updates of a row over which the size of its gradients is remembered.", ge=1,
                  extra={"unit": "updates"})
    ] = 500
    row_floor: Annotated[
        float, Meta(description="Size of gradient below which a row's steps shrink with it.", gt=0,
                    extra={"unit": "1"})
    ] = 1.0
    network_rate: Annotated[
        float, Meta(description="Step size of the network (Adam); it does not decay.", gt=0, extra={"unit": "1"})
    ] = 5e-3
    network_events: Annotated[
        int, Meta(description="Events between two steps of the network.", ge=1, extra={"unit": "events"})
    ] = 128
    prior_refresh_s: Annotated[
        float, Meta(description="How old the prior over all items may be from which lists are proposed; beside a "
                    "learner's process up to twice that, where there are 200,000 items or more.",
                    ge=0, extra={"unit": "s"})
    ] = 2.0
    state_s: Annotated[
        float, Meta(description="How old the weights may be under which an actor's state was computed; 0: never old.",
                    ge=0, extra={"unit": "s"})
    ] = 5.0
    rest: Annotated[
        float, Meta(description="Share of probability left for what popularity alone says.", gt=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.001
    item_dropout: Annotated[
        float, Meta(description="Share of numbers of an item's vector that learning drops at the input.", ge=0, lt=1,
                    extra={"unit": "share"})
    ] = 0.0
    dropout: Annotated[
        float, Meta(description="Share of hidden numbers that learning drops.", ge=0, lt=1, extra={"unit": "share"})
    ] = 0.1
    prior_rate: Annotated[
        float, Meta(description="Step size of the prior's weights over popularities (Soft-Bayes).", gt=0, lt=1,
                    extra={"unit": "1/event"})
    ] = 0.02
    reservoir: Annotated[
        int, Meta(description="Past positions that are kept to be learned again; 0 keeps none.", ge=0, le=10_000_000,
                  extra={"unit": "positions"})
    ] = 16_384
    replayed: Annotated[
        float, Meta(description="Past positions learned again beside each new one.", ge=0, le=4,
                    extra={"unit": "positions"})
    ] = 0.25
    most_fits: Annotated[
        int, Meta(description="How often a label is fitted at most, the first time included.", ge=1, le=3,
                  extra={"unit": "times"})
    ] = 3
    distillation: Annotated[
        float, Meta(description="Weight of staying close to the anchor on positions learned again.", ge=0, le=10,
                    extra={"unit": "1"})
    ] = 0.1
    admission_events: Annotated[
        int, Meta(description="Events on an item before its row begins to learn.", ge=0, le=1000,
                  extra={"unit": "events"})
    ] = 0
    expire_s: Annotated[
        float, Meta(description="Rows that nothing used for so long begin again; 0 keeps all.", ge=0,
                    extra={"unit": "s"})
    ] = 7_776_000.0
    clip_share: Annotated[
        float, Meta(description="What one step may change a number by, as a share of its size (Clippy).", gt=0, le=10,
                    extra={"unit": "share"})
    ] = 0.5
    clip_size: Annotated[
        float, Meta(description="What one step of a row may change a number by besides.", gt=0, le=10,
                    extra={"unit": "1"})
    ] = 0.2
    network_clip: Annotated[
        float, Meta(description="What one step of the network may change a number by besides.", gt=0, le=10,
                    extra={"unit": "1"})
    ] = 0.01
    network_norm: Annotated[
        float, Meta(description="Largest norm of the network's gradient.", gt=0, extra={"unit": "1"})
    ] = 5.0
    row_cap: Annotated[
        float, Meta(description="How far a row may move from where it was when a window began, in the L2 norm.", gt=0,
                    extra={"unit": "1"})
    ] = 2.0
    window_s: Annotated[
        float, Meta(description="Length of the window in which a row's movement is capped.", gt=0,
                    extra={"unit": "s"})
    ] = 600.0
    spike: Annotated[
        float, Meta(description="Deviations by which a micro-batch's loss may exceed the usual before it is skipped.",
                    gt=0, extra={"unit": "deviations"})
    ] = 8.0
    spikes: Annotated[
        int, Meta(description="Skipped micro-batches in a row after which learning goes on all the same.", ge=1,
                  extra={"unit": "batches"})
    ] = 5
    recent_s: Annotated[
        float, Meta(description="Least age of the recent weights with which the gate compares the live ones.",
                    gt=0, extra={"unit": "s"})
    ] = 60.0
    recent_events: Annotated[
        int, Meta(description="Events learned at least since the recent weights, at first a quarter of all.",
                  ge=0, extra={"unit": "events"})
    ] = 4_000
    young_s: Annotated[
        float, Meta(description="Least age of the youngest weights with which the gate compares the live ones.",
                    gt=0, extra={"unit": "s"})
    ] = 10.0
    young_events: Annotated[
        int, Meta(description="Events learned at least since the youngest weights, at first a quarter of all.",
                  ge=0, extra={"unit": "events"})
    ] = 500
    tested: Annotated[
        float, Meta(description="Share of the events on which young weights are tested; recent and anchor: half of it.",
                    ge=0, le=1, extra={"unit": "share"})
    ] = 0.5
    tested_below: Annotated[
        float, Meta(description="Speed of the stream below which earlier weights are tested on all events; 0: never.",
                    ge=0, extra={"unit": "events/s"})
    ] = 300.0
    scored: Annotated[
        int, Meta(description="Likeliest items that are all scored for a list; of the others a sample is.",
                  ge=1, extra={"unit": "items"})
    ] = 32_768
    sampled: Annotated[
        int, Meta(description="Items that stand for those that are not scored.", ge=1, extra={"unit": "items"})
    ] = 2_048
    seed: Annotated[int, Meta(description="Start of all randomness of the live model.", ge=0,
                              extra={"unit": "1"})] = 0

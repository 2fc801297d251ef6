"""What the gate says: the moves it asks for, and how it stands. Values only; whoever asked acts and logs them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

Stage = Literal["shadow", "canary", "live"]
STAGES: tuple[Stage, ...] = ("shadow", "canary", "live")
Kind = Literal[
    "rollback", "promote", "demote", "anchor", "rest", "wake", "swap", "discard", "override", "pause", "resume"
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Move:
    """One thing to do, and why.

    `rollback`: the live weights become those of `to` ('young', 'recent' or 'anchor'). `promote`, `demote`, `override`:
    the stage becomes `to`. `anchor`: the live weights become the anchor (`to` is 'live'). `rest`: learning stops until
    `until_ms`; `wake`: it goes on. `swap`: a candidate takes the place of the live weights; `discard`: it is given up.
    """

    kind: Kind
    to: str
    because: str
    ts_ms: int
    against: str = ""  # 'young', 'recent' or 'anchor'; '' where no comparison led to it
    scenario: int = -1  # NO_ROW: over all
    evidence: float = 0.0  # nats
    until_ms: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The evidence for one claim, and what it needs to be acted upon."""

    claim: str  # 'harm', 'better', 'alike'
    against: str  # 'young', 'recent' or 'anchor'
    scenario: int  # NO_ROW: over all
    nats: float
    needed_nats: float
    mean_nats: float  # difference live - reference, of about the last 1,000 events
    sd_nats: float  # of one block's mean
    events: int


@dataclass(frozen=True, slots=True)
class GateStanding:
    """How the gate stands, for `status`."""

    stage: Stage
    since_ms: int
    paused: bool
    resting_until_ms: int  # 0: learning does not rest
    anchor_since_ms: int  # when the present anchor was taken; 0 before the first
    events: int
    counts: dict[str, int]  # moves so far, by kind
    readings: tuple[Reading, ...]


def serves_live(stage: Stage, user_id: str, canary_share: float) -> bool:
    """Whether a user's lists are made by the live weights rather than by the anchor."""
    if stage == "canary":
        return share_of(user_id) < canary_share
    return stage == "live"


def share_of(user_id: str) -> float:
    """A number in [0, 1) that belongs to a user id for ever, evenly spread over ids."""
    digest = hashlib.blake2b(user_id.encode(), digest_size=8, person=b"canary").digest()
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53

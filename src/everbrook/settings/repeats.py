"""Settings of coming back to one's own items."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class RepeatsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How returns to items of one's own history are counted."""

    window: Annotated[
        int,
        Meta(
            description="Last events in which an item counts as the actor's own.",
            ge=1,
            le=512,
            extra={"unit": "events"},
        ),
    ] = 50
    memory: Annotated[
        int,
        Meta(
            description="Trials after which a cell of the table is halved, so that it keeps adapting.",
            ge=16,
            extra={"unit": "trials"},
        ),
    ] = 20_000
    prior: Annotated[
        float, Meta(description="Trials' worth of belief in the coarser cell.", gt=0, extra={"unit": "trials"})
    ] = 10.0

"""Settings of the data group: what an import does with rows that are wrong or strange."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class DataSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How files are read, checked and cleaned before anything is learned."""

    kind: Annotated[
        str, Meta(description="Kind of the events of a file that names none.", min_length=1, extra={"unit": "text"})
    ] = "view"
    missing: Annotated[
        Literal["drop", "stop"],
        Meta(description="What an import does with rows that lack an item, a time, or both user and session."),
    ] = "drop"
    duplicates: Annotated[
        Literal["drop", "keep"], Meta(description="What an import does with rows that repeat an earlier row exactly.")
    ] = "drop"
    strip_spaces: Annotated[
        bool, Meta(description="Remove spaces around ids, so that 'u1 ' and 'u1' are one.")
    ] = True
    fold_case: Annotated[bool, Meta(description="Write ids in lower case, so that 'U1' and 'u1' are one.")] = False
    times: Annotated[
        Literal["stop", "drop", "keep"],
        Meta(description="What an import does with times in the future or before 1990 (mostly a wrong unit)."),
    ] = "stop"
    future_s: Annotated[
        float, Meta(description="How far ahead of the clock a time may be.", ge=0, extra={"unit": "s"})
    ] = 86_400.0
    outliers: Annotated[
        Literal["keep", "clip", "drop"], Meta(description="What an import does with values outside the IQR fences.")
    ] = "keep"
    outlier_fence: Annotated[
        float,
        Meta(description="Fences stand this many interquartile ranges outside the quartiles.", gt=0,
             extra={"unit": "interquartile ranges"}),
    ] = 1.5
    bots: Annotated[
        Literal["keep", "drop"], Meta(description="What an import does with the events of actors of inhuman rate.")
    ] = "keep"
    bot_rate: Annotated[
        int, Meta(description="More events of one actor than this within a minute count as inhuman.", ge=1,
                  extra={"unit": "events/min"})
    ] = 120
    short_events: Annotated[
        int, Meta(description="Below this many events a check warns that little can be learned.", ge=0,
                  extra={"unit": "events"})
    ] = 100
    order_step_s: Annotated[
        float, Meta(description="Made time between two events of a file that has an order but no times.", ge=0.001,
                    extra={"unit": "s"})
    ] = 1.0
    period_s: Annotated[
        float, Meta(description="Made length of one period of a file that has periods but no times.", ge=0.001,
                    extra={"unit": "s"})
    ] = 604_800.0
    chunk_events: Annotated[
        int, Meta(description="Events that a reader hands over at once.", ge=1, extra={"unit": "events"})
    ] = 524_288

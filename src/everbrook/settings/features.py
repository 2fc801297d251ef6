"""Settings of the features: how records become model inputs."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class FeaturesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How records become numbers, for training, replay and serving alike."""

    text_bits: Annotated[
        int,
        Meta(description="Text features are hashed into 2 to this power columns.", ge=8, le=24, extra={"unit": "bits"}),
    ] = 20
    text_chars: Annotated[
        int,
        Meta(description="How much of a text is read from its start.", ge=16, le=100_000, extra={"unit": "characters"}),
    ] = 2000
    text_weight: Annotated[
        float, Meta(description="Weight of an item's text; its title has 1.", ge=0.0, le=10.0, extra={"unit": "1"})
    ] = 0.5
    char_weight: Annotated[
        float,
        Meta(
            description="Weight of a piece of a word, 3 to 5 characters long; a whole word has 1.",
            ge=0.0, le=10.0, extra={"unit": "1"},
        ),
    ] = 0.3
    label_weight: Annotated[
        float,
        Meta(
            description="Weight of a category, a tag or a property as a whole; a word of a title has 1.",
            ge=0.0, le=10.0, extra={"unit": "1"},
        ),
    ] = 1.5
    gap_buckets: Annotated[
        int, Meta(description="Buckets of the logarithm of a time gap.", ge=2, le=50, extra={"unit": "buckets"})
    ] = 32
    hour_offset_h: Annotated[
        float,
        Meta(description="What is added to UTC for the hour of the week.", ge=-14.0, le=14.0, extra={"unit": "h"}),
    ] = 0.0
    day_parts: Annotated[
        int,
        Meta(
            description="Equal parts of a day that a moment is coded by, weekdays apart from weekends.",
            ge=1, le=24, extra={"unit": "parts"},
        ),
    ] = 6
    number_clip: Annotated[
        float,
        Meta(
            description="Normalised numbers are cut off so many standard deviations from the mean.",
            gt=0.0, le=100.0, extra={"unit": "deviations"},
        ),
    ] = 5.0
    number_names: Annotated[
        int,
        Meta(
            description="Numeric properties that are told apart, the first that come; later ones are passed over.",
            ge=1, le=256, extra={"unit": "properties"},
        ),
    ] = 16

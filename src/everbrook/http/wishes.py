"""What those who look after a server may ask of it: the bodies of these requests."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Rollback(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version to go back to."""

    to: Annotated[str, Meta(description="A version's name as /v1/versions tells it, or 'anchor'.", min_length=1)]


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom the live weights shall serve."""

    stage: Annotated[str, Meta(description="'shadow': nobody; 'canary': a share of the users; 'live': everybody.")]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No field is taken; the body may be empty."""

"""The records that callers send and the log keeps; how they are decoded and checked is in `log_intake`.

Each field's description begins, up to the first colon, with what a value must be: errors and the API's documentation
both quote it. The structs do not check themselves when they are built in Python; `log_intake.check_*` does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

MAX_ID_BYTES = 256
MAX_TIME_MS = 253_402_300_799_999  # the last millisecond of the year 9999
MAX_VALUE = 3.4e38  # what a 32-bit float holds
MAX_NAMES = 2**15 - 1  # of kinds, and of scenarios: their rows are 16-bit ints

IdText = Annotated[str, Meta(min_length=1, max_length=MAX_ID_BYTES)]
Moment = Annotated[int, Meta(ge=0, le=MAX_TIME_MS)] | str
Number = Annotated[float, Meta(ge=-MAX_VALUE, le=MAX_VALUE)]
Position = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Scalar = str | int | float | bool | None
Property = Scalar | list[str | float]

ID_RULE = "text of 1 to 256 bytes"
TIME_RULE = "milliseconds since 1970 or RFC 3339 text"


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Something that a user or a guest session did with an item."""

    item: Annotated[IdText, Meta(description=f"{ID_RULE}: what it was done with")]
    user: Annotated[IdText | None, Meta(description=f"{ID_RULE}: who did it; missing for a guest session")] = None
    kind: Annotated[IdText, Meta(description=f"{ID_RULE}: view, cart, buy, rate, …")] = "view"
    ts: Annotated[Moment | None, Meta(description=f"{TIME_RULE}: when; now where missing")] = None
    id: Annotated[IdText | None, Meta(description=f"{ID_RULE}: the client's key; the same id twice counts once")] = None
    value: Annotated[Number | None, Meta(description="a number: a rating, seconds watched, a price")] = None
    session: Annotated[IdText | None, Meta(description=f"{ID_RULE}: the visit it belongs to")] = None
    scenario: Annotated[IdText | None, Meta(description=f"{ID_RULE}: the place where the item was met")] = None
    request: Annotated[IdText | None, Meta(description=f"{ID_RULE}: the list that showed the item")] = None
    position: Annotated[Position | None, Meta(description="an int >= 0: the item's place in that list")] = None
    context: Annotated[
        dict[str, Scalar] | None, Meta(description="an object of texts, numbers and booleans: device, weather, …")
    ] = None


class ItemChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A new item, or a change of one: fields left out stay as they are, null removes."""

    id: Annotated[IdText, Meta(description=f"{ID_RULE}: the item")]
    title: Annotated[str | UnsetType | None, Meta(description="text: its name")] = UNSET
    text: Annotated[str | UnsetType | None, Meta(description="text: what it is about, in any language")] = UNSET
    categories: Annotated[list[IdText] | UnsetType | None, Meta(description="a list of texts: its places")] = UNSET
    tags: Annotated[list[IdText] | UnsetType | None, Meta(description="a list of texts: free labels")] = UNSET
    properties: Annotated[
        dict[IdText, Property] | UnsetType | None,
        Meta(description="an object of texts, numbers, booleans and lists: price, brand, …; changed key by key"),
    ] = UNSET
    vectors: Annotated[
        dict[IdText, list[Number] | None] | UnsetType | None,
        Meta(description="an object of lists of numbers: given embeddings by name; changed key by key"),
    ] = UNSET
    ts: Annotated[Moment | UnsetType | None, Meta(description=f"{TIME_RULE}: since when it exists")] = UNSET
    expires: Annotated[Moment | UnsetType | None, Meta(description=f"{TIME_RULE}: when it goes")] = UNSET
    hidden: Annotated[bool | UnsetType | None, Meta(description="true or false: kept out of lists or not")] = UNSET


class UserChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A new user, or a change of one: fields left out stay as they are, null removes."""

    id: Annotated[IdText, Meta(description=f"{ID_RULE}: the user")]
    properties: Annotated[
        dict[IdText, Property] | UnsetType | None,
        Meta(description="an object of texts, numbers, booleans and lists: country, …; changed key by key"),
    ] = UNSET


class Deletion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """That an item or a user is to be forgotten."""

    what: Literal["item", "user"]
    id: IdText
    ts: int


class Impression(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A list that was shown: to whom, when, and how probable each place was."""

    request: IdText
    items: tuple[str, ...]
    ts: int
    user: IdText | None = None
    session: IdText | None = None
    scenario: IdText | None = None
    propensities: tuple[float, ...] = ()  # empty: all 1
    model: str | None = None  # version that answered


VersionAction: TypeAlias = Literal[
    "publish", "rollback", "promote", "demote", "anchor", "rest", "wake", "swap", "discard", "override", "pause",
    "resume", "drift", "refit",
]


class Version(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """That a version of the model became, or ceased to be, the published one, or what the gate decided about it."""

    version: str
    offset: int  # up to which it has learned
    ts: int
    action: VersionAction = "publish"
    settings: str | None = None  # digest
    to: str | None = None  # the weights gone back to, or the stage reached
    because: str | None = None
    evidence: float | None = None  # nats


Record: TypeAlias = Event | ItemChange | UserChange | Deletion | Impression | Version

RECORD_TYPES: dict[str, type[Record]] = {
    "event": Event, "item": ItemChange, "user": UserChange, "deletion": Deletion, "impression": Impression,
    "version": Version,
}
"""What the log calls each type of record."""

ChangeT = TypeVar("ChangeT", ItemChange, UserChange)
KEYED_FIELDS = ("properties", "vectors")


def merge(before: ChangeT, change: ChangeT) -> ChangeT:
    """Apply a change to what is known: fields left out stay, null removes; properties and vectors key by key.

    Returns:
        The whole, in which nothing is null: what was removed is unset.
    """
    whole: dict[str, Any] = {}
    for name in before.__struct_fields__:
        old, new = getattr(before, name), getattr(change, name)
        if name in KEYED_FIELDS and isinstance(new, dict):
            known = old if isinstance(old, dict) else {}
            new = {key: value for key, value in (known | new).items() if value is not None}
        elif new is UNSET:
            new = old
        if new is not None and new is not UNSET:
            whole[name] = new
    return type(before)(**whole)

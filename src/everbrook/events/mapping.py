"""Which column of somebody's file is which field of an event: guessed from common names, or said.

It knows names only; reading the columns is the work of `formats`, turning them into values that of `encoding`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from everbrook.errors import DataError, UnknownNameError, unknown_name

FIELDS = (
    "user", "session", "item", "ts", "kind", "scenario", "value", "id", "request", "position", "context", "order",
    "period",
)
"""What a column can be mapped to. `order` and `period` stand in for times where a file has none."""

CONSTANT_FIELDS = ("kind", "scenario", "value", "order")
LINE_ORDER = "line"

GUESSES: dict[str, tuple[str, ...]] = {
    "user": ("user", "userid", "visitorid", "visitor", "uid", "customerid", "customer", "memberid", "accountid",
             "personid", "clientid", "reader", "readerid", "reviewerid"),
    "session": ("session", "sessionid", "sid", "visitid", "sess"),
    "item": ("item", "itemid", "productid", "product", "articleid", "article", "movieid", "movie", "contentid",
             "content", "clickarticleid", "videoid", "bookid", "trackid", "songid", "asin", "iid", "sku", "parentasin"),
    "ts": ("ts", "tsms", "timestamp", "eventtime", "time", "eventtimestamp", "datetime", "createdat", "date",
           "unixtime", "clicktimestamp", "at", "unixreviewtime"),
    "kind": ("kind", "event", "eventtype", "type", "action", "actiontype", "interaction", "behavior", "behaviour"),
    "scenario": ("scenario", "surface", "placement"),
    "value": ("value", "rating", "score", "stars", "price", "amount", "overall"),
    "id": ("id", "eventid", "key"),
    "request": ("request", "requestid", "impressionid"),
    "position": ("position", "rank", "slot"),
    "context": ("context",),
    "order": ("order",),
    "period": ("period",),
}

TIME_UNITS = ("auto", "s", "ms", "us", "ns", "text")


def plain(name: str) -> str:
    """A column name in lower case without marks, so that 'user_id', 'userId' and 'User ID' agree."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


class Mapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was said about a file: columns by field, fixed texts by field, columns kept as context, unit of time.

    `time` is one of TIME_UNITS or a strptime format such as '%d/%m/%Y %H:%M'.
    """

    columns: dict[str, str] = {}
    constants: dict[str, str] = {}
    keep: tuple[str, ...] = ()
    time: str = "auto"

    def __post_init__(self) -> None:
        for field in self.columns:
            if field not in FIELDS:
                raise UnknownNameError("field", field, FIELDS)
        for field in self.constants:
            if field not in CONSTANT_FIELDS:
                raise DataError(
                    f"Only {', '.join(CONSTANT_FIELDS)} can have one fixed text for all events; got '{field}'."
                )
        if self.time not in TIME_UNITS and "%" not in self.time:
            raise DataError(
                f"{unknown_name('time unit', self.time, TIME_UNITS)} A format such as '%d/%m/%Y %H:%M' works too."
            )

    @property
    def names(self) -> list[str]:
        """The columns that are read, each once."""
        return list(dict.fromkeys((*self.columns.values(), *self.keep)))


def parse_mapping(
    pairs: Iterable[str] = (), file: Path | None = None, keep: Sequence[str] = (), time: str | None = None
) -> Mapping:
    """Read a mapping as the command line takes it.

    Args:
        pairs: texts 'field=column', or "field='text'" in quotes for one fixed text; they win over the file.
        file: a TOML file of the same pairs, with the keys `keep` and `time` and the table `constants` allowed.
        keep: columns kept as context, in addition to the file's.
        time: the unit of times.

    Raises:
        DataError: when a pair has no '=' or the file is no such table.
        UnknownNameError: when a field does not exist.
    """
    said = _read_toml(file) if file is not None else Mapping()
    columns, constants = dict(said.columns), dict(said.constants)
    for pair in pairs:
        field, mark, target = pair.partition("=")
        field, target = field.strip(), target.strip()
        if not mark or not field or not target:
            raise DataError(f"A mapping must be 'field=column'; got '{pair}'. Example: user=visitorid.")
        _place(field, target, columns, constants)
    return Mapping(
        columns=columns, constants=constants, keep=tuple(dict.fromkeys((*said.keep, *keep))), time=time or said.time
    )


def resolve(mapping: Mapping, names: Sequence[str], path: str, default_kind: str = "view") -> Mapping:
    """Complete a mapping with guesses for a file that has these columns.

    Args:
        mapping: what was said.
        names: the file's columns.
        path: the file, for messages.
        default_kind: the kind of events where the file names none and has no ratings.

    Raises:
        DataError: when a column that was named is not in the file, or a needed one cannot be guessed.
    """
    columns = {field: _column(field, name, names, path) for field, name in mapping.columns.items()}
    keep = tuple(_column("keep", name, names, path) for name in mapping.keep)
    taken = set(columns.values()) | set(keep)
    for field, guesses in GUESSES.items():
        if field not in columns and field not in mapping.constants:
            found = _guess(guesses, [name for name in names if name not in taken])
            if found is not None:
                columns[field] = found
                taken.add(found)
    if "ts" in columns or mapping.constants.get("order") == LINE_ORDER:
        columns = {field: name for field, name in columns.items() if field not in ("order", "period")}
    constants = dict(mapping.constants)
    if "kind" not in columns and "kind" not in constants:
        rated = plain(columns.get("value", "")) in ("rating", "stars", "overall")
        constants["kind"] = "rating" if rated else default_kind
    _require(columns, constants, names, path)
    return Mapping(columns=columns, constants=constants, keep=keep, time=mapping.time)


def _read_toml(file: Path) -> Mapping:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"The mapping file '{file}' does not exist.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"The mapping file '{file}' must be TOML; {error}.") from None
    table = table.get("map", table)
    rest = {name: table.pop(name) for name in ("constants", "keep", "time") if name in table}
    columns: dict[str, str] = {}
    constants: dict[str, str] = {}
    for field, target in table.items():
        if not isinstance(target, str) or not target:
            raise DataError(f"In '{file}' the field '{field}' must be a column's name in quotes; got {target!r}.")
        _place(field, target, columns, constants)
    try:
        said = msgspec.convert(rest, Mapping)
    except msgspec.ValidationError as error:
        raise DataError(f"The mapping file '{file}' is wrong: {error}.") from None
    return Mapping(columns=columns, constants=constants | said.constants, keep=said.keep, time=said.time)


def _place(field: str, target: str, columns: dict[str, str], constants: dict[str, str]) -> None:
    if len(target) > 2 and target[0] == target[-1] and target[0] in "'\"":
        constants[field] = target[1:-1]
        columns.pop(field, None)
    else:
        columns[field] = target
        constants.pop(field, None)


def _column(field: str, name: str, names: Sequence[str], path: str) -> str:
    if name in names:
        return name
    same = [other for other in names if plain(other) == plain(name)]
    if len(same) == 1:
        return same[0]
    quoted = f" For one fixed text write {field}=\"'{name}'\"." if field in CONSTANT_FIELDS else ""
    raise DataError(f"In '{path}': {unknown_name('column', name, names)}{quoted}")


def _guess(guesses: Sequence[str], names: Sequence[str]) -> str | None:
    by_plain = {plain(name): name for name in reversed(names)}
    return next((by_plain[guess] for guess in guesses if guess in by_plain), None)


def _require(columns: dict[str, str], constants: dict[str, str], names: Sequence[str], path: str) -> None:
    known = ", ".join(names)
    if "item" not in columns:
        raise DataError(f"No column of '{path}' looks like an item; say which: item=COLUMN. Columns: {known}.")
    if "user" not in columns and "session" not in columns:
        raise DataError(
            f"No column of '{path}' looks like a user or a session; say which: user=COLUMN or session=COLUMN. "
            f"Columns: {known}."
        )
    if "order" in constants and constants["order"] != LINE_ORDER:
        raise DataError(f"The fixed text of 'order' must be '{LINE_ORDER}'; got '{constants['order']}'.")
    if not {"ts", "order"} & (set(columns) | set(constants)):
        raise DataError(
            f"No column of '{path}' looks like a time; say which: ts=COLUMN, or order=COLUMN, or order=\"'line'\" "
            f"for the order of the lines. Columns: {known}."
        )

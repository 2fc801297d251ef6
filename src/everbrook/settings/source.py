"""Where values of settings come from, later wins: defaults < TOML file < environment < --set.

Knows nothing of the single settings: it works on any two-level Struct.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from everbrook.errors import SettingError, unknown_name
from everbrook.settings.described import ENV_PREFIX, Described, describe

T = TypeVar("T", bound=msgspec.Struct)

NOT_SETTINGS = frozenset({
    "EVERBROOK_DATA", "EVERBROOK_DATA_DIR", "EVERBROOK_CONFIG", "EVERBROOK_KEY", "EVERBROOK_PORT",
})
"""Variables of the commands that are no settings."""
NOT_SETTINGS_PREFIXES = ("EVERBROOK_TEST_", "EVERBROOK_BENCH_")
NONE_WORDS = ("", "none", "null")


@dataclass(frozen=True, slots=True)
class Given:
    """One value that someone gave."""

    name: str  # 'group.field'
    value: Any
    origin: str  # in words, for messages and for `everbrook settings`
    is_text: bool  # still to be read as the setting's type


def from_toml(path: Path) -> Iterator[Given]:
    """The values of a settings file.

    Raises:
        SettingError: the file is missing, not TOML, or a group in it is not a table.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingError(f"Settings file '{path}' must exist; got no such file.") from None
    except OSError as error:
        raise SettingError(f"Settings file '{path}' must be readable; got: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"Settings file '{path}' must be TOML in UTF-8; got: {error}.") from error
    for group, values in content.items():
        if not isinstance(values, dict):
            raise SettingError(f"Settings group '{group}' must be a table like [{group}]; got {values!r} from {path}.")
        for field, value in values.items():
            yield Given(f"{group}.{field}", value, str(path), is_text=False)


def from_environment(environment: Mapping[str, str], known: Mapping[str, Described]) -> Iterator[Given]:
    """The values of EVERBROOK_<GROUP>_<NAME> variables.

    Raises:
        SettingError: a variable with the prefix names no setting.
    """
    names = {described.variable: name for name, described in known.items()}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(ENV_PREFIX) or variable in NOT_SETTINGS:
            continue
        if variable.startswith(NOT_SETTINGS_PREFIXES):
            continue
        if variable not in names:
            raise SettingError(unknown_name("setting_variable", variable, names))
        yield Given(names[variable], text, variable, is_text=True)


def from_arguments(assignments: Iterable[str]) -> Iterator[Given]:
    """The values of --set group.name=value.

    Raises:
        SettingError: an argument has another form.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise SettingError(f"--set must be given as group.name=value; got '{assignment}'.")
        yield Given(name.strip(), text.strip(), "--set", is_text=True)


def compose(kind: type[T], given: Iterable[Given]) -> tuple[T, dict[str, str]]:
    """Put the settings together.

    Args:
        kind: a Struct of groups.
        given: values, the later ones winning.

    Returns:
        The settings, and for every setting the words for where its value came from.

    Raises:
        SettingError: a name is unknown, or a value has the wrong type or is out of range.
    """
    known = describe(kind)
    origins = dict.fromkeys(known, "default")
    chosen: dict[str, dict[str, Any]] = {}
    for one in given:
        described = known.get(one.name)
        if described is None:
            raise SettingError(_unknown(one, known))
        group, field = one.name.split(".", 1)
        chosen.setdefault(group, {})[field] = _value(one, described)
        origins[one.name] = one.origin
    groups = {field.name: _group(field.name, field.type, chosen.get(field.name, {}))
              for field in msgspec.structs.fields(kind)}
    return kind(**groups), origins


def _group(name: str, kind: type[msgspec.Struct], values: dict[str, Any]) -> msgspec.Struct:
    try:
        return kind(**values)
    except ValueError as error:  # a rule across fields, in the group's __post_init__
        raise SettingError(f"Settings group '{name}' must hold together: {error}") from error


def _unknown(one: Given, known: Mapping[str, Described]) -> str:
    group = one.name.split(".", 1)[0]
    near = [name for name in known if name.startswith(f"{group}.")]
    if near:
        return unknown_name("setting", one.name, near) + f" Got it from {one.origin}."
    everything = unknown_name("setting", one.name, known)
    guess = everything.split(" Known: ")[0]
    groups = ", ".join(dict.fromkeys(name.split(".", 1)[0] for name in known))
    return f"{guess} Known groups: {groups}. Got it from {one.origin}."


def _value(one: Given, described: Described) -> Any:
    try:
        raw = _read(one.value, described) if one.is_text else one.value
        return msgspec.convert(raw, described.type, strict=not one.is_text)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        got = "a value that is not shown" if described.secret else f"'{one.value}'" if one.is_text else repr(one.value)
        where = _where(error)
        hint = f"{where.strip(' -')}; see `everbrook settings`." if where else None
        raise SettingError(
            f"Setting '{one.name}' must be {described.must}; got {got} from {one.origin}.", hint
        ) from error


def _where(error: Exception) -> str:
    """What the decoder says beyond the type, for values with an inside."""
    return str(error) if "at `$" in str(error) else ""


def _read(text: str, described: Described) -> Any:
    """A text from the environment or the command line as plain values: JSON or TOML for lists and tables, or commas."""
    if described.nullable and text.lower() in NONE_WORDS:
        return None
    if not described.many:
        return text
    if text[:1] in ("[", "{"):
        return _decoded(text)
    return [part.strip() for part in text.split(",") if part.strip()]


def _decoded(text: str) -> Any:
    """A list or a table, as JSON or as a settings file has it; where it is neither, JSON's error."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        with contextlib.suppress(tomllib.TOMLDecodeError, RecursionError):
            read = tomllib.loads(f"value = {text}")
            if read.keys() == {"value"}:
                return read["value"]
        raise

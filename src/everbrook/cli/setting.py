"""`everbrook settings`: every setting with its value, unit, help and origin; as text, JSON, TOML or Markdown."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from everbrook.cli.opening import loaded_settings

if TYPE_CHECKING:
    from everbrook.settings import Described, Loaded

HIDDEN = "***"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these: a group, or group.name")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--toml", action="store_true", help="as a file to start from")
    form.add_argument("--markdown", action="store_true", help="as the page docs/settings.md")


def run(arguments: argparse.Namespace) -> int:
    """Print the settings."""
    from everbrook.settings import Settings, describe

    known = describe(Settings)
    chosen = _chosen(arguments.names, known)
    if arguments.markdown:
        print(markdown(chosen), end="")
        return 0
    loaded = loaded_settings(arguments)
    if arguments.json:
        print(json.dumps([_row(one, loaded) for one in chosen], indent=2, ensure_ascii=False))
    elif arguments.toml:
        print(toml(chosen, loaded), end="")
    else:
        print(text(chosen, loaded), end="")
    return 0


def _chosen(names: list[str], known: dict[str, Described]) -> list[Described]:
    from everbrook.errors import SettingError, unknown_name

    if not names:
        return list(known.values())
    groups = dict.fromkeys(name.split(".")[0] for name in known)
    for name in names:
        if name not in known and name not in groups:
            raise SettingError(unknown_name("setting", name, known if "." in name else groups))
    return [one for one in known.values() if one.name in names or one.name.split(".")[0] in names]


def _value(one: Described, loaded: Loaded) -> Any:
    import msgspec

    group, field = one.name.split(".")
    value = msgspec.to_builtins(getattr(getattr(loaded.settings, group), field))
    return HIDDEN if one.secret and value else value


def _row(one: Described, loaded: Loaded) -> dict[str, Any]:
    return {
        "name": one.name, "value": _value(one, loaded), "unit": one.unit, "help": one.help, "must": one.must,
        "from": loaded.origins[one.name], "variable": one.variable,
    }


def text(chosen: list[Described], loaded: Loaded) -> str:
    """Two lines a setting, under the name of each group, and the digest."""
    lines: list[str] = []
    group = ""
    for one in chosen:
        if one.name.split(".")[0] != group:
            group = one.name.split(".")[0]
            lines += [f"[{group}]"]
        unit = f" {one.unit}" if one.unit else ""
        lines += [f"  {one.name} = {_toml_value(_value(one, loaded))}{unit}   ({loaded.origins[one.name]})",
                  f"      {one.help} Must be {one.must}."]
    return "\n".join([*lines, f"digest {loaded.settings.digest()}"]) + "\n"


def toml(chosen: list[Described], loaded: Loaded) -> str:
    """A settings file: what is set is written, what is default stands as a comment."""
    lines = ["# Settings of Everbrook. A line that is commented out shows the default.", ""]
    group = ""
    for one in chosen:
        if one.name.split(".")[0] != group:
            group = one.name.split(".")[0]
            lines += ([""] if lines[-1] else []) + [f"[{group}]"]
        value = _value(one, loaded)
        mark = "" if loaded.origins[one.name] != "default" and value not in (None, HIDDEN) else "# "
        unit = f" Unit: {one.unit}." if one.unit else ""
        lines += [f"# {one.help}{unit}", f"{mark}{one.name.split('.')[1]} = {_toml_value(value)}"]
    return "\n".join(lines) + "\n"


def markdown(chosen: list[Described]) -> str:
    """The page of all settings with their defaults."""
    from everbrook.settings import Loaded, Settings

    defaults = Loaded(Settings(), {one.name: "default" for one in chosen})
    lines = [
        "# Settings", "",
        "Made by `make docs` from the types in `src/everbrook/settings`; do not edit.", "",
        "Later wins: defaults < TOML file (`--config FILE` or `EVERBROOK_CONFIG`) < environment",
        "(`EVERBROOK_<GROUP>_<NAME>`) < `--set group.name=value`. An unknown name, a wrong type or a missing file is",
        "an error. `everbrook settings` shows what holds and where it came from; `everbrook settings --toml` prints a",
        "file to start from. A variable and `--set` take lists and tables as a file has them",
        "(`--set 'rank.seen_s={view = 2592000}'`), or as JSON.",
    ]
    group = ""
    for one in chosen:
        if one.name.split(".")[0] != group:
            group = one.name.split(".")[0]
            lines += ["", f"## {group}", ""]
            lines += ["| name | default | unit | what it is | must be |", "|---|---|---|---|---|"]
        cells = (f"`{one.name}`", f"`{_toml_value(_value(one, defaults))}`", one.unit or "", one.help, one.must)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    """A value as TOML writes it; 'none' where it has no word for it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml_value(one) for one in value) + "]"
    if isinstance(value, dict):
        inner = [f"{json.dumps(str(key), ensure_ascii=False)} = {_toml_value(one)}" for key, one in value.items()]
        return "{ " + ", ".join(inner) + " }" if inner else "{}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)

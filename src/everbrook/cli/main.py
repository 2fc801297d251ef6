"""`everbrook`: the commands, their common options, and how every error ends.

Each command is a module of this package with `configure` (its options) and `run`. Nothing heavy is imported before a
command runs, so that help is there at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from everbrook import __version__
from everbrook.cli import (
    checking,
    demo,
    doctor,
    experiments,
    explain,
    exporting,
    fitting,
    gating,
    importing,
    keys,
    override,
    recommending,
    refitting,
    replaying,
    rollback,
    serving,
    setting,
    similar,
    standing,
    trending,
    versions,
)
from everbrook.cli.opening import DEFAULT_DATA
from everbrook.errors import EverbrookError

COMMANDS: dict[str, tuple[ModuleType, str]] = {
    "import": (importing, "read events, items or users from files into a data directory"),
    "check": (checking, "inspect a file before anything is learned from it"),
    "fit": (fitting, "learn the large model from everything in the log"),
    "recommend": (recommending, "make a list"),
    "similar": (similar, "show the items that are most like one"),
    "trending": (trending, "show the items with which most happened lately"),
    "explain": (explain, "say why an item stands where it stands in a list, or what holds it back"),
    "replay": (replaying, "run a past log through the engine and report how good the lists would have been"),
    "serve": (serving, "answer over HTTP"),
    "keys": (keys, "make, list and take away the keys that a server asks for"),
    "status": (standing, "say where everything stands"),
    "versions": (versions, "list what answers and what can be gone back to"),
    "rollback": (rollback, "go back to a version: what was learned since is undone"),
    "experiments": (experiments, "make lists in several ways, each for some of the people, and see what they take"),
    "pause": (gating, "let the gate make no moves by itself"),
    "resume": (gating, "let the gate make its moves again"),
    "override": (override, "say by hand whom the live weights serve"),
    "refit": (refitting, "fit the large model anew in the background; the gate lets it in"),
    "doctor": (doctor, "look over a data directory and say what is wrong with it"),
    "settings": (setting, "show every setting, what it means and where its value came from"),
    "export": (exporting, "write the log's records to files"),
    "demo": (demo, "import MovieLens (or a made world), learn, serve, and say what to try"),
}
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: what follows the program's name.

    Returns:
        The exit code: 0, or that of the error's class.
    """
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed help, or what is wrong
        return int(stop.code or 0)
    try:
        return int(COMMANDS[arguments.command][0].run(arguments))
    except EverbrookError as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"everbrook: {error.message}" + (f" {error.hint}" if error.hint else ""), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("everbrook: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if arguments.debug:
            raise
        print(f"everbrook: a fault inside: {type(error).__name__}: {error} (--debug shows where).", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="everbrook", description="A recommender that learns while it serves.",
        epilog="Each command tells its options: everbrook COMMAND --help", allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"everbrook {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, told) in COMMANDS.items():
        command = commands.add_parser(
            name, help=told, description=told[0].upper() + told[1:] + ".", allow_abbrev=False,  # --k is not --key
        )
        module.configure(command)
        _common(command)
    return parser


def _common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("common options")
    group.add_argument(
        "--data", type=Path, metavar="DIR", default=None,
        help=f"data directory (else $EVERBROOK_DATA_DIR, else {DEFAULT_DATA})",
    )
    group.add_argument("--config", type=Path, metavar="FILE", help="settings as TOML (else $EVERBROOK_CONFIG)")
    group.add_argument(
        "--set", dest="assignments", action="append", default=[], metavar="GROUP.NAME=VALUE",
        help="one setting; wins over the file and the environment; may be given often",
    )
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")


if __name__ == "__main__":
    sys.exit(main())

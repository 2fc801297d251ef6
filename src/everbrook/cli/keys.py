"""`everbrook keys`: who may come in and what for; the keys themselves are told once and kept nowhere."""

from __future__ import annotations

import argparse
import json
import time

from everbrook.cli.opening import data_path

SCOPES = ("read", "write", "admin")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("what", choices=("new", "list", "remove"), help="make one, list them, or take one away")
    parser.add_argument("id", nargs="?", help="of the key to take away, as the list tells it")
    parser.add_argument(
        "--scope", action="append", choices=SCOPES, dest="scopes",
        help="what it is for: read lists, write records, admin (everything); may be given twice",
    )
    parser.add_argument("--name", help="a note for whom or what it is")
    parser.add_argument("--print", action="store_true", help="keep nothing: print the line for the settings instead")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Make, list or remove."""
    from everbrook.errors import InputError

    if arguments.what == "new":
        return _new(arguments)
    if arguments.what == "list":
        return _list(arguments)
    if not arguments.id:
        raise InputError("A key to take away must be named by its id; got none.", "List them: everbrook keys list")
    from everbrook.http.keys import FILE, remove_key

    gone = remove_key(data_path(arguments) / FILE, arguments.id)
    print(f"Taken away: {gone.id}{f' ({gone.name})' if gone.name else ''}. A running server refuses it from now on.")
    return 0


def _new(arguments: argparse.Namespace) -> int:
    from everbrook.events.log_directory import prepare_directory
    from everbrook.http.keys import FILE, add_key, new_key

    secret, key = new_key(arguments.scopes or ["read"], int(time.time() * 1000), arguments.name)
    line = f"{'+'.join(key.scopes)}:sha256:{key.sha256}"
    if not arguments.print:
        path = data_path(arguments)
        prepare_directory(path, create=True)
        add_key(path / FILE, key)
    if arguments.json:
        print(json.dumps({"key": secret, "id": key.id, "scopes": list(key.scopes), "setting": line}))
        return 0
    print(secret)
    print(f"For {' and '.join(key.scopes)}; id {key.id}. It is told once: keep it where it is safe.")
    if arguments.print:
        print(f'For the settings: EVERBROOK_SERVE_KEYS={line}  (or in TOML: serve.keys = ["{line}"])')
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from everbrook.http.keys import FILE, read_keys

    keys = read_keys(data_path(arguments) / FILE)
    if arguments.json:
        print(json.dumps([
            {"id": key.id, "scopes": list(key.scopes), "name": key.name, "created_ms": key.created_ms} for key in keys
        ]))  # fmt: skip
        return 0
    for key in keys:
        print(f"{key.id}  {'+'.join(key.scopes):<10}  {key.name or ''}".rstrip())
    if not keys:
        print("No keys: a server listens on loopback alone.")
    return 0

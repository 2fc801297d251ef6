"""`everbrook status`: offsets, counts, the experts' weights, versions."""

from __future__ import annotations

import argparse
import json
from typing import Any

from everbrook.cli.opening import opened


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print where everything stands."""
    with opened(arguments) as engine:
        status = engine.status()
    if arguments.json:
        import msgspec

        print(msgspec.json.format(msgspec.json.encode(status), indent=2).decode())
    else:
        print("\n".join(lines(status)))
    return 0


def lines(status: dict[str, Any], indent: str = "") -> list[str]:
    """A nested status as lines, tables inside tables indented."""
    found: list[str] = []
    for name, value in status.items():
        if isinstance(value, dict):
            found += [f"{indent}{name}:", *lines(value, indent + "  ")]
        elif isinstance(value, float):
            found.append(f"{indent}{name}: {value:.4g}")
        elif isinstance(value, list | tuple):
            found.append(f"{indent}{name}: {json.dumps(value, ensure_ascii=False, default=str)}")
        else:
            found.append(f"{indent}{name}: {value}")
    return found

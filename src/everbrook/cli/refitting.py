"""`everbrook refit`: the large model fitted anew in the background, and let in by the gate."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from everbrook.cli import reaching


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    reaching.configure(parser)
    parser.add_argument("--json", action="store_true", help="print how it stands as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Ask a server for it and return at once; without a server, wait for its end."""
    with reaching.reached(arguments) as engine:
        stands = engine.refit()
        if not isinstance(engine, reaching.Server):
            print("Fitting; this may take a while …", file=sys.stderr, flush=True)
            stands = finished(engine)
    print(json.dumps(stands) if arguments.json else told(stands))
    return 1 if "failed" in stands.get("last", {}) else 0


def finished(engine: Any) -> dict[str, Any]:
    """Wait for the fit of an engine in this process; how it then stands."""
    engine.refitting.wait()
    stands: dict[str, Any] = engine.refitting.status()
    return stands


def told(stands: dict[str, Any]) -> str:
    """How a refit stands, in a sentence."""
    last = stands.get("last", {})
    if stands["state"] in ("asked", "fitting"):
        return "A refit runs in the background; `everbrook status` tells how it goes."
    if "failed" in last:
        return str(last["failed"])
    if stands["state"] == "on_trial":
        return "Fitted; a server compares it with the published model on live events before it takes its place."
    if "published" in last:
        return f"Fitted and published: {last['published']}, from {last['events']} events in {last['took_s']:.1f} s."
    return f"Nothing was fitted: {last.get('outcome', 'it was ended')}."

"""`everbrook replay`: a past log through the engine that also serves, and a report on the lists it would have made."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""


def run(arguments: argparse.Namespace) -> int:
    """Replay and write the report."""
    raise NotImplementedError

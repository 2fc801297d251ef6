"""What the commands share: where the data is, which settings hold, and the engine opened on them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from everbrook.errors import NotFoundError

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Loaded

DEFAULT_DATA = Path("data/everbrook")


def data_path(arguments: argparse.Namespace) -> Path:
    """The data directory: the option, else the variable, else the default."""
    if arguments.data is not None:
        return Path(arguments.data)
    return Path(os.environ.get("EVERBROOK_DATA_DIR") or DEFAULT_DATA)


def loaded_settings(arguments: argparse.Namespace, assignments: tuple[str, ...] = ()) -> Loaded:
    """The settings of a command.

    Args:
        arguments: the parsed command line.
        assignments: what other options of the command set; they win.
    """
    from everbrook.settings import load_settings

    config = arguments.config or (Path(named) if (named := os.environ.get("EVERBROOK_CONFIG")) else None)
    return load_settings(config, assignments=(*arguments.assignments, *assignments))


@contextmanager
def opened(arguments: argparse.Namespace, must_exist: bool = True) -> Iterator[Recommender]:
    """The engine on the data directory, closed at the end.

    Raises:
        NotFoundError: the directory must exist and does not.
    """
    settings = loaded_settings(arguments).settings
    path = data_path(arguments)
    if must_exist and not path.exists():
        raise NotFoundError(
            f"Data directory '{path}' must exist; got no such directory.",
            "Make one: everbrook import FILE --data DIR",
        )

    from everbrook.engine.recommender import Recommender
    from everbrook.engine.stale_kernels import drop_stale

    drop_stale()
    with Recommender.open(path, settings, create=not must_exist) as engine:
        yield engine

"""`everbrook demo` (and `make run`): data to try things on, imported once, served each time.

The counts are learned before the first list, the large model beside the lists.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everbrook.cli import movielens
from everbrook.cli.importing import bring_in
from everbrook.cli.opening import loaded_settings
from everbrook.cli.progress import bar
from everbrook.cli.serving import assignments_of
from everbrook.cli.serving import configure as configure_serving

if TYPE_CHECKING:
    from everbrook.cli.story import Story
    from everbrook.engine.beginning import Beginning
    from everbrook.engine.recommender import Recommender
    from everbrook.events.columns import EventColumns
    from everbrook.settings import Settings

DEFAULT_DATA = Path("data/demo")
WORLD = "shop"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    configure_serving(parser)
    parser.add_argument("--made", action="store_true", help="a made world, even where MovieLens is at hand")


def run(arguments: argparse.Namespace) -> int:
    """Import and learn where nothing is stored yet; serve; say what to try."""
    settings = loaded_settings(arguments, assignments_of(arguments)).settings
    path = Path(arguments.data or DEFAULT_DATA)

    from everbrook.cli.story import Story
    from everbrook.engine.beginning import Beginning
    from everbrook.engine.compiling import Compiling
    from everbrook.engine.recommender import Recommender
    from everbrook.engine.stale_kernels import drop_stale
    from everbrook.http.guard import check_address
    from everbrook.http.server import bind

    check_address(settings.serve)
    bind(settings.serve).close()  # a taken port is told before a minute of learning
    drop_stale()
    story, compiling = Story.read(path), Compiling()
    if story is not None and story.finished:
        _say(f"{story.told}, as stored in {path}.")
        started = time.perf_counter()
        with Recommender.open(path, settings, beside=True) as engine:
            _say(f"Opened in {time.perf_counter() - started:.1f} s.")
            _serve(engine, settings, story, Beginning(engine, compiling))
        return 0
    if story is not None:  # begun and not ended: what is there is ours and only half
        shutil.rmtree(path, ignore_errors=True)
    folder = None if arguments.made else _movielens(path)
    with Recommender.open(path, settings, beside=True) as engine:
        with _compiling_aside(settings):
            told = _learn(engine, path, settings, folder)
        _serve(engine, settings, told, Beginning(engine, compiling, has_made_list=False))
    return 0


@contextmanager
def _compiling_aside(settings: Settings) -> Iterator[None]:
    """Meanwhile another process compiles what lists need, where this machine has none of it yet."""
    from everbrook.engine.beginning import warm_up

    process = get_context("spawn").Process(target=warm_up, args=(settings,), daemon=True)
    process.start()
    try:
        yield
        process.join()
    finally:
        process.kill()


def _serve(engine: Recommender, settings: Settings, story: Story, beginning: Beginning) -> None:
    """Answer, let the live model learn beside it, and the large model be fitted where there is none yet."""
    from everbrook.http.server import serve

    if engine.status()["version"]["name"].startswith("counts-") and settings.engine.refit_every_s:
        _say("The large model is fitted in the background and joins the lists when it is ready (everbrook status).")
    with beginning:

        def listens(address: str) -> None:
            beginning.start(lambda: _say(story.to_try(address)))
            if not engine.is_warm():
                _say("Getting ready; what was never compiled on this machine is, once, and that takes minutes …")

        serve(engine, settings, listens)


def _movielens(path: Path) -> Path | None:
    """The folder of MovieLens; the first line of output says which data it will be."""
    folder = movielens.find()
    if folder is None:
        fetched = path.parent / movielens.NAME
        why_not = None if fetched.is_dir() else movielens.fetch(fetched)
        if why_not is not None:
            _say(f"A made world of people and items, no real data: MovieLens {why_not}.")
            return None
        folder = fetched
    _say(f"MovieLens latest-small, from {folder}.")
    return folder


def _learn(engine: Recommender, path: Path, settings: Settings, folder: Path | None) -> Story:
    begun = time.perf_counter()
    story = _from_movielens(engine, path, settings, folder) if folder else _from_a_made_world(engine, path)
    _say(f"Imported in {time.perf_counter() - begun:.1f} s. Learning the counts …")
    begun = time.perf_counter()
    engine.update()
    engine.checkpoint()
    _say(f"Learned in {time.perf_counter() - begun:.1f} s.")
    return _kept(path, story, finished=True)


def _from_movielens(engine: Recommender, path: Path, settings: Settings, folder: Path) -> Story:
    from everbrook.events.importing import open_source

    source = open_source(folder, settings=settings.data)
    with bar("reading") as told:
        columns = source.load(told)
    story = _kept(path, _told_by("MovieLens latest-small", columns, value=5.0))
    bring_in(engine, source)
    return story


def _from_a_made_world(engine: Recommender, path: Path) -> Story:
    """A shop whose last event is just now, so that the lists are of today."""
    import msgspec

    from everbrook.testing.world_config import DAY_MS, preset
    from everbrook.testing.worlds import World

    config = preset(WORLD)
    now_ms = int(time.time() * 1000)
    world = World(msgspec.structs.replace(config, start_ms=now_ms - round(config.days * DAY_MS)))
    events = world.all_events()
    story = _kept(path, _told_by(f"A made world ('{WORLD}'), no real data", events))
    engine.put_items(world.item_changes())
    engine.import_columns(events, learn=False)
    return story


def _told_by(told: str, events: EventColumns, value: float | None = None) -> Story:
    """The story of the last known user."""
    from everbrook.cli.story import Story

    last = int((events.user.codes >= 0).nonzero()[0][-1])
    return Story(
        told=told, user=events.user.names[events.user.codes[last]], item=events.item.names[events.item.codes[last]],
        kind=events.kind.names[events.kind.codes[last]], value=value,
    )


def _kept(path: Path, story: Story, **changes: Any) -> Story:
    import msgspec

    story = msgspec.structs.replace(story, **changes)
    story.write(path)
    return story


def _say(text: str) -> None:
    print(text, flush=True)

"""What a server does once it listens, beside its first lists: the learner's process, compiled code, the large model.

All of it was once done before the first request was answered. Lists need none of it: they go on from what was kept.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from everbrook.engine.compiling import Compiling
from everbrook.engine.log_lines import say
from everbrook.engine.rehearsing import FEW, MORE, first_delta, has_live, rehearsed
from everbrook.events.text_table import Texts, TextTable
from everbrook.settings import Settings

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender

FIRST_LISTS_S = 0.5
KNOWN = 4  # items with records
MANY = 64  # new names in one batch: more than are taken in one by one
_log = logging.getLogger("everbrook.engine")


class Beginning:
    """Begins beside the lists what a server needs; use it with `with`, around the serving.

    Until compiled code is loaded the engine is not ready, unless it took in a log and made a list of it on opening and
    nothing had to be compiled for that: then there is nothing to wait for. Once ready it stays so.

    Args:
        engine: an engine that was opened with `beside`.
        compiling: watches since before it was opened.
        has_made_list: whether it made a list on opening; what the log says where None.
    """

    def __init__(
        self, engine: Recommender, compiling: Compiling | None = None, *, has_made_list: bool | None = None
    ) -> None:
        self._engine, self._compiling = engine, compiling or Compiling()
        if has_made_list is None:
            has_made_list = engine.log.end > 0
        self._is_warm = has_made_list and not self._compiling.count
        self._told: Callable[[], None] = lambda: None
        self._ended = threading.Event()
        engine.is_warm = self.is_warm
        self._thread = threading.Thread(target=self._run, name="everbrook-beginning", daemon=True)

    def start(self, told: Callable[[], None] = lambda: None) -> None:
        """Begin; the server listens.

        Args:
            told: called once, as soon as nothing has to be compiled before a request is answered: now, or later in
                another thread.
        """
        if self._is_warm:
            told()
        else:
            self._told = told
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until everything has begun; whether that came about in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def is_warm(self) -> bool:
        """Whether requests are answered without anything being compiled first, as far as is known."""
        return self._is_warm

    def __enter__(self) -> Beginning:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()  # what has not begun does not
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        engine = self._engine
        if self._is_warm:  # who waited for the start has the processor for a first list
            self._ended.wait(FIRST_LISTS_S)
        self._do("The learner was not started", engine.start_learner)
        self._do("Compiled code was not loaded beforehand", lambda: warm_up(engine.settings))
        self._is_warm = True
        self._compiling.close()
        self._do("It could not be told that requests are answered", self._told)
        self._do("The large model was not loaded", engine.load_model)
        self._do("Fits in the background were not started", engine.start_refits)

    def _do(self, otherwise: str, what: Callable[[], object]) -> None:
        if self._ended.is_set():
            return
        try:
            what()
        except Exception as error:  # noqa: BLE001  whatever it was, lists go on
            _log.debug("It failed here.", exc_info=True)
            self._engine.note_error(f"{otherwise}: {type(error).__name__}: {error}")


def warm_up(settings: Settings) -> None:
    """Let an engine that nobody knows take in a few events and make lists: what is compiled is loaded by that.

    Args:
        settings: of the engine that people know.
    """
    from everbrook.engine.recommender import Recommender

    replaced = msgspec.structs.replace
    alone = replaced(
        rehearsed(settings), learner=replaced(settings.learner, mode="off"),
        mixture=replaced(settings.mixture, judge_share=1.0),
        engine=replaced(settings.engine, judge_core_share=0.0, log_impressions=False),
        state=replaced(settings.state, closed=False),
    )  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="everbrook-") as folder,
        Recommender.open(Path(folder) / "data", alone) as engine,
    ):
        engine.put_items([_item(n) for n in range(KNOWN)])
        for n in range(4):
            engine.ingest([{"user": f"u{user}", "item": f"i{(n + user) % 3}"} for user in range(n % 2 + 1)])
        engine.ingest([{"user": f"u{n // 2}", "item": f"i{n % 2}"} for n in range(MANY)])
        _look(engine)
        _look_closer(engine)
        if has_live(settings):
            _rehearse(engine, alone)
        engine.forgo_checkpoint()
    say(_log, "Compiled code is loaded.", level=logging.DEBUG)


def _item(n: int) -> dict[str, Any]:
    """A record that says something of each sort."""
    return {
        "id": f"i{n}", "title": f"Item {n}", "text": "One of them.", "categories": ["a"], "tags": ["b"],
        "properties": {"price": n},
    }  # fmt: skip


def _look_closer(engine: Recommender) -> None:
    """Ask for what people ask for more rarely."""
    engine.recommend(user="u0", k=2, diversity=0.5)
    engine.recommend(user="u0", k=2, pin=[{"item": "i1", "position": 1}])
    engine.recommend(user="u0", candidates=["i1"])
    engine.similar("i0", k=2)
    engine.explain(user="u0", item="i1")
    engine.ingest([{"user": "follower", "item": "i0"}])
    engine.recommend(user="follower", k=2)
    engine.recommend(user="follower", candidates=["i3"])  # of which only its record tells
    names = TextTable()
    names.add(Texts.of(["u0"]))
    names.find("u0")


def _look(engine: Recommender) -> None:
    from everbrook.rank.requests import Recommend

    for user in ("u0", "u1", "stranger"):
        engine.recommend(user=user, k=2)
    engine.recommend_many([Recommend(user=user, k=2) for user in ("u0", "stranger")])


def _rehearse(engine: Recommender, settings: Settings) -> None:
    """Make lists as they will be made from what a learner's process sends, for catalogues of any size."""
    known = KNOWN
    for items in (known, FEW, MORE):
        if items > known:
            engine.put_items([{"id": f"i{n}"} for n in range(known, items)])
        known = items
        for stage in ("shadow", "live"):
            engine.live.take(first_delta(settings, items, stage))
            engine.ingest([{"user": "u0", "item": "i1"}, {"user": "u1", "item": "i2"}])
            _look(engine)

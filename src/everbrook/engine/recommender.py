"""The recommender: a data directory opened as a log, a core that follows it, and lists from what is published."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from everbrook.engine.admission import check_columns_room
from everbrook.engine.allowance import Allowance
from everbrook.engine.browsing import Browsing
from everbrook.engine.building import new_core
from everbrook.engine.checkpoint_log import tie_to_log
from everbrook.engine.fitting import OnProgress, catch_up, learn_on, relearn
from everbrook.engine.forgetting import NamedLog, Names
from everbrook.engine.freed_memory import give_back
from everbrook.engine.fresh_lock import FreshLock
from everbrook.engine.keeping import Snapshot, learned_digest, recover, version_name
from everbrook.engine.listing import Listing
from everbrook.engine.living import Living
from everbrook.engine.log_lines import say
from everbrook.engine.people import People
from everbrook.engine.publishing import put_in, ready
from everbrook.engine.refitting import Refitting
from everbrook.engine.steering import Owner
from everbrook.engine.taking import Receipt, Taking
from everbrook.engine.times import Times
from everbrook.engine.wall_clock import WallClock
from everbrook.engine.wishes import read_wishes
from everbrook.events.columns import EventColumns
from everbrook.events.log import Appended
from everbrook.events.log_intake import check_events, check_users
from everbrook.events.records import Event, ItemChange, UserChange, Version, VersionAction
from everbrook.events.sqlite_log import SqliteLog
from everbrook.models.live_expert import LiveExpert
from everbrook.models.sequence_expert import SequenceExpert
from everbrook.rank.lists import Wish, make_lists
from everbrook.rank.mixture import Judgement
from everbrook.rank.requests import Recommend
from everbrook.settings import Settings
from everbrook.types import Clock, Step

if TYPE_CHECKING:
    from everbrook.models.sequence import SequenceModel

_log = logging.getLogger("everbrook.engine")


class Recommender(Taking, Listing, People, Browsing):
    """Records in, lists out, on one data directory. Safe to call from several threads; use it with `with`.

    Example:
        >>> import tempfile
        >>> from everbrook import Recommender
        >>> with Recommender.open(tempfile.mkdtemp()) as shop:
        ...     receipt = shop.ingest([{"user": "u1", "item": "i1", "kind": "view"}])
        ...     shop.recommend(user="u2", k=1).items[0].id
        'i1'
    """

    def __init__(self, path: Path, log: SqliteLog, settings: Settings, clock: Clock, beside: bool = False) -> None:
        """Use `open`."""
        self.path, self.log, self.settings, self.clock = path, log, settings, clock
        self._lock, self._keeping = FreshLock(self._take_in_owed), threading.Lock()  # of lists; of checkpoints: first
        self._loading = threading.Lock()
        self._digest = learned_digest(settings)
        self._core, self._forgotten = new_core(settings), Names()
        self._kept_events = 0
        self._allowance = Allowance(settings.engine.judge_core_share, settings.engine.judge_burst)
        self._opened_ms, self._lists, self.list_waits = clock.now_ms(), 0, Times()
        self._kept_ms = self._opened_ms
        self.errors: list[str] = []
        self.is_warm = lambda: True
        self._published = Snapshot("counts-0", 0, self._opened_ms, self._digest)
        self.live = Living(path, log, settings, self._lock.bare, clock.now_ms)
        self.refitting = Refitting(path, settings, self._digest, clock.now_ms, Owner(self))
        self._attach()
        if not (beside and settings.learner.mode == "process"):
            self.live.learn_inside()
        self._is_open = False
        self._recover(beside)
        self._is_open = True
        self._end_erasures()

    @classmethod
    def open(
        cls, path: Path | str, settings: Settings | None = None, clock: Clock | None = None, *, create: bool = True,
        beside: bool = False,
    ) -> Recommender:  # fmt: skip
        """Open a data directory, made where there is none, and catch up with its log.

        Args:
            path: the directory.
            settings: all of them; the defaults where None.
            clock: the present moment; the machine's where None.
            create: whether a missing directory is made.
            beside: whether `start_learner` will be called, as a server does: what its process left is then not loaded
                in here, and a damaged segment of the log is named and left out rather than an error.

        Raises:
            NotFoundError: there is no data directory, and none is to be made.
            DataError: it is of another version, or damaged.
            BusyError: another process holds it.
        """
        settings = settings or Settings()
        log = SqliteLog.open(path, settings.log, create=create, lenient=beside)
        try:
            return cls(Path(path), log, settings, clock or WallClock(), beside)
        except BaseException:
            log.close()
            raise

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Keep a checkpoint of what was learned since the last, and let go of the directory."""
        self._retries.close()
        self.refitting.close()
        self.live.close()
        try:
            if self._core.events > self._kept_events:
                self.checkpoint()
        finally:
            with self._lock:
                self.log.close()

    def start_learner(self) -> bool:
        """Let the live model learn in a process of its own from now on; whether the settings want one."""
        return self.live.start_process()

    # -- records in ----------------------------------------------------------------------------------------------

    def ingest(self, events: Sequence[Event | Mapping[str, Any]]) -> Receipt:
        """Take in a batch of events, all or none: durable, and in every list made after this returns.

        Raises:
            RecordError: one of them is wrong; its position is named, nothing is kept.
            StorageError: the disk refuses; nothing is kept.
        """
        now_ms = self.clock.now_ms()
        checked = check_events(events, now_ms, int(1000 * self.settings.log.future_tolerance_s))
        self._admit(checked)
        return self._taken(self.log.append(checked))

    def import_columns(self, columns: EventColumns, learn: bool = True) -> Receipt:
        """Take in many checked events at once, as an importer gives them.

        Args:
            columns: the events.
            learn: whether lists reflect them at once; else they are durable, and `update` or `fit` learns them.
        """
        check_columns_room(columns, self._core.state)
        appended = self.log.append_columns(columns)
        if learn:
            return self._taken(appended)
        return Receipt(appended.accepted, len(appended.duplicates), appended.stop)

    def put_items(self, items: Sequence[ItemChange | Mapping[str, Any]]) -> Receipt:
        """Insert or change items; fields left out stay as they are, None removes."""
        return self._taken(self.log.append(self._checked_items(items)))

    def put_users(self, users: Sequence[UserChange | Mapping[str, Any]]) -> Receipt:
        """Insert or change users; fields left out stay as they are, None removes."""
        return self._taken(self.log.append(check_users(users)))

    def _taken(self, appended: Appended) -> Receipt:
        self.update(appended.stop)
        return Receipt(appended.accepted, len(appended.duplicates), appended.stop)

    def _judged(self, step: Step, b: int, found: Judgement) -> None:
        self.refitting.note(step, b)
        if self._is_open:  # what is learned on opening was judged in its own time
            self.quality.note(self._core.mixture, step, b, found, self.clock.now_ms())

    # -- the large model -----------------------------------------------------------------------------------------

    def fit(self, progress: OnProgress | None = None) -> dict[str, Any]:
        """Learn everything anew from the log, the sequence model with it, and publish; lists go on meanwhile.

        Who is forgotten meanwhile is so in what was learned, too.

        Args:
            progress: told how it goes.

        Returns:
            What was learned: events, items, seconds, version and the validation's quality.
        """
        started, log = time.perf_counter(), NamedLog(self.log, self._forgotten)
        with self._forgotten.held():
            done = relearn(log, self.settings, progress, Owner(self).numbering())
            self._previous.keep(self._published)
            catch_up(done.core, log, log.end, self.settings)  # what came meanwhile; lists wait for the rest only
            learning = done.learning if self.live.supervisor is None else None  # where a process learns it is its own
            learn_on(learning, log, done.core.offset)
            with self._lock:
                catch_up(done.core, log, log.end, self.settings)
                self._core = done.core
                self._attach()
                learn_on(learning, log, self._core.offset)
                self.live.learn_inside(learning)
                self.live.follow(self._core.offset)
                self.publish(done.model)
        self.checkpoint()
        return {
            "version": self._published.version, "events": done.core.events, "items": done.core.state.n_items,
            "took_s": round(time.perf_counter() - started, 2), **done.quality,
        }  # fmt: skip

    def publish(
        self, model: SequenceModel | None, offset: int | None = None, action: VersionAction = "publish",
        because: str | None = None,
    ) -> Snapshot:  # fmt: skip
        """Let a sequence model answer from now on, by one swap, and say so in the log.

        Args:
            model: the model; None lets the counts answer alone.
            offset: of the log, up to which it has learned; what was learned along with it where None.
            action: how the log calls this.
            because: why, for the log.
        """
        expert = ready(self._core, model)
        with self._lock:
            offset, now_ms = self._core.offset if offset is None else offset, self.clock.now_ms()
            snapshot = Snapshot(version_name(model, offset), offset, now_ms, self._digest, model)
            told = Version(
                version=snapshot.version, offset=offset, ts=now_ms, action=action, settings=self._digest,
                because=because,
            )  # fmt: skip
            self.log.append([told])
            self._swap(snapshot, expert)  # whoever sees the version finds it in the log
        say(_log, "Published.", version=snapshot.version, offset=offset, action=action, because=because)
        return snapshot

    def checkpoint(self) -> Path:
        """Write everything learned, cut at one offset, and how right lists were."""
        kept = super().checkpoint()
        with self._keeping:
            self.keep_quality()
        give_back()  # what was copied, where it was
        return kept

    def _attach(self) -> None:
        self.live.attach(self._core.family(LiveExpert))

    def _swap(self, snapshot: Snapshot, expert: SequenceExpert | None) -> None:
        put_in(self._core, expert)
        self._published = snapshot

    def _recover(self, beside: bool) -> None:
        tie_to_log(self.path, self._sqlite_log().openings, self.log.end)
        found = recover(self.path, self._core, self.log.end, self._digest, beside)
        left = {} if found is None else found.live
        if found is not None:
            self._kept_events = self._core.events
            self._attach()
            self._swap(found.snapshot, ready(self._core, found.snapshot.model))
        if beside and self.settings.learner.mode == "process":
            self.live.wait_for_process(left)
        else:
            self.live.take_up(left)
        if beside:
            self._sqlite_log().check_aside()
        self.update()
        if self._core.state.n_items:  # the first list loads compiled code: better here than for a caller
            read = read_wishes([Recommend()], self._core, self.settings.rank, self._opened_ms)
            make_lists(self._core.mixture, [one for one in read if isinstance(one, Wish)], 0)


__all__ = ["Receipt", "Recommender", "Snapshot", "WallClock"]

"""Deletions that did not come to their end are tried again by themselves, and after a restart."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from everbrook import Recommender
from everbrook.engine import fitting, forgetting
from everbrook.engine.forgetting import Retries
from everbrook.engine.learning import LiveLearning
from everbrook.engine.resuming import keep_for_process
from everbrook.engine.starting_over import start_over
from everbrook.errors import NotFoundError, StorageError
from everbrook.events.erasing import Intents
from everbrook.events.records import Deletion
from everbrook.events.sqlite_log import SqliteLog
from everbrook.settings import load_settings

SETTINGS = load_settings(environment={}, assignments=['mixture.experts=["popularity"]']).settings
PERSON = "person-57721566"


def _refusing(times: int, done: threading.Event, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the log refuse to be cleaned so often; tells how often it was asked."""
    asked: list[int] = []
    real = SqliteLog.erase

    def erase(self: SqliteLog, *arguments: Any) -> Any:
        asked.append(1)
        if len(asked) <= times:
            raise StorageError("The disk must take what is written; it refused.")
        erased = real(self, *arguments)
        done.set()
        return erased

    monkeypatch.setattr(SqliteLog, "erase", erase)
    return asked


def test_intents_of_many_threads_are_all_kept_and_all_ended(tmp_path: Path) -> None:
    intents, names = Intents(tmp_path), [f"u{n}" for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: Intents(tmp_path).begin(name), [*names, "u0"]))
        assert intents.pending() == sorted([*names, "u0"])
        list(threads.map(lambda name: Intents(tmp_path).end(name), names))
    assert intents.pending() == ["u0"]  # who was begun twice is still being forgotten
    intents.end("u0")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_list_of_intents_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "erasing.json").write_text('["u3')
    with pytest.raises(StorageError, match=r"erasing\.json' must be a JSON list"):
        Intents(tmp_path).begin("u4")
    assert (tmp_path / "erasing.json").read_text() == '["u3'


def test_a_deletion_that_the_disk_refused_is_done_later_without_being_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting.Retries.__init__, "__defaults__", (0.01,))
    done = threading.Event()
    asked = _refusing(3, done, monkeypatch)
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": PERSON, "item": "i1"}, {"user": "other", "item": "i1"}])
        with pytest.raises(StorageError):
            shop.delete_user(PERSON)
        assert Intents(shop.path).pending() == [PERSON]
        assert done.wait(60)
        shop._retries._thread.join(60)  # type: ignore[union-attr]
        assert len(asked) == 4
        assert Intents(shop.path).pending() == []
        assert [error for error in shop.status()["last_errors"] if "is not forgotten everywhere yet" in error]
        assert PERSON not in str(shop.status()["last_errors"])
        assert shop.user("other")["events"]
    assert all(PERSON.encode() not in path.read_bytes() for path in shop.path.rglob("*") if path.is_file())


def test_a_recommender_that_closes_leaves_the_rest_to_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    _refusing(1, done, monkeypatch)
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": PERSON, "item": "i1"}])
        with pytest.raises(StorageError):
            shop.delete_user(PERSON)
    assert not done.is_set()
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        assert done.is_set()
        assert Intents(shop.path).pending() == []


def test_waits_double_up_to_a_bound_and_end_when_it_closes() -> None:
    told: list[str] = []
    enough = threading.Event()

    def note(text: str) -> None:
        told.append(text)
        if len(told) == 5:
            enough.set()

    def refuse(_: str) -> None:
        raise StorageError("It is full.")

    retries = Retries(lambda: ["somebody"], refuse, note, first_s=0.001)
    retries.begin()
    retries.begin()  # one thread is enough
    assert enough.wait(60)
    retries.close()
    retries.begin()
    assert [text.partition(" in ")[2].partition(" s")[0] for text in told[:4]] == ["0.002", "0.004", "0.008", "0.016"]
    assert len(told) == len(set(told))


def _flip(file: Path) -> bytes:
    """Damage a file; gives what it was."""
    whole = file.read_bytes()
    body = bytearray(whole)
    body[len(body) // 2] ^= 4
    file.write_bytes(body)
    return whole


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A data directory whose events lie in two segments, and live; some of each are the person's."""
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        for part in range(3):
            shop.ingest([{"user": user, "item": f"i{part}"} for user in (PERSON, "other")])
            assert part == 2 or shop._sqlite_log().seal() == 2
    return tmp_path / "data"


def test_while_a_segment_is_damaged_nobody_is_forgotten_and_nothing_is_half_done(sealed: Path) -> None:
    file = sealed / "segments" / "00000001.arrow"
    whole = _flip(file)
    with Recommender.open(sealed, SETTINGS, beside=True) as shop:
        end, known = shop.log.end, shop.user(PERSON)
        with pytest.raises(StorageError) as raised:
            shop.delete_user(PERSON)
        assert raised.value.message == (
            "All of the log must be readable before somebody can be forgotten; 1 of its segments cannot be read: "
            "00000001.arrow. Nothing was changed. Run `everbrook doctor`, put the files back from a backup, and ask "
            "again."
        )
        assert (shop.log.end, shop.user(PERSON), Intents(sealed).pending()) == (end, known, [])
        file.write_bytes(whole)
        assert shop.delete_user(PERSON)["removed"]["events"] == 3
    assert all(PERSON.encode() not in path.read_bytes() for path in sealed.rglob("*") if path.is_file())


def test_a_deletion_that_was_begun_and_a_damaged_segment_do_not_stand_in_the_way_of_a_start(
    sealed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting.Retries.__init__, "__defaults__", (0.01,))
    done = threading.Event()
    _refusing(0, done, monkeypatch)
    file = sealed / "segments" / "00000002.arrow"
    whole = _flip(file)
    Intents(sealed).begin(PERSON)
    with Recommender.open(sealed, SETTINGS, beside=True) as shop:
        assert any("00000002.arrow" in error for error in shop.status()["last_errors"])
        assert shop.recommend(user="other", k=3).items
        assert not done.is_set()
        file.write_bytes(whole)
        assert done.wait(60)
        shop._retries._thread.join(60)  # type: ignore[union-attr]
        assert Intents(sealed).pending() == []
    assert all(PERSON.encode() not in path.read_bytes() for path in sealed.rglob("*") if path.is_file())


def _left(path: Path) -> list[str]:
    files = [file for file in path.rglob("*") if file.is_file()]
    return [str(file.relative_to(path)) for file in files if PERSON.encode() in file.read_bytes()]


def _half_written(kept: Path, name: str) -> Path:
    """What a process that is killed leaves of a checkpoint; gives its folder."""
    draft = kept.with_name(f"{name}.draft")
    shutil.copytree(kept, draft)
    (draft / "checkpoint.json").unlink()
    return draft


def test_a_checkpoint_that_was_not_ended_goes_with_the_person_and_one_being_written_stays(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": PERSON, "item": "i1"}, {"user": "other", "item": "i1"}])
        kept = shop.checkpoint()
        draft, later = _half_written(kept, kept.name), kept.with_name(f"{shop.log.end + 99:016d}.draft")
        later.mkdir()
        assert len(_left(shop.path)) >= 3
        shop.delete_user(PERSON)
        assert _left(shop.path) == []
        assert (draft.exists(), later.exists()) == (False, True)


def test_checkpoints_that_were_not_ended_are_gone_after_a_start(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": PERSON, "item": "i1"}])
        kept = shop.checkpoint()
    drafts = [_half_written(kept, f"{10**15:016d}"), _half_written(kept, f"learner-{5:016d}")]
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        assert [draft for draft in drafts if draft.exists()] == []
        assert shop.user(PERSON)["events"]
        shop.delete_user(PERSON)
        assert _left(shop.path) == []


@pytest.mark.parametrize("returns", [False, True])
def test_who_is_forgotten_while_everything_is_learned_anew_is_not_brought_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returns: bool
) -> None:
    follow, parts = fitting.follow, []

    def followed(*arguments: Any, **more: Any) -> None:
        follow(*arguments, **more)
        parts.append(arguments[2])
        if len(parts) == 1:  # of the earlier part of the log, in which the person is
            shop.delete_user(PERSON)
            if returns:
                shop.ingest([{"user": PERSON, "item": "i2"}])

    assignments = ['mixture.experts=["popularity", "live"]', "learner.mode=inside", "live.width=16"]
    with Recommender.open(tmp_path / "data", load_settings(environment={}, assignments=assignments).settings) as shop:
        shop.ingest([{"user": PERSON, "item": "i1"}] * 3 + [{"user": "other", "item": "i1"}] * 9)
        monkeypatch.setattr(fitting, "follow", followed)
        shop.fit()
        assert shop.live.learning is not None
        for state in (shop._core.state, shop.live.learning.state):
            row = state.users.row(PERSON)
            assert (row >= 0) is returns
            assert not returns or len(state.histories.past(state.histories.actor_of(row, -1, named=True))) == 1
        if returns:
            assert [event["item"] for event in shop.user(PERSON)["events"]] == ["i2"]
            shop.delete_user(PERSON)
        with pytest.raises(NotFoundError):
            shop.user(PERSON)
        assert _left(shop.path) == []
        assert len(shop.user("other")["events"]) == 9
        assert shop._forgotten._names == {}
    assert _left(tmp_path) == []


def test_lists_go_on_while_what_a_process_left_is_brought_to_the_end_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assignments = ['mixture.experts=["popularity", "live"]', "live.width=16", "learner.micro_batch_events=4"]
    settings = load_settings(environment={}, assignments=assignments).settings
    with Recommender.open(tmp_path / "data", settings) as shop:
        shop.ingest([{"user": "other", "item": f"i{n}"} for n in range(4)])
        assert shop.live.learning is not None
        keep_for_process(shop.path, settings, shop.live.learning)
        shop.ingest([{"user": "other", "item": f"i{n}"} for n in range(20)])
        shop.forgo_checkpoint()  # as if it was killed
    with Recommender.open(tmp_path / "data", settings, beside=True) as shop, ThreadPoolExecutor(1) as lists:
        absorb, counts = LiveLearning.absorb, []

        def absorbed(self: LiveLearning, run: Any) -> None:
            counts.append(lists.submit(lambda: len(shop.recommend(k=3).items)).result(timeout=60))
            absorb(self, run)

        monkeypatch.setattr(LiveLearning, "absorb", absorbed)
        assert start_over(shop.live)["learner_checkpoints"] == 1
        assert counts == [3] * 5


def test_the_deletion_itself_is_none_of_the_earlier_ones(tmp_path: Path) -> None:
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": PERSON, "item": "i1"}])
        shop.log.append([Deletion(what="user", id=PERSON, ts=1)] * 2)
        assert shop.delete_user(PERSON)["removed"]["earlier_deletions"] == 2
        assert shop.delete_user(PERSON)["removed"]["earlier_deletions"] == 0


def test_a_disk_that_refuses_to_remove_again_and_again_is_told_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.unlink

    def refused(self: Path, *arguments: Any, **options: Any) -> None:
        if self.suffix == ".arrow":
            raise OSError(5, "Input/output error")
        real(self, *arguments, **options)

    monkeypatch.setattr(forgetting.Retries.__init__, "__defaults__", (0.05,))
    with Recommender.open(tmp_path / "data", SETTINGS) as shop:
        shop.ingest([{"user": PERSON, "item": "i1"}, {"user": "other", "item": "i1"}])
        shop.log.seal()
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", refused)
            for _ in range(2):
                with pytest.raises(StorageError):
                    shop.delete_user(PERSON)
        until = time.monotonic() + 60.0
        while Intents(shop.path).pending():  # tried again by itself
            assert time.monotonic() < until
            time.sleep(0.05)
        left = [file for file in shop.path.rglob("*") if file.is_file() and PERSON.encode() in file.read_bytes()]
        assert left == []

"""A fit learns a made world, can be stopped and gone on with, and depends on nothing but what it is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from everbrook.errors import DataError, SettingError, UnknownNameError
from everbrook.learn.batches import Histories, epoch, pack
from everbrook.learn.device import device_named
from everbrook.learn.fit import Fitted, Hooks, Lesson, Progress, fit
from everbrook.learn.optimisers import TableOptimiser, rate_at
from everbrook.learn.trainer import Trainer
from everbrook.learn.validation import quality
from everbrook.models.losses import LOSSES
from everbrook.models.sequence_registry import new_model
from everbrook.settings.fit import FitSettings
from everbrook.settings.sequence import SequenceSettings

N = 24
SHAPE = SequenceSettings(width=16, heads=2, history=8, dropout=0.1, item_dropout=0.1, layers=1)
SETTINGS = FitSettings(
    epochs=3, refit_epochs=2, batch_events=128, negatives=12, learning_rate=0.02, warmup_steps=2, patience=0,
    device="cpu", start="random",
)  # fmt: skip


def circle(actors: int, seed: int = 0, items: int = N) -> Histories:
    """A world whose answer is known: after item i comes i + 1, or i + 2 every other time."""
    rng = np.random.default_rng(seed)
    walks = [(rng.integers(items) + np.cumsum(rng.integers(1, 3, 9))) % items for _ in range(actors)]
    return pack(np.repeat(np.arange(actors), 9), {"items": np.concatenate(walks), "values": rng.random(actors * 9)})


def weights(fitted: Fitted) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in fitted.model.state_dict().items()}


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
@pytest.mark.parametrize(("loss", "epochs", "least"), [("softmax", 4, 0.95), ("sampled", 6, 0.95), ("gbce", 6, 0.6)])
def test_a_fit_learns_what_follows_what(kind: str, loss: str, epochs: int, least: float) -> None:
    shape = msgspec.structs.replace(SHAPE, kind=kind)
    settings = msgspec.structs.replace(SETTINGS, loss=loss, epochs=epochs, batch_events=32)
    fitted = fit(Lesson(circle(100), N), shape, settings)
    assert quality(fitted.model, circle(50, seed=1), top=2)["recall@2"] > least


@pytest.mark.parametrize(("weeks", "known"), [(3, False), (4, True)])
def test_the_hour_counts_where_histories_span_weeks(weeks: int, known: bool) -> None:
    seen = circle(20)
    ts_ms = np.linspace(0, weeks * 7 * 86_400_000, len(seen.items)).astype(np.int64)
    fitted = fit(Lesson(replace(seen, ts_ms=ts_ms), N), SHAPE, msgspec.structs.replace(SETTINGS, epochs=1))
    assert (fitted.model.hour is not None) == known


def habits(actors: int, seed: int) -> Histories:
    """What comes next is known from the hour alone: one item in the morning, another in the evening."""
    rng = np.random.default_rng(seed)
    ts_ms = np.sort(rng.integers(0, 60, (actors, 8)), 1) * 86_400_000
    evening = rng.random((actors, 8)) < 0.5
    ts_ms += np.where(evening, 19, 7) * 3_600_000
    order = np.argsort(ts_ms, 1)
    items = np.where(evening, 5, 11)
    ts_ms, items = np.take_along_axis(ts_ms, order, 1), np.take_along_axis(items, order, 1)
    return pack(np.repeat(np.arange(actors), 8), {"items": items.ravel(), "ts_ms": ts_ms.ravel()})


def test_the_hour_that_is_asked_about_is_learned() -> None:
    settings = msgspec.structs.replace(SETTINGS, epochs=20, batch_events=64)
    found = {}
    for hour in (False, True):
        fitted = fit(Lesson(habits(100, 0), N), msgspec.structs.replace(SHAPE, hour=hour), settings)
        found[hour] = quality(fitted.model, habits(50, 1), top=1)["recall@1"]
    assert found[True] > 0.95
    assert found[False] < 0.7


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam", "rmsprop", "adagrad"])
def test_one_step_lowers_the_loss_on_its_batch(loss: str, optimiser: str) -> None:
    settings = msgspec.structs.replace(SETTINGS, loss=loss, optimiser=optimiser)
    shape = msgspec.structs.replace(SHAPE, dropout=0.0, item_dropout=0.0)
    histories = circle(20)
    trainer = Trainer(new_model(shape, N), settings, np.bincount(histories.items, minlength=N))
    (batch, *_) = epoch(histories, 8, 200, None)
    rate = 1e-4 if optimiser in ("adam", "rmsprop", "adagrad") else 1e-3
    before = trainer.step(batch, rate, (0,))
    assert trainer.step(batch, 0.0, (0,)) < before


def test_a_sampled_step_moves_only_the_rows_it_touched() -> None:
    settings = msgspec.structs.replace(SETTINGS, negatives=1, weight_decay=0.1)
    trainer = Trainer(new_model(SHAPE, 1000), settings, np.ones(1000, np.int64))
    before = trainer.model.table.detach().clone()
    (batch, *_) = epoch(circle(3), 8, 200, None)
    trainer.step(batch, 0.01, (0,))
    moved = torch.nonzero((trainer.model.table != before).any(1))[:, 0]
    assert len(moved) <= N + 1
    assert trainer.model.table.grad is None


def test_the_same_seed_gives_the_same_weights_whatever_torch_drew_before() -> None:
    lesson = Lesson(circle(30), N)
    one = weights(fit(lesson, SHAPE, SETTINGS))
    torch.rand(17)
    two = weights(fit(lesson, SHAPE, SETTINGS))
    other = weights(fit(lesson, SHAPE, msgspec.structs.replace(SETTINGS, seed=1)))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["table"], other["table"])


def test_a_fit_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    fit(Lesson(circle(10), N), SHAPE, SETTINGS)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("optimiser", ["momentum", "adam", "rmsprop", "adagrad"])
@pytest.mark.parametrize("stop_after", [1, 4, 7])
def test_a_fit_that_was_stopped_and_gone_on_with_is_the_uninterrupted_one(
    optimiser: str, stop_after: int, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(SETTINGS, optimiser=optimiser, patience=2)
    lesson = Lesson(circle(40), N, validation=circle(10, seed=1))
    whole = fit(lesson, SHAPE, settings)
    steps = iter(range(10**6))
    path = tmp_path / "checkpoint"
    part = fit(lesson, SHAPE, settings, Hooks(stop=lambda: next(steps) >= stop_after, checkpoint=path))
    assert not part.finished
    assert path.exists()
    rest = fit(lesson, SHAPE, settings, Hooks(checkpoint=path))
    assert rest.finished
    assert not path.exists()
    assert rest.epochs == whole.epochs
    ours, theirs = weights(rest), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    path, lesson = tmp_path / "checkpoint", Lesson(circle(10), N)
    fit(lesson, SHAPE, SETTINGS, Hooks(stop=lambda: True, checkpoint=path))
    with pytest.raises(DataError, match="must be of this fit"):
        fit(lesson, SHAPE, msgspec.structs.replace(SETTINGS, learning_rate=0.5), Hooks(checkpoint=path))


def test_a_refit_knows_new_items_and_leaves_the_earlier_model_alone() -> None:
    first = fit(Lesson(circle(100), N), SHAPE, SETTINGS)
    before = weights(first)
    lesson = Lesson(circle(100, seed=2, items=N + 8), N + 8, replayed=circle(30), earlier=first.model)
    second = fit(lesson, SHAPE, msgspec.structs.replace(SETTINGS, distillation=0.1, refit_epochs=6))
    assert second.model.items == N + 8
    assert quality(second.model, circle(40, seed=3, items=N + 8), top=2)["recall@2"] > 0.8
    assert all(torch.equal(before[name], tensor) for name, tensor in first.model.state_dict().items())


def test_a_fit_without_progress_stops_early_and_gives_the_best_epoch() -> None:
    settings = msgspec.structs.replace(SETTINGS, epochs=30, patience=2, learning_rate=0.05)
    validation = circle(20, seed=5)
    fitted = fit(Lesson(circle(40), N, validation=validation), SHAPE, settings)
    losses = [report.quality["log_loss"] for report in fitted.epochs]
    assert len(losses) < 30
    assert quality(fitted.model, validation)["log_loss"] == pytest.approx(min(losses), abs=1e-6)


def test_progress_is_told_of_every_epoch() -> None:
    told: list[Progress] = []
    fitted = fit(Lesson(circle(30), N, validation=circle(5)), SHAPE, SETTINGS, Hooks(progress=told.append))
    assert [report.epoch for report in told if report.quality] == [0, 1, 2]
    assert told[-1] == fitted.epochs[-1]
    assert fitted.epochs[-1].loss < fitted.epochs[0].loss


def test_scalars_are_written_where_asked(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(Lesson(circle(10), N), SHAPE, msgspec.structs.replace(SETTINGS, tensorboard=str(tmp_path / "runs"), epochs=1))
    assert list((tmp_path / "runs").iterdir())


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(SettingError) as caught:
        device_named("abacus")
    assert caught.value.message == "Setting 'fit.device' must be 'auto' or a device of this machine; got 'abacus'."


def test_an_unknown_optimiser_names_the_nearest() -> None:
    wrong = msgspec.structs.replace(SETTINGS, optimiser="adams")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean 'adam'"):
        TableOptimiser(torch.nn.Parameter(torch.zeros(3, 2)), wrong)


def test_the_rate_rises_then_falls_to_its_last_share() -> None:
    settings = FitSettings(learning_rate=1.0, warmup_steps=10, final_rate=0.1)
    rates = [rate_at(step, 100, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates[100] == pytest.approx(0.1)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)


@pytest.mark.parametrize("optimiser", ["adam", "adagrad", "momentum", "rmsprop", "sgd"])
def test_all_rows_and_listed_rows_move_alike(optimiser: str) -> None:
    settings = msgspec.structs.replace(SETTINGS, optimiser=optimiser, weight_decay=0.01)
    torch.manual_seed(0)
    start, grads = torch.randn(6, 3), torch.randn(4, 6, 3)
    tables = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    for table, rows in zip(tables, (None, torch.arange(6)), strict=True):
        rule = TableOptimiser(table, settings)
        for grad in grads:
            rule.step(rows, grad, 0.1)
    torch.testing.assert_close(tables[0], tables[1])


def test_adam_of_the_table_is_torch_adam_where_every_row_moves() -> None:
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Parameter(torch.ones(4, 3)) for _ in range(2))
    rule, reference = TableOptimiser(ours, SETTINGS), torch.optim.Adam([theirs], lr=0.1, betas=(0.9, 0.98))
    for _ in range(5):
        grad = torch.randn(4, 3)
        rule.step(None, grad, 0.1)
        theirs.grad = grad
        reference.step()
    torch.testing.assert_close(ours, theirs)

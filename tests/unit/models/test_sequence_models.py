"""What every sequence network must hold to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from everbrook.errors import DataError, SettingError
from everbrook.features.moments import gap_codes
from everbrook.features.sequence import sequence_inputs
from everbrook.features.windows import Window
from everbrook.models.layers import RelativeBias, dropout, gap_buckets, scan
from everbrook.models.recurrent import Recurrent
from everbrook.models.sequence import SequenceBatch, SequenceModel
from everbrook.models.sequence_file import load, save
from everbrook.models.sequence_registry import SEQUENCE_MODELS, grown, new_model
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.sequence import SequenceSettings

N = 30
SHAPES = {
    "transformer": SequenceSettings(width=8, heads=2, history=10),
    "transformer, pointwise": SequenceSettings(width=8, heads=2, history=10, attention="pointwise"),
    "transformer, no time, inner product": SequenceSettings(width=8, history=10, time_buckets=0, cosine=False),
    "recurrent": SequenceSettings(kind="recurrent", width=8, history=10),
}


@pytest.fixture(params=sorted(SHAPES))
def model(request: pytest.FixtureRequest) -> SequenceModel:
    return stirred(new_model(SHAPES[request.param], N, seed=1))


def stirred(model: SequenceModel) -> SequenceModel:
    """Away from the silent start, so that every part has something to say."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.eval()


def made_batch(rows: int, length: int, seed: int = 0) -> SequenceBatch:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(4e6, (rows, length)), 1).astype(np.int64)
    window = Window(
        items=rng.integers(0, N, (rows, length)).astype(np.int32), times=times,
        kinds=rng.integers(0, 3, (rows, length)).astype(np.int16), n=np.full(rows, length, np.int32),
        now_ms=times[:, -1] + rng.integers(0, 10**8, rows),
    )
    return SequenceBatch.of(sequence_inputs(window, FeaturesSettings()))


def test_every_network_is_tried() -> None:
    assert {shape.kind for shape in SHAPES.values()} == set(SEQUENCE_MODELS)


def test_shapes_are_as_promised(model: SequenceModel) -> None:
    assert model.encode(made_batch(3, 7)).shape == (3, 7, 8)
    assert model.targets().shape == (N, 8)


def test_what_comes_later_changes_nothing_before_it(model: SequenceModel) -> None:
    batch, other = made_batch(3, 9, seed=1), made_batch(3, 9, seed=1)
    for name in batch.__slots__:
        getattr(other, name)[:, 5:] = 0
    torch.testing.assert_close(model.encode(batch)[:, :5], model.encode(other)[:, :5])


def test_padding_does_not_change_scores(model: SequenceModel) -> None:
    batch = made_batch(3, 10, seed=2)
    torch.testing.assert_close(model.encode(batch)[:, :4], model.encode(batch.cut(torch.arange(3), 4)))


def test_a_batch_of_one_equals_a_batch_of_many(model: SequenceModel) -> None:
    batch = made_batch(5, 6, seed=3)
    together = model.encode(batch)
    for row in range(5):
        torch.testing.assert_close(model.encode(batch.cut(torch.tensor([row]), 6))[0], together[row])


def test_rows_of_a_part_of_the_table_give_what_the_whole_gives(model: SequenceModel) -> None:
    batch = made_batch(4, 6, seed=4)
    rows, place = torch.unique(batch.items, return_inverse=True)
    local = replace(batch, items=place)
    torch.testing.assert_close(model.encode(local, model.table[rows]), model.encode(batch))


def test_extreme_inputs_stay_finite(model: SequenceModel) -> None:
    batch = made_batch(2, 6)
    wild = replace(batch, kinds=batch.kinds + 10**6, since_first_ms=batch.since_first_ms - 2**62)
    assert model.encode(wild).isfinite().all()


def test_the_same_seed_gives_the_same_model_and_leaves_the_global_state() -> None:
    before = torch.get_rng_state()
    one, two, other = (new_model(SHAPES["transformer"], N, seed) for seed in (5, 5, 6))
    assert torch.equal(one.table, two.table)
    assert not torch.equal(one.table, other.table)
    assert torch.equal(before, torch.get_rng_state())


def test_a_saved_model_answers_the_same(model: SequenceModel, tmp_path: Path) -> None:
    save(model, tmp_path / "model", {"offset": 7})
    again, notes = load(tmp_path / "model")
    batch = made_batch(3, 6)
    assert torch.equal(again.encode(batch), model.encode(batch))
    assert again.settings == model.settings
    assert notes == {"offset": 7}


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="Model file must be a safetensors file"):
        load(tmp_path / "model")


def test_a_grown_model_keeps_what_it_knew(model: SequenceModel) -> None:
    larger = grown(model, N + 7, seed=3).eval()
    batch = made_batch(3, 6)
    assert larger.items == N + 7
    assert torch.equal(larger.encode(batch), model.encode(batch))
    assert larger.table[N:].norm(dim=1).min() > 0


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(SettingError) as caught:
        new_model(msgspec.structs.replace(SHAPES["transformer"], heads=3), N)
    assert caught.value.message == "Setting 'sequence.heads' must divide 'sequence.width'; got 3 and 8."


def test_recurrent_steps_are_the_encoded_history() -> None:
    model = stirred(new_model(SHAPES["recurrent"], N, seed=1))
    assert isinstance(model, Recurrent)
    batch = made_batch(3, 8, seed=5)
    whole, state = model.encode(batch), model.start(3)
    for place in range(8):
        one = SequenceBatch(*(getattr(batch, name)[:, place : place + 1] for name in batch.__slots__))
        state, given = model.step(state, one)
        torch.testing.assert_close(given, whole[:, place])


def test_scan_is_the_loop_and_has_its_gradient() -> None:
    torch.manual_seed(0)
    keep, add = torch.rand(2, 5, 3, dtype=torch.float64), torch.randn(2, 5, 3, dtype=torch.float64)
    state, slow = torch.zeros(2, 3, dtype=torch.float64), []
    for place in range(5):
        state = keep[:, place] * state + add[:, place]
        slow.append(state)
    torch.testing.assert_close(scan(keep, add), torch.stack(slow, 1))
    assert torch.autograd.gradcheck(scan, (keep.requires_grad_(), add.requires_grad_()))


def test_relative_bias_is_a_table_look_up_of_place_and_time() -> None:
    torch.manual_seed(0)
    bias = RelativeBias(heads=2, history=4, time_buckets=5).double()
    torch.nn.init.normal_(bias.place)
    assert bias.time is not None
    torch.nn.init.normal_(bias.time)
    gaps = torch.randint(0, 5, (3, 6, 6))
    found = bias(gaps, 6)
    for b, i, j in [(0, 0, 0), (2, 5, 1), (1, 3, 2)]:
        torch.testing.assert_close(found[b, :, i, j], bias.place[min(max(i - j, 0), 3)] + bias.time[gaps[b, i, j]])
    push = torch.randn(found.shape, dtype=torch.float64)
    (fast,) = torch.autograd.grad(found, bias.time, push)
    (slow,) = torch.autograd.grad(bias.time[gaps].permute(0, 3, 1, 2), bias.time, push)
    torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("buckets", [2, 8, 32, 50])
def test_gap_buckets_of_a_tensor_are_the_codes_of_the_features(buckets: int) -> None:
    gaps_ms = np.concatenate([[-5000, 0, 1, 1000, 1500, 3000, 4000, 2**62], 1000 * 2 ** np.arange(50) - 1000])
    assert gap_buckets(torch.from_numpy(gaps_ms), buckets).tolist() == gap_codes(gaps_ms, buckets).tolist()


def test_dropout_keeps_the_mean_and_does_nothing_when_asked() -> None:
    torch.manual_seed(0)
    x = torch.ones(100, 1000)
    dropped = dropout(x, 0.3, training=True)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)
    assert (dropped == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    assert dropout(x, 0.3, training=False) is x

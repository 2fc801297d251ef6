"""Arrays in files: equal to those that were written, one's own to write, and told from arrays of somebody else."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from everbrook.state.mapped import arrays_in, crc_of, map_file, owned
from everbrook.types import Arrays

KINDS = ("f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays: Arrays = {kind: rng.integers(0, 2, (5, 3)).astype(kind) for kind in KINDS}
    arrays |= {"none": np.zeros((0, 4), np.float32), "names/with.any form": np.arange(7), "one": np.array([3.5])}
    save_file(arrays, tmp_path / "arrays.safetensors")
    return tmp_path / "arrays.safetensors"


def test_they_equal_what_the_library_reads(file: Path) -> None:
    mapped = map_file(file)
    found, wanted = arrays_in(mapped), load_file(file)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert crc_of(mapped) == zlib.crc32(file.read_bytes())


def test_what_is_written_to_them_stays_here_and_outlives_the_file(file: Path) -> None:
    before = file.read_bytes()
    one, two = arrays_in(map_file(file)), arrays_in(map_file(file))
    one["f4"][:] = 9.0
    assert file.read_bytes() == before
    assert not (two["f4"] == 9.0).any()
    file.unlink()
    assert (one["f4"] == 9.0).all()
    np.testing.assert_array_equal(one["i8"], two["i8"])


def test_only_arrays_of_a_mapping_are_kept_as_they_are(file: Path) -> None:
    mapped = arrays_in(map_file(file))["i4"]
    assert owned(mapped) is mapped
    assert np.shares_memory(owned(mapped[:2]), mapped)
    theirs = np.arange(6)
    for other in (theirs, theirs[:3], mapped[:, 1], np.frombuffer(b"12345678", np.int64)):
        mine = owned(other)
        assert not np.shares_memory(mine, other)
        assert mine.flags.writeable
        np.testing.assert_array_equal(mine, other)

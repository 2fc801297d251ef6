"""Arrays in files: equal to those that were written, one's own to write, and told from arrays of somebody else."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from everbrook.state import mapped as mapped_module
from everbrook.state.mapped import arrays_in, crc_of, grown, map_file, owned, with_room, write_file
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


def test_the_library_reads_what_is_written_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped_module, "_AT_ONCE", 1000)
    rng = np.random.default_rng(2)
    arrays: Arrays = {kind: rng.integers(0, 2, (50, 3)).astype(kind) for kind in KINDS}
    arrays |= {
        "none": np.zeros((0, 4), np.float32), "names/with.any \u00fcform": np.arange(7),
        "turned": rng.random((40, 30)).T, "every second": np.arange(2000)[::2],
    }  # fmt: skip
    path = tmp_path / "arrays.safetensors"
    path.write_bytes(b"something longer that was there before" * 10_000)
    write_file(path, arrays)
    for found in (load_file(path), arrays_in(map_file(path))):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)
    write_file(path, {})
    assert load_file(path) == {}


def test_a_file_is_on_the_disk_before_much_more_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_size), sync(handle)))
    write_file(tmp_path / "a", {"a": np.zeros(1_000_000), "b": np.zeros(300_000)})
    sizes = [0, *synced, (tmp_path / "a").stat().st_size]
    assert max(np.diff(sizes)) < 3 << 20
    assert synced[-1] == sizes[-1] > 10_000_000


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


def test_an_array_with_room_goes_on_in_zeros_and_nothing_is_written_to_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays: Arrays = {
        "before": rng.integers(1, 9, 12_345), "short": rng.integers(1, 9, 3, dtype=np.int32),
        "long": rng.random((5_000, 3), dtype=np.float32), "behind": rng.integers(1, 9, 54_321, dtype=np.int32),
    }  # fmt: skip
    path = tmp_path / "arrays.safetensors"
    save_file(arrays, path)
    before, found = path.read_bytes(), arrays_in(map_file(path))
    longer = {name: with_room(array, 7 * len(array)) for name, array in found.items()}
    path.unlink()
    for name, array in arrays.items():
        n, one = len(array), longer[name]
        assert one.shape == (7 * n, *array.shape[1:])
        assert one.flags.writeable
        assert one.flags.aligned
        np.testing.assert_array_equal(one[:n], array)
        assert not one[n:].any()
        one[:] = 3
        np.testing.assert_array_equal(found[name], array)
    assert before == _file_of(found, tmp_path / "again")


def _file_of(arrays: Arrays, path: Path) -> bytes:
    save_file(arrays, path)
    return path.read_bytes()


def test_room_costs_no_memory_and_is_given_back(tmp_path: Path) -> None:
    """Ten arrays of a gigabyte of addresses each; only the addresses of what is held are mapped."""
    path = tmp_path / "arrays.safetensors"
    save_file({"a": np.arange(100_000)}, path)
    resident, mapped = _pages()
    held = [with_room(arrays_in(map_file(path))["a"], 1 << 27) for _ in range(10)]
    for one in held:
        one[-1] = one[7]
    assert _pages()[0] - resident < 20_000  # 80 of 10,000 MB
    assert _pages()[1] - mapped > 2_000_000
    held.clear()
    del one
    assert _pages()[1] - mapped < 100_000


def _pages() -> tuple[int, int]:
    """Pages of this process in memory, and in its address space."""
    size, resident = map(int, Path("/proc/self/statm").read_text().split()[:2])
    return resident, size


def test_room_behind_an_array_of_nobodys_mapping_is_a_copy(file: Path) -> None:
    mapped = arrays_in(map_file(file))
    for array in (np.arange(6), mapped["i4"][:, 1], mapped["none"], mapped["one"]):
        longer = with_room(array, 9)
        assert not np.shares_memory(longer, array)
        assert longer.shape == (9, *array.shape[1:])
        np.testing.assert_array_equal(longer[: len(array)], array)
        assert not longer[len(array) :].any()
    np.testing.assert_array_equal(with_room(mapped["i8"], 0), mapped["i8"])


def test_a_process_that_is_forked_off_closes_none_of_its_own_files(file: Path, tmp_path: Path) -> None:
    """There a file may have the number that the mapping's had here."""
    mapped = map_file(file)
    pid = os.fork()
    if pid == 0:
        number = mapped.handle
        os.dup2(os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR), number)
        del mapped
        os._exit(0 if os.write(number, b"whole") == 5 else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert (tmp_path / "other").read_bytes() == b"whole"


def test_arrays_that_grow_keep_what_was_written_to_them(file: Path) -> None:
    found = arrays_in(map_file(file))
    found["f8"][:] = 7.0
    one, other = grown((found["f8"], found["i4"]), 6)
    assert len(one) == len(other) == 20
    assert (one[:5] == 7.0).all()
    np.testing.assert_array_equal(other[:5], found["i4"])
    assert not one[5:].any()
    assert not other[5:].any()
    assert len(grown([np.arange(5)], 100)[0]) == 100


@pytest.mark.parametrize(("most", "rows"), [(100, 40), (30, 12), (11, 11)])
def test_where_memory_is_refused_arrays_become_as_long_as_they_may(
    most: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros = np.zeros

    def refusing(shape: tuple[int, ...], *rest: object) -> np.ndarray:
        if shape[0] > most:
            raise MemoryError
        return zeros(shape, *rest)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(np, "zeros", refusing)
    one, other = grown((np.arange(10), np.arange(30).reshape(10, 3)), 11)
    assert len(one) == len(other) == rows
    np.testing.assert_array_equal(other[:10], np.arange(30).reshape(10, 3))

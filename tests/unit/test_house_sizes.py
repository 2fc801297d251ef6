"""Small files with one noun each: the sizes at which something is split."""

from __future__ import annotations

import statistics

from house_tree import ROOT, SOURCE, classes, decorators, files, functions, none, parameters

FILE_LINES = 500
FUNCTION_LINES = 60
MEDIAN_FUNCTION_LINES = 12
CLASS_LINES = 250
PARAMETERS = 8
NAMELESS = {"utils", "util", "common", "helpers", "helper", "misc", "tools", "base", "stuff"}
KERNELS = {"njit", "jit", "vectorize", "guvectorize"}


def test_the_package_was_found() -> None:
    assert len(files()) > 20


def test_no_file_is_longer_than_it_may_be() -> None:
    everything = [*files(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in everything}
    none(f"{path}: {lines} lines" for path, lines in lengths.items() if lines > FILE_LINES)


def test_no_function_is_longer_than_it_may_be() -> None:
    none(f"{place}: {place.lines} lines" for place in functions() if place.lines > FUNCTION_LINES)


def test_the_median_function_is_short() -> None:
    assert statistics.median(place.lines for place in functions()) < MEDIAN_FUNCTION_LINES


def test_no_class_is_longer_than_it_may_be() -> None:
    none(f"{place}: {place.lines} lines" for place in classes() if place.lines > CLASS_LINES)


def test_no_function_takes_more_parameters_than_it_may() -> None:
    counts = {
        str(place): len(parameters(place.node)) for place in functions() if not KERNELS & decorators(place.node)
    }
    none(f"{place}: {count} parameters" for place, count in counts.items() if count > PARAMETERS)


def test_every_module_is_called_by_a_noun_that_says_something() -> None:
    none(path.relative_to(SOURCE) for path in files() if path.stem.strip("_") in NAMELESS)


def test_no_test_file_shares_its_name_with_another() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    none(sorted(name for name in set(names) if names.count(name) > 1))

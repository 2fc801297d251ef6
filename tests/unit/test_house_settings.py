"""Every setting is described once, in its type, and the page is made from there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from house_tree import none

from everbrook.cli.main import main
from everbrook.settings import Settings, describe

GROUPS = {"__init__", "described", "source"}
UNITS = {"_s": "s", "_ms": "ms", "_bytes": "bytes", "_mb": "MiB", "_events": "events", "_items": "items"}


def test_every_setting_has_a_sentence_of_help() -> None:
    none(f"{name}: {one.help!r}" for name, one in describe(Settings).items() if not re.match(r"^\S.{5,}\.$", one.help))


def test_a_setting_with_a_unit_in_its_name_has_that_unit() -> None:
    none(
        f"{name}: {one.unit}" for name, one in describe(Settings).items() for ending, unit in UNITS.items()
        if name.endswith(ending) and one.numeric and one.unit not in (unit, "records")
    )


def test_every_number_has_a_unit() -> None:
    none(name for name, one in describe(Settings).items() if one.numeric and not one.unit)


def test_every_group_that_is_written_is_part_of_the_settings(repository: Path) -> None:
    written = {path.stem for path in (repository / "src/everbrook/settings").glob("*.py")} - GROUPS
    assert written == {name.split(".")[0] for name in describe(Settings)}


def test_the_page_of_settings_is_current(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--markdown"]) == 0
    assert (repository / "docs/settings.md").read_text(encoding="utf-8") == capsys.readouterr().out, "run: make docs"

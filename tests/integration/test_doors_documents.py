"""Code blocks of the documents that are marked `<!-- run -->` do run, in order, as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- run -->\n```(\w+)\n(.*?)```", re.DOTALL)
RUNNERS = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-W", "error", "-c"]}


def _documents() -> dict[str, list[tuple[str, str]]]:
    """The marked blocks of each document that has any: language and text."""
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    found = {str(path.relative_to(ROOT)): BLOCK.findall(path.read_text(encoding="utf-8")) for path in texts}
    return {path: blocks for path, blocks in found.items() if blocks}


def test_the_first_steps_are_among_them() -> None:
    assert len(_documents()["README.md"]) >= 2


@pytest.mark.parametrize("path", sorted(_documents()))
def test_marked_blocks_run(path: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERBROOK_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    for language, text in _documents()[path]:
        command = [*RUNNERS[language], text]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, f"{path}:\n{text}\n{done.stdout}\n{done.stderr}"
        assert done.stdout, f"{path}: nothing was printed by\n{text}"

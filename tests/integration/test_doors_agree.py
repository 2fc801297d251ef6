"""Library, command line and HTTP: the same steps through each door, the same answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.cli.main import main
from everbrook.http.app import build_app
from everbrook.settings import Settings

NOW_MS = 1_735_800_000_000
ITEMS: list[dict[str, Any]] = [
    {"id": f"i{n}", "title": f"Thing {n}", "categories": ["even" if n % 2 == 0 else "odd"], "properties": {"price": n}}
    for n in range(12)
]
EVENTS: list[dict[str, Any]] = [
    {
        "user": f"u{n % 7}", "item": f"i{(n * n + n // 7) % 12}", "kind": "view", "ts": NOW_MS - (400 - n) * 60_000,
        "id": f"e{n}", "scenario": "home" if n % 3 else "cart",
    }
    for n in range(300)
]
WISHES: list[dict[str, Any]] = [
    {"user": "u1", "k": 5, "at": NOW_MS},
    {"user": "u2", "k": 3, "scenario": "cart", "at": NOW_MS, "exclude_seen": True},
    {"user": "a stranger", "k": 4, "at": NOW_MS},
    {"item": "i3", "k": 4, "at": NOW_MS},
    {"items": ["i1", "i2"], "k": 4, "exclude": ["i4"], "at": NOW_MS},
    {"user": "u3", "k": 6, "categories": ["even"], "at": NOW_MS},
]

Answers = list[dict[str, Any]]


def _comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what is different each time: its request's id, and how long it took."""
    return {"items": answer["items"], "version": answer["model"]["version"], "offset": answer["model"]["offset"]}


def _by_library(folder: Path) -> tuple[Answers, dict[str, Any]]:
    with Recommender.open(folder / "library") as engine:
        engine.put_items(ITEMS)
        receipt = engine.ingest(EVENTS)
        assert (receipt.accepted, receipt.duplicates) == (len(EVENTS), 0)
        answers = [msgspec.to_builtins(engine.recommend(**wish)) for wish in WISHES]
        return [_comparable(answer) for answer in answers], msgspec.to_builtins(engine.status())


def _by_http(folder: Path, client_class: Any) -> tuple[Answers, dict[str, Any]]:
    with Recommender.open(folder / "http") as engine:
        client = client_class(build_app(engine, Settings()))
        assert client.post("/v1/items", json={"items": ITEMS}).status_code == 200
        receipt = client.post("/v1/events", json={"events": EVENTS}).json()
        assert (receipt["accepted"], receipt["duplicates"]) == (len(EVENTS), 0)
        answers = [client.post("/v1/recommend", json=wish).json() for wish in WISHES]
        return [_comparable(answer) for answer in answers], client.get("/v1/status").json()


def _by_command_line(folder: Path, run: Callable[..., Any]) -> tuple[Answers, dict[str, Any]]:
    files = folder / "files"
    files.mkdir()
    (files / "items.jsonl").write_text("\n".join(map(json.dumps, ITEMS)), encoding="utf-8")
    (files / "events.jsonl").write_text("\n".join(map(json.dumps, EVENTS)), encoding="utf-8")
    data = ("--data", str(folder / "command-line"))
    outcome = run("import", str(files), *data, "--json")
    assert (outcome["events"], outcome["items"], outcome["duplicates"]) == (len(EVENTS), len(ITEMS), 0)
    answers = [run("recommend", *_options(wish), *data, "--json") for wish in WISHES]
    return [_comparable(answer) for answer in answers], run("status", *data, "--json")


def _options(wish: dict[str, Any]) -> list[str]:
    options: list[str] = []
    for name, value in wish.items():
        flag = "-k" if name == "k" else f"--{name.replace('_', '-')}"
        if value is True:
            options.append(flag)
        else:
            options += [flag, ",".join(value) if isinstance(value, list) else str(value)]
    return options


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command and reads the JSON it prints."""

    def ran(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(arguments) == 0
        return json.loads(capsys.readouterr().out)

    return ran


def test_three_doors_give_the_same_answers(tmp_path: Path, asgi_client: Any, run: Callable[..., Any]) -> None:
    library, library_status = _by_library(tmp_path)
    http, http_status = _by_http(tmp_path, asgi_client)
    command_line, command_line_status = _by_command_line(tmp_path, run)
    for wish, one, two, three in zip(WISHES, library, http, command_line, strict=True):
        assert 0 < len(one["items"]) <= wish["k"]
        assert _rounded(one) == _rounded(two) == _rounded(three), wish
    counts = ("events", "items", "actors", "kinds", "scenarios")
    for name in counts:
        assert library_status[name] == http_status[name] == command_line_status[name]


def _rounded(node: Any) -> Any:
    """Scores to six digits: a checkpoint that was read back may differ in the last bit."""
    if isinstance(node, float):
        return float(f"{node:.6g}")
    if isinstance(node, dict):
        return {name: _rounded(value) for name, value in node.items() if name != "offset"}
    return [_rounded(one) for one in node] if isinstance(node, list | tuple) else node


def test_what_is_exported_can_be_imported_again(tmp_path: Path, run: Callable[..., Any]) -> None:
    first, _ = _by_command_line(tmp_path, run)
    for form in ("jsonl", "parquet"):
        files, data = tmp_path / f"as-{form}", str(tmp_path / f"again-{form}")
        counts = run("export", str(files), "--format", form, "--data", str(tmp_path / "command-line"), "--json")
        assert counts["events"] == len(EVENTS)
        outcome = run("import", str(files), "--data", data, "--json")
        assert (outcome["events"], outcome["items"]) == (len(EVENTS), len(ITEMS))
        again = [_comparable(run("recommend", *_options(wish), "--data", data, "--json")) for wish in WISHES]
        assert _rounded(again) == _rounded(first)


def test_importing_the_same_file_twice_counts_once(tmp_path: Path, run: Callable[..., Any]) -> None:
    _by_command_line(tmp_path, run)
    outcome = run("import", str(tmp_path / "files"), "--data", str(tmp_path / "command-line"), "--json")
    assert (outcome["events"], outcome["duplicates"]) == (0, len(EVENTS))

"""The same wishes for lists, and the same looks at items, through library, HTTP and command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everbrook import Recommender
from everbrook.cli.main import main
from everbrook.http.app import build_app
from everbrook.settings import Settings, load_settings

NOW_MS = 1_735_800_000_000
SET = (
    "rank.explore_seed=11", "engine.log_impressions=false",
    'mixture.experts=["popularity", "transitions", "repeats", "content"]',
)
ITEMS: list[dict[str, Any]] = [
    {
        "id": f"i{n}", "title": f"Thing {n}", "categories": ["even" if n % 2 == 0 else "odd"],
        "properties": {"price": n, "brand": "xyz"[n % 3]}, "ts": NOW_MS - n * 86_400_000,
    }
    for n in range(30)
]  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {
        "user": f"u{n % 7}", "item": f"i{(n * n + n // 7) % 17}", "kind": "view", "ts": NOW_MS - (400 - n) * 60_000,
        "id": f"e{n}", "scenario": "home" if n % 3 else "cart",
    }
    for n in range(300)
]  # fmt: skip
AT = {"at": NOW_MS, "user": "u1"}
WISHES: list[dict[str, Any]] = [
    {**AT, "k": 5, "filter": "price < 20 and 'even' in categories and not hidden"},
    {**AT, "k": 5, "filter": "brand in ('x', 'y') and age < 7d", "exclude_seen": True},
    {
        **AT, "k": 6, "boost": [{"filter": "brand = 'x'", "by": 1.5}, {"filter": "price > 9", "by": 0.5}],
        "pin": [{"item": "i29", "position": 0}, {"item": "i28", "position": 4}],
    },
    {**AT, "k": 6, "candidates": ["i3", "i4", "i29"], "exclude": ["i4"]},
    {**AT, "k": 8, "diversity": 0.4, "calibration": 0.3, "freshness": 0.5, "popularity": -0.4},
    {**AT, "k": 8, "explore": 0.5},
]  # fmt: skip
WRONG = {**AT, "filter": "prise < 3"}
MESSAGE = (
    "Unknown property 'prise'. Did you mean 'price'? Known: age, brand, categories, hidden, id, price, tags, title. "
    "It stands at character 1."
)


def options(wish: dict[str, Any]) -> list[str]:
    """A wish as the command line takes it."""
    given: list[str] = []
    for name, value in wish.items():
        flag = "-k" if name == "k" else f"--{name.replace('_', '-')}"
        if name == "boost":
            given += [part for one in value for part in (flag, f"{one['by']}:{one['filter']}")]
        elif name == "pin":
            given += [part for one in value for part in (flag, f"{one['position']}:{one['item']}")]
        elif value is True:
            given.append(flag)
        else:
            given += [flag, ",".join(value) if isinstance(value, list) else str(value)]
    return given


def rounded(node: Any) -> Any:
    """What is comparable: without times, request ids and offsets; six digits, since a checkpoint was read back."""
    if isinstance(node, float):
        return float(f"{node:.5g}")
    if isinstance(node, dict):
        times = ("model", "request", "took_ms", "since_ms")
        return {name: rounded(value) for name, value in node.items() if name not in times}
    return [rounded(one) for one in node] if isinstance(node, list | tuple) else node


def filled(folder: Path, settings: Settings) -> Recommender:
    """A shop; the same in each folder."""
    engine = Recommender.open(folder, settings)
    engine.put_items(ITEMS)
    engine.ingest(EVENTS)
    engine.ingest([{"user": "now", "item": f"i{n // 2}", "scenario": "cart"} for n in range(6)])
    return engine


def test_three_doors_give_the_same_lists_and_looks(
    tmp_path: Path, asgi_client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(assignments=SET).settings
    with filled(tmp_path / "one", settings) as engine:  # one wish an opening: the draws begin with the seed
        pass
    kept = ("--data", str(tmp_path / "one"), *(part for one in SET for part in ("--set", one)))
    looks = {
        "similar": (lambda shop: shop.similar("i3", 4, filter="price < 20"),
                    "/v1/items/i3/similar?k=4&filter=price%20%3C%2020", ["i3", "-k", "4", "--filter", "price < 20"]),
        "trending": (lambda shop: shop.trending(5, scenario="cart", window="4w"),
                     "/v1/trending?k=5&scenario=cart&window=4w",
                     ["-k", "5", "--scenario", "cart", "--window", "4w"]),
        "explain": (lambda shop: shop.explain("i20", "u1", k=3, at=NOW_MS, exclude_seen=True),
                    f"/v1/explain?item=i20&user=u1&k=3&at={NOW_MS}&exclude_seen=true",
                    ["i20", "--user", "u1", "-k", "3", "--at", str(NOW_MS), "--exclude-seen"]),
    }  # fmt: skip

    def ran(*arguments: str) -> Any:
        capsys.readouterr()
        assert main(arguments) == 0
        return json.loads(capsys.readouterr().out)

    library, http = [], []
    with Recommender.open(tmp_path / "one", settings) as engine:
        library = [rounded(msgspec.to_builtins(engine.recommend(**wish))) for wish in WISHES]
        library += [rounded(msgspec.to_builtins(look(engine))) for look, _, _ in looks.values()]
    with Recommender.open(tmp_path / "one", settings) as engine:
        client = asgi_client(build_app(engine, settings))
        http = [rounded(client.post("/v1/recommend", json=wish).json()) for wish in WISHES]
        http += [rounded(client.get(url).json()) for _, url, _ in looks.values()]
        wrong = client.post("/v1/recommend", json=WRONG)
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "unknown_property")
        assert wrong.json()["error"]["message"] == MESSAGE
        strange = client.get("/v1/trending?windw=1h").json()["error"]
        assert "windw" in strange["message"]
        assert client.get("/v1/items/nobody/similar").status_code == 404
    command_line = [rounded(ran("recommend", *options(wish), *kept, "--json")) for wish in WISHES]
    command_line += [rounded(ran(name, *given, *kept, "--json")) for name, (_, _, given) in looks.items()]
    for door in (library, http, command_line):  # these are of the present moment, which passes between the doors
        assert all(one.pop("score") == pytest.approx(2.0, abs=0.01) for one in door[-2]["items"])
        assert all(0.0 < one.pop("score") <= 1.0 and one["shares"].pop("behaviour") >= 0.0 for one in door[-3]["items"])
    for wish, one, two, three in zip([*WISHES, *looks], library, http, command_line, strict=True):
        assert one == two == three, wish
    assert all(len(one["items"]) > 0 for one in library[:-1])
    assert main(["recommend", *options(WRONG), *kept]) == 2
    assert MESSAGE in capsys.readouterr().err

"""A server that learns, looked after over HTTP and from the command line: gone back, paused, refitted, told from."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from everbrook import Recommender
from everbrook.cli.main import main
from everbrook.settings import Settings, load_settings
from everbrook.testing.world_config import preset
from everbrook.testing.worlds import World

NOW_MS = int(time.time() * 1000)
WORLD = World(
    msgspec.structs.replace(
        preset("markov", items=30, users=20, days=1, events_per_day=600, seed=4), start_ms=NOW_MS - 90_000_000
    )
)
EVENTS = WORLD.all_events()
RECORDS = EVENTS.records()
KEY = "a-key-of-the-test"
ASSIGNMENTS = [
    'mixture.experts=["popularity", "transitions", "sequence", "live"]', "sequence.width=8", "sequence.layers=1",
    "sequence.heads=1", "sequence.history=8", "fit.epochs=1", "fit.refit_epochs=1", "fit.device=cpu",
    "fit.warmup_steps=2", "engine.least_fit_events=100", "engine.trust_events=50", "engine.refit_every_s=0",
    "engine.refit_niceness=0", "learner.core_share=1", "learner.niceness=0", "gate.margin=1", "gate.noninferior_s=0",
    "gate.block_events=1", "gate.promotions_per_month=1000",
    "engine.judge_core_share=0",  # each visit is compared, however crowded the machine is
]
SETTINGS: Settings = load_settings(environment={}, assignments=ASSIGNMENTS).settings
SET = [part for one in ASSIGNMENTS for part in ("--set", one)]


pytestmark = pytest.mark.timeout(600)  # a fit in a process that stands back may wait long on a busy machine


class Serving:
    """A server's process and what is asked of it."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        command = [sys.executable, "-m", "everbrook.cli.main", "serve", "--data", str(data), "--port", "0"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERBROOK_")}
        self.process = subprocess.Popen(
            [*command, *SET, *options], stdout=subprocess.PIPE, text=True,
            env=environment | {"OMP_NUM_THREADS": "1", "EVERBROOK_SERVE_KEYS": KEY},
        )
        assert self.process.stdout is not None
        told = self.process.stdout.readline()
        found = re.search(r"http://[\d.:]+", told)
        assert found, told
        self.client = httpx.Client(base_url=found[0], headers={"Authorization": f"Bearer {KEY}"}, timeout=60)

    def get(self, route: str) -> Any:
        return self.client.get(f"/v1/{route}").json()

    def post(self, route: str, body: Any = None) -> Any:
        answer = self.client.post(f"/v1/{route}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, what: Callable[[dict[str, Any]], object], seconds: float = 280.0) -> dict[str, Any]:
        """Wait for a status."""
        end = time.monotonic() + seconds
        while not what(status := self.get("status")):
            assert time.monotonic() < end, status
            time.sleep(0.2)
        return dict(status)

    def visits(self, start: int, stop: int) -> None:
        """Let the events of the world go on, now."""
        for n in range(start, stop):
            one = RECORDS[n]
            self.post("events", {"events": [{"user": one.user, "item": one.item}]})

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(timeout=120)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.client.close()
        return code


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a day of events and a learner that has learned them."""
    path = tmp_path_factory.mktemp("served") / "shop"
    with Recommender.open(path, SETTINGS) as shop:
        shop.import_columns(EVENTS)
    return path


@pytest.fixture(scope="module")
def server(data: Path) -> Iterator[Serving]:
    """One server for the tests below, in their order."""
    serving = Serving(data)
    yield serving
    if serving.process.poll() is None:
        serving.end()


@pytest.fixture
def command(data: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command on the data directory; exit code, output, errors."""

    def ran(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        name, *rest = arguments
        code = main([name, *rest, "--data", str(data), *SET])
        told = capsys.readouterr()
        return code, told.out, told.err

    return ran


def test_what_was_learned_inside_can_be_gone_back_to_over_http(server: Serving) -> None:
    server.until(lambda status: status["live"].get("versions"))
    points = server.get("versions")["points"]
    assert points[0]["offset"] == len(EVENTS)
    told = server.post("rollback", {"to": points[-1]["version"]})
    assert (told["to"], told["to_offset"]) == (points[-1]["version"], points[-1]["offset"])
    after = server.until(lambda status: status["decisions"])
    assert (after["decisions"][0]["action"], after["decisions"][0]["to"]) == ("rollback", points[-1]["version"])
    assert len(server.get("versions")["points"]) == 1


def test_everything_that_the_board_shows_is_measured(server: Serving, repository: Path) -> None:
    server.until(lambda status: "gate" in status["live"])
    board = json.loads((repository / "deploy/grafana.json").read_text(encoding="utf-8"))
    asked = " ".join(target["expr"] for panel in board["panels"] for target in panel.get("targets", ()))
    named = set(re.findall(r"\b(?:everbrook|process)_\w+", asked))
    told = server.client.get("/metrics").text
    measured = set(re.findall(r"^(\w+?)(?:\{| )", told, re.MULTILINE))
    assert len(named) > 20
    assert named - measured == set()


def test_what_is_wrong_is_told_in_the_house_form(server: Serving) -> None:
    unknown = server.client.post("/v1/rollback", json={"to": "live-7"})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["type"] == "unknown_version"
    assert unknown.json()["error"]["message"].startswith("Unknown version 'live-7'.")
    wrong = server.client.post("/v1/rollback", json={"too": "live-7"})
    assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "unknown_field")
    stage = server.client.post("/v1/override", json={"stage": "life"})
    assert (stage.status_code, stage.json()["error"]["type"]) == (400, "unknown_stage")
    assert "Did you mean 'live'?" in stage.json()["error"]["message"]
    assert server.client.post("/v1/pause", headers={"Authorization": ""}).status_code == 401


def test_the_gate_is_paused_resumed_and_overridden_over_http(server: Serving) -> None:
    assert server.post("pause") == {"paused": True}
    assert server.get("versions")["gate"]["paused"]
    assert server.post("resume", {}) == {"paused": False}
    assert server.post("override", {"stage": "canary"}) == {"stage": "canary"}
    server.until(lambda status: status["live"]["stage"] == "canary")


def test_the_command_line_goes_through_the_server_that_holds_the_directory(
    server: Serving, command: Callable[..., tuple[int, str, str]]
) -> None:
    server.until(lambda status: status["live"].get("versions"))
    code, _, error = command("versions")
    assert code == 1
    assert "--key" in error
    code, out, _ = command("versions", "--key", KEY, "--json")
    assert code == 0
    version = json.loads(out)["points"][-1]["version"]
    code, out, _ = command("rollback", version, "--key", KEY)
    assert (code, out.split(":")[0]) == (0, f"Back to {version}")
    assert command("pause", "--url", str(server.client.base_url), "--key", KEY)[0] == 0
    assert server.get("versions")["gate"]["paused"]
    assert command("resume", "--key", KEY)[1] == "Resumed: the gate makes its moves again.\n"
    code, out, _ = command("status", "--key", KEY)
    assert code == 0
    assert "live: learns process, stage " in out
    code, _, error = command("rollback", "nothing", "--key", KEY)
    assert (code, error.split(".")[0]) == (4, "everbrook: Unknown version 'nothing'")


def test_a_refit_asked_for_over_http_ends_in_a_published_model(server: Serving) -> None:
    assert server.get("status")["version"]["name"] == "counts-0"
    assert server.post("refit")["state"] in ("asked", "fitting")
    after = server.until(lambda status: status["version"]["name"].startswith("sequence-"))
    assert after["last_errors"] == []
    assert [one["action"] for one in after["decisions"]][:2] == ["publish", "refit"]
    assert len(server.post("recommend", {"user": EVENTS.user.names[0], "k": 5})["items"]) == 5


def test_a_second_one_takes_its_place_when_the_gate_says_so(server: Serving) -> None:
    first = server.get("status")["version"]["name"]
    server.visits(0, 40)
    server.post("refit")
    server.until(lambda status: status["refit"]["state"] == "on_trial")
    for start in range(40, 4000, 40):  # how much is compared depends on how much waits at once
        server.visits(start % 400, start % 400 + 40)
        after = server.get("status")
        if after["version"]["name"] != first:
            break
    assert {"swap", "publish"} <= {one["action"] for one in after["decisions"]}
    assert server.get("versions")["previous"]["version"] == first
    assert server.post("rollback", {"to": first})["to"] == first
    assert server.get("status")["version"]["name"] == first


def test_a_refit_that_is_killed_is_told_in_status_and_lists_go_on(server: Serving) -> None:
    before = server.get("status")
    server.post("refit")
    pid = server.until(lambda status: status["refit"]["pid"])["refit"]["pid"]
    os.kill(pid, signal.SIGKILL)
    after = server.until(lambda status: status["refit"]["failures"])
    assert after["last_errors"] == ["The refit's process ended with SIGKILL; what is published stays."]
    assert after["refit"]["state"] == "idle"
    assert after["version"]["name"] == before["version"]["name"]
    assert len(server.post("recommend", {"user": EVENTS.user.names[0], "k": 5})["items"]) == 5


def test_without_a_server_the_command_line_goes_on_from_where_its_learner_was(
    server: Serving, command: Callable[..., tuple[int, str, str]]
) -> None:
    learned = server.until(lambda status: status["live"]["process"]["behind"] == 0)["live"]
    assert server.end() == 0
    assert not (server.data / "server.json").exists()
    code, out, _ = command("versions", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["live"]["events"] == learned["events"]
    assert found["gate"]["stage"] == learned["gate"]["stage"]
    assert command("pause")[0] == 0
    again = Serving(server.data)
    try:
        again.until(lambda status: status["live"].get("gate"))
        assert again.get("versions")["gate"]["paused"]
    finally:
        assert again.end(signal.SIGKILL) == -signal.SIGKILL
    assert (server.data / "server.json").exists()
    assert json.loads(command("versions", "--json")[1])["gate"]["paused"]  # a stale address misleads nobody

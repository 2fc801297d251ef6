"""The built wheel, in an environment of its own: command line, HTTP, `kill -9` and a restart."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

EVENTS = "user_id,item_id,event,timestamp\n" + "".join(
    f"u{n % 5},i{n * 7 % 11},view,{1_735_689_600 + n * 60}\n" for n in range(120)
)


@pytest.fixture(scope="module")
def everbrook(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """The console script of an environment that has the wheel; what it depends on is lent by this one."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(_copy(repository, folder))]
    subprocess.run(built, check=True, timeout=120, capture_output=True)
    (wheel,) = folder.glob("everbrook-*.whl")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    own = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    lent = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()}
    (Path(own) / "lent.pth").write_text("\n".join(sorted(lent)) + "\n", encoding="utf-8")
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True, timeout=60)
    _lend_compiled_kernels(repository / "src" / "everbrook", Path(own) / "everbrook")
    return folder / "env" / "bin" / "everbrook"


def _lend_compiled_kernels(source: Path, installed: Path) -> None:
    """Compiling every kernel anew takes a minute or more; what the sources' own tests compiled is good here as well.

    numba takes a cached kernel where the file's size and time are those it was compiled from.
    """
    for path in installed.rglob("*.py"):
        found = (source / path.relative_to(installed)).stat()
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    for path in (*source.rglob("*.nbi"), *source.rglob("*.nbc")):
        target = installed / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        shutil.copy2(path, target)


def _copy(repository: Path, folder: Path) -> Path:
    """The sources apart, since building leaves traces."""
    target = folder / "source"
    target.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, target / name)
    shutil.copytree(repository / "src", target / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return target


@pytest.fixture
def run(everbrook: Path, tmp_path: Path) -> Callable[..., str]:
    """Runs a command in a folder of its own and gives what it prints."""

    def ran(*arguments: str) -> str:
        done = subprocess.run(
            [everbrook, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return ran


@pytest.fixture
def shop(run: Callable[..., str], tmp_path: Path) -> Path:
    """A data directory with a few events."""
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    run("import", "events.csv", "--data", "shop")
    return tmp_path / "shop"


class Server:
    """The server as a process."""

    def __init__(self, everbrook: Path, data: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("EVERBROOK_")}
        self.process = subprocess.Popen(
            [everbrook, "serve", "--data", data, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment,
        )
        assert self.process.stdout is not None
        told = self.process.stdout.readline()
        found = re.search(r"http://[\d.:]+", told)
        assert found, told + (self.process.stderr.read() if self.process.stderr else "")
        self.address = found[0]

    def post(self, route: str, body: Any) -> Any:
        """POST and read the answer."""
        answer = httpx.post(self.address + route, json=body, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def end(self, number: signal.Signals) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


@pytest.fixture
def serve(everbrook: Path, shop: Path) -> Iterator[Callable[[], Server]]:
    """Starts servers on the data directory, and ends those that are left."""
    servers: list[Server] = []

    def started() -> Server:
        servers.append(Server(everbrook, shop))
        return servers[-1]

    yield started
    for server in servers:
        if server.process.poll() is None:
            server.end(signal.SIGKILL)


def test_the_wheel_imports_from_itself(everbrook: Path, repository: Path) -> None:
    python = everbrook.with_name("python")
    code = "import everbrook; print(everbrook.__file__, everbrook.Recommender)"
    told = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, timeout=60, cwd="/").stdout
    assert str(everbrook.parents[1]) in told
    assert str(repository / "src") not in told


def test_the_commands_work_from_file_to_list(run: Callable[..., str], shop: Path) -> None:
    assert "PASS" in run("check", "events.csv")
    answer = json.loads(run("recommend", "--data", "shop", "--user", "u1", "-k", "3", "--json"))
    assert len(answer["items"]) == 3
    assert json.loads(run("status", "--data", "shop", "--json"))["events"] == 120


def test_a_kill_loses_nothing_that_was_acknowledged(serve: Callable[[], Server]) -> None:
    server = serve()
    for n in range(20):
        server.post("/v1/events", {"events": [{"user": "new", "item": f"fresh-{n}", "id": f"e-{n}"}]})
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    again = serve()
    status = httpx.get(again.address + "/v1/status", timeout=30).json()
    assert status["events"] == 140
    sent_again = again.post("/v1/events", {"events": [{"user": "new", "item": "fresh-19", "id": "e-19"}]})
    assert sent_again["duplicates"] == 1
    shown = again.post("/v1/recommend", {"user": "new", "k": 100})
    assert {f"fresh-{n}" for n in range(20)} <= {one["id"] for one in shown["items"]}


def test_the_server_ends_in_order_when_it_is_asked_to(serve: Callable[[], Server], repository: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        server = serve()
        assert httpx.get(server.address + "/docs", timeout=30).text.startswith("<!doctype html>")
        page = httpx.get(server.address, timeout=30).text
        built = (repository / "src" / "everbrook" / "page" / "index.html").exists()
        assert ("/page/everbrook-" if built else "make page") in page
        assert server.end(number) == 0


def test_a_second_process_on_the_same_directory_is_told_so(
    everbrook: Path, shop: Path, serve: Callable[[], Server]
) -> None:
    serve()
    second = subprocess.run(
        [everbrook, "serve", "--data", shop, "--port", "0"], capture_output=True, text=True, timeout=60,
        check=False,
    )
    assert second.returncode == 5
    assert "must be used by one process at a time" in second.stderr
    assert second.stderr.count("\n") == 1


def test_status_and_versions_go_through_the_server_that_holds_the_directory(
    run: Callable[..., str], serve: Callable[[], Server]
) -> None:
    serve()
    assert json.loads(run("status", "--data", "shop", "--json"))["events"] == 120
    assert "published  counts-0" in run("versions", "--data", "shop")


def test_a_taken_port_is_told_in_a_sentence(everbrook: Path, tmp_path: Path, serve: Callable[[], Server]) -> None:
    port = serve().address.rpartition(":")[2]
    second = subprocess.run(
        [everbrook, "serve", "--data", tmp_path / "other", "--port", port], capture_output=True, text=True, timeout=60,
        check=False,
    )
    assert second.returncode == 5
    assert second.stderr.startswith(f"everbrook: Port {port} must be free; another process listens on it.")

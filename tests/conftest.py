"""What every test may use: the folder of real data, where there is one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest

from everbrook.engine.stale_kernels import drop_stale

ROOT = Path(__file__).parents[1]

# Models of tests are so small that a second thread waits for the first more than it works.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A change is judged by the same examples each time; new ones are searched for wherever CI is not set.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


def pytest_configure() -> None:
    """What is tested is what stands in the sources, in kernels that were compiled before too."""
    drop_stale()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Finds a folder of the real data, or skips."""

    def find(name: str) -> Path:
        base = Path(os.environ.get("EVERBROOK_DATA") or ROOT.parent / "shared" / "data")
        path = base / name
        if not path.exists():
            pytest.skip(f"no real data: {name} is neither in EVERBROOK_DATA nor in ../shared/data")
        return path

    return find


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests changes no result."""
    for name in list(os.environ):
        if name.startswith("EVERBROOK_") and name != "EVERBROOK_DATA":
            monkeypatch.delenv(name)


class AsgiClient:
    """Sends requests to an application in this process and waits for the answers."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """One request, as httpx takes it."""

        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                return await client.request(method, url, **options)

        return asyncio.run(sent())

    def get(self, url: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", url, **options)

    def post(self, url: str, **options: Any) -> httpx.Response:
        """POST."""
        return self.request("POST", url, **options)


@pytest.fixture(scope="session")
def asgi_client() -> type[AsgiClient]:
    """The class of clients for applications in this process."""
    return AsgiClient

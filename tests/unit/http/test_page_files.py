"""The page's files: compressed as the browser takes them, unchanged ones not sent again, and an answer without any."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from everbrook.http import page
from everbrook.http.app import build_app
from everbrook.settings import Settings


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of one script."""
    script = b"console.log('a brook');" * 40
    (tmp_path / "index.html").write_bytes(b"<!doctype html><title>x</title>")
    (tmp_path / "app-1.js").write_bytes(script)
    (tmp_path / "app-1.js.gz").write_bytes(gzip.compress(script))
    (tmp_path / "secret.key").write_bytes(b"no file of the page")
    monkeypatch.setattr(page, "FILES", page.read(tmp_path))


@pytest.fixture
def client(built: None, asgi_client: Any) -> Any:
    """A door that has the page."""
    return asgi_client(build_app(None, Settings()))  # type: ignore[arg-type]  # no route is called that asks an engine


def test_a_file_comes_as_the_browser_takes_it_and_may_be_kept_for_good(client: Any) -> None:
    packed = client.get("/page/app-1.js", headers={"Accept-Encoding": "br, gzip"})
    assert (packed.status_code, packed.headers["content-encoding"]) == (200, "gzip")
    plain = client.get("/page/app-1.js", headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == packed.text == "console.log('a brook');" * 40
    assert packed.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert packed.headers["content-type"].startswith("text/javascript")
    again = client.get("/page/app-1.js", headers={"If-None-Match": f'"other", W/{packed.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_is_asked_for_anew_and_may_load_nothing_from_elsewhere(client: Any) -> None:
    answer = client.get("/")
    assert answer.text == "<!doctype html><title>x</title>"
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'")
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/page/secret.key", "/page/nothing.js", "/page/../keys.json", "/page/"])
def test_what_is_no_file_of_the_page_is_not_found(client: Any, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post("/page/app-1.js").status_code == 404


def test_without_a_built_page_the_answer_says_how(monkeypatch: pytest.MonkeyPatch, asgi_client: Any) -> None:
    monkeypatch.setattr(page, "FILES", {})
    answer = asgi_client(build_app(None, Settings())).get("/")  # type: ignore[arg-type]
    assert answer.status_code == 200
    assert "make page" in answer.text
    assert page.read(Path("/nowhere")) == {}

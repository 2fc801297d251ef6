"""A server's address in its data directory: told while it answers, and never more than a hint."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from everbrook.http.address import FILE, announce, announced, url_of, withdraw


def test_what_is_announced_is_found_until_it_is_withdrawn(tmp_path: Path) -> None:
    assert announced(tmp_path) is None
    announce(tmp_path, "http://127.0.0.1:8000")
    found = announced(tmp_path)
    assert found is not None
    assert (found.url, found.pid) == ("http://127.0.0.1:8000", os.getpid())
    withdraw(tmp_path)
    withdraw(tmp_path)
    assert announced(tmp_path) is None


@pytest.mark.parametrize("body", [b"", b"{", b'{"url": 3}'])
def test_a_file_that_says_nothing_is_no_address(tmp_path: Path, body: bytes) -> None:
    (tmp_path / FILE).write_bytes(body)
    assert announced(tmp_path) is None


def test_a_disk_that_refuses_stops_no_server(tmp_path: Path) -> None:
    announce(tmp_path / "gone", "http://127.0.0.1:8000")
    assert announced(tmp_path / "gone") is None


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"), ("example.org", "http://example.org:80"),
    ],
)
def test_the_address_is_one_that_this_machine_reaches(host: str, url: str) -> None:
    assert url_of(host, 80) == url

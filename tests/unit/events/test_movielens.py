"""MovieLens: its ratings as events, its movies and tags as items, and the archive fetched from its publisher."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from everbrook.errors import DataError
from everbrook.events.importing import open_source
from everbrook.events.movielens import fetch_movielens, find_movielens
from everbrook.events.records import Event

FILES = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,1,4.0,964982703\n2,2,0.5,964982702\n",
    "movies.csv": "movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n"
                  '2,"Odd, The (2001) (1999) ",(no genres listed)\n3,Babylon 5,Sci-Fi\n',
    "tags.csv": "userId,movieId,tag,timestamp\n1,1,Pixar,1\n2,1,pixar,2\n2,1,fun,2\n",
}


def archive(files: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as writer:
        for name, text in files.items():
            writer.writestr(name, text)
    return packed.getvalue()


@pytest.fixture
def published() -> Iterator[tuple[str, dict[str, bytes]]]:
    """An address on loopback, and what is published there by path."""
    pages: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Length", str(len(page or b"")))
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/ml.zip", pages
        server.shutdown()
        thread.join()


def publish(pages: dict[str, bytes], packed: bytes) -> None:
    pages["/ml.zip"] = packed
    pages["/ml.zip.md5"] = f"MD5 (ml.zip) = {hashlib.md5(packed).hexdigest()}\n".encode()


def folder_of(path: Path) -> Path:
    path.mkdir(parents=True)
    for name, text in FILES.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


def test_ratings_are_events_in_time_order(tmp_path: Path) -> None:
    source = open_source(folder_of(tmp_path / "ml"))
    assert source.load().records() == [
        Event(user="2", item="2", kind="rating", value=0.5, ts=964_982_702_000),
        Event(user="1", item="1", kind="rating", value=4.0, ts=964_982_703_000),
    ]


def test_movies_are_items_with_year_genres_and_tags(tmp_path: Path) -> None:
    (items,) = open_source(folder_of(tmp_path / "ml")).items()
    assert [(item.id, item.title, item.categories, item.tags, item.properties) for item in items] == [
        ("1", "Toy Story", ["Animation", "Comedy"], ["pixar", "fun"], {"year": 1995}),
        ("2", "Odd, The (2001)", [], [], {"year": 1999}),
        ("3", "Babylon 5", ["Sci-Fi"], [], {}),
    ]


def test_the_published_folder_is_read_whole() -> None:
    folder = find_movielens(os.environ, Path(__file__).resolve().parents[3])
    if folder is None:
        pytest.skip("no MovieLens folder in EVERBROOK_DATA or ../shared/data")
    source = open_source(folder)
    columns = source.load()
    if len(columns) == 100_836:  # latest-small
        assert (len(columns.user.names), len(columns.item.names)) == (610, 9_724)
        assert sum(len(part) for part in source.items()) == 9_742


def test_the_folder_is_found_in_the_environment_or_beside_the_repository(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert find_movielens({}, repository) is None
    beside = folder_of(tmp_path / "shared" / "data" / "ml-latest-small")
    assert find_movielens({}, repository) == beside
    said = folder_of(tmp_path / "said")
    assert find_movielens({"EVERBROOK_DATA": str(said)}, repository) == said
    assert find_movielens({"EVERBROOK_DATA": str(tmp_path / "none")}, repository) == beside


def test_the_archive_is_fetched_compared_and_unpacked(tmp_path: Path, published: tuple[str, dict[str, bytes]]) -> None:
    url, pages = published
    publish(pages, archive({f"ml-latest-small/{name}": text for name, text in FILES.items()}))
    seen: list[tuple[int, int]] = []
    folder = fetch_movielens(tmp_path / "data", url, 5.0, lambda done, total: seen.append((done, total)))
    assert folder == tmp_path / "data" / "ml-latest-small"
    assert {path.name: path.read_text() for path in folder.iterdir()} == FILES
    assert seen[-1] == (len(pages["/ml.zip"]),) * 2


def test_an_archive_of_another_checksum_is_refused(tmp_path: Path, published: tuple[str, dict[str, bytes]]) -> None:
    url, pages = published
    publish(pages, archive(FILES))
    pages["/ml.zip"] += b"x"
    with pytest.raises(DataError, match=r"must have the checksum [0-9a-f]{32}; got [0-9a-f]{32}\. Nothing was kept"):
        fetch_movielens(tmp_path / "data", url, 5.0)
    assert not (tmp_path / "data").exists()


def test_an_archive_writes_nowhere_else(tmp_path: Path, published: tuple[str, dict[str, bytes]]) -> None:
    url, pages = published
    publish(pages, archive(FILES | {"../../evil.csv": "x", "/tmp/evil-absolute.csv": "x"}))
    fetch_movielens(tmp_path / "a" / "b", url, 5.0)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.csv")}
    assert all(path.startswith("a/b/ml-latest-small/") for path in written)
    assert not Path("/tmp/evil-absolute.csv").exists()


@pytest.mark.parametrize(("packed", "sentence"), [
    (b"no archive", "must be a ZIP archive"),
    (archive({"a.csv": "x"}), "must hold ratings.csv and movies.csv; it holds a.csv"),
])
def test_what_is_no_movielens_archive_is_refused(
    tmp_path: Path, published: tuple[str, dict[str, bytes]], packed: bytes, sentence: str
) -> None:
    url, pages = published
    publish(pages, packed)
    with pytest.raises(DataError, match=sentence):
        fetch_movielens(tmp_path, url, 5.0)


def test_a_publisher_that_cannot_be_reached_is_said(tmp_path: Path, published: tuple[str, dict[str, bytes]]) -> None:
    url, pages = published
    with pytest.raises(DataError, match="cannot be fetched: Not Found"):
        fetch_movielens(tmp_path, url, 5.0)
    pages["/ml.zip.md5"] = b"hello"
    with pytest.raises(DataError, match="must hold an MD5 checksum; got 'hello'"):
        fetch_movielens(tmp_path, url, 5.0)

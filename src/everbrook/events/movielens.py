"""The MovieLens folder: found, fetched from its publisher, and its movies and tags as items.

Its ratings are an ordinary CSV file of events (kind 'rating').
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import urllib.error
import urllib.request
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from everbrook.errors import DataError
from everbrook.events.reading import Progress
from everbrook.events.records import ItemChange

PUBLISHED_URL = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
FOLDER = "ml-latest-small"
TAGS_PER_ITEM = 50
ZIP_MAX_BYTES = 1 << 30
_YEAR = re.compile(r"^(.*\S)\s*\((\d{4})(?:[-–]\d{0,4})?\)\s*$")
_NO_GENRES = "(no genres listed)"


def is_movielens(path: Path) -> bool:
    """Whether a folder is MovieLens in its present form (CSV files with headings)."""
    return (path / "ratings.csv").is_file() and (path / "movies.csv").is_file()


def find_movielens(env: Mapping[str, str], cwd: Path) -> Path | None:
    """The folder, if it is there already: in EVERBROOK_DATA, or in ../shared/data.

    Args:
        env: the environment's variables.
        cwd: where '../shared/data' starts from.
    """
    said = env.get("EVERBROOK_DATA")
    roots = ([Path(said)] if said else []) + [cwd.parent / "shared" / "data"]
    return next((folder for root in roots for folder in (root / FOLDER, root) if is_movielens(folder)), None)


def movielens_items(folder: Path) -> Iterator[ItemChange]:
    """Movies as items: title, year as a property, genres as categories, what people tagged most as tags."""
    tags = _tags(folder / "tags.csv")
    for row in _rows(folder / "movies.csv"):
        match = _YEAR.match(row["title"])
        title, year = (match[1], int(match[2])) if match else (row["title"].strip(), None)
        genres = [genre for genre in row["genres"].split("|") if genre and genre != _NO_GENRES]
        yield ItemChange(
            id=row["movieId"], title=title, categories=genres, tags=tags.get(row["movieId"], []),
            properties={} if year is None else {"year": year},
        )


def _tags(path: Path) -> dict[str, list[str]]:
    """The tags of each movie, most frequent first; spellings that differ in case are one."""
    if not path.is_file():
        return {}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in _rows(path):
        tag = row["tag"].strip().lower()
        if tag and len(tag.encode()) <= 256:
            counts[row["movieId"]][tag] += 1
    return {movie: [tag for tag, _ in counter.most_common(TAGS_PER_ITEM)] for movie, counter in counts.items()}


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(f"In '{path}' line {reader.line_num} has not as many cells as the heading.")
                yield row
        except UnicodeDecodeError:
            raise DataError(f"'{path}' must be UTF-8 text; below line {reader.line_num} it is not.") from None


def fetch_movielens(
    target: Path, url: str = PUBLISHED_URL, timeout_s: float = 30.0, progress: Progress | None = None
) -> Path:
    """Fetch the published archive, compare it with the checksum published beside it, and unpack it.

    Args:
        target: the folder in which the folder 'ml-latest-small' is made; one that is there already is kept.
        url: where the archive is; the checksum is at the same address followed by '.md5'.
        timeout_s: how long the publisher may stay silent.
        progress: told bytes fetched and their total.

    Returns:
        The MovieLens folder.

    Raises:
        DataError: when it cannot be fetched, is not what the publisher says, or is no MovieLens archive.
    """
    if is_movielens(target / FOLDER):
        return target / FOLDER
    said = _fetch(url + ".md5", timeout_s, None).decode("ascii", "replace")
    wanted = re.search(r"\b[0-9a-fA-F]{32}\b", said)
    if wanted is None:
        raise DataError(f"'{url}.md5' must hold an MD5 checksum; got '{said[:60]}'. Nothing was kept.")
    archive = _fetch(url, timeout_s, progress)
    got = hashlib.md5(archive, usedforsecurity=False).hexdigest()
    if got != wanted[0].lower():
        raise DataError(f"'{url}' must have the checksum {wanted[0].lower()}; got {got}. Nothing was kept.")
    return _unpack(archive, target, url)


def _fetch(url: str, timeout_s: float, progress: Progress | None) -> bytes:
    parts: list[bytes] = []
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            while part := answer.read(1 << 16):
                parts.append(part)
                done += len(part)
                if done > ZIP_MAX_BYTES:
                    raise DataError(f"'{url}' must be smaller than {ZIP_MAX_BYTES:,} bytes; it is not.")
                if progress is not None:
                    progress(done, max(total, done))
    except (urllib.error.URLError, OSError) as error:
        raise DataError(f"'{url}' cannot be fetched: {getattr(error, 'reason', error)}.") from None
    if total and done != total:
        raise DataError(f"'{url}' must have {total:,} bytes; got {done:,}. Nothing was kept.")
    return b"".join(parts)


def _unpack(archive: bytes, target: Path, url: str) -> Path:
    """Write the archive's CSV files and README into one folder; a file's path inside the archive is not followed."""
    folder = target / FOLDER
    partial = target / f".{FOLDER}.partial"
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            members = {PurePosixPath(info.filename).name: info for info in packed.infolist() if not info.is_dir()}
            wanted = {name: info for name, info in members.items() if name.endswith((".csv", ".txt"))}
            if not {"ratings.csv", "movies.csv"} <= set(wanted):
                raise DataError(f"'{url}' must hold ratings.csv and movies.csv; it holds {', '.join(sorted(members))}.")
            if sum(info.file_size for info in wanted.values()) > ZIP_MAX_BYTES:
                raise DataError(f"'{url}' must unpack to less than {ZIP_MAX_BYTES:,} bytes; it does not.")
            partial.mkdir(parents=True, exist_ok=True)
            for name, info in wanted.items():
                (partial / name).write_bytes(packed.read(info))
    except zipfile.BadZipFile as error:
        raise DataError(f"'{url}' must be a ZIP archive; {error}.") from None
    partial.rename(folder)
    return folder

"""MovieLens latest-small: found on this machine, or fetched from its publisher and checked."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path

NAME = "ml-latest-small"
URL = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
FETCH_TIMEOUT_S = 20
SHA256 = {
    "ratings.csv": "aa289ca83157595d0df6aea1be6a4ded676ddc4385472e8313a8ed9805352646",
    "movies.csv": "5a5f32dd9bb3797b8e728a1b98958789d2b13f294a69fdfbc5727f8a9611aa07",
    "tags.csv": "92a9f8bb7916dceef6151209845788c3643f794dfa79d1feaec7121b5960399d",
}
"""Of the files that are used, as published in September 2018."""


def find() -> Path | None:
    """The folder where MovieLens lies: in EVERBROOK_DATA, or in ../shared/data."""
    named = os.environ.get("EVERBROOK_DATA")
    bases = [Path(named)] if named else []
    bases.append(Path("..") / "shared" / "data")
    for base in bases:
        for folder in (base / NAME, base):
            if (folder / "ratings.csv").is_file() and (folder / "movies.csv").is_file():
                return folder
    return None


def fetch(folder: Path) -> str | None:
    """Fetch MovieLens from its publisher.

    Args:
        folder: where its files are put; made only when all of them are whole.

    Returns:
        Why it could not be done; None where it was.
    """
    import urllib.request  # slow to load, and needed once in a lifetime

    try:
        with urllib.request.urlopen(URL, timeout=FETCH_TIMEOUT_S) as answer:
            packed = answer.read()
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            files = {name: archive.read(f"{NAME}/{name}") for name in SHA256}
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        return f"could not be fetched from {URL} ({error})"
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != SHA256[name]:
            return f"was fetched from {URL}, but {name} does not have the checksum that was expected"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return None

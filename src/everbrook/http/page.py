"""The page: files that were built into the package, read once, answered compressed; nothing in them is anybody's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from everbrook.http.operation import Operation
from everbrook.http.room import Room

FOLDER = "page"
INDEX = "index.html"
PREFIX = "/page/"
MEDIA = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml", "webp": "image/webp", "txt": "text/plain; charset=utf-8",
}  # fmt: skip
CODINGS = {"br": ".br", "gzip": ".gz"}  # the smaller one first
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}  # fmt: skip
NOT_BUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Everbrook</title>
<meta name="viewport" content="width=device-width"><h1>Everbrook is running</h1>
<p>Its page was not built. With Node.js 18 or newer, run <code>make page</code> in the repository and start the server
again; the wheel has the page in it.</p>
<p><a href="/docs">Every route</a> works without it.</p></html>"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A file, as it is and compressed."""

    media: str
    etag: str
    plain: bytes
    coded: dict[str, bytes]  # by coding

    def answer(self, accepted: str, known: str, lasting: bool) -> Response:
        """The file for a browser.

        Args:
            accepted: the codings that it takes.
            known: the tags of what it has.
            lasting: whether the name says what is in it.
        """
        headers = SAFE | {
            "ETag": self.etag, "Vary": "Accept-Encoding",
            "Cache-Control": "public, max-age=31536000, immutable" if lasting else "no-cache",
        }  # fmt: skip
        if self.etag in (one.strip().removeprefix("W/") for one in known.split(",")):
            return Response(status_code=304, headers=headers)
        taken = {one.partition(";")[0].strip() for one in accepted.split(",") if "q=0" not in one.replace("q=0.", "")}
        coding = next((name for name in CODINGS if name in taken and name in self.coded), None)
        if coding is None:
            return Response(self.plain, headers=headers, media_type=self.media)
        return Response(self.coded[coding], headers=headers | {"Content-Encoding": coding}, media_type=self.media)


def read(folder: Traversable) -> dict[str, Kept]:
    """The files of a built page by name; none where it was not built."""
    if not folder.joinpath(INDEX).is_file():
        return {}
    there = {one.name: one for one in folder.iterdir() if one.is_file()}
    found = {}
    for name, file in there.items():
        media = MEDIA.get(name.rpartition(".")[2])
        if media is not None:
            plain = file.read_bytes()
            coded = {coding: there[name + end].read_bytes() for coding, end in CODINGS.items() if name + end in there}
            found[name] = Kept(media, f'"{hashlib.sha256(plain).hexdigest()[:20]}"', plain, coded)
    return found


FILES = read(resources.files("everbrook").joinpath(FOLDER))


def open_paths() -> frozenset[str]:
    """The paths of the page's files: they may be asked without a key."""
    return frozenset(PREFIX + name for name in FILES if name != INDEX)


class PageFiles:
    """Answers with the page's files, before any route is looked for.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as ASGI asks."""
        path = scope.get("path", "")
        kept = FILES.get(path.removeprefix(PREFIX)) if path.startswith(PREFIX) else None
        if scope["type"] != "http" or kept is None or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        await _answer(Request(scope), kept, lasting=True)(scope, receive, send)


class Page(Room):
    """The page itself."""

    operations = (
        Operation("get", "/", "get_page", "The page: see it learn.", "open", gives=str, media="text/html"),
    )  # fmt: skip

    async def get_page(self, request: Request) -> Response:
        """The page; where it was not built, how to."""
        kept = FILES.get(INDEX)
        if kept is None:
            return Response(NOT_BUILT, headers=SAFE, media_type=MEDIA["html"])
        return _answer(request, kept, lasting=False)


def _answer(request: Request, kept: Kept, lasting: bool) -> Response:
    headers = request.headers
    return kept.answer(headers.get("accept-encoding", ""), headers.get("if-none-match", ""), lasting)

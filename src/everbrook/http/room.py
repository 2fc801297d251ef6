"""What the rooms behind the door share: reading bodies and questions, waiting aside. A room is a few routes."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec
from starlette.requests import Request

from everbrook.engine.spans import carried
from everbrook.errors import InputError
from everbrook.events.records import MAX_ID_BYTES
from everbrook.http.failures import reworded
from everbrook.http.guard import read_body
from everbrook.http.operation import Operation

if TYPE_CHECKING:
    from everbrook.engine.recommender import Recommender
    from everbrook.settings import Settings

StructT = TypeVar("StructT", bound=msgspec.Struct)


class Room:
    """Some routes on one engine.

    Args:
        engine: an open engine; the caller closes it.
        settings: the limits, and the log's tolerance for times in the future.
    """

    operations: ClassVar[tuple[Operation, ...]] = ()
    is_computing: ClassVar[bool] = False  # whether its routes are refused while what computes their answers is compiled

    def __init__(self, engine: Recommender, settings: Settings) -> None:
        self.engine, self.settings = engine, settings

    def close(self) -> None:
        """End what goes on here: the server stops. Called in the loop."""

    async def body(self, request: Request) -> bytes:
        """The whole body, within the limit."""
        return await read_body(request, self.settings.serve.body_limit_bytes)

    async def asked(self, request: Request, kind: type[StructT], what: str) -> StructT:
        """What a body asks for; it may be empty where it has nothing to say.

        Args:
            request: whose body it is.
            kind: a Struct.
            what: the body's noun, such as 'A wish for a list'.
        """
        return decoded(msgspec.json.Decoder(kind), await self.body(request) or b"{}", what)

    def questions(self, request: Request, kind: type[StructT]) -> StructT:
        """What stands behind the '?', as a Struct; texts become numbers and truths where the field wants them."""
        given = dict(request.query_params)
        try:
            return msgspec.convert(given, kind, strict=False)
        except msgspec.ValidationError as error:
            raise reworded(error, "What is asked behind '?'", kind) from None

    def id_of(self, request: Request) -> str:
        """The id in the path.

        Raises:
            InputError: it is empty or too long.
        """
        found: str = request.path_params["id"]
        size_bytes = len(found.encode("utf-8", "surrogatepass"))
        if not 0 < size_bytes <= MAX_ID_BYTES:
            raise InputError(f"An id must be text of 1 to {MAX_ID_BYTES} bytes; got {size_bytes} bytes.")
        return found

    def check_count(self, count: int) -> None:
        """Refuse a batch of too many records."""
        limit = self.settings.serve.batch_limit
        if count > limit:
            raise InputError(f"A batch must hold at most {limit} records; got {count}.", "Send smaller batches.")

    async def aside(self, call: Any, *arguments: Any) -> Any:
        """Wait for the disk or the learner on another thread, so that lists go on being made.

        The loop's threads are few, and it waits for them at its end: what takes seconds and turns takes its turn first.
        """
        return await asyncio.get_running_loop().run_in_executor(None, carried(partial(call, *arguments)))


def decoded(decoder: msgspec.json.Decoder[StructT], body: bytes, what: str) -> StructT:
    """What a body says.

    Raises:
        InputError: it is no JSON, does not fit, or is nested too deep.
    """
    try:
        return decoder.decode(body)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise reworded(error, what, decoder.type) from None
    except UnicodeDecodeError:
        raise InputError("The body must be UTF-8; got bytes that are not.") from None
    except RecursionError:
        raise InputError(f"{what} must not be nested as deep as it is.") from None

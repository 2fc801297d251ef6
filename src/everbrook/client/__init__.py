"""Speaking with a server from Python: `Client` and `AsyncClient`. Needs httpx: pip install 'everbrook[client]'."""

from everbrook.client.asks import Receipt
from everbrook.client.asynchronous import AsyncBatch, AsyncClient
from everbrook.client.replies import KeyRefusedError, RateError, UnreachableError
from everbrook.client.synchronous import Batch, Client
from everbrook.client.waiting import Refusal, RefusedError

__all__ = [
    "AsyncBatch", "AsyncClient", "Batch", "Client", "KeyRefusedError", "RateError", "Receipt", "Refusal",
    "RefusedError", "UnreachableError",
]

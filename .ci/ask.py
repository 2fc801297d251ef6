"""Asks the running program for lists as a user would, and says what came back. Standard library only."""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

READY_S = 1800


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    """Send a body (or none) and read the JSON that comes back."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_ready(base: str, process: int) -> None:
    """Wait until the server says that it is ready, or its process has gone."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until:
        os.kill(process, 0)
        try:
            call(f"{base}/readyz")
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise TimeoutError(f"not ready after {READY_S} s")


def main() -> None:
    """Ask, post an event, ask again: the item of the event must be the reason of something or be gone."""
    base, process = sys.argv[1], int(sys.argv[2])
    started = time.monotonic()
    wait_ready(base, process)
    print(f"ready after {time.monotonic() - started:.0f} s")
    user = "a-new-user"
    before = call(f"{base}/v1/recommend", {"user": user, "k": 10})["items"]
    if not before:
        sys.exit("A stranger must get a list; got an empty one.")
    item = before[0]["id"]
    receipt = call(f"{base}/v1/events", {"events": [{"user": user, "item": item, "kind": "view", "id": "ci-1"}]})
    if receipt["accepted"] != 1:
        sys.exit(f"One event must be accepted; got {receipt}.")
    after = call(f"{base}/v1/recommend", {"user": user, "k": 10})["items"]
    if not after or [one["id"] for one in after] == [one["id"] for one in before]:
        sys.exit(f"The list must reflect the event on '{item}'; got the same one: {after}.")
    reasons = [reason for one in after for reason in one.get("reasons", []) if reason.get("item") == item]
    with urllib.request.urlopen(f"{base}/", timeout=30) as answer:
        if "/page/everbrook-" not in answer.read().decode():
            sys.exit("The page must be built and served at /; it is not.")
    print(f"before: {[one['id'] for one in before]}")
    print(f"after a view of '{item}': {[one['id'] for one in after]} ({len(reasons)} reasons name it)")
    print(f"status: {json.dumps(call(f'{base}/v1/status'))[:600]}")


if __name__ == "__main__":
    main()

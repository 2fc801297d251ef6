"""What the demo remembers between two runs: where its data is from, and whom to ask about. No engine here."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Where the data is from and a user of it; kept beside the data directory, which belongs to the engine alone."""

    told: str  # 'MovieLens latest-small'
    user: str
    item: str
    kind: str
    value: float | None = None
    finished: bool = False  # whether import and learning came to their end

    @staticmethod
    def place(data: Path) -> Path:
        """The file that is kept."""
        return data.with_name(data.name + ".demo.json")

    @classmethod
    def read(cls, data: Path) -> Story | None:
        """What was kept; None where there is nothing."""
        try:
            return msgspec.json.decode(cls.place(data).read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def write(self, data: Path) -> None:
        """Keep this."""
        self.place(data).parent.mkdir(parents=True, exist_ok=True)
        self.place(data).write_bytes(msgspec.json.encode(self))

    def to_try(self, address: str) -> str:
        """Three things to try."""
        event = {"user": self.user, "item": self.item, "kind": self.kind, "value": self.value}
        event = {name: value for name, value in event.items() if value is not None}
        return "\n".join([
            f"Everbrook answers on {address}: open it in a browser and see it learn.",
            "Three things to try in another terminal:",
            f"  1. What to show user '{self.user}':",
            f"     {_curl(address, 'recommend', {'user': self.user, 'k': 5})}",
            "  2. Tell what the user did, then ask 1 again; the list has changed:",
            f"     {_curl(address, 'events', {'events': [event]})}",
            f"  3. A stranger on the page of item '{self.item}':",
            f"     {_curl(address, 'recommend', {'item': self.item, 'k': 5})}",
            f"Every route, to be tried in the browser: {address}/docs    Stop with Ctrl-C.",
        ])


def _curl(address: str, route: str, body: dict[str, object]) -> str:
    text = json.dumps(body, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -s {address}/v1/{route} -d '{text}'"

"""The item table: vectors changed in place, searched exactly. Not a graph index; nothing is approximate."""

from everbrook.index.table import ItemTable

__all__ = ["ItemTable"]

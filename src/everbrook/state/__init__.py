"""The fold over the log: who did what, which items exist, what is counted."""

from everbrook.state.fold import Removed, State

__all__ = ["Removed", "State"]

"""Where a fit computes: the device and the threads that the settings name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from everbrook.errors import SettingError


def device_named(name: str) -> torch.device:
    """The device of a setting.

    Args:
        name: 'auto' takes a GPU where there is one.

    Raises:
        SettingError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch raises each for one kind of absence
        raise SettingError(f"Setting 'fit.device' must be 'auto' or a device of this machine; got '{name}'.") from error
    return device


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with so many threads inside; 0 changes nothing."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

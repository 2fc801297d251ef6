"""TensorBoard scalars of a fit, where a folder is set and the package is there."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Protocol

from everbrook.errors import SettingError


class Report(Protocol):
    """What an epoch leaves to be drawn."""

    @property
    def epoch(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def quality(self) -> dict[str, float]: ...


class Scalars:
    """Writes an epoch's loss and quality; without a folder it writes nothing."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._writer: Any = None

    def __enter__(self) -> Scalars:
        if self._folder:
            try:
                from torch.utils.tensorboard import SummaryWriter  # optional and slow to load
            except ImportError as error:
                raise SettingError(
                    f"Setting 'fit.tensorboard' needs the package tensorboard; got '{self._folder}' without it. "
                    "Install everbrook[track]."
                ) from error
            self._writer = SummaryWriter(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, report: Report) -> None:
        """Add one epoch's point to every curve."""
        if self._writer is not None:
            for name, value in ({"loss": report.loss} | report.quality).items():
                self._writer.add_scalar(f"fit/{name}", value, report.epoch)

"""A sequence model as a file: safetensors, with its shape and notes as JSON in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from safetensors import SafetensorError, safe_open

from everbrook.errors import DataError
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.sequence import SequenceSettings

if TYPE_CHECKING:
    from everbrook.models.sequence import SequenceModel

FORMAT = 2


def save(model: SequenceModel, path: Path, notes: dict[str, Any] | None = None) -> None:
    """Write a model and notes about it (anything that JSON can hold), whole or not at all."""
    from safetensors.torch import save_file  # PyTorch, which is not there before a model is

    header = {
        "format": FORMAT, "settings": msgspec.to_builtins(model.settings),
        "features": msgspec.to_builtins(model.features), "items": model.items, "notes": notes or {},
    }  # fmt: skip
    beside = path.with_name(path.name + ".new")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, beside, {"everbrook": json.dumps(header)})
    beside.replace(path)


def load(path: Path) -> tuple[SequenceModel, dict[str, Any]]:
    """Read what `save` wrote: the model, ready to be asked, and the notes.

    Raises:
        DataError: no model file, or one of another format.
    """
    from everbrook.models.sequence_registry import new_model

    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {}).get("everbrook", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    except (SafetensorError, FileNotFoundError) as error:
        raise DataError(f"Model file must be a safetensors file; got '{path}': {error}.") from error
    if header.get("format") != FORMAT:
        raise DataError(f"Model file must have format {FORMAT}; got {header.get('format')} in '{path}'. Fit anew.")
    settings = msgspec.convert(header["settings"], SequenceSettings)
    features = msgspec.convert(header["features"], FeaturesSettings)
    model = new_model(settings, header["items"], features=features)
    model.load_state_dict(tensors)
    return model.eval(), header["notes"]


def notes_of(path: Path) -> dict[str, Any]:
    """The notes of a model's file alone, without its tensors.

    Raises:
        DataError: no model file.
    """
    try:
        with safe_open(path, "np") as file:
            notes: dict[str, Any] = json.loads((file.metadata() or {}).get("everbrook", "{}")).get("notes", {})
    except (SafetensorError, FileNotFoundError) as error:
        raise DataError(f"Model file must be a safetensors file; got '{path}': {error}.") from error
    return notes

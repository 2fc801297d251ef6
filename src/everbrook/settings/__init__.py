"""The one settings object: every group, its digest, and the one way to load it.

Defaults, help, units and ranges are written in the groups' own files and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from everbrook.settings.collaborative import CollaborativeSettings
from everbrook.settings.content import ContentSettings
from everbrook.settings.data import DataSettings
from everbrook.settings.described import Described, describe
from everbrook.settings.drift import DriftSettings
from everbrook.settings.engine import EngineSettings
from everbrook.settings.features import FeaturesSettings
from everbrook.settings.fit import FitSettings
from everbrook.settings.gate import GateSettings
from everbrook.settings.guard import GuardSettings
from everbrook.settings.index import IndexSettings
from everbrook.settings.learner import LearnerSettings
from everbrook.settings.live import LiveSettings
from everbrook.settings.log import LogSettings
from everbrook.settings.mixture import MixtureSettings
from everbrook.settings.neighbours import NeighboursSettings
from everbrook.settings.popularity import PopularitySettings
from everbrook.settings.rank import RankSettings
from everbrook.settings.repeats import RepeatsSettings
from everbrook.settings.rules import RulesSettings
from everbrook.settings.sequence import SequenceSettings
from everbrook.settings.serve import ServeSettings
from everbrook.settings.source import Given, compose, from_arguments, from_environment, from_toml
from everbrook.settings.state import StateSettings
from everbrook.settings.transitions import TransitionsSettings
from everbrook.settings.values import ValuesSettings

__all__ = ["Described", "Loaded", "Settings", "describe", "load_settings"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, one level nested."""

    log: LogSettings = msgspec.field(default_factory=LogSettings)
    data: DataSettings = msgspec.field(default_factory=DataSettings)
    state: StateSettings = msgspec.field(default_factory=StateSettings)
    guard: GuardSettings = msgspec.field(default_factory=GuardSettings)
    features: FeaturesSettings = msgspec.field(default_factory=FeaturesSettings)
    popularity: PopularitySettings = msgspec.field(default_factory=PopularitySettings)
    transitions: TransitionsSettings = msgspec.field(default_factory=TransitionsSettings)
    repeats: RepeatsSettings = msgspec.field(default_factory=RepeatsSettings)
    neighbours: NeighboursSettings = msgspec.field(default_factory=NeighboursSettings)
    collaborative: CollaborativeSettings = msgspec.field(default_factory=CollaborativeSettings)
    content: ContentSettings = msgspec.field(default_factory=ContentSettings)
    rules: RulesSettings = msgspec.field(default_factory=RulesSettings)
    index: IndexSettings = msgspec.field(default_factory=IndexSettings)
    sequence: SequenceSettings = msgspec.field(default_factory=SequenceSettings)
    live: LiveSettings = msgspec.field(default_factory=LiveSettings)
    fit: FitSettings = msgspec.field(default_factory=FitSettings)
    learner: LearnerSettings = msgspec.field(default_factory=LearnerSettings)
    mixture: MixtureSettings = msgspec.field(default_factory=MixtureSettings)
    gate: GateSettings = msgspec.field(default_factory=GateSettings)
    drift: DriftSettings = msgspec.field(default_factory=DriftSettings)
    rank: RankSettings = msgspec.field(default_factory=RankSettings)
    engine: EngineSettings = msgspec.field(default_factory=EngineSettings)
    values: ValuesSettings = msgspec.field(default_factory=ValuesSettings)
    serve: ServeSettings = msgspec.field(default_factory=ServeSettings)

    def digest(self) -> str:
        """A short hash of everything that can change a list; stamped on snapshots and reports."""
        values = msgspec.to_builtins(self)
        del values["serve"]  # where the door stands changes no list
        return hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and for every one by 'group.field' the words for where its value came from."""

    settings: Settings
    origins: dict[str, str]


def load_settings(
    config: Path | None = None,
    environment: Mapping[str, str] | None = None,
    assignments: Sequence[str] = (),
) -> Loaded:
    """Put the settings together; later wins: defaults < file < environment < assignments.

    Args:
        config: a TOML file; it must exist.
        environment: variables to look through; the process's own where it is None.
        assignments: texts of the form 'group.name=value'.

    Raises:
        SettingError: a name is unknown, a value has the wrong type or range, or the file is missing.
    """
    given: list[Given] = []
    if config is not None:
        given.extend(from_toml(config))
    variables = os.environ if environment is None else environment
    given.extend(from_environment(variables, describe(Settings)))
    given.extend(from_arguments(assignments))
    settings, origins = compose(Settings, given)
    return Loaded(settings, origins)

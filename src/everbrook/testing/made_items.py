"""The items of a made world: genres, names in made languages, and weights that rise, trend and fade.

Not who takes them (see `choices`) nor when (see `visits`).
"""

from __future__ import annotations

import numpy as np
from msgspec import UNSET

from everbrook.events.records import ItemChange
from everbrook.testing.choices import Shelf
from everbrook.testing.world_config import DAY_MS, WorldConfig
from everbrook.types import F64, I32, I64

_SYLLABLES = (
    ("ba", "ke", "li", "mo", "nu", "ra", "se", "ti", "vo", "zu", "dar", "fen", "gil", "hol", "jun"),
    ("ба", "ве", "ги", "до", "жу", "за", "ке", "ли", "мо", "ну", "пар", "рен", "сил", "тол", "фун"),
    ("βα", "γε", "δι", "ζο", "θυ", "κα", "λε", "μι", "νο", "ξυ", "παρ", "ρεν", "σιλ", "τολ", "φυν"),
    ("カ", "キ", "ク", "サ", "シ", "ス", "タ", "チ", "ナ", "ニ", "ハ", "マ", "ミ", "ラ", "リ"),
)


class MadeItems:
    """N items, their genres and their weights at any moment.

    Args:
        config: the world.
    """

    def __init__(self, config: WorldConfig) -> None:
        self._config = config
        rng = np.random.default_rng([config.seed, 10])
        N = config.items
        self.genre: I32 = np.concatenate([rng.permutation(config.genres) for _ in range(-(-N // config.genres))])[
            :N
        ].astype(np.int32)
        born = np.zeros(N)
        late = round(config.born_share * N)
        if late:
            born[N - late :] = np.sort(rng.uniform(0, config.days * DAY_MS, late))
        self.born_ms: I64 = config.start_ms + born.astype(np.int64)
        if late and config.death_s:  # the world begins in the midst of life
            early = rng.uniform(0, config.death_s * 1000, N - late)
            self.born_ms[: N - late] -= early.astype(np.int64)
        elif config.rise_s:
            self.born_ms[: N - late] -= round(20_000 * config.rise_s)
        self._lasting = rng.permutation(np.arange(1, N + 1, dtype=np.float64) ** -config.popularity)
        self._fade_s = config.fade_s * rng.lognormal(-0.125, 0.5, N)
        bursts = rng.poisson(config.bursts_per_day * config.days)
        self.burst_ms: I64 = config.start_ms + np.sort(rng.integers(0, round(config.days * DAY_MS), bursts))
        self.burst_item: I32 = rng.integers(0, N, bursts).astype(np.int32)
        self.successors = self._successors(rng)
        self.order: I64 = np.argsort(self.genre, kind="stable")
        self._starts = np.searchsorted(self.genre[self.order], np.arange(config.genres + 1))
        self.changing = bool(late or config.fade_s or config.death_s or bursts or config.rise_s)
        self._shelf: tuple[int, Shelf] | None = None

    def weights(self, ts_ms: int) -> F64:
        """(N,) how much each item draws everyone at a moment: 0 before its birth and after its death."""
        config = self._config
        age_s = (ts_ms - self.born_ms) / 1000
        weight = np.where(age_s >= 0, self._lasting, 0.0)
        if config.rise_s:
            weight *= -np.expm1(-(np.maximum(age_s, 0) + 1) / config.rise_s)
        if config.fade_s:
            weight *= np.exp(-np.maximum(age_s, 0) / self._fade_s)
        since_s = (ts_ms - self.burst_ms) / 1000
        running = (since_s >= 0) & (since_s < 20 * config.burst_s)
        if running.any():
            extra = config.burst * np.exp(-since_s[running] / config.burst_s)
            np.multiply.at(weight, self.burst_item[running], 1 + extra)
        if config.death_s:
            weight[age_s > config.death_s] = 0.0
        if not weight.any():
            weight[np.abs(age_s).argmin()] = 1.0  # a world is never empty
        return weight

    def tick(self, ts_ms: I64) -> I64:
        """Which run of constant weights each moment lies in."""
        if not self.changing:
            return np.zeros(len(ts_ms), np.int64)
        ticks: I64 = (ts_ms - self._config.start_ms) // round(self._config.tick_s * 1000)
        return ticks

    def shelf(self, tick: int) -> Shelf:
        """What can be taken during a tick."""
        if self._shelf is None or self._shelf[0] != tick:
            tick_ms = round(self._config.tick_s * 1000)
            begins = self._config.start_ms + tick * tick_ms
            weight = self.weights(begins)
            if self._config.death_s:  # gone for the whole tick in which it goes, so that nobody takes what expired
                gone = begins + tick_ms - self.born_ms > self._config.death_s * 1000
                kept = np.where(gone, 0.0, weight)
                weight = kept if kept.any() else weight
            self._shelf = (tick, self._laid_out(weight))
        return self._shelf[1]

    def changes(self, rows: I32) -> list[ItemChange]:
        """The records that bring items in, with titles and categories that tell the genre."""
        genres = [_word(self._config.seed, genre, 0) for genre in range(self._config.genres)]
        dies_ms = round(self._config.death_s * 1000)
        changes = []
        for row in rows.tolist():
            genre = int(self.genre[row])
            picks = np.random.default_rng([self._config.seed, 11, row]).integers(1, 40, 3)
            words = [_word(self._config.seed, genre, int(pick)) for pick in picks]
            changes.append(
                ItemChange(
                    id=item_id(row),
                    title=" ".join(words).capitalize(),
                    text=f"{genres[genre]} {words[2]} {words[0]}",
                    categories=[genres[genre]],
                    properties={"length": float(picks[0])},
                    ts=max(0, int(self.born_ms[row])),
                    expires=int(self.born_ms[row]) + dies_ms if dies_ms else UNSET,
                )
            )
        return changes

    def _laid_out(self, weight: F64) -> Shelf:
        cumulated = np.concatenate(([0.0], np.cumsum(weight[self.order])))
        return Shelf(weight, cumulated, self.order, self._starts, self.successors)

    def _successors(self, rng: np.random.Generator) -> I32:
        """(N, S) one cycle through all items for each successor; born items follow items born about then."""
        N, S = self._config.items, self._config.successors
        rows = np.zeros((N, S), np.int32)
        for s in range(S):
            near = np.argsort(self.born_ms + rng.uniform(0, 1, N) * self._config.tick_s * 36_000, kind="stable")
            rows[near, s] = np.roll(near, -1)
        return rows


def item_id(row: int) -> str:
    """The id of an item's row."""
    return f"i{row}"


def _word(seed: int, genre: int, number: int) -> str:
    rng = np.random.default_rng([seed, 12, genre, number])
    syllables = _SYLLABLES[genre % len(_SYLLABLES)]
    return "".join(syllables[int(i)] for i in rng.integers(0, len(syllables), int(rng.integers(2, 5))))

"""Where a model is at home: the error to expect at an identity to training rows, against that of a constant guess.

Decides what is inside: held-out rows at such an identity were predicted better than by the constant. An error is what a user is
told, a loss what decides: of classes, calls alone would put a model outside that ranks rare ones well. Identities are found in
`seqloom.training_rows`, errors and losses of rows in `seqloom.uncertainty`, errors in bands by `seqloom.calibrate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seqloom.calibrate import ErrorByIdentity, Expected, expected_error, wilson
from seqloom.calibrate.distance import FEWEST_IN_BAND, mean_error
from seqloom.resample import Floats
from seqloom.split.audit import BANDS
from seqloom.stats import Interval, compare


@dataclass(frozen=True)
class Domain:
    """Errors of a model and of the constant baseline in the same bands of identity to the nearest training row."""

    model: ErrorByIdentity
    baseline: ErrorByIdentity
    gain: tuple[Interval, ...]
    """Per band the error of the baseline minus that of the model, both on the same rows: above 0 the model is better."""
    skill: tuple[Interval, ...]
    """The same of losses; equal to `gain` where a loss is the error itself."""

    @property
    def is_better(self) -> tuple[bool, ...]:
        """Per band whether the model has less loss than the baseline, detectably; with fewer than 30 rows, whether at all."""
        return tuple(
            skill.value > 0 if band.rows < FEWEST_IN_BAND or math.isnan(skill.low) else skill.low > 0
            for band, skill in zip(self.model.bands, self.skill, strict=True)
        )

    def inside(self, identity: Floats) -> np.ndarray:
        """Which rows of these identities (N,) the model is at home with, bool (N,).

        Not those farther from training rows than any held-out row was, nor a NaN.
        """
        identity = np.asarray(identity, np.float64)
        better = np.array(self.is_better, bool)[self.model.place(identity)]
        return better & ~self.model.is_beyond(identity) & ~np.isnan(identity)

    def expected(self, identity: Floats) -> Expected:
        """The error to expect of rows of these identities (N,); NaN where no held-out row was so far from training rows."""
        found = self.model.at(identity)
        beyond = self.model.is_beyond(identity)
        return Expected(*(np.where(beyond, np.nan, each) for each in found))

    def held_against(
        self, identity: Floats, error: Floats, *, is_share: bool, clusters: np.ndarray | None = None
    ) -> list[dict[str, Any]]:
        """The stated error of every band against that of other rows, with identities and errors (N,), 0 or more.

        `holds`: whether both can be one, by the interval of their difference made of the two intervals (Zou and Donner 2008,
        Statistics in Medicine 27:1693); None without rows, or for rows beyond all bands, of which nothing was stated.
        `is_share`: errors are 0 or 1, or means of them. Intervals draw whole `clusters` (N,) of related rows if given, and take
        rows for independent if not.
        """
        known = ~np.isnan(identity) & ~np.isnan(error)
        units = None if clusters is None else clusters[known]
        identity, error = np.asarray(identity, np.float64)[known], np.asarray(error, np.float64)[known]
        place = np.where(self.model.is_beyond(identity), -1, self.model.place(identity))
        ends = [*(band.low for band in self.model.bands[1:]), 1.0]  # rows between bands belong to the farther one
        stated = [
            (at, band.low, end, band.error) for at, (band, end) in enumerate(zip(self.model.bands, ends, strict=True))
        ]
        if (place < 0).any():
            stated.insert(0, (-1, 0.0, self.model.farthest, Interval(math.nan, math.nan, math.nan)))
        lines = []
        for at, low, high, told in stated:
            own = error[place == at]
            drawn = None if units is None or not len(own) else units[place == at]
            measured = _mean(own, is_share=is_share) if drawn is None else mean_error(own, clusters=drawn)
            lines.append(_held(low, high, told, measured, len(own)))
        return lines

    def as_json(self) -> dict[str, Any]:
        """Everything, as plain numbers and text; undefined numbers are null. `bands` is all in one, to be read."""
        bands = [
            {
                "from": band.low, "to": band.high, "rows": band.rows, "error": band.error.as_json(),
                "baseline": guess.error.as_json(), "gain": gain.as_json(), "skill": skill.as_json(), "inside": better,
            }
            for band, guess, gain, skill, better in zip(
                self.model.bands, self.baseline.bands, self.gain, self.skill, self.is_better, strict=True
            )
        ]  # fmt: skip
        return {"bands": bands, "model": self.model.as_json(), "baseline": self.baseline.as_json()}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Domain:
        """What `as_json` wrote; of a run of before there were losses, errors decide."""
        gain = tuple(_interval(band["gain"]) for band in facts["bands"])
        skill = tuple(_interval(band.get("skill", band["gain"])) for band in facts["bands"])
        own, guess = (ErrorByIdentity.from_json(facts[name]) for name in ("model", "baseline"))
        return Domain(own, guess, gain, skill)


def measure_domain(
    identity: Floats,
    error: Floats,
    baseline: Floats,
    *,
    losses: Floats | None = None,
    clusters: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Domain | None:
    """The domain that held-out rows show: identities, errors of the model and of the baseline (N,), 0 or more.

    `losses` (N, 2), 0 or more, of the model and of the baseline, decide what is inside; the errors if there are none. Rows with
    a NaN in identity or errors are left out; None if none is left. Intervals draw whole `clusters` (N,) of related rows if given.
    """
    known = ~(np.isnan(identity) | np.isnan(error) | np.isnan(baseline))
    if not known.any():
        return None
    identity, error, baseline = (np.asarray(each, np.float64)[known] for each in (identity, error, baseline))
    pairs = np.stack([error, baseline], axis=1)
    labels = None if clusters is None else clusters[known]
    own, guess = (
        expected_error(identity, each, edges=BANDS, clusters=labels, draws=draws, seed=seed)
        for each in (error, baseline)
    )
    place = own.place(identity)

    def differences(pairs: Floats) -> tuple[Interval, ...]:
        return tuple(_difference(pairs, place == at, labels, draws, seed) for at in range(len(own.bands)))

    gain = differences(pairs)
    return Domain(own, guess, gain, gain if losses is None else differences(np.asarray(losses, np.float64)[known]))


def _difference(pairs: Floats, rows: np.ndarray, labels: np.ndarray | None, draws: int, seed: int) -> Interval:
    """Mean of the second of `pairs` (N, 2), 0 or more, minus that of the first, of `rows` (N,), bool."""
    found = compare(
        "regression",
        [np.zeros((int(rows.sum()), 1))],
        {"model": [[pairs[rows, :1]]], "baseline": [[pairs[rows, 1:]]]},
        ["mae"],
        clusters=None if labels is None else [labels[rows]],
        draws=draws,
        seed=seed,
    )
    return found.difference("baseline", "model")


def _held(low: float, high: float, stated: Interval, measured: Interval, n_rows: int) -> dict[str, Any]:
    """A line of `held_against`: the stated error, the measured one of so many rows, and whether they agree."""
    holds = None
    if n_rows and not math.isnan(stated.value):
        above = measured.value > stated.value
        slack = (measured.value - measured.low, stated.high - stated.value)
        slack = slack if above else (measured.high - measured.value, stated.value - stated.low)
        holds = abs(measured.value - stated.value) <= math.hypot(*(each for each in slack if not math.isnan(each)))
    return {
        "from": low, "to": high, "rows": n_rows, "stated": stated.as_json(), "measured": measured.as_json(), "holds": holds,
    }  # fmt: skip


def _mean(error: Floats, *, is_share: bool) -> Interval:
    """Mean error of independent rows (n,) with its 95 % interval: Wilson's for 0 and 1, else by Student's t; NaN without rows."""
    from scipy.special import stdtrit

    n = len(error)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(error.mean())
    if is_share and np.isin(error, (0, 1)).all():
        return wilson(int(error.sum()), n)
    half = float(stdtrit(n - 1, 0.975) * error.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Interval(mean, max(mean - half, 0.0), mean + half)


def _interval(facts: Mapping[str, float | None]) -> Interval:
    return Interval(*(math.nan if (value := facts[key]) is None else value for key in ("value", "low", "high")))

"""Slices: the primary metric on parts of the test rows, by nearness to training rows, length, group, column or expression.

Every slice is scored as the whole is, on the rows of it that stand in the test of each fold. Which parts there are is decided
by the table alone; parts too small to score are listed with their number of rows, never passed over.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.calibrate.distance import FEWEST_IN_BAND, merged_bands
from seqloom.errors import DataError
from seqloom.evaluation import BOOTSTRAP_SEED, Evaluated, as_scored, evaluate, predicted_as_scored
from seqloom.metrics import draw_summaries, within_groups
from seqloom.sections import ReportSection
from seqloom.split.audit import BANDS
from seqloom.stats import interval_of
from seqloom.table import Table
from seqloom.where import truth_of

FEWEST_IN_FOLD = 10
"""Test rows of a band at least on average over folds, in each of which it is scored by itself."""
FEWEST_IN_SLICE = 10
"""Test rows of a slice at least, for a score."""
MOST_LEVELS = 12
"""Values of a column that are slices of their own; of a column of numbers with more, quarters of the rows are."""
QUARTERS = (0.25, 0.5, 0.75)
SUMMARIES = ("mean", "median", "weighted_mean")
NAMED = re.compile(r"""([^:'"`<>=()]*[^:'"`<>=()\s])\s*:\s+(.+)""", re.DOTALL)
"""A name and an expression; in an expression alone a colon stands in quotes only."""
OTHERS = "others"


@dataclass(frozen=True)
class Slices:
    """The parts that one property divides rows into."""

    by: str
    names: tuple[str, ...]
    place: np.ndarray  # int64 (N,): index into `names`, -1 where the property is not known


def slices_of(table: Table, by: str) -> Slices:
    """The parts of a table by `length`, `group`, a column, or an expression (`len(sequence) == 9`) that holds or does not.

    `nine-mers: len(sequence) == 9` names the part where the expression holds; the other rows are `others`.

    Text, and numbers of few values, give one part for each of the most frequent values and one for the others; other numbers
    give quarters of the rows. DataError for what is neither a column nor an expression.
    """
    if by in table.data.column_names:
        return _of_column(table, by, by)
    if by == "length":
        lengths = np.sum([pc.binary_length(table.sequences(each)).to_numpy() for each in table.roles.sequences], axis=0)
        return _of_numbers(by, lengths.astype(float))
    if by == "group":
        if table.roles.group is None:
            raise DataError(
                f"{table.source.name}: report.by = 'group', and the table has no group column; name it with --group COLUMN"
            )
        return _of_column(table, table.roles.group, by)
    named = NAMED.fullmatch(by)
    names, expression = ((named[1], OTHERS), named[2]) if named else ((by, f"not ({by})"), by)
    holds = pc.fill_null(truth_of(expression, table).cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return Slices(by, names, np.where(holds < 0, -1, 1 - holds))


def scores_within_groups(
    evaluated: Evaluated, tests: Sequence[np.ndarray], groups: Sequence[np.ndarray], draws: int, *, inner: int = 1
) -> dict[str, Any] | None:
    """The primary metric within each group of test rows, summarised with intervals over groups; None without a group to score.

    `groups`: per fold labels (N,), None for no group. A group of one fold is one group; predictions are the mean of a fold's
    seeds, and of `inner` folds in a row that test the same rows. `metric`, `groups` (counted), `note`, and `scores` by variant:
    `mean`, `median`, `weighted_mean`.
    """
    metric, target = evaluated.metrics[0], evaluated.target
    if not len(tests):
        return None
    outer = range(0, len(tests), inner)
    own_bounds = None if evaluated.bounds is None else [evaluated.bounds[fold] for fold in outer]
    task, scored, left = as_scored(target, metric, [tests[fold] for fold in outer], own_bounds)
    labels = np.concatenate(
        [
            np.array([None if own is None else f"{fold} {own}" for own in each], object)
            for fold, each in enumerate(groups[fold] for fold in outer)
        ]
    )
    y = np.concatenate(scored)
    bounds = None if left is None else np.concatenate(left)
    results = {}
    for name in evaluated.main.order:
        of_folds = [np.mean(seeds, axis=0) for seeds in evaluated.predictions[name]]
        means = [predicted_as_scored(target, metric, np.mean(of_folds[fold : fold + inner], axis=0)) for fold in outer]
        results[name] = within_groups(metric, task, y, np.concatenate(means), labels, bounds=bounds)
    counted = max((each.n_counted for each in results.values()), default=0)
    if not counted:
        return None
    drawn = draw_summaries(list(results.values()), draws, BOOTSTRAP_SEED)
    scores = {}
    for at, (name, own) in enumerate(results.items()):
        # What a mean owes to each group; a median has no such sum.
        owed = {"mean": own.values - own.mean, "weighted_mean": own.sizes * (own.values - own.weighted_mean)}
        scores[name] = {
            kind: interval_of(getattr(own, kind), getattr(drawn, kind)[at], own.n_counted, owed.get(kind)).as_json()
            for kind in SUMMARIES
        }
    best = results[evaluated.main.order[0]]
    return {"metric": metric, "groups": best.n_counted, "note": best.note, "scores": scores}


def _of_column(table: Table, column: str, by: str) -> Slices:
    kind = table.data.schema.field(column).type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _of_numbers(by, table.numeric(column))
    return _of_levels(by, table.text(column))


def _of_numbers(by: str, values: np.ndarray) -> Slices:
    known = np.isfinite(values)
    distinct = np.unique(values[known])
    if len(distinct) <= MOST_LEVELS:
        return Slices(
            by, tuple(f"{each:g}" for each in distinct), np.where(known, np.searchsorted(distinct, values), -1)
        )
    cuts = np.unique(np.quantile(values[known], QUARTERS, method="inverted_cdf"))
    place = np.where(known, np.searchsorted(cuts, values), -1)
    names = []
    for part in range(len(cuts) + 1):
        own = values[place == part]
        names.append(f"{own.min():g} to {own.max():g}" if len(own) else "")
    return Slices(by, tuple(names), place)


def _of_levels(by: str, text: pa.Array) -> Slices:
    counts = pc.value_counts(text.drop_null())
    names, sizes = counts.field("values").to_pylist(), counts.field("counts").to_numpy()
    order = sorted(range(len(names)), key=lambda at: (-int(sizes[at]), names[at]))
    kept = [names[at] for at in (order if len(order) <= MOST_LEVELS + 1 else order[:MOST_LEVELS])]
    found = pc.fill_null(pc.index_in(text, pa.array(kept, pa.large_string())), len(kept)).to_numpy(zero_copy_only=False)
    place = np.where(text.is_null().to_numpy(zero_copy_only=False), -1, found.astype(np.int64))
    if len(kept) < len(names):
        kept.append(f"other ({len(names) - len(kept):,} values)")
    return Slices(by, tuple(kept), place)


def scores_by_slice(
    evaluated: Evaluated,
    tests: Sequence[np.ndarray],
    slices: Slices,
    rows: Sequence[np.ndarray],
    report: ReportSection,
    clusters: Sequence[np.ndarray] | None = None,
    *,
    trained: np.ndarray,
    inner: int = 1,
) -> dict[str, Any]:
    """What `leaderboard.json` says of the primary metric in each part: `by`, `slices`, `too_small`, `untested` and `unknown`.

    `rows`: per fold the rows of the table (int64 (N,)) that are tested; `tests` and `clusters` as for `evaluate`. `trained`: the
    rows (int64 (M,)) that are training rows of any fold: a part without them says `"trained": false`, one that has no others is
    `untested`. `inner`: folds in a row that test the same rows.
    """
    taught = np.bincount(slices.place[trained] + 1, minlength=len(slices.names) + 1)[1:]
    known = [~np.isnan(scores).all(axis=1) for scores in tests]
    place = [slices.place[own] for own in rows]
    scored, small, untested = [], [], []
    for part, name in enumerate(slices.names):
        chosen = [own & (at == part) for own, at in zip(known, place, strict=True)]
        n_rows = sum(int(own.sum()) for own in chosen) // inner
        about = {"name": name, "rows": n_rows, "trained": bool(taught[part])}
        if not n_rows:
            untested += [{"name": name, "training_rows": int(taught[part])}] if taught[part] else []
        elif n_rows < FEWEST_IN_SLICE:
            small.append(about)
        else:
            scored.append(about | _scores_of_rows(evaluated, tests, chosen, report, clusters))
    unknown = sum(int((own & (at < 0)).sum()) for own, at in zip(known, place, strict=True)) // inner
    return {"by": slices.by, "slices": scored, "too_small": small, "untested": untested, "unknown": unknown}


def scores_by_identity(
    evaluated: Evaluated,
    tests: Sequence[np.ndarray],
    identities: Sequence[np.ndarray],
    report: ReportSection,
    clusters: Sequence[np.ndarray] | None = None,
    *,
    inner: int = 1,
    likeness: str = "identity",
) -> dict[str, Any]:
    """What `leaderboard.json` says of the primary metric within bands of identity to the nearest training row.

    `identities`: per fold float (N,), NaN for test rows that were not looked at; these are left out and counted. `tests` and
    `clusters` as for `evaluate`. `inner`: folds in a row that test the same rows. A band holds its lower end, and the last one
    its upper end too. Where fewer than two bands are left, `by_identity` is empty and a note says why.
    """
    known = [~np.isnan(scores).all(axis=1) for scores in tests]
    looked_at = [own & np.isfinite(identity) for own, identity in zip(known, identities, strict=True)]
    n_all, n_looked_at = (sum(int(own.sum()) for own in each) // inner for each in (known, looked_at))
    place = [np.searchsorted(np.array(BANDS) - 1e-6, each, side="right") - 1 for each in identities]
    inside = np.concatenate([each[own] for each, own in zip(place, looked_at, strict=True)])
    counts = np.bincount(inside, minlength=len(BANDS)) // inner
    fewest = max(FEWEST_IN_BAND, FEWEST_IN_FOLD * len(tests) // inner)
    bands = merged_bands(counts, fewest)
    scored = []
    for first, last in bands if len(bands) > 1 else ():
        chosen = [own & (first <= at) & (at <= last) for own, at in zip(looked_at, place, strict=True)]
        scored.append(
            {
                "from": BANDS[first],
                "to": (*BANDS, BANDS[-1])[last + 1],
                "rows": int(counts[first : last + 1].sum()),
                **_scores_of_rows(evaluated, tests, chosen, report, clusters),
            }
        )
    return {
        "by_identity": scored,
        "by_identity_left_out": n_all - n_looked_at,
        "by_identity_note": _why_no_bands(counts, fewest, likeness) if len(bands) < 2 else "",
    }


def _scores_of_rows(
    evaluated: Evaluated,
    tests: Sequence[np.ndarray],
    chosen: Sequence[np.ndarray],
    report: ReportSection,
    clusters: Sequence[np.ndarray] | None,
) -> dict[str, Any]:
    """The primary metric of every variant on the chosen rows, bool (N,) per fold, best variant of the whole first."""
    primary = evaluated.metrics[0]
    part = evaluate(
        evaluated.target,
        [scores[own] for scores, own in zip(tests, chosen, strict=True)],
        {
            name: [[p[own] for p in seeds] for seeds, own in zip(folds, chosen, strict=True)]
            for name, folds in evaluated.predictions.items()
        },
        report.model_copy(update={"metrics": (primary,)}),
        None if clusters is None else [labels[own] for labels, own in zip(clusters, chosen, strict=True)],
        None if evaluated.bounds is None else [each[own] for each, own in zip(evaluated.bounds, chosen, strict=True)],
    ).main
    return {
        "resampled": part.resampled,
        "notes": list(part.notes),
        "scores": {name: part.interval(name).as_json() for name in evaluated.main.order},
    }


def _why_no_bands(counts: np.ndarray, fewest: int, likeness: str) -> str:
    held = np.flatnonzero(counts)
    if not len(held):
        return "no test row was compared with training rows, so there are no scores by band"
    what = f"of {likeness} to the nearest training row"
    if len(held) > 1:
        return f"too few test rows for scores by band {what}: of {counts.sum():,}, no two bands have {fewest} each"
    low, high = BANDS[held[0]], (*BANDS, BANDS[-1])[held[0] + 1]
    where = f"{low:.0%} to {high:.0%}" if low < high else f"{high:.0%}"
    return f"all {counts.sum():,} test rows lie in one band {what} ({where}), so there are no scores by band"

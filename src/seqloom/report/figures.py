"""Which figures show the predictions of the variants, and the words beside them.

Decides what is averaged over what before it is drawn, and what is folded away. Drawing is in `plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from markupsafe import Markup

from seqloom.metrics import METRICS, score
from seqloom.report.confusion import CALLED, Confusion, matrices
from seqloom.report.facts import Facts, RunFacts
from seqloom.report.members import Predictions
from seqloom.report.plots import (
    MOST_POINTS,
    mean_precision,
    mean_roc,
    predicted_against_true,
    search_curves,
    window,
)
from seqloom.report.search import positives_of, search_of
from seqloom.report.strips import Scale
from seqloom.report.svg import MARKS, Line, Pen
from seqloom.report.words import count, interval, named, number, plural

MOST_POINTS_IN_ALL = 8_000
"""With more rows times variants than this, hexagons are drawn instead of points: they take fewer bytes."""
MOST_OPEN = 12
"""Panels of further variants are folded away."""
MOST_COLUMNS = 6
"""Of a regression with several targets, so many are drawn."""
MOST_CLASSES = 40
"""With more classes there is no confusion matrix, only recalls."""
MOST_LINES = 60
"""Labels or classes listed in a table of dots."""

COLOURS = ("c1", "c2", "c3", "c4", "c5")
BASELINE_DASHES = ((5.0, 2.5), (1.5, 2.0), (7.0, 2.0, 1.5, 2.0))
MOST_BASELINES = len(BASELINE_DASHES)
"""Of the baselines, so many, the best, are drawn as lines: more grey dashes cannot be told apart."""
DASHES: tuple[tuple[float, ...], ...] = ((), (4.0, 1.5), (1.0, 1.2))
MARK_ORDER = tuple(MARKS)
"""By the turn of the colours, for models; one after the other, for baselines."""


@dataclass(frozen=True)
class Panel:
    """A figure with a heading and a line of text."""

    svg: Markup
    title: str = ""
    note: str = ""
    text: str = ""
    size: Literal["tiny", "small", "large", "wide"] = "large"


@dataclass(frozen=True)
class LegendItem:
    """What a line stands for."""

    pen: Pen
    text: str
    note: str = ""


@dataclass(frozen=True)
class DotsRow:
    """One label or class: counts, and a value per variant (NaN: undefined)."""

    name: str
    counted: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Dots:
    """A dot plot with its numbers."""

    caption: str
    header: str
    measure: str
    counted: tuple[str, ...]
    runs: tuple[RunFacts, ...]
    rows: tuple[DotsRow, ...]
    scale: Scale


@dataclass(frozen=True)
class Group:
    """Figures that belong together under one heading, folded away or not."""

    title: str = ""
    text: str = ""
    panels: tuple[Panel, ...] = ()
    legend: tuple[LegendItem, ...] = ()
    confusions: tuple[Confusion, ...] = ()
    dots: Dots | None = None
    folded: bool = field(default=False, kw_only=True)


def pens_of(runs: Sequence[RunFacts]) -> dict[str, Pen]:
    """A pen for every variant, the same in all figures: colours for models, grey dashes for baselines."""
    pens = {}
    models = [run for run in runs if not run.baseline]
    for place, run in enumerate(models):
        turn, colour = divmod(place, len(COLOURS))
        pens[run.name] = Pen(COLOURS[colour], DASHES[turn % len(DASHES)], mark=MARK_ORDER[turn % len(MARK_ORDER)])
    for place, run in enumerate(run for run in runs if run.baseline):
        dashes = BASELINE_DASHES[place % len(BASELINE_DASHES)]
        pens[run.name] = Pen("muted", dashes, 1.4, MARK_ORDER[place % len(MARK_ORDER)])
    return pens


def prediction_groups(facts: Facts, pens: Mapping[str, Pen]) -> list[Group]:
    """What is drawn of the predictions of test rows; empty as long as there are none."""
    found = [(run, run.predictions) for run in facts.runs if run.predictions is not None]
    if not found:
        return []
    if facts.task == "regression":
        return [
            *_regression(facts, found),
            *_by_target(facts, found),
            *_search(facts, found, pens),
            *_divided(facts, found),
        ]
    if facts.task == "binary":
        return [*_search(facts, found, pens), *_divided(facts, found)]
    if facts.task == "multiclass":
        return _multiclass(facts, found)
    return _multilabel(found) if facts.task == "multilabel" else []


Found = list[tuple[RunFacts, Predictions]]

BOUNDS_DRAWN = " Triangles are rows whose target is a bound; they point to where the true value lies."


def _regression(facts: Facts, found: Found) -> list[Group]:
    columns = found[0][1].columns
    log, target = facts.log, facts.data.get("target") or {}
    averaged = {run.name: predicted.averaged(log=log) for run, predicted in found}
    thresholds = [target[key] for key in ("positive_below", "positive_above") if target.get(key) is not None]
    threshold = thresholds[0] if thresholds else None
    panels: list[list[Panel]] = [[] for _ in found]  # by variant
    dense, n_bounds = False, 0
    for c in range(min(len(columns), MOST_COLUMNS)):
        pairs, limits, lost = [], [], []
        for run, predicted in found:
            y, p = (each[:, c] for each in averaged[run.name])
            limit, bounds = (each[:, c] for each in predicted.averaged_limits())
            drawable, drawn_limit = (_drawable(each, p, log=log) for each in (y, limit))
            pairs.append((y[drawable], p[drawable]))
            limits.append((limit[drawn_limit], p[drawn_limit], bounds[drawn_limit]))
            lost.append(int(((~np.isnan(y) & ~drawable) | (~np.isnan(limit) & ~drawn_limit)).sum()))
        if not all(len(y) for y, _ in pairs):
            continue
        frame = window(np.concatenate([each[0] for each in (*pairs, *limits)]), [p for _, p in pairs], log=log)
        sizes = [len(y) + len(limit) for (y, _), (limit, _, _) in zip(pairs, limits, strict=True)]
        dense = max(sizes) > MOST_POINTS or sum(sizes) > MOST_POINTS_IN_ALL
        n_bounds = max(n_bounds, *(len(limit) for limit, _, _ in limits))
        for v, ((run, _), (y, p), (limit, own, bounds)) in enumerate(zip(found, pairs, limits, strict=True)):
            label = f"predicted against measured values, variant {v + 1} of the leaderboard"
            beyond = [(">", limit[bounds > 0], own[bounds > 0]), ("<", limit[bounds < 0], own[bounds < 0])]
            svg, most = predicted_against_true(
                f"fit-{c}-{v}", label, y, p, frame, threshold, [] if dense else beyond, dense=dense
            )
            heading = (run.name, _primary(facts, run)) if len(columns) == 1 else (columns[c], run.name)
            outside = frame.outside(p) + (0 if dense else frame.outside(own))
            said = _shown(len(y), most, len(limit), outside, lost[v], dense=dense)
            panels[v].append(Panel(Markup(svg), *heading, said, "small"))
    text = (
        "Measured values across, predicted upwards, on the same axes for all variants, in the units of the table"
        f"{' (logarithmic axes)' if log else ''}. The line is where both are equal"
        f"{'; dotted: the threshold of positives' if threshold is not None else ''}."
        f"{' Hexagons: the stronger the colour, the more rows, on a logarithmic scale.' if dense else ''}"
        f"{BOUNDS_DRAWN if n_bounds and not dense else ''}"
        f"{_averaging(found)}"
    )
    if len(columns) == 1:
        shown = [panel for own in panels for panel in own]
        first = Group("Predicted against measured", text, tuple(shown[:MOST_OPEN]))
        rest = Group(f"{len(shown) - MOST_OPEN} more variants", "", tuple(shown[MOST_OPEN:]), folded=True)
        return [first, rest] if len(shown) > MOST_OPEN else [first]
    if len(columns) > MOST_COLUMNS:
        text += f" The first {MOST_COLUMNS} of {len(columns)} targets are drawn."
    head = Group("Predicted against measured", text)
    each = [
        Group(run.name, "", tuple(own), folded=v > 0)
        for v, ((run, _), own) in enumerate(zip(found, panels, strict=True))
    ]
    return [head, *each]


def _by_target(facts: Facts, found: Found) -> list[Group]:
    """Of several targets, the score of each."""
    columns = found[0][1].columns
    if len(columns) == 1:
        return []
    own_units = facts.board.get("scale") == "original units"
    metric = facts.primary if own_units and facts.primary in METRICS else "spearman"
    by_run = [_by_column(predicted, metric, "regression") for _, predicted in found]
    known = (~np.isnan(found[0][1].averaged()[0])).sum(axis=0)
    rows = tuple(
        DotsRow(columns[c], (count(known[c]),), tuple(float(own[c]) for own in by_run))
        for c in range(min(len(columns), MOST_LINES))
    )
    scale = Scale.of([value for row in rows for value in row.values])
    if scale is None:
        return []
    caption = (
        f"{metric} of every target on its test rows, mean over folds and seeds; without interval, so small differences between "
        f"variants say nothing.{_of_all(len(columns), 'targets')}"
    )
    runs = tuple(run for run, _ in found)
    return [Group("Scores by target", dots=Dots(caption, "target", metric, ("rows",), runs, rows, scale))]


def _drawable(y: np.ndarray, p: np.ndarray, *, log: bool) -> np.ndarray:
    """Which rows have a place on the axes, bool (N,)."""
    with np.errstate(invalid="ignore"):
        return np.isfinite(y) & np.isfinite(p) & (((y > 0) & (p > 0)) | (not log))


def _shown(n: int, most: int, n_bounds: int, outside: int, lost: int, *, dense: bool) -> str:
    text = f"{count(n)} measured rows" if n_bounds else f"{count(n)} rows"
    if most:
        text += f", {count(most)} of them in the fullest hexagon"
    if n_bounds:
        text += f"; {plural(n_bounds, 'bound')}{', not drawn' if dense else ''}"
    if lost:
        text += f"; {count(lost)} more have no place on these axes"
    return text + (f"; {count(outside)} predicted beyond the axes, drawn at the edge" if outside else "")


def _averaging(found: Found) -> str:
    most = max(len(np.unique(predicted.seed)) for _, predicted in found)
    return f" Predictions of up to {most} seeds are averaged here; scores are means over seeds." if most > 1 else ""


def _primary(facts: Facts, run: RunFacts) -> str:
    return f"{facts.primary} {interval(run.scores[facts.primary])}" if facts.primary in run.scores else ""


def _search(facts: Facts, found: Found, pens: Mapping[str, Pen]) -> list[Group]:
    """ROC and precision-recall curves, all variants in one figure each."""
    lines: dict[str, list[Line]] = {"auroc": [], "average_precision": []}
    legend, share = [], float("nan")
    left_out = [run.name for run, _ in found if run.baseline][MOST_BASELINES:]
    for run, predicted in found:
        if run.name in left_out:
            continue
        members = search_of(facts, predicted)
        if members is None:
            return []
        share = float(np.mean(np.concatenate([y for y, _ in members])))
        for metric, curve in (("auroc", mean_roc(members)), ("average_precision", mean_precision(members))):
            if curve is not None:
                lines[metric].append(Line(*curve, pens[run.name]))
        said = [f"{name} {interval(run.scores[name])}" for name in lines if name in run.scores]
        legend.append(LegendItem(pens[run.name], run.name, ", ".join(said)))
    if not lines["auroc"]:
        return []
    roc = search_curves("roc", "ROC curves", lines["auroc"], "false positive rate", "true positive rate", None)
    recall = search_curves(
        "precision", "precision-recall curves", lines["average_precision"], "recall", "precision", share
    )
    panels = (
        Panel(Markup(roc), "ROC", text="Dotted: guessing."),
        Panel(Markup(recall), "Precision and recall", text=f"Dotted: the share of positives, {number(share)}."),
    )
    several = any(len(run.finished) > 1 for run, _ in found)
    said = ["Each curve is the mean over folds and seeds, as the scores are."] if several else []
    if left_out:
        said.append(f"Of the baselines, the best {MOST_BASELINES} are drawn, without {named(left_out, len(left_out))}.")
    if facts.task == "regression" and (n_bounds := int((found[0][1].averaged_limits()[1] != 0).sum())):
        said.append(f"Of {plural(n_bounds, 'bound')}, those count that decide the side of the threshold.")
    return [Group(f"Search for positives: {positives_of(facts, found[0][1])}", " ".join(said), panels, tuple(legend))]


def _divided(facts: Facts, found: Found) -> list[Group]:
    """Confusion matrices of two classes, and of numbers divided at thresholds."""
    return [group for own in matrices(facts, found) if own for group in _confusions(own, found)]


def _multiclass(facts: Facts, found: Found) -> list[Group]:
    own = matrices(facts, found)[0]
    groups = _confusions(own, found) if len(own[0].classes) <= MOST_CLASSES else []
    counts = own[0].counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        recall = [each.counts.diagonal() / each.counts.sum(axis=1) for each in own]
    order = np.argsort(-counts, kind="stable")[:MOST_LINES]
    rows = tuple(
        DotsRow(own[0].classes[k], (count(counts[k]),), tuple(float(each[k]) for each in recall)) for k in order
    )
    caption = f"Recall of every class: the share of its test rows that are called it.{_of_all(len(counts), 'classes')}"
    runs = tuple(run for run, _ in found)
    dots = Dots(caption, "class", "recall", ("rows",), runs, rows, Scale(-0.02, 1.02))
    return [*groups, Group("Recall by class", dots=dots)]


def _confusions(own: Sequence[Confusion], found: Found) -> list[Group]:
    """The first variant's matrix, those of the others folded away."""
    first = own[0]
    two = not first.thresholds and len(first.classes) == 2
    how = f" {first.classes[1]} is called at a probability of {CALLED} or more." if two else ""
    text = ("Counts of test rows, and their share of the row" if first.with_shares else "Counts of test rows") + (
        f"; a cell is shaded by that share (the square root of it, so that mistakes show).{how}{_averaging(found)}"
        f"{' Columns go by the number of the class.' if first.numbered else ''}"
    )
    title = f"Confusion matrix of {first.name}, first of the leaderboard"
    if first.thresholds:
        at = " / ".join(f"{each:,.10g}" for each in first.thresholds)
        title = f"Confusion of {first.of}, divided at {at}: {first.name}, first of the leaderboard"
    head = Group(title, text, confusions=(first,))
    if len(own) == 1:
        return [head]
    others = "Confusion matrices of the other variants" if len(own) > 2 else f"Confusion matrix of {own[1].name}"
    return [head, Group(others, "", confusions=tuple(own[1:]), folded=True)]


def _multilabel(found: Found) -> list[Group]:
    columns = found[0][1].columns
    target = found[0][1].averaged()[0]
    by_run = [_by_column(predicted, "auroc", "binary") for _, predicted in found]
    known, positive = (~np.isnan(target)).sum(axis=0), np.nansum(target, axis=0)
    rows = tuple(
        DotsRow(columns[c], (count(known[c]), count(positive[c])), tuple(float(own[c]) for own in by_run))
        for c in range(min(len(columns), MOST_LINES))
    )
    scale = Scale.of([0.5, 1.0, *(value for row in rows for value in row.values)])
    assert scale is not None
    caption = (
        "AUROC of every label on its test rows, mean over folds and seeds; without interval, so small differences between"
        f" variants say nothing.{_of_all(len(columns), 'labels')}"
    )
    runs = tuple(run for run, _ in found)
    return [Group("AUROC by label", dots=Dots(caption, "label", "AUROC", ("rows", "positive"), runs, rows, scale))]


def _by_column(predicted: Predictions, metric: str, task: Literal["binary", "regression"]) -> np.ndarray:
    """The metric of each target column, float64 (columns,), mean over the members where it is defined."""
    values = np.array(
        [
            [score(metric, task, y[:, c : c + 1], p[:, c : c + 1]) for c in range(y.shape[1])]
            for y, p in predicted.members()
        ]
    )
    defined = ~np.isnan(values)
    sums = np.where(defined, values, 0.0).sum(axis=0)
    return np.where(defined.any(axis=0), sums / np.maximum(defined.sum(axis=0), 1), np.nan)


def _of_all(n: int, what: str) -> str:
    return f" The first {MOST_LINES} of {n} {what}." if n > MOST_LINES else ""

"""Which figures show the predictions and the training of the variants, and the words beside them.

Decides what is averaged over what before it is drawn, and what is folded away. Drawing is in `plots`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from markupsafe import Markup

from seqloom.metrics import score
from seqloom.report.facts import Facts, Predictions, RunFacts
from seqloom.report.plots import (
    MARKS,
    MOST_POINTS,
    Line,
    Pen,
    epochs,
    mean_precision,
    mean_roc,
    predicted_against_true,
    search_curves,
    window,
)
from seqloom.report.strips import Scale
from seqloom.report.words import count, interval, number

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
BASELINE_DASHES = ((5.0, 2.5), (1.5, 2.0), (7.0, 2.0, 1.5, 2.0), (3.0, 1.5))
DASHES: tuple[tuple[float, ...], ...] = ((), (4.0, 1.5), (1.0, 1.2))
MARK_ORDER = tuple(MARKS)
"""By the turn of the colours, for models; one after the other, for baselines."""

TRACKS = {
    "train_loss": ("loss on training rows", Pen("c1")),
    "valid": ("loss or score on valid rows", Pen("c2")),
    "test_score": ("score on test (never used for choosing; optimistic)", Pen("c4", (3.0, 2.0))),
}


@dataclass(frozen=True)
class Panel:
    """A figure with a heading and a line of text."""

    svg: Markup
    title: str = ""
    note: str = ""
    text: str = ""
    size: Literal["small", "large"] = "large"


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
class Confusion:
    """A confusion matrix, laid out by rows of true classes."""

    name: str
    classes: tuple[str, ...]
    counts: np.ndarray  # int64 (K, K)

    @property
    def numbered(self) -> bool:
        """Whether classes go by number above the columns, because their names are too wide."""
        return sum(map(len, self.classes)) > 50

    @property
    def columns(self) -> list[str]:
        """Headings of the columns."""
        return [str(place + 1) for place in range(len(self.classes))] if self.numbered else list(self.classes)

    @property
    def rows(self) -> Iterator[Mapping[str, object]]:
        """Name, place, recall and cells (count, share, shade) of every true class."""
        for place, (name, counts) in enumerate(zip(self.classes, self.counts, strict=True)):
            total = counts.sum()
            shares = counts / max(total, 1)
            yield {
                "name": f"{place + 1} {name}" if self.numbered else name,
                "place": place,
                "recall": shares[place] if total else float("nan"),
                "cells": [
                    {"count": int(n), "share": share, "shade": f"{share**0.5:.2f}".lstrip("0")}
                    for n, share in zip(counts, shares, strict=True)
                ],
            }


@dataclass(frozen=True)
class Group:
    """Figures that belong together under one heading, folded away or not."""

    title: str = ""
    text: str = ""
    panels: tuple[Panel, ...] = ()
    legend: tuple[LegendItem, ...] = ()
    confusion: Confusion | None = None
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
        turn = place % len(BASELINE_DASHES)
        pens[run.name] = Pen("muted", BASELINE_DASHES[turn], 1.4, MARK_ORDER[turn])
    return pens


def prediction_groups(facts: Facts, pens: Mapping[str, Pen]) -> list[Group]:
    """What is drawn of the predictions of test rows; empty as long as there are none."""
    found = [(run, run.predictions) for run in facts.runs if run.predictions is not None]
    if not found:
        return []
    if facts.task == "regression":
        return [*_regression(facts, found), *_search(facts, found, pens)]
    if facts.task == "binary":
        return _search(facts, found, pens)
    if facts.task == "multiclass":
        return _multiclass(found)
    return _multilabel(found) if facts.task == "multilabel" else []


def curve_groups(facts: Facts) -> list[Group]:
    """Losses and scores by epoch of every variant that is a net."""
    groups = []
    for place, run in enumerate(run for run in facts.runs if run.curves is not None):
        assert run.curves is not None
        losses = [("train_loss", TRACKS["train_loss"][1]), ("valid_loss", TRACKS["valid"][1])]
        scores = [("valid_score", TRACKS["valid"][1]), ("test_score", TRACKS["test_score"][1])]
        label = facts.primary or "score"
        panels = (
            Panel(Markup(epochs(f"loss-{place}", "loss by epoch", run.curves, losses, "loss"))),
            Panel(Markup(epochs(f"score-{place}", "score by epoch", run.curves, scores, label))),
        )
        n = run.curves.n_members
        title = f"{run.name} ({n} member{'s' if n > 1 else ''})"
        groups.append(Group(title, _other_epochs(facts, run), panels, folded=place >= MOST_OPEN // 2))
    return groups


def curve_legend() -> list[LegendItem]:
    """The lines of all curves."""
    return [LegendItem(pen, text) for text, pen in TRACKS.values()]


def _other_epochs(facts: Facts, run: RunFacts) -> str:
    curve = run.curve or {}
    if curve.get("early_stopped") is None:
        return ""
    return (
        f"{facts.primary} on the test rows watched (1,000 at most) at the epoch kept:"
        f" {number(curve['early_stopped'])}; at the last epoch: {number(curve.get('last'))};"
        f" at the best epoch on test rows: {number(curve.get('best_on_test'))}"
        " (optimistic, never reported as a score)."
    )


Found = list[tuple[RunFacts, Predictions]]


def _regression(facts: Facts, found: Found) -> list[Group]:
    columns = found[0][1].columns
    averaged = {run.name: predicted.averaged() for run, predicted in found}
    target = facts.data.get("target") or {}
    log = str(target.get("transform", "")).startswith("log")
    thresholds = [target[key] for key in ("positive_below", "positive_above") if target.get(key) is not None]
    threshold = thresholds[0] if thresholds else None
    panels: list[list[Panel]] = [[] for _ in found]  # by variant
    dense = False
    for c in range(min(len(columns), MOST_COLUMNS)):
        pairs, lost = [], []
        for run, _ in found:
            y, p = averaged[run.name][0][:, c], averaged[run.name][1][:, c]
            drawable = np.isfinite(y) & np.isfinite(p) & (((y > 0) & (p > 0)) | (not log))
            pairs.append((y[drawable], p[drawable]))
            lost.append(int((~np.isnan(y) & ~drawable).sum()))
        if not all(len(y) for y, _ in pairs):
            continue
        frame = window(np.concatenate([y for y, _ in pairs]), [p for _, p in pairs], log=log)
        dense = any(len(y) > MOST_POINTS for y, _ in pairs) or sum(len(y) for y, _ in pairs) > MOST_POINTS_IN_ALL
        for v, ((run, _), (y, p)) in enumerate(zip(found, pairs, strict=True)):
            label = f"predicted against measured values, variant {v + 1} of the leaderboard"
            svg, most = predicted_against_true(f"fit-{c}-{v}", label, y, p, frame, threshold, dense=dense)
            heading = (run.name, _primary(facts, run)) if len(columns) == 1 else (columns[c], run.name)
            panels[v].append(Panel(Markup(svg), *heading, _shown(len(y), most, frame.outside(p), lost[v]), "small"))
    text = (
        "Measured values across, predicted upwards, on the same axes for all variants, in the units of the table"
        f"{' (logarithmic axes)' if log else ''}. The line is where both are equal"
        f"{'; dotted: the threshold of positives' if threshold is not None else ''}."
        f"{' Hexagons: the stronger the colour, the more rows, on a logarithmic scale.' if dense else ''}"
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


def _shown(n: int, most: int, outside: int, lost: int) -> str:
    text = f"{count(n)} rows"
    if most:
        text += f", {count(most)} of them in the fullest hexagon"
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
    for run, predicted in found:
        members = _as_search(facts, predicted)
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
    mean = "Each curve is the mean over folds and seeds, as the scores are." if several else ""
    return [Group(f"Search for positives: {_positives(facts, found[0][1])}", mean, panels, tuple(legend))]


def _as_search(facts: Facts, predicted: Predictions) -> list[tuple[np.ndarray, np.ndarray]] | None:
    """Per member 0/1 (N,) and a score (N,), high for positives; None if the target has no positives."""
    if facts.task == "binary":
        if len(predicted.classes) != 2:
            return None
        pairs = [(y[:, 0], p[:, 1]) for y, p in predicted.members()]
    else:
        target = facts.data.get("target") or {}
        below, above = target.get("positive_below"), target.get("positive_above")
        if (below is None and above is None) or len(predicted.columns) != 1 or "auroc" not in facts.metrics:
            return None
        pairs = []
        for y, p in predicted.members():
            hit = y < below if below is not None else y > above
            pairs.append((np.where(np.isnan(y), np.nan, hit)[:, 0], (-p if below is not None else p)[:, 0]))
    return [(y[known], p[known]) for y, p in pairs for known in (~np.isnan(y) & ~np.isnan(p),)]


def _positives(facts: Facts, predicted: Predictions) -> str:
    columns = ((facts.data.get("target") or {}).get("columns")) or predicted.columns
    if facts.task == "binary":
        return f"{columns[0]} = {predicted.classes[1]}"
    target = facts.data["target"]
    below = target.get("positive_below")
    return f"{columns[0]} below {below:g}" if below is not None else f"{columns[0]} above {target['positive_above']:g}"


def _multiclass(found: Found) -> list[Group]:
    matrices = []
    for run, predicted in found:
        target, pred = predicted.averaged()
        known = ~np.isnan(target[:, 0])
        k = len(predicted.classes)
        pairs = target[known, 0].astype(np.int64) * k + pred[known].argmax(axis=1)
        matrices.append(Confusion(run.name, predicted.classes, np.bincount(pairs, minlength=k * k).reshape(k, k)))
    counts = matrices[0].counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        recall = [each.counts.diagonal() / each.counts.sum(axis=1) for each in matrices]
    text = (
        "Counts of test rows; a cell is shaded by its share of the row (the square root of it, so that mistakes show)."
        f"{_averaging(found)}{' Columns go by the number of the class.' if matrices[0].numbered else ''}"
    )
    groups = []
    if len(matrices[0].classes) <= MOST_CLASSES:
        groups = [
            Group(f"Confusion matrix of {matrices[0].name}, first of the leaderboard", text, confusion=matrices[0])
        ]
        groups += [Group(f"Confusion matrix of {each.name}", "", confusion=each, folded=True) for each in matrices[1:]]
    order = np.argsort(-counts, kind="stable")[:MOST_LINES]
    rows = tuple(
        DotsRow(matrices[0].classes[k], (count(counts[k]),), tuple(float(own[k]) for own in recall)) for k in order
    )
    caption = f"Recall of every class: the share of its test rows that are called it.{_of_all(len(counts), 'classes')}"
    runs = tuple(run for run, _ in found)
    dots = Dots(caption, "class", "recall", ("rows",), runs, rows, Scale(-0.02, 1.02))
    return [*groups, Group("Recall by class", dots=dots)]


def _multilabel(found: Found) -> list[Group]:
    columns = found[0][1].columns
    target = found[0][1].averaged()[0]
    by_run = [_auroc_by_label(predicted) for _, predicted in found]
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


def _auroc_by_label(predicted: Predictions) -> np.ndarray:
    """Float64 (columns,), mean over the members where it is defined."""
    values = np.array(
        [
            [score("auroc", "binary", y[:, c : c + 1], p[:, c : c + 1]) for c in range(y.shape[1])]
            for y, p in predicted.members()
        ]
    )
    defined = ~np.isnan(values)
    sums = np.where(defined, values, 0.0).sum(axis=0)
    return np.where(defined.any(axis=0), sums / np.maximum(defined.sum(axis=0), 1), np.nan)


def _of_all(n: int, what: str) -> str:
    return f" The first {MOST_LINES} of {n} {what}." if n > MOST_LINES else ""

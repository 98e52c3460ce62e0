"""The report's section on the training of nets: scores, losses and rates by epoch, and scores of other epochs than the one kept.

Decides which variants share a figure. Variants stand beside each other on the same axes; figures are drawn in `curve_plots`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from markupsafe import Markup

from seqloom.report.curve_plots import Drawn, by_epoch, frame_of, rate_frame, rates
from seqloom.report.facts import Facts, RunFacts
from seqloom.report.figures import Group, LegendItem, Panel
from seqloom.report.members import Course, Curves
from seqloom.report.svg import Pen
from seqloom.report.tables import Grid, Line
from seqloom.report.words import DASH, SUPERSCRIPTS, TIMES, UNDEFINED, named, number

MOST_TOGETHER = 4
"""So many variants share a figure of scores, bands and all; more have one each."""
MOST_RATES = 6
"""So many learning rates share a figure."""
MOST_DRAWN = 24
"""Variants whose training is drawn, best first."""
MOST_OPEN = 6
"""With more, losses are folded away."""

VALID, TEST, TRAIN = Pen("c2"), Pen("c4", (3.0, 2.0)), Pen("c1")
FIRST = Pen("muted", (1.0, 1.2), 1.2)
KEPT = Pen("c3", width=3)


@dataclass(frozen=True)
class Training:
    """The whole section."""

    text: str
    table: Grid
    groups: tuple[Group, ...]


Nets = Sequence[tuple[RunFacts, Curves]]


def training_section(facts: Facts, pens: Mapping[str, Pen]) -> Training | None:
    """Curves of all variants that are nets; None without any."""
    nets = [(run, run.curves) for run in facts.runs if run.curves is not None]
    if not nets:
        return None
    drawn = nets[:MOST_DRAWN]
    few = f" The first {MOST_DRAWN} of {len(nets)} variants are drawn." if len(nets) > MOST_DRAWN else ""
    text = (
        "Test curves are shown, never used to choose: the epoch kept is that of the lowest loss on valid rows. Lines are means "
        "over the members (folds and seeds), bands one standard deviation; a line goes as far as half of its members went. "
        f"Test scores by epoch are of the test rows watched (1,000 at most), before calibration.{few}"
    )
    scores = _together(facts, drawn, pens) if 1 < len(drawn) <= MOST_TOGETHER else _one_by_one(facts, drawn)
    groups = [*scores, _losses(drawn), *_rates(drawn, pens)]
    return Training(text, _epochs_kept(facts, nets), tuple(groups))


def _epochs_kept(facts: Facts, nets: Nets) -> Grid:
    lines = []
    for run, curves in nets:
        curve = run.curve or curves.test_scores(higher_is_better=facts.higher_is_better(facts.primary)) or {}
        scores = [curve.get(key) for key in ("last", "early_stopped", "best_on_test")]
        rate = curves.course("lr").mean
        cells = (
            str(curves.n_members),
            _range(curves.n_epochs),
            _range(curves.kept),
            *(DASH if score is None else number(score) for score in scores),
            _rate(rate),
        )
        lines.append(Line(run, cells))
    columns = (
        "members", "epochs run", "epoch kept", "last epoch", "early-stopped", "best on test (optimistic)", "learning rate",
    )  # fmt: skip
    caption = (
        f"{facts.primary} on the test rows watched at the last epoch, at the epoch kept, and at the epoch best on test rows, "
        "means over members. The best on test chooses by looking at the answer: it is optimistic, and never reported as a score. "
        "Epochs count from 0."
    )
    return Grid(caption, columns, tuple(lines))


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low}{DASH}{high}, mean {values.mean():.3g}"


def _rate(rate: np.ndarray) -> str:
    if not len(rate):
        return UNDEFINED
    low, high = float(rate.min()), float(rate.max())
    if low == high:
        return f"{_short(high)} throughout"
    most = f", at most {_short(high)}" if high > max(rate[0], rate[-1]) else ""
    return f"{_short(rate[0])} to {_short(rate[-1])}{most}"


def _short(rate: float) -> str:
    """Two digits, and a power of ten where zeros would be many."""
    shown = f"{rate:.2g}"
    if "e" not in shown:
        return shown
    digits, power = shown.split("e")
    return f"{digits}{TIMES}10{str(int(power)).translate(SUPERSCRIPTS)}"


# --- scores -----------------------------------------------------------------------------------------------------------


def _courses(nets: Nets, tracks: Sequence[str]) -> list[Course]:
    return [course for _, curves in nets for track in tracks if len((course := curves.course(track)).epoch)]


def _together(facts: Facts, nets: Nets, pens: Mapping[str, Pen]) -> list[Group]:
    """All variants in one figure for valid and one for test rows."""
    tracks = {"valid_score": "on valid rows", "test_score": "on test rows, never used to choose"}
    courses = _courses(nets, tuple(tracks))
    if not courses:
        return []
    frame = frame_of(courses)
    panels = []
    for track, words in tracks.items():
        drawn = [
            Drawn(curves.course(track), pens[run.name], float(curves.kept.mean()))
            for run, curves in reversed(nets)
            if len(curves.course(track).epoch)
        ]
        if drawn:
            svg = by_epoch(f"curves-{track}", f"score by epoch {words}", drawn, facts.primary, frame, size="large")
            panels.append(Panel(Markup(svg), f"{facts.primary} {words}"))
    legend = tuple(LegendItem(pens[run.name], run.name) for run, _ in nets)
    text = "A mark stands at the epoch kept (the mean over members)."
    return [Group("Score by epoch", text, tuple(panels), legend)]


def _one_by_one(facts: Facts, nets: Nets) -> list[Group]:
    """A small figure for every variant, all on the same axes."""
    courses = _courses(nets, ("valid_score", "test_score"))
    if not courses:
        return []
    frame, first = frame_of(courses), _without_band(nets[0][1].course("test_score"))
    panels = []
    for place, (run, curves) in enumerate(nets):
        drawn = [Drawn(first, FIRST)] if place and len(first.epoch) else []
        drawn += [
            Drawn(course, pen)
            for track, pen in (("test_score", TEST), ("valid_score", VALID))
            if len((course := curves.course(track)).epoch)
        ]
        label = f"score by epoch, variant {place + 1} of the leaderboard"
        svg = by_epoch(f"score-{place}", label, drawn, facts.primary or "score", frame, curves.kept.tolist())
        panels.append(Panel(Markup(svg), run.name, size="small"))
    legend = [LegendItem(VALID, "on valid rows"), LegendItem(TEST, "on test rows, never used to choose")]
    if len(nets) > 1 and len(first.epoch):
        legend.append(LegendItem(FIRST, f"{nets[0][0].name} on test rows, to compare with"))
    legend.append(LegendItem(KEPT, "at the foot: epochs kept"))
    return [Group("Score by epoch", "", tuple(panels), tuple(legend))]


def _without_band(course: Course) -> Course:
    return course._replace(spread=np.full(len(course.epoch), np.nan))


def _losses(nets: Nets) -> Group:
    frame = frame_of(_courses(nets, ("train_loss", "valid_loss")))
    panels = []
    for place, (run, curves) in enumerate(nets):
        drawn = [Drawn(curves.course("valid_loss"), VALID), Drawn(curves.course("train_loss"), TRAIN)]
        label = f"loss by epoch, variant {place + 1} of the leaderboard"
        svg = by_epoch(f"loss-{place}", label, drawn, "loss", frame, curves.kept.tolist())
        panels.append(Panel(Markup(svg), run.name, size="small"))
    legend = (
        LegendItem(TRAIN, "on training rows"),
        LegendItem(VALID, "on valid rows"),
        LegendItem(KEPT, "at the foot: epochs kept"),
    )
    text = "" if len(nets) == 1 else "On the same axes; losses of different kinds do not compare."
    return Group("Loss by epoch", text, tuple(panels), legend, folded=len(nets) > MOST_OPEN)


# --- rates ------------------------------------------------------------------------------------------------------------


def _rates(nets: Nets, pens: Mapping[str, Pen]) -> list[Group]:
    """The learning rate that was used, where it is not the same for all variants."""
    alike: list[tuple[Course, list[RunFacts]]] = []
    for run, curves in nets:
        course = curves.course("lr")
        if not len(course.epoch) or not (course.mean > 0).all():
            continue
        same = next((runs for other, runs in alike if _same(course, other)), None)
        if same is None:
            alike.append((course, [run]))
        else:
            same.append(run)
    if len(alike) < 2:
        return []
    frame = rate_frame([course for course, _ in alike])
    text = "The rate that the optimiser had, mean over the steps of an epoch and over members; logarithmic."
    size: Literal["large", "tiny"] = "large" if len(alike) <= MOST_RATES else "tiny"
    if size == "large":
        drawn = [Drawn(course, pens[runs[0].name]) for course, runs in alike]
        svg = rates("rates", "learning rate by epoch", drawn, frame)
        legend = tuple(
            LegendItem(line.pen, named([run.name for run in runs], 3), _schedule(runs[0]))
            for line, (_, runs) in zip(drawn, alike, strict=True)
        )
        return [Group("Learning rate by epoch", text, (Panel(Markup(svg)),), legend)]
    panels = []
    for place, (course, runs) in enumerate(alike):
        svg = rates(f"rate-{place}", "learning rate by epoch", [Drawn(course, TRAIN)], frame, size)
        panels.append(Panel(Markup(svg), named([run.name for run in runs], 2), _schedule(runs[0]), size=size))
    return [Group("Learning rate by epoch", text, tuple(panels), folded=True)]


def _same(one: Course, other: Course) -> bool:
    """Whether rates are equal as far as both go."""
    n = min(len(one.epoch), len(other.epoch))
    return bool(np.allclose(one.mean[:n], other.mean[:n], rtol=1e-6))


def _schedule(run: RunFacts) -> str:
    train = run.resolved.get("train", {})
    return f"{train['schedule']}, lr = {train.get('lr', 1e-3):g}" if "schedule" in train else ""

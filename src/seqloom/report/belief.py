"""The report's section on how far to believe it: calibration, what intervals and sets hold, errors by nearness.

Decides which variants are drawn and the words beside the numbers; they are measured when an experiment is concluded. Folders
without these numbers have no such section.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from seqloom.report.facts import Facts, RunFacts, interval
from seqloom.report.figures import LegendItem, Panel
from seqloom.report.partition import PERCENT, band_name
from seqloom.report.plots import reliability_diagram, scores_by_band
from seqloom.report.svg import Pen
from seqloom.report.tables import Grid, Line
from seqloom.report.words import MINUS, count, number
from seqloom.stats import Interval

MOST_DRAWN = 3
"""Variants whose reliability is drawn, best first."""
MOST_REASONS = 12
"""Members whose choice of a calibrator is told."""
MOST_TARGETS = 6
"""Targets whose coverage is listed for each variant."""
FEWEST_BANDS_DRAWN = 2


@dataclass(frozen=True)
class Band:
    """Rows at a nearness: the error of the variant, that of the constant, the gain, and whether new rows there are inside."""

    name: str
    rows: str
    error: Interval
    guess: Interval
    gain: Interval
    skill: Interval | None
    """The gain in probabilities, which decides of classes; None of numbers."""
    domain: str


@dataclass(frozen=True)
class Errors:
    """The error of one variant and of the constant baseline by nearness to training rows."""

    title: str
    text: str
    panels: tuple[Panel, ...]
    legend: tuple[LegendItem, ...]
    header: str
    run: RunFacts
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Belief:
    """The whole section."""

    text: str
    grids: tuple[Grid, ...]
    gaps: tuple[tuple[RunFacts, str], ...]
    """Why the probabilities of variants that are drawn are still off."""
    panels: tuple[Panel, ...]
    panel_text: str
    reasons: tuple[tuple[RunFacts, str], ...]
    errors: Errors | None
    notes: tuple[str, ...]


def belief_section(facts: Facts, pens: Mapping[str, Pen]) -> Belief | None:
    """Calibration, coverage and errors by nearness of all variants; None if they were not measured."""
    runs = [run for run in facts.runs if run.evaluated and run.uncertainty]
    if not runs:
        return None
    drawn = [run for place, run in enumerate(runs) if place == 0 or not run.baseline][:MOST_DRAWN]
    panels = _diagrams(drawn, pens)
    grids = [each for each in (_calibration(runs), _coverage(facts, runs)) if each is not None]
    notes = dict.fromkeys(f"{run.name}: {note}." for run in runs for note in run.uncertainty["notes"])
    return Belief(
        f"Measured on {runs[0].uncertainty['how']}.",
        tuple(grids),
        tuple((run, why) for run in drawn if (why := (run.uncertainty["reliability"] or {}).get("why"))),
        panels,
        _how_to_read_diagrams(drawn) if panels else "",
        tuple(reason for run in runs for reason in _reasons(run))[:MOST_REASONS],
        _errors(facts, runs[0], runs, pens),
        tuple(notes),
    )


# --- probabilities ------------------------------------------------------------------------------------------------------


def _calibration(runs: Sequence[RunFacts]) -> Grid | None:
    own = [run for run in runs if run.uncertainty["reliability"]]
    if not own:
        return None
    lines = []
    for run in own:
        found = run.uncertainty["reliability"]
        after = found["calibrated"]
        told = "more than chance" if after["is_off"] else "no more than chance"
        cells = (_methods(run), interval(found["raw"]["ece"]), interval(after["ece"]), number(after["by_chance"]), told)
        lines.append(Line(run, cells))
    of = own[0].uncertainty["reliability"]["of"]
    caption = (
        f"Expected calibration error of the probability of {of}: the mean gap between what is predicted and what is observed, in "
        "bins of equally many rows. It is never 0 on few rows; by chance: what probabilities that are right would show at most "
        f"(95{PERCENT}) on these rows."
    )
    columns = ("calibrated by", "as the model gave it", "calibrated", "by chance", "the gap is")
    return Grid(caption, columns, tuple(lines))


def _methods(run: RunFacts) -> str:
    """`platt`, or how many members have which."""
    methods = Counter(each["method"] for each in run.calibrators)
    if len(methods) == 1:
        return str(next(iter(methods)))
    return ", ".join(f"{method} ({n})" for method, n in sorted(methods.items(), key=lambda item: (-item[1], item[0])))


def _reasons(run: RunFacts) -> list[tuple[RunFacts, str]]:
    members = [f"fold {each['fold']}, seed {each['seed']}: " for each in run.calibrators]
    if len(members) == 1:
        members = [""]
    return [(run, member + each["why"]) for member, each in zip(members, run.calibrators, strict=True)]


def _diagrams(runs: Sequence[RunFacts], pens: Mapping[str, Pen]) -> tuple[Panel, ...]:
    panels = []
    for place, run in enumerate(runs):
        found = run.uncertainty["reliability"]
        if not found or not found["calibrated"]["bins"]:
            continue
        after, before = ([_bin(each) for each in found[key]["bins"]] for key in ("calibrated", "raw"))
        changed = found["calibrated"]["bins"] != found["raw"]["bins"]
        label = f"observed against predicted shares, variant {place + 1} of the leaderboard"
        svg = reliability_diagram(f"reliability-{place}", label, after, before if changed else [], pens[run.name])
        ece = interval(found["calibrated"]["ece"])
        panels.append(Panel(Markup(svg), run.name, f"calibration error {number(ece.value)}", size="small"))
    return tuple(panels)


def _bin(facts: Mapping[str, Any]) -> tuple[float, Interval]:
    return float(facts["predicted"]), interval(facts["observed"])


def _how_to_read_diagrams(runs: Sequence[RunFacts]) -> str:
    found = [run.uncertainty["reliability"] for run in runs]
    changed = any(each["calibrated"]["bins"] != each["raw"]["bins"] for each in found)
    grey = " Grey: before calibration." if changed else ""
    return (
        f"Predicted probability of {found[0]['of']} across, the share observed upwards, in bins of equally many test rows with 95"
        f"{PERCENT} intervals. On the line, probabilities mean what they say; below it, the model is too sure.{grey}"
    )


# --- intervals and sets ---------------------------------------------------------------------------------------------------


def _coverage(facts: Facts, runs: Sequence[RunFacts]) -> Grid | None:
    """What intervals or sets held."""
    intervals = facts.task == "regression"
    what = "intervals" if intervals else "sets of labels" if facts.task == "multilabel" else "sets of classes"
    several = len(runs[0].uncertainty["coverage"]) > 1
    lines = []
    for run in runs:
        for each in run.uncertainty["coverage"][:MOST_TARGETS]:
            level = f"{100 * run.uncertainty['level']:g}{PERCENT}"
            cells = (level, interval(each["share"]), count(each["rows"]), _size(each["size"]))
            lines.append(Line(run, (each["of"], *cells) if several else cells))
    of = (
        "rows that have a label whose set is to hold it"
        if facts.task == "multilabel"
        else f"targets that {what} are to hold"
    )
    caption = (
        f"Prediction {what}. Promised: the share of {of}; held: the share when they were made of one half of the test rows and "
        "tried on the other, with its Wilson interval."
    )
    size = "median width" if intervals else "labels in a set" if facts.task == "multilabel" else "classes in a set"
    columns = ("promised", "held", "rows", size)
    return Grid(caption, ("target", *columns) if several else columns, tuple(lines)) if lines else None


def _size(value: float | None) -> str:
    return "unbounded" if value is None else number(value)


# --- errors by nearness ---------------------------------------------------------------------------------------------------


def _errors(facts: Facts, run: RunFacts, runs: Sequence[RunFacts], pens: Mapping[str, Pen]) -> Errors | None:
    """The error of the best variant in bands of nearness, with that of the constant baseline."""
    domain = run.uncertainty["domain"]
    if domain is None:
        return None
    likeness, error = run.uncertainty["likeness"], run.uncertainty["scale"]["name"]
    bands = tuple(
        Band(
            band_name(each["from"], each["to"]),
            count(each["rows"]),
            interval(each["error"]),
            interval(each["baseline"]),
            interval(each["gain"]),
            interval(each["skill"]) if "skill" in each and facts.task != "regression" else None,
            "inside" if each["inside"] else "outside",
        )
        for each in domain["bands"]
    )
    constant = next((each for each in runs if each.resolved.get("predictor", {}).get("kind") == "constant"), None)
    guess = pens[constant.name] if constant is not None and constant is not run else Pen("muted", (5.0, 2.5), 1.4)
    panels: tuple[Panel, ...] = ()
    legend: tuple[LegendItem, ...] = ()
    if len(bands) >= FEWEST_BANDS_DRAWN:
        lines = [(pens[run.name], [band.error for band in bands]), (guess, [band.guess for band in bands])]
        labels = [f"{band.name}\n{band.rows} rows" for band in bands]
        svg = scores_by_band("errors", "error by nearness to training rows", labels, lines, likeness, error)
        panels = (Panel(Markup(svg), size="wide"),)
        legend = (LegendItem(pens[run.name], run.name), LegendItem(guess, "a constant"))
    farthest = domain["model"]["farthest"]
    beyond = (
        f", and so are rows below {100 * farthest:.0f}{PERCENT}, where there was no test row to measure on"
        if farthest >= 0.005
        else ""
    )
    text = (
        f"The {error} of {run.name} by {likeness} to the nearest training row, beside that of a constant guess on the same rows. "
        f"New rows whose {likeness} is one where the model was better than the constant are inside its domain, others are "
        f"outside{beyond}. {_by_probabilities(facts)}{_trend(domain['model']['why'])}"
    )
    return Errors(f"Error by {likeness} to the nearest training row", text, panels, legend, likeness, run, bands)


def _by_probabilities(facts: Facts) -> str:
    """What decides of classes, as a sentence; empty for numbers, where the error itself decides."""
    if facts.task == "regression":
        return ""
    return (
        "Better goes by probabilities, not by what is called: the gain in probabilities is how much nearer to the truth they are "
        "than the constant's (mean squared distance, Brier). "
    )


def _trend(why: str) -> str:
    """What was found about error and nearness, as a sentence."""
    found = re.sub(r"-(?=\d)", MINUS, why.split("; ")[1]) if "; " in why else ""
    return f"{found[:1].upper()}{found[1:]}.".replace("It ", "The error ", 1) if found else ""

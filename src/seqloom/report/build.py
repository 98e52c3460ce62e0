"""`report.html`: the one file to open. Decides what is said, in which order and in which words.

What the folder holds is read in `facts`, figures are chosen in `figures`, the page is laid out by `template.html`. The
same folder gives the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from seqloom.files import write_json, write_text
from seqloom.report.belief import belief_section
from seqloom.report.confusion import checked, confusion_json
from seqloom.report.curves import training_section
from seqloom.report.data import data_section, findings_of, worst
from seqloom.report.facts import CONFUSION, Facts, RunFacts, read_facts
from seqloom.report.figures import pens_of, prediction_groups
from seqloom.report.grids import grid_sections
from seqloom.report.nested import nested_section
from seqloom.report.partition import LEAKS, leak, partition_section
from seqloom.report.slices import slices_section
from seqloom.report.strips import Scale
from seqloom.report.tables import Grid, Line
from seqloom.report.words import count, duration, interval, named, number, parts, plain, plural, recipe

RATE = "rate-never-changed"
"""Code of the finding that a comparison of schedules compares nothing."""


def write_report(folder: Path, confusion: Sequence[str | Sequence[float]] | None = None) -> Path:
    """Write `report.html` of an experiment or run folder, finished or not, and give its path.

    `confusion`: thresholds of each confusion matrix of a regression, such as `50,500`. They are kept in `confusion.json` with the
    matrices, and drawn again by later reports; None leaves them as they are, an empty list forgets them.

    RunError if it is no such folder or a file in it is damaged, ConfigError for thresholds that cannot be. What is missing is
    left out and, if it is members that are missing, said.
    """
    return _write(folder, _with(read_facts(folder), confusion))


def report(folder: Path, confusion: Sequence[str | Sequence[float]] | None = None) -> dict[str, Any]:
    """What `seqloom report --json` says: the report's path, its confusion matrices, and how many members are finished.

    Arguments and errors as for `write_report`.
    """
    started = time.monotonic()
    facts = _with(read_facts(folder), confusion)
    path = _write(folder, facts)
    return {
        "command": "report",
        "path": path.as_posix(),
        "seconds": round(time.monotonic() - started, 3),
        "findings": list(facts.board.get("findings", ())),
        "verdict": facts.verdict,
        "members": {"finished": facts.finished, "planned": facts.planned},
        "confusion": confusion_json(facts),
    }


def _with(facts: Facts, confusion: Sequence[str | Sequence[float]] | None) -> Facts:
    return facts if confusion is None else replace(facts, thresholds=checked(facts, confusion))


def _write(folder: Path, facts: Facts) -> Path:
    path, kept = folder / "report.html", folder / CONFUSION
    write_text(path, report_html(facts))
    if facts.thresholds:
        write_json(kept, {"thresholds": [list(each) for each in facts.thresholds], "matrices": confusion_json(facts)})
    else:
        kept.unlink(missing_ok=True)
    return path


def report_html(facts: Facts) -> str:
    """The page: self-contained, no scripts, no network."""
    pens = pens_of(facts.runs)
    view: dict[str, Any] = {
        "facts": facts,
        "version": facts.environment.get("version", version("seqloom")),
        "eyebrow": f"seqloom {'comparison' if facts.kind == 'experiment' else 'run'} · {facts.folder.name}",
        "title": _title(facts),
        "verdict": _verdict(facts),
        "unfinished": _unfinished(facts),
        "leak": leak(facts),
        "alert": _alert(facts),
        "void": [each["message"] for each in facts.board.get("findings", ()) if each["code"] == RATE],
        "key_facts": _key_facts(facts),
        "pens": pens,
        "board": _board(facts),
        "progress": [] if facts.complete else [_progress(facts, run) for run in facts.runs],
        "differences": _differences(facts),
        "settings": [_settings(run) for run in facts.runs],
        "nested": nested_section(facts),
        "grids": grid_sections(facts),
        "slices": slices_section(facts),
        "belief": belief_section(facts, pens),
        "data": data_section(facts),
        "partition": partition_section(facts, pens),
        "predictions": prediction_groups(facts, pens),
        "curves": training_section(facts, pens),
        "origin": _origin(facts),
    }
    return _template(facts).render(view, sections=_sections(view))


def _template(facts: Facts) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "interval": interval,
        "parts": parts,
        "number": number,
        "count": count,
        "duration": duration,
        "breakable": _breakable,
    }
    environment.globals |= {"direction": lambda metric: _direction(facts, metric), "arrow": lambda m: _arrow(facts, m)}
    return environment.get_template("template.html")


def _sections(view: Mapping[str, Any]) -> list[tuple[str, str]]:
    headings = {
        "leaderboard": "Leaderboard" if view["board"].rows else "Progress",
        "nested": "Choice by inner folds",
        "differences": "Paired differences",
        "grids": "Settings varied together",
        "variants": "Variants",
        "slices": "Parts of the test rows",
        "belief": "How far to believe it",
        "data": "Data",
        "partition": "Partition",
        "predictions": "Predictions",
        "curves": "Training",
        "reproducibility": "Reproducibility",
    }
    return [(anchor, text) for anchor, text in headings.items() if view.get(anchor, True)]


def _title(facts: Facts) -> str:
    source, target = facts.data.get("source", {}).get("name"), facts.data.get("target") or {}
    columns = target.get("columns", ())
    if not source or not columns:
        return facts.folder.name
    return f"{named(columns, 3)} in {source}"


def _verdict(facts: Facts) -> str:
    if facts.verdict:
        return facts.verdict
    scored = [run for run in facts.runs if facts.primary in run.scores]
    if facts.complete and len(scored) == 1:
        score = interval(scored[0].scores[facts.primary])
        return f"{scored[0].name} has {facts.primary} {score}; this folder holds no other variant to compare it with"
    return "no verdict yet: the variants are compared when all members are finished"


def _unfinished(facts: Facts) -> str:
    if facts.complete:
        return ""
    most = "" if all(run.evaluated for run in facts.runs) else "at most "
    folds = f" in {plural(facts.n_folds, 'fold')}" if facts.n_folds else ""
    return (
        f"{facts.finished} of {most}{facts.planned} members (one fold, one seed){folds} are done."
        " The same command goes on where it stopped."
    )


def _alert(facts: Facts) -> str:
    """How many errors and warnings there are, and where; a leak is said in full elsewhere."""
    found = {"data": findings_of(facts.data), "partition": findings_of(facts.audit)}
    found = {name: [each for each in own if each["code"] != LEAKS] for name, own in found.items()}
    words = [
        plural(n, severity)
        for severity in ("error", "warning")
        if (n := sum(each["severity"] == severity for own in found.values() for each in own))
    ]
    places = [name for name, own in found.items() if worst(own) != "info"]
    return f"{' and '.join(words)}: see {' and '.join(places)} below before trusting the numbers." if words else ""


def _key_facts(facts: Facts) -> list[tuple[str, str]]:
    tests = sum(fold["counts"]["test"] for fold in facts.audit.get("folds", ()))
    scale = facts.board.get("scale", "")
    n_naive = sum(run.baseline for run in facts.runs)
    found = {
        "task": f"{facts.task}{f'; scores on the scale {scale}' if scale not in ('', 'original units') else ''}",
        "primary metric": f"{facts.primary}, {_direction(facts, facts.primary)}" if facts.primary else "",
        "rows": count(facts.data["rows"]) if facts.data else "",
        "test rows": f"{count(tests)} in {plural(facts.n_folds, 'fold')}" if tests else "",
        "variants": str(len(facts.runs)) + (f", of which {plural(n_naive, 'baseline')}" if n_naive else ""),
        "time": duration(facts.board.get("seconds")),
    }
    return [(term, text) for term, text in found.items() if text]


def _direction(facts: Facts, metric: str) -> str:
    return f"{'higher' if facts.higher_is_better(metric) else 'lower'} is better"


def _arrow(facts: Facts, metric: str) -> Markup:
    arrow = "↑" if facts.higher_is_better(metric) else "↓"
    return Markup('<span aria-hidden="true">{}</span><span class="hidden">{}</span>').format(
        arrow, _direction(facts, metric)
    )


@dataclass(frozen=True)
class Board:
    """The leaderboard: evaluated variants, and the scale that their intervals are drawn on."""

    rows: tuple[RunFacts, ...]
    scale: Scale | None
    beyond: bool
    averaged: bool
    metrics: tuple[str, ...]
    """The primary metric, then the others."""
    others: Grid | None
    """All metrics but the primary one, with their intervals."""
    protocol: str
    notes: tuple[str, ...]


def _board(facts: Facts) -> Board:
    rows = tuple(run for run in facts.runs if run.evaluated)
    scores = [run.scores[facts.primary] for run in rows if facts.primary in run.scores]
    protocol = f"Intervals: middle 95 % of {facts.board['resampled']}" if facts.board.get("resampled") else ""
    if protocol:
        protocol += (
            " (the same draws for every variant); they cover the choice of test rows and of seeds,"
            " not another choice of training rows."
        )
    scale = Scale.of_intervals(scores)
    return Board(
        rows,
        scale,
        any(scale.beyond(score.value) for score in scores) if scale else False,
        any(facts.primary in run.ensemble for run in rows),
        tuple(sorted(facts.metrics, key=lambda metric: metric != facts.primary)),
        _others(facts, rows),
        protocol,
        tuple(facts.board.get("notes", ())),
    )


def _others(facts: Facts, rows: Sequence[RunFacts]) -> Grid | None:
    names = tuple(metric for metric in facts.metrics if metric != facts.primary)
    lines = tuple(Line(run, tuple(run.scores.get(name, "") for name in names)) for run in rows)
    return Grid("In brackets: 95 % intervals, drawn as those above.", names, lines) if names and rows else None


def _breakable(name: str) -> Markup:
    """A name that may be broken after an underscore."""
    return Markup("_<wbr>").join(name.split("_"))


def _progress(facts: Facts, run: RunFacts) -> dict[str, Any]:
    folds, seeds = ({member[axis] for member in run.finished} for axis in (0, 1))
    most = "" if run.evaluated else "at most "
    n_seeds = max(run.planned // facts.n_folds, len(seeds)) if facts.n_folds else len(seeds)
    return {
        "run": run,
        "done": f"{len(run.finished)} of {most}{run.planned}",
        "folds": f"{len(folds)} of {facts.n_folds}" if facts.n_folds else len(folds),
        "seeds": f"{len(seeds)} of {most if n_seeds > 1 else ''}{n_seeds}",
        "valid": _mean_valid(run),
    }


def _mean_valid(run: RunFacts) -> str:
    known = [score for score in run.valid_scores if not math.isnan(score)]
    return number(sum(known) / len(known)) if known else ""


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"


def _differences(facts: Facts) -> dict[str, Any] | None:
    """The upper half of the matrix: each variant against those below it, as an advantage (positive is better)."""
    runs = [run for run in facts.runs if run.differences]
    if len(runs) < 2:
        return None
    sign = 1 if facts.higher_is_better(facts.primary) else -1
    rows = []
    for place, run in enumerate(runs[:-1]):
        cells: list[dict[str, Any] | None] = [None] * place
        for other in runs[place + 1 :]:
            difference = run.differences[other.name]
            shown = parts(difference if sign > 0 else -difference, signed=True)
            kind = "undefined" if not shown.bounds else "told" if difference.excludes_zero else "nd"
            cells.append({**shown._asdict(), "kind": kind})
        rows.append({"run": run, "cells": cells})
    return {"columns": runs[1:], "rows": rows}


def _settings(run: RunFacts) -> dict[str, Any]:
    return {
        "run": run,
        "predictor": recipe(run.resolved.get("predictor", {})),
        "encoder": recipe(run.resolved.get("encoder", {})),
        "changes": [(key, plain(old), plain(new)) for key, (old, new) in run.changes.items()],
    }


def _origin(facts: Facts) -> dict[str, Any]:
    known = facts.environment
    seeds = sorted({seed for run in facts.runs for _, seed in run.finished})
    libraries = ", ".join(f"{name} {number_}" for name, number_ in known.get("libraries", {}).items())
    described = {
        "seqloom": known.get("version", ""),
        "Python": known.get("python", ""),
        "platform": known.get("platform", ""),
        "device": known.get("device", ""),
        "libraries": libraries,
        "git": known.get("git", ""),
        "seeds": _listed(seeds),
        "folder": facts.board.get("path", ""),
    }
    sources = [facts.data.get("source"), facts.data.get("test_source")]
    return {
        "facts": [(term, text) for term, text in described.items() if text],
        "command": known.get("command", ""),
        "digests": [source for source in sources if source],
    }

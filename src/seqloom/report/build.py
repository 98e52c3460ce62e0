"""`report.html`: the one file to open. Decides what is said, in which order and in which words.

What the folder holds is read in `facts`, figures are chosen in `figures`, the page is laid out by `template.html`. The
same folder gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from seqloom.files import write_text
from seqloom.report.facts import Facts, RunFacts, read_facts
from seqloom.report.figures import Panel, Scale, curve_groups, curve_legend, pens_of, prediction_groups
from seqloom.report.plots import histogram
from seqloom.report.words import count, duration, interval, number, parts

SEVERITIES = ("error", "warning", "info")
MOST_CLASSES = 25
"""Classes listed with their counts."""
MOST_FOLDS = 50
MOST_HISTOGRAMS = 6
MOST_BARS = 30
"""Lengths of fewer distinct values have one bar each."""

ROLES = {"sequences": "sequence", "targets": "target", "covariates": "covariate"}
"""Roles that several columns may have, in the singular."""


def write_report(folder: Path) -> Path:
    """Write `report.html` of an experiment or run folder, finished or not, and give its path.

    RunError if it is no such folder or a file in it is damaged. What is missing is left out and, if it is members that
    are missing, said.
    """
    path = folder / "report.html"
    write_text(path, report_html(read_facts(folder)))
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
        "alert": _alert(facts),
        "key_facts": _key_facts(facts),
        "pens": pens,
        "board": _board(facts),
        "progress": [] if facts.complete else [_progress(facts, run) for run in facts.runs],
        "differences": _differences(facts),
        "settings": [_settings(run) for run in facts.runs],
        "data": _data(facts),
        "partition": _partition(facts),
        "predictions": prediction_groups(facts, pens),
        "curves": curve_groups(facts),
        "curve_legend": curve_legend(),
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
    }
    environment.globals |= {"direction": lambda metric: _direction(facts, metric), "arrow": lambda m: _arrow(facts, m)}
    return environment.get_template("template.html")


def _sections(view: Mapping[str, Any]) -> list[tuple[str, str]]:
    named = {
        "leaderboard": "Leaderboard",
        "differences": "Paired differences",
        "variants": "Variants",
        "data": "Data",
        "partition": "Partition",
        "predictions": "Predictions",
        "curves": "Training",
        "reproducibility": "Reproducibility",
    }
    return [(anchor, text) for anchor, text in named.items() if view.get(anchor, True)]


def _title(facts: Facts) -> str:
    source, target = facts.data.get("source", {}).get("name"), facts.data.get("target") or {}
    columns = target.get("columns", ())
    if not source or not columns:
        return facts.folder.name
    return f"{', '.join(columns) if len(columns) <= 3 else f'{len(columns)} targets'} in {source}"


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
    most = "" if all(run.evaluated or len(run.finished) == run.planned for run in facts.runs) else "at most "
    folds = f"; {facts.n_folds} fold{'s' if facts.n_folds > 1 else ''} planned" if facts.n_folds else ""
    return (
        f"{facts.finished} of {most}{facts.planned} members (one fold, one seed) are done{folds}. "
        f"Run the same {'compare' if facts.kind == 'experiment' else 'train'} command again to go on where it stopped."
    )


def _alert(facts: Facts) -> str:
    everything = [*_findings(facts.data), *_findings(facts.audit)]
    words = [
        f"{n} {severity}{'s' if n > 1 else ''}"
        for severity in ("error", "warning")
        if (n := sum(each["severity"] == severity for each in everything))
    ]
    places = [
        name for name, facts_of in (("data", facts.data), ("partition", facts.audit)) if _worst(facts_of) != "info"
    ]
    return f"{' and '.join(words)}: see {' and '.join(places)} below before trusting the numbers." if words else ""


def _worst(facts_of: Mapping[str, Any]) -> str:
    return next((each["severity"] for each in _findings(facts_of)), "info")


def _findings(facts_of: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Worst first."""
    return sorted(facts_of.get("findings", ()), key=lambda each: SEVERITIES.index(each["severity"]))


def _key_facts(facts: Facts) -> list[tuple[str, str]]:
    tests = sum(fold["counts"]["test"] for fold in facts.audit.get("folds", ()))
    scale = facts.board.get("scale", "")
    found = {
        "task": f"{facts.task}{f'; scores on the scale {scale}' if scale not in ('', 'original units') else ''}",
        "primary metric": f"{facts.primary}, {_direction(facts, facts.primary)}" if facts.primary else "",
        "rows": count(facts.data["rows"]) if facts.data else "",
        "test rows": f"{count(tests)} in {_plural(facts.n_folds, 'fold')}" if tests else "",
        "variants": f"{len(facts.runs)}, of which {_plural(sum(run.baseline for run in facts.runs), 'baseline')}",
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


def _plural(n: int, what: str) -> str:
    return f"{count(n)} {what}{'' if n == 1 else 's'}"


@dataclass(frozen=True)
class Board:
    """The leaderboard: evaluated variants, and the scale that their intervals are drawn on."""

    rows: tuple[RunFacts, ...]
    scale: Scale | None
    beyond: bool
    averaged: bool
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
        protocol,
        tuple(facts.board.get("notes", ())),
    )


def _progress(facts: Facts, run: RunFacts) -> dict[str, Any]:
    folds = sorted({fold for fold, _ in run.finished})
    seeds = sorted({seed for _, seed in run.finished})
    at_most = "at most " if not run.evaluated and len(run.finished) < run.planned else ""
    return {
        "run": run,
        "done": f"{len(run.finished)} of {at_most}{run.planned}",
        "folds": f"{len(folds)} of {facts.n_folds}" if facts.n_folds else _listed(folds),
        "seeds": _listed(seeds),
    }


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
            shown = parts(difference if sign > 0 else -difference)
            kind = "undefined" if not shown.bounds else "told" if difference.excludes_zero else "nd"
            cells.append({**shown._asdict(), "kind": kind})
        rows.append({"run": run, "cells": cells})
    return {"columns": runs[1:], "rows": rows}


def _settings(run: RunFacts) -> dict[str, Any]:
    return {
        "run": run,
        "predictor": _recipe(run.resolved.get("predictor", {})),
        "encoder": _recipe(run.resolved.get("encoder", {})),
        "changes": [(key, _plain(old), _plain(new)) for key, (old, new) in run.changes.items()],
    }


def _recipe(settings: Mapping[str, Any]) -> str:
    rest = ", ".join(f"{name} = {_plain(value)}" for name, value in settings.items() if name != "kind")
    return f"{settings.get('kind', '')}{f' ({rest})' if rest else ''}"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def _data(facts: Facts) -> dict[str, Any] | None:
    data = facts.data
    if not data:
        return None
    source, test = data["source"], data.get("test_source")
    target = data.get("target") or {}
    described = {
        "source": _source(source),
        "test source": _source(test) if test else "",
        "rows": count(data["rows"]),
        "kept where": data.get("where", ""),
        "alphabets": ", ".join(f"{column}: {alphabet}" for column, alphabet in data.get("alphabets", {}).items()),
        "lengths": "; ".join(f"{column}: {_range(lengths)}" for column, lengths in data.get("lengths", {}).items()),
        "target": f"{target.get('task', '')}; {', '.join(target.get('columns', ())[:12])}" if target else "",
        "scores are taken on": target.get("units_of_scores", "") if target.get("task") == "regression" else "",
    }
    panels = [
        panel
        for place, (column, lengths) in enumerate(data.get("lengths", {}).items())
        for panel in _lengths(place, column, lengths)
    ]
    panels += _target_panels(facts)
    return {
        "facts": [(term, text) for term, text in described.items() if text],
        "roles": _roles(data.get("roles", {})),
        "panels": panels,
        "tables": _target_tables(target),
        "findings": _findings(data),
    }


def _source(source: Mapping[str, Any]) -> str:
    packed = f", {source['compression']}" if source.get("compression") else ""
    return f"{source['name']} ({source.get('format', '')}{packed})"


def _roles(roles: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    reasons = roles.get("reasons", {})
    found: dict[str, list[str]] = {}
    for role, columns in roles.items():
        if role != "reasons" and columns:
            for column in [columns] if isinstance(columns, str) else columns:
                found.setdefault(column, []).append(ROLES.get(role, role))
    lines = []
    for column in [*found, *(column for column in reasons if column not in found)]:
        own = found.get(column, [])
        reason = reasons.get(column, "")
        for role in own:
            reason = reason.removeprefix(f"{role}: ")
        lines.append((column, ", ".join(own), reason))
    return lines


def _range(lengths: Mapping[str, Any]) -> str:
    if lengths["min"] == lengths["max"]:
        return f"all {count(lengths['max'])}"
    return f"{count(lengths['min'])} to {count(lengths['max'])}, median {lengths['median']:,g}"


def _lengths(place: int, column: str, lengths: Mapping[str, Any]) -> list[Panel]:
    if lengths["min"] == lengths["max"] or "histogram" not in lengths:
        return []
    edges, counts = (np.array(lengths["histogram"][key], dtype=float) for key in ("edges", "counts"))
    if lengths["max"] - lengths["min"] < MOST_BARS and len(counts) >= lengths["max"] - lengths["min"] + 1:
        # Bins narrower than 1 hold one length each, and some hold none: one bar for every length instead.
        places = np.minimum(np.ceil(edges[:-1]), lengths["max"]).astype(int) - int(lengths["min"])
        edges = np.arange(lengths["min"], lengths["max"] + 2) - 0.5
        counts = np.bincount(places, weights=counts, minlength=len(edges) - 1)
    svg = histogram(f"length-{place}", "rows by length", edges, counts, "length")
    return [Panel(Markup(svg), f"Length of {column}")]


def _target_panels(facts: Facts) -> list[Panel]:
    target = facts.data.get("target") or {}
    log = str(target.get("transform", "")).startswith("log")
    tests = next((run.predictions for run in facts.runs if run.predictions is not None), None) if log else None
    panels = []
    for place, (column, values) in enumerate(list(target.get("summary", {}).items())[:MOST_HISTOGRAMS]):
        key, label = f"target-{place}", "rows by value of the target"
        if tests is not None:
            # The folder's own histogram is of the plain values, which say little where their logarithm is learnt.
            known = tests.averaged()[0][:, place]
            counts, edges = np.histogram(np.log10(known[known > 0]), bins=MOST_BARS)
            svg = histogram(key, label, edges, counts, "value (logarithmic)", log=True)
            panels.append(Panel(Markup(svg), f"Values of {column}, test rows"))
        elif "histogram" in values:
            edges, counts = (np.array(values["histogram"][name], dtype=float) for name in ("edges", "counts"))
            panels.append(Panel(Markup(histogram(key, label, edges, counts, "value")), f"Values of {column}"))
    return panels


def _target_tables(target: Mapping[str, Any]) -> list[dict[str, Any]]:
    summary = target.get("summary", {})
    if not summary:
        return []
    if target.get("task") == "regression":
        rows = [
            (
                column,
                count(own["n"]),
                count(own["n_missing"]),
                *(number(own[key]) for key in ("min", "median", "mean", "max")),
            )
            for column, own in summary.items()
        ]
        columns = ("target", "known", "missing", "min", "median", "mean", "max")
        return [{"caption": "Targets in the units of the table.", "columns": columns, "rows": rows, "shares": None}]
    if target.get("task") == "multilabel":
        rows, shares = [], []
        for column, own in summary.items():
            positive = own["counts"].get("1", 0)
            rows.append((column, count(own["n"]), count(own["n_missing"]), count(positive)))
            shares.append(round(100 * positive / max(own["n"], 1), 1))
        columns = ("label", "known", "missing", "positive")
        return [
            {
                "caption": "Labels; the bar is the share of positives.",
                "columns": columns,
                "rows": rows,
                "shares": shares,
            }
        ]
    return [_class_table(column, own) for column, own in summary.items()]


def _class_table(column: str, own: Mapping[str, Any]) -> dict[str, Any]:
    counts = sorted(own["counts"].items(), key=lambda item: -item[1])
    rows = [(name, count(n)) for name, n in counts[:MOST_CLASSES]]
    rest = [n for _, n in counts[MOST_CLASSES:]]
    if rest:
        rows.append((f"{len(rest)} more", count(sum(rest))))
    shown = [*(n for _, n in counts[:MOST_CLASSES]), *([sum(rest)] if rest else [])]
    shares = [round(100 * n / max(own["n"], 1), 1) for n in shown]
    missing = f"; {_plural(own['n_missing'], 'row')} without" if own["n_missing"] else ""
    caption = f"Classes of {column} in {_plural(own['n'], 'row')}{missing}."
    return {"caption": caption, "columns": ("class", "rows"), "rows": rows, "shares": shares}


def _partition(facts: Facts) -> dict[str, Any] | None:
    if not facts.audit:
        return None
    splitter = dict(facts.audit.get("splitter", {}))
    folds = facts.audit.get("folds", ())
    return {
        "splitter": f"Split {_recipe(splitter)}",
        "guarantee": facts.audit.get("guarantee", "").rstrip("."),
        "folds": folds[:MOST_FOLDS],
        "more": f"{len(folds) - MOST_FOLDS} more folds are in audit.json." if len(folds) > MOST_FOLDS else "",
        "findings": _findings(facts.audit),
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

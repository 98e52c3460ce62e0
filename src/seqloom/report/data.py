"""What a report says of the table, and how findings are listed.

Decides what is listed, what is cut short and how lengths are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from seqloom.report.facts import Facts
from seqloom.report.figures import Panel
from seqloom.report.plots import histogram
from seqloom.report.words import count, named, number, plural

SEVERITIES = ("error", "warning", "info")
MOST_CLASSES = 25
"""Classes listed with their counts."""
MOST_HISTOGRAMS = 6
MOST_FINDINGS = 6
MOST_LABELS = 60
"""Labels listed with their counts."""
MOST_NAMES = 12
"""Columns named in one line."""
N_BARS = 30
MANY_LENGTHS = 300
"""With a wider range of lengths, how many of them a bar covers no longer shows in its height."""

ROLES = {"sequences": "sequence", "targets": "target", "covariates": "covariate"}
"""Roles that several columns may have, in the singular."""


def data_section(facts: Facts) -> dict[str, Any] | None:
    """Source, roles, lengths, targets and findings of the table; None if the folder does not hold them."""
    data = facts.data
    if not data:
        return None
    source, test, patch = data["source"], data.get("test_source"), data.get("patch_source")
    target = data.get("target") or {}
    described = {
        "source": _source(source),
        "corrected by": _source(patch) if patch else "",
        "test source": _source(test) if test else "",
        "rows": count(data["rows"]),
        "kept where": data.get("where", ""),
        "alphabets": ", ".join(f"{column}: {alphabet}" for column, alphabet in data.get("alphabets", {}).items()),
        "lengths": "; ".join(f"{column}: {_range(lengths)}" for column, lengths in data.get("lengths", {}).items()),
        "target": f"{named(target.get('columns', ()), 3)} ({target.get('task', '')})" if target else "",
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
        "findings": told(findings_of(data)),
    }


def findings_of(facts_of: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The findings of `data.json` or `audit.json`, worst first."""
    return sorted(facts_of.get("findings", ()), key=lambda each: SEVERITIES.index(each["severity"]))


def worst(findings: Sequence[Mapping[str, Any]]) -> str:
    """The severity of the first of findings that are worst first; info if there are none."""
    return next((each["severity"] for each in findings), "info")


def told(findings: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """All warnings and the first of the others, and the rest to fold away; None without findings."""
    shown = max(MOST_FINDINGS, sum(each["severity"] != "info" for each in findings))
    return {"first": findings[:shown], "rest": findings[shown:]} if findings else None


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
    alike: dict[tuple[str, str], list[str]] = {}
    for column in [*found, *(column for column in reasons if column not in found)]:
        own = found.get(column, [])
        reason = reasons.get(column, "")
        for role in own:
            reason = reason.removeprefix(f"{role}: ")
        alike.setdefault((", ".join(own), reason), []).append(column)
    return [(named(columns, MOST_NAMES), role, reason) for (role, reason), columns in alike.items()]


def _range(lengths: Mapping[str, Any]) -> str:
    if lengths["min"] == lengths["max"]:
        return f"all {count(lengths['max'])}"
    return f"{count(lengths['min'])} to {count(lengths['max'])}, median {lengths['median']:,g}"


def _lengths(place: int, column: str, lengths: Mapping[str, Any]) -> list[Panel]:
    if lengths["min"] == lengths["max"] or "histogram" not in lengths:
        return []
    edges, counts = (np.array(lengths["histogram"][key], dtype=float) for key in ("edges", "counts"))
    height = "rows"
    if lengths["max"] - lengths["min"] < MANY_LENGTHS:
        # Bins hold one length more or fewer than their neighbours, or none, which would show as teeth of a comb.
        edges = np.append(np.ceil(edges[:-1]), lengths["max"] + 1) - 0.5
        kept = np.diff(edges) > 0
        edges, counts = np.append(edges[:-1][kept], edges[-1]), counts[kept]
        height, counts = "rows per length", counts / np.diff(edges)
    svg = histogram(f"length-{place}", "rows by length", edges, counts, "length", height)
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
            counts, edges = np.histogram(np.log10(known[known > 0]), bins=N_BARS)
            svg = histogram(key, label, edges, counts, "value (logarithmic)", "rows", log=True)
            n_bounds = int((tests.averaged_limits()[1][:, place] != 0).sum())
            said = f"Without {plural(n_bounds, 'row')} whose target is a bound." if n_bounds else ""
            panels.append(Panel(Markup(svg), f"Values of {column}, test rows", text=said))
        elif "histogram" in values:
            edges, counts = (np.array(values["histogram"][name], dtype=float) for name in ("edges", "counts"))
            panels.append(Panel(Markup(histogram(key, label, edges, counts, "value", "rows")), f"Values of {column}"))
    return panels


@dataclass(frozen=True)
class Listing:
    """A table of text, with bars as wide as `bars` in percent if there are any."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[float, ...] = ()


def _target_tables(target: Mapping[str, Any]) -> list[Listing]:
    summary = target.get("summary", {})
    if not summary:
        return []
    if target.get("task") == "regression":
        keys = ("min", "median", "mean", "max")
        values = [
            (column, count(own["n"]), count(own["n_missing"]), *(number(own[key]) for key in keys))
            for column, own in summary.items()
        ]
        return [Listing("Targets in the units of the table.", ("target", "known", "missing", *keys), tuple(values))]
    if target.get("task") == "multilabel":
        positive = {column: own["counts"].get("1", 0) for column, own in summary.items()}
        labels = [
            (column, count(own["n"]), count(own["n_missing"]), count(positive[column]))
            for column, own in list(summary.items())[:MOST_LABELS]
        ]
        shares = [in_percent(positive[column], summary[column]["n"]) for column, *_ in labels]
        cut = f" The first {MOST_LABELS} of {len(summary)}." if len(summary) > MOST_LABELS else ""
        caption = f"Labels; the bar is the share of positives.{cut}"
        columns = ("label", "known", "missing", "positive")
        return [Listing(caption, columns, tuple(labels), tuple(shares))]
    return [_class_table(column, own) for column, own in summary.items()]


def _class_table(column: str, own: Mapping[str, Any]) -> Listing:
    counts = sorted(own["counts"].items(), key=lambda item: -item[1])
    rest = counts[MOST_CLASSES:]
    shown = counts[:MOST_CLASSES] + ([(f"{len(rest)} more", sum(n for _, n in rest))] if rest else [])
    missing = f"; {plural(own['n_missing'], 'row')} without" if own["n_missing"] else ""
    return Listing(
        f"Classes of {column} in {plural(own['n'], 'row')}{missing}.",
        ("class", "rows"),
        tuple((name, count(n)) for name, n in shown),
        tuple(in_percent(n, max(n for _, n in shown)) for _, n in shown) if shown else (),
    )


def in_percent(part: int, whole: int) -> float:
    """A share as the width of a bar."""
    return round(100 * part / max(whole, 1), 1)

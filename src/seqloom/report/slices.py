"""The report's section on parts of the test rows: scores by length, group, column or expression, and within groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqloom.report.facts import Facts, interval
from seqloom.report.tables import ScoreTable
from seqloom.report.words import count, plural

WITHIN = {"mean": "mean over groups", "median": "median over groups", "weighted_mean": "mean weighted by rows"}


@dataclass(frozen=True)
class SliceTable:
    """One property and the scores of its parts."""

    title: str
    text: str
    table: ScoreTable


def slices_section(facts: Facts) -> tuple[SliceTable, ...]:
    """A table for each property that test rows were divided by, and one of scores within groups."""
    tables = [_parts(facts, each) for each in facts.board.get("slices") or ()]
    within = facts.board.get("within_groups")
    return (*tables, *([_within(facts, within)] if within else []))


def _parts(facts: Facts, found: Mapping[str, Any]) -> SliceTable:
    runs = tuple(run for run in facts.runs if any(run.name in part["scores"] for part in found["slices"]))
    rows = tuple(
        (part["name"], count(part["rows"]), tuple(interval(part["scores"][run.name]) for run in runs))
        for part in found["slices"]
    )
    small = [f"{part['name']} ({count(part['rows'])})" for part in found["too_small"]]
    left = [f"Too few test rows for a score: {', '.join(small)}."] if small else []
    left += [f"{plural(found['unknown'], 'test row')} without a value are left out."] if found["unknown"] else []
    untested = [f"{part['name']} ({count(part['training_rows'])})" for part in found["untested"]]
    left += (
        [f"In training rows only, so that nothing is known of how well they are predicted: {', '.join(untested)}."]
        if untested
        else []
    )
    untaught = [part["name"] for part in (*found["slices"], *found["too_small"]) if not part["trained"]]
    left += [f"In no training row: {', '.join(untaught)}."] if untaught else []
    notes = tuple(f"{part['name']}: {note}." for part in found["slices"] for note in part.get("notes", ()))
    text = f"The {facts.primary} of the test rows of each part, with 95 % intervals drawn as in the leaderboard."
    by = found["by"]
    name, colon, expression = by.partition(": ")
    if colon and found["slices"] and name in (part["name"] for part in (*found["slices"], *found["too_small"])):
        title, by = f"Scores of {name} ({expression}) and of the others", "part"
    else:
        title = f"Scores by {by}"
    return SliceTable(title, " ".join([text, *left]), ScoreTable(by, "test rows", runs, rows, notes=notes))


def _within(facts: Facts, found: Mapping[str, Any]) -> SliceTable:
    runs = tuple(run for run in facts.runs if run.name in found["scores"])
    groups = count(found["groups"])
    rows = tuple(
        (words, groups, tuple(interval(found["scores"][run.name][kind]) for run in runs))
        for kind, words in WITHIN.items()
    )
    text = (
        f"The {found['metric']} of the rows of each group by themselves: how well rows of one group are told apart, where the "
        f"score of all rows also rewards telling groups apart. Groups are drawn for the intervals. {found['note']}."
    )
    return SliceTable("Scores within groups", text, ScoreTable("summary", "groups", runs, rows))

"""The report's section on a choice made inside training rows: what each outer fold chose, and what choosing so reaches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from seqloom.report.facts import Facts, RunFacts, interval
from seqloom.report.words import interval as in_words
from seqloom.report.words import number, plural


@dataclass(frozen=True)
class Choice:
    """A candidate: its score on valid rows in every outer fold, whether it was chosen there, and how often."""

    run: RunFacts
    scores: tuple[tuple[str, bool], ...]
    times: int


@dataclass(frozen=True)
class Nested:
    """The whole section."""

    verdict: str
    text: str
    folds: tuple[int, ...]
    candidates: tuple[Choice, ...]
    scores: tuple[tuple[str, str], ...]
    """Metric, and what the choice reaches on test rows."""


def nested_section(facts: Facts) -> Nested | None:
    """Which candidates were chosen; None where nothing was chosen by inner folds."""
    found = facts.board.get("nested")
    if not found:
        return None
    chosen, metric = found["chosen"], found["metric"]
    names = {name for fold in chosen for name in fold["valid"]}
    times = Counter(fold["variant"] for fold in chosen)
    candidates = tuple(
        Choice(
            run,
            tuple((number(fold["valid"].get(run.name)), fold["variant"] == run.name) for fold in chosen),
            times[run.name],
        )
        for run in facts.runs
        if run.name in names
    )
    direction = "highest" if facts.higher_is_better(metric) else "lowest"
    text = (
        f"In each outer fold the variant with the {direction} mean {metric} on the valid rows of "
        f"{plural(found['inner'], 'inner fold')} is chosen, test rows unseen. The table has the scores on valid rows, by which "
        "the choice was made; they are no estimate of what it reaches."
    )
    scores = tuple((name, in_words(interval(score))) for name, score in found["metrics"].items())
    return Nested(found["verdict"], text, tuple(fold["fold"] for fold in chosen), candidates, scores)

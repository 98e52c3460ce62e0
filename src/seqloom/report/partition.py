"""What a report says of the partition: how it was made, what the audit found, and scores by nearness to training rows.

Decides which facts of `audit.json` become words and which a figure. What older folders lack is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from seqloom.report.data import Listing, findings_of, in_percent
from seqloom.report.facts import Facts, RunFacts, interval
from seqloom.report.figures import LegendItem, Panel
from seqloom.report.plots import histogram, scores_by_band
from seqloom.report.svg import Pen
from seqloom.report.tables import ScoreTable
from seqloom.report.words import DASH, count, number, plural, recipe
from seqloom.stats import Interval

MOST_FOLDS = 50
"""Folds listed with their sizes."""
FEWEST_BANDS_DRAWN = 3
"""With fewer bands a table of scores says it all."""
PERCENT = "\N{NO-BREAK SPACE}%"
LEAKS = "leaks"
"""Code of the finding that changes what the scores mean."""


def partition_section(facts: Facts, pens: Mapping[str, Pen]) -> dict[str, Any] | None:
    """Splitter, guarantee, folds, findings, nearness and scores by it; None if the folder does not hold them."""
    if not facts.audit:
        return None
    splitter = dict(facts.audit.get("splitter", {}))
    folds = facts.audit.get("folds", ())
    return {
        "splitter": f"Split {recipe(splitter)}",
        "guarantee": facts.audit.get("guarantee", "").rstrip("."),
        "folds": [{**fold, "near": _near(fold), "median": _median(fold)} for fold in folds[:MOST_FOLDS]],
        "looked_at": any(_compared(fold) for fold in folds),
        "likeness": _likeness(folds),
        "all_used": not facts.unused and not any(fold["counts"].get("unused") for fold in folds),
        "more": f"{len(folds) - MOST_FOLDS} more folds are in audit.json." if len(folds) > MOST_FOLDS else "",
        "findings": _told_once(findings_of(facts.audit)),
        "asked": _asked(folds),
        "nearness": _nearness(folds),
        "scores": _scores(facts, pens),
        "no_scores": _sentence(facts.board.get("by_identity_note", "")),
    }


def leak(facts: Facts) -> str:
    """The warning that the partition leaks, to stand beside the verdict; empty if it does not."""
    found = [each for each in facts.audit.get("findings", ()) if each["code"] == LEAKS]
    if not found:
        return ""
    n_folds = sum(_compared(fold) for fold in facts.audit.get("folds", ()))
    rest = f" It is so in {len(found)} of the {n_folds} folds looked at." if n_folds > 1 else ""
    return f"{_sentence(found[0]['message'])}{rest}"


def _told_once(findings: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The first finding of every code, and those of other folds to fold away; None without findings."""
    first = {each["code"]: each for each in reversed(findings)}
    rest = [each for each in findings if each is not first[each["code"]]]
    return {"first": [each for each in findings if each is first[each["code"]]], "rest": rest} if findings else None


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _compared(fold: Mapping[str, Any]) -> bool:
    """Whether test rows of the fold were compared with training rows."""
    return bool((fold.get("nearest") or {}).get("rows"))


def _likeness(folds: Sequence[Mapping[str, Any]]) -> str:
    measures = {(fold.get("nearest") or {}).get("measure") for fold in folds}
    return "Tanimoto similarity" if "tanimoto" in measures else "identity"


def _near(fold: Mapping[str, Any]) -> str:
    if not _compared(fold):
        return ""
    nearest = fold["nearest"]
    return f"{count(nearest['near_duplicates'])} ({_share(nearest['near_duplicate_share'])})"


def _median(fold: Mapping[str, Any]) -> str:
    return number(fold["nearest"]["median"]) if _compared(fold) else ""


def _share(share: float) -> str:
    """A share in percent, never rounded to none or all of it."""
    if 0 < share < 0.01:
        return f"{max(100 * share, 0.1):.1f}{PERCENT}"
    return f"over 99{PERCENT}" if 0.995 <= share < 1 else f"{100 * share:.0f}{PERCENT}"


# --- how near test rows are to training rows ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Nearness:
    """Identity of test rows to their nearest training row: what was compared, a histogram, and counts by band."""

    text: str
    panel: Panel
    table: Listing


def _nearness(folds: Sequence[Mapping[str, Any]]) -> Nearness | None:
    found = [fold for fold in folds if _compared(fold)]
    if not found:
        return None
    nearest = [fold["nearest"] for fold in found]
    likeness = _likeness(folds)
    edges = np.round(np.array(nearest[0]["histogram"]["edges"], dtype=float), 6)
    bars = np.sum([own["histogram"]["counts"] for own in nearest], axis=0)
    svg = histogram("nearest", "test rows by likeness to the nearest training row", edges, bars, likeness, "test rows")
    lows = [band["from"] for band in nearest[0]["bands"]]
    rows = np.sum([[band["rows"] for band in own["bands"]] for own in nearest], axis=0)
    shares = [in_percent(int(n), int(rows.sum())) for n in rows]
    table = Listing(
        f"Test rows by {likeness} to their nearest training row.",
        (likeness, "test rows", "share"),
        tuple(
            (band_name(low, high), count(n), _share(n / max(rows.sum(), 1)))
            for low, high, n in zip(lows, [*lows[1:], lows[-1]], rows, strict=True)
        ),
        tuple(shares),
    )
    return Nearness(
        _what_was_compared(folds, found), Panel(Markup(svg), f"{_capital(likeness)} to the nearest training row"), table
    )


def _what_was_compared(folds: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]) -> str:
    nearest = [fold["nearest"] for fold in found]
    rows, tests = sum(own["rows"] for own in nearest), sum(fold["counts"]["test"] for fold in found)
    sample = (
        f"A random sample of {count(rows)} of {count(tests)} test rows" if rows < tests else plural(rows, "test row")
    )
    several = f" of {len(found)} folds" if len(found) > 1 else ""
    words = [f"{sample}{several} compared with the rows that models are fitted on (train and valid)"]
    if _likeness(folds) == "identity":
        words.append("identity is the share of equal residues, of the shorter sequence, in the best local alignment")
    else:
        words.append("Tanimoto similarity is that of Morgan fingerprints")
    exact = all(own["exact"] for own in nearest)
    words.append(
        "all pairs were compared"
        if exact
        else "only pairs that share words were compared, so a nearer training row may have been missed"
    )
    none = sum(own["none_alike"] for own in nearest)
    if none:
        words.append(f"{count(none)} have no training row that is alike beyond chance, and count as 0")
    left = sum(fold["counts"]["test"] > 0 for fold in folds if "nearest" not in fold)
    if left:
        words.append(f"{plural(left, 'fold')} not looked at (the same test rows as others, or beyond the first folds)")
    return f"{'; '.join(words)}."


def band_name(low: float, high: float) -> str:
    """A band in percent."""
    start = "" if low == high else f"{100 * low:.0f}{DASH}"
    return f"{start}{100 * high:.0f}{PERCENT}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- what the test asks for, where rows are variants ----------------------------------------------------------------------


def _asked(folds: Sequence[Mapping[str, Any]]) -> str:
    """What test rows that are variants have that training rows lack, and targets beyond training; empty if unknown."""
    words = []
    found = [fold for fold in folds if fold.get("families")]
    if found:
        words.append(_variants(found))
    known = [
        (fold["targets_beyond_training"], fold["counts"]["test"]) for fold in folds if "targets_beyond_training" in fold
    ]
    if known:
        beyond = float(np.average([share for share, _ in known], weights=[n for _, n in known]))
        if beyond:
            words.append(f"{_share(beyond)} of test targets lie beyond the range of training targets.")
    return " ".join(words)


def _variants(found: Sequence[Mapping[str, Any]]) -> str:
    families = [fold["families"] for fold in found]
    weights = [fold["counts"]["test"] * own["rows"] for fold, own in zip(found, families, strict=True)]
    tests = [fold["counts"]["test"] for fold in found]
    variants = float(np.average([own["rows"] for own in families], weights=tests))

    def mean(key: str) -> float:
        return float(np.average([own[key] for own in families], weights=weights))

    n = max(own["n_families"] for own in families)
    which = f"{'up to ' * (len(found) > 1)}{plural(n, 'wild type')}{' in a fold' * (len(found) > 1)}"
    text = f"{'All' if variants == 1 else _share(variants)} test rows are variants of {which}"
    if variants < 1:
        text = text.replace(" test rows", " of test rows", 1)
    test, train = (_mutations([own[f"{side}_mutations"] for own in families]) for side in ("test", "train"))
    if test and train:
        text += f": they carry {test}, training rows {train}"
    new = {
        "new_family": "are of a wild type without training rows",
        "more_mutations": "carry more mutations than any training row of their wild type",
        "new_site": "are mutated at a site that no training row has mutated",
        "new_mutation": "carry a mutation that no training row has",
    }
    told_ = [f"{_share(mean(key))} {what}" for key, what in new.items() if mean(key)]
    rest = f"Of them {', '.join(told_)}." if told_ else "Each of their mutations also stands in training rows."
    return f"{text}. {rest}"


def _mutations(spreads: Sequence[Mapping[str, float]]) -> str:
    known = [spread for spread in spreads if spread]
    if not known:
        return ""
    low, high = min(spread["min"] for spread in known), max(spread["max"] for spread in known)
    if low == high:
        return f"{high:g} mutation{'s' * (high != 1)}"
    median = f" (median {known[0]['median']:g})" if len(known) == 1 else ""
    return f"{low:g} to {high:g} mutations{median}"


# --- scores by nearness -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BandScores:
    """The primary metric within bands of identity: a figure if there are bands enough, and a table."""

    text: str
    panels: tuple[Panel, ...]
    legend: tuple[LegendItem, ...]
    table: ScoreTable


def _scores(facts: Facts, pens: Mapping[str, Pen]) -> BandScores | None:
    bands = facts.board.get("by_identity") or ()
    runs = tuple(run for run in facts.runs if bands and run.name in bands[0]["scores"])
    if not runs:
        return None
    likeness = _likeness(facts.audit.get("folds", ()))
    names = [band_name(band["from"], band["to"]) for band in bands]

    def score(at: int, run: RunFacts) -> Interval:
        return interval(bands[at]["scores"][run.name])

    rows = tuple(
        (names[at], count(band["rows"]), tuple(score(at, run) for run in runs)) for at, band in enumerate(bands)
    )
    drawn = [run for run in _drawn(runs) if any(not np.isnan(score(at, run).value) for at in range(len(bands)))]
    panels: tuple[Panel, ...] = ()
    legend: tuple[LegendItem, ...] = ()
    if len(bands) >= FEWEST_BANDS_DRAWN and drawn:
        lines = [(pens[run.name], [score(at, run) for at in range(len(bands))]) for run in drawn]
        labels = [f"{name}\n{band['rows']:,} rows" for name, band in zip(names, bands, strict=True)]
        svg = scores_by_band("bands", "score by band of likeness", labels, lines, likeness, facts.primary)
        panels = (Panel(Markup(svg), size="wide"),)
        legend = tuple(LegendItem(pens[run.name], run.name) for run in drawn)
    notes = tuple(f"{name}: {note}." for name, band in zip(names, bands, strict=True) for note in band.get("notes", ()))
    return BandScores(
        _how_to_read(facts, likeness),
        panels,
        legend,
        ScoreTable(likeness, "test rows", runs, rows, notes=notes),
    )


def _drawn(runs: Sequence[RunFacts]) -> list[RunFacts]:
    """The best model and the baselines."""
    best = next((run for run in runs if not run.baseline), None)
    return [run for run in runs if run is best or run.baseline]


def _how_to_read(facts: Facts, likeness: str) -> str:
    left_out = facts.board.get("by_identity_left_out", 0)
    left = f" {_capital(plural(left_out, 'test row'))} without known {likeness} are left out." if left_out else ""
    return (
        f"The {facts.primary} of the test rows of each band, with 95 % intervals drawn as in the leaderboard. Compare "
        f"variants within a band: bands also differ in the spread of their targets, and with it in what can be reached.{left}"
    )

"""The verdict in words: what is wrong first, in an order in which each fault makes what comes after it meaningless.

collapsed, then copying, then off the family, then under-fit couplings; else fit. A collapse has a perfect share in the family, a
set of copies has perfect couplings: so good values further down excuse nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from seqloom.quality.intervals import Measured

Word = Literal["empty", "collapsed", "copying", "off the family", "under-fit couplings", "fit"]

LEAST_UNIQUE = 0.5
"""Share of distinct sequences below which a set is collapsed; natural sets and all generators that work have 0.99 or more."""
LEAST_CLUSTERS = 0.2
"""Clusters at 80 % identity, as a ratio to as many training sequences: fewer, and the samples are variants of a few sequences.
Held-out families, a tenth of all clusters, have 0.5 or more."""
LEAST_DIVERSITY = 0.4
"""The same of the mean difference of two samples over the columns; one held-out subfamily of MinE has 0.6."""
COPY_GAP = 0.05
"""More near copies than held-out sequences have, or exact copies: the research's alarm. 1,000 samples know a share to 0.03."""
LEAST_MEMBERS = 0.75
"""Of the in-family share of held-out sequences: profile emissions have 0.85 of it, random residues nothing."""
LEAST_AT_ALL = 0.1
"""In-family share below which samples are off whatever held-out sequences have: those may be no family."""
USUAL_MEMBERS = 0.95
"""The in-family share of natural sequences where none are held out."""
LEAST_COUPLINGS = 0.3
"""Correlation and slope of weighted pair covariances: profile emissions have 0.15 and 0.06, held-out sequences 0.5 and 0.6."""
COUPLINGS_OF_NATURE = 0.5
"""In small families natural sequences themselves have little; then this share of what they have is enough."""
LEARNABLE = 0.2
"""Correlation of the pair covariances of two halves of the training sequences below which there are none to learn, or too few
sequences to see them: couplings are not judged then."""
LEAST_VALID = 0.5
"""Of molecules, which have no family, what RDKit reads."""


@dataclass(frozen=True)
class Verdict:
    """A word, the sentence that says why, and the figures that decided it."""

    word: Word
    text: str
    figures: Mapping[str, Measured]

    def as_json(self) -> dict[str, Any]:
        """`word`, `text`, `figures`."""
        return {
            "word": self.word,
            "text": self.text,
            "figures": {name: own.as_json() for name, own in self.figures.items()},
        }

    def __str__(self) -> str:
        return self.text


def verdict(
    metrics: Mapping[str, Measured],
    held_out: Mapping[str, float],
    ceiling: Mapping[str, float],
    halves: Mapping[str, float] | None = None,
) -> Verdict:
    """The verdict on samples from their metrics, beside the same of held-out sequences and of resampled training sequences.

    `halves`: the same metrics of one half of the training sequences beside the other. A metric that is missing or NaN decides
    nothing; couplings are at fault only where their whole interval is.
    """
    if not metrics:
        return Verdict("empty", "empty: there are no sequences to judge", {})
    return (
        _unreadable(metrics)
        or _collapsed(metrics, ceiling)
        or _copying(metrics, held_out)
        or _off(metrics, held_out)
        or _under_fit(metrics, held_out, ceiling, halves or {})
        or _fit(metrics, held_out)
    )


def _unreadable(metrics: Mapping[str, Measured]) -> Verdict | None:
    """Of molecules: texts that are none are all alike, and would seem collapsed."""
    read = _known(metrics, "valid")
    if "in_family" in metrics or not read or read["valid"].value >= LEAST_VALID:
        return None
    return _said("off the family", f"{_percent(read['valid'])} of samples can be read at all", read)


def _collapsed(metrics: Mapping[str, Measured], ceiling: Mapping[str, float]) -> Verdict | None:
    least = {
        "unique": LEAST_UNIQUE * min(ceiling.get("unique", 1.0), 1.0),
        "clusters": LEAST_CLUSTERS,
        "diversity": LEAST_DIVERSITY,
    }
    low = {name: own for name, own in _known(metrics, *least).items() if own.value < least[name]}
    if not low:
        return None
    words = {
        "unique": "{} of the samples are distinct",
        "clusters": "{} as many clusters at 80 % identity as in as many training sequences",
        "diversity": "two samples differ {} as much as two training sequences",
    }
    return _said("collapsed", "; ".join(words[name].format(_percent(own)) for name, own in low.items()), low)


def _copying(metrics: Mapping[str, Measured], held_out: Mapping[str, float]) -> Verdict | None:
    natural = held_out.get("near_copies", math.nan)
    gaps = {
        "near_copies": natural,
        "memorised": held_out.get("memorised", math.nan),
        "exact_copies": held_out.get("exact_copies", math.nan),
    }
    above = {
        name: own
        for name, own in _known(metrics, *gaps).items()
        if own.value - (gaps[name] if math.isfinite(gaps[name]) else 0.0) > COPY_GAP
    }
    if not above:
        return None
    if set(above) == {"exact_copies"}:
        return _said(
            "copying",
            f"{_percent(above['exact_copies'])} of the samples are natural sequences, letter by letter",
            above,
        )
    own = metrics["near_copies"] if "near_copies" in above else metrics["memorised"]
    at = "90 %" if "near_copies" in above else "95 %"
    beside = gaps["near_copies" if "near_copies" in above else "memorised"]
    than = f"held-out sequences {beside:.0%}" if math.isfinite(beside) else "and no held-out sequences to compare with"
    return _said(
        "copying", f"{_percent(own)} of samples have a natural neighbour at {at} identity or more, {than}", above
    )


def _off(metrics: Mapping[str, Measured], held_out: Mapping[str, float]) -> Verdict | None:
    known = _known(metrics, "in_family")
    if not known:
        return None
    natural = held_out.get("in_family", math.nan)
    usual = natural if math.isfinite(natural) else USUAL_MEMBERS
    if known["in_family"].value >= max(LEAST_MEMBERS * usual, LEAST_AT_ALL):
        return None
    than = f"held-out sequences {natural:.0%}" if math.isfinite(natural) else "training sequences 95 %"
    return _said(
        "off the family",
        f"{_percent(known['in_family'])} of samples are recognised by the family's profile, {than}",
        known,
    )


def _under_fit(
    metrics: Mapping[str, Measured],
    held_out: Mapping[str, float],
    ceiling: Mapping[str, float],
    halves: Mapping[str, float],
) -> Verdict | None:
    known = _known(metrics, "pair_r_weighted", "pair_slope_weighted")
    if "pair_r_weighted" not in known or halves.get("pair_r_weighted", 1.0) < LEARNABLE:
        return None
    low, words = {}, []
    names = {"pair_r_weighted": "correlate", "pair_slope_weighted": "have a slope of"}
    for name, own in known.items():
        natural = held_out.get(name, math.nan)
        beside = [each for each in (natural, ceiling.get(name, math.nan)) if math.isfinite(each)]
        least = min([LEAST_COUPLINGS, *(COUPLINGS_OF_NATURE * each for each in beside)])
        if (own.high if math.isfinite(own.high) else own.value) < least:
            low[name] = own
            words.append(f"{names[name]} {own}{_beside(natural, '.2f')}")
    if not low:
        return None
    text = f"pair covariances of the samples {' and '.join(words)} with those of training"
    return _said("under-fit couplings", text, low)


def _fit(metrics: Mapping[str, Measured], held_out: Mapping[str, float]) -> Verdict:
    has_family = bool(_known(metrics, "in_family"))
    known = _known(
        metrics, *(("in_family", "near_copies", "pair_r_weighted") if has_family else ("valid", "near_copies"))
    )
    words = {
        "in_family": "{} recognised by the family's profile",
        "valid": "{} valid",
        "near_copies": "{} with a natural neighbour at 90 % identity or more",
        "pair_r_weighted": "correlation of pair covariances {}",
    }
    parts = []
    for name, own in known.items():
        is_r = name == "pair_r_weighted"
        beside = _beside(held_out.get(name, math.nan), ".2f" if is_r else ".0%")
        parts.append(words[name].format(own if is_r else _percent(own)) + beside)
    return _said("fit", "; ".join(parts), known)


def _beside(natural: float, form: str) -> str:
    return f" (held-out sequences {natural:{form}})" if math.isfinite(natural) else ""


def _said(word: Word, text: str, figures: Mapping[str, Measured]) -> Verdict:
    return Verdict(word, f"{word}: {text}", figures)


def _known(metrics: Mapping[str, Measured], *names: str) -> dict[str, Measured]:
    return {name: metrics[name] for name in names if name in metrics and math.isfinite(metrics[name].value)}


def _percent(own: Measured) -> str:
    if not math.isfinite(own.low) or own.low == own.high:
        return f"{own.value:.0%}"
    return f"{own.value:.0%} ({max(own.low, 0.0):.0%} to {own.high:.0%})"

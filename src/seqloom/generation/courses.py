"""How generators learnt, as their monitors saw it: curves against the sequences seen, rules as they were acquired, alarms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from seqloom.generate.monitor import COPIED, PERFECT
from seqloom.generation.exhibits import RULE, Course, Exhibit, Exhibition
from seqloom.generation.figures import course
from seqloom.generation.tables import fixed
from seqloom.quality.rules import ACQUIRED, Acquired, acquired
from seqloom.report.page import Figure, Fold, Listing, Part
from seqloom.report.svg import COLOURS, Line, Pen
from seqloom.report.words import DASH, count

FIRST_RULE = f"{RULE}starts-with-m"
MOST_DRAWN = len(COLOURS) - 1
"""Variants whose curves are drawn: there are so many colours."""
MOST_OWN = 8
"""Numbers of the generators' own that are drawn, beside those that are known."""
MOST_ALARMS = 6
KNOWN = {
    "turn", "seen", "valid", "unique", "in_family", "bits", "near_copies", "exact_copies", "entropy_gap", "pair_r",
    "in_family_natural", "near_copies_natural", "copy_gap", "hit_rate", "off_class", "shortfall", "alarms", "seconds",
}  # fmt: skip
"""What every monitor writes; all else are numbers of the generator itself."""
VALUES = {"critic_real": "natural", "critic_fake": "generated", "d_real": "natural", "d_fake": "generated"}


class Panel(NamedTuple):
    """One drawing: columns of the lines, what they are called, and what is drawn across."""

    title: str
    keys: tuple[str, ...]
    y: str = "share"
    guide: float | str | None = None
    """A value, or the column that has it."""
    bounds: tuple[float, float] | None = None
    text: str = ""


PANELS = (
    Panel("In the family", ("in_family",), guide="in_family_natural", bounds=(0, 1.03), text="Dotted: held-out sequences."),
    Panel("M first", (FIRST_RULE,), guide=ACQUIRED, bounds=(0, 1.03), text=f"Dotted: acquired, {ACQUIRED:g}."),
    Panel("Found in the family", ("on_class",), bounds=(0, 1.03), text="By search, and not among decoys."),
    Panel("Valid", ("valid",), bounds=(0, 1.03)),
    Panel("Distinct", ("unique",), bounds=(0, 1.03)),
    Panel("Copy gap", ("copy_gap",), guide=COPIED, text="Dotted: above it there is an alarm."),
    Panel("Pair covariances", ("pair_r",), y="r with training", text="Of 256 samples, which lowers it."),
    Panel("Entropy of columns", ("entropy_gap",), y="bits beside training", guide=0.0),
    Panel("Valid loss", ("valid_loss",), y="loss of valid sequences"),
    Panel("Perplexity", ("perplexity",), y="perplexity per symbol"),
    Panel("Critic: right about", ("accuracy",), guide=PERFECT, bounds=(0, 1.03), text="Dotted: a perfect critic."),
    Panel("Critic's values", ("critic_real", "critic_fake"), y="value", text="Dashed: of generated sequences."),
    Panel("Critic's values", ("d_real", "d_fake"), y="value", text="Dashed: of generated sequences."),
    Panel("Critic: training over held-out", ("critic_gap",), y="difference of values", guide=0.0, text="High: learnt by heart."),
)  # fmt: skip


def training(shown: Exhibition) -> tuple[Part, ...]:
    """Curves, alarms, and when each rule was acquired; nothing of generators that learn in one step."""
    learnt = [each for each in shown.exhibits if any(own.lines for own in each.courses)]
    if not learnt:
        return ()
    chosen = learnt[:MOST_DRAWN]
    figures = [
        figure for place, panel in enumerate(_panels(chosen, shown)) if (figure := _figure(place, panel, chosen))
    ]
    n_alarms, told = _alarms(learnt)
    texts = [
        "Samples of every evaluation, 256 of them, against the training sequences that the model had seen; a line for each seed."
    ]
    if len(learnt) > len(chosen):
        texts.append(f"Curves are of the best {len(chosen)} of {len(learnt)} variants.")
    texts.append("No alarm was raised." if not n_alarms else f"{count(n_alarms)} alarms were raised:")
    texts += told[:MOST_ALARMS]
    folds = (
        (Fold(f"{len(told) - MOST_ALARMS} more alarms", tuple(told[MOST_ALARMS:])),) if len(told) > MOST_ALARMS else ()
    )
    colours = [(f"c{place + 1}", each.name) for place, each in enumerate(chosen)]
    tables, more = _acquisition(learnt, shown)
    return (
        Part("How they learnt", tuple(texts), tuple(figures), "small", colours, tuple(tables), folds=(*folds, *more)),
    )


def _panels(chosen: Sequence[Exhibit], shown: Exhibition) -> list[Panel]:
    keys = list(dict.fromkeys(key for each in chosen for own in each.courses for line in own.lines for key in line))
    drawn = {key for panel in PANELS for key in panel.keys}
    rules = [Panel(f"Rule {name}", (f"{RULE}{name}",), guide=ACQUIRED, bounds=(0, 1.03)) for name in shown.own_rules]
    own = [key for key in keys if key not in KNOWN | drawn and not key.startswith(RULE)]
    others = [Panel(key.replace("_", " ").capitalize(), (key,), y="") for key in own[:MOST_OWN]]
    known = [panel for panel in PANELS if set(panel.keys) <= set(keys)]
    at = next((place + 1 for place, panel in enumerate(known) if panel.keys == (FIRST_RULE,)), min(len(known), 1))
    return [*known[:at], *rules, *known[at:], *others]


def _figure(place: int, panel: Panel, chosen: Sequence[Exhibit]) -> Figure | None:
    lines = []
    for variant, each in enumerate(chosen):
        for own in each.courses:
            for number, key in enumerate(panel.keys):
                seen, values = _numbers(own, key)
                if len(values):
                    dashes = (3.0, 1.5) if number else ()
                    lines.append(Line(seen, values, Pen(f"c{variant + 1}", dashes, 1.5)))
    if not lines:
        return None
    guide = panel.guide
    if isinstance(guide, str):
        found = [_numbers(own, guide)[1] for each in chosen for own in each.courses]
        guides = [float(values[-1]) for values in found if len(values)][:1]
    else:
        guides = [] if guide is None else [guide]
    svg = course(f"course-{place}", panel.title, lines, panel.y, guides, panel.bounds)
    return Figure(svg, panel.title, panel.text)


def _numbers(own: Course, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Sequences seen and values of one column, where it is a finite number, float64 (E,) each."""
    known = [(line["seen"], line[key]) for line in own.lines if _is_number(line.get(key))]
    pairs = np.array(known, np.float64).reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs[:, 1])]
    return pairs[:, 0], pairs[:, 1]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _alarms(learnt: Sequence[Exhibit]) -> tuple[int, list[str]]:
    """How many there were, and a line for each stretch of evaluations with alarms of one kind."""
    told, total = [], 0
    for each in learnt:
        for own in each.courses:
            for kind, lines in _by_kind(own).items():
                total += len(lines)
                (first, text), (last, _) = lines[0], lines[-1]
                when = (
                    f"after {first:,} sequences"
                    if first == last
                    else f"{len(lines)} times, after {first:,} to {last:,} sequences"
                )
                told.append(
                    f"{each.name}, seed {own.seed}, {when}: {text if first == last else f'{kind}, first {text}'}."
                )
    return total, told


def _by_kind(own: Course) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    for line in own.lines:
        for alarm in line.get("alarms", ()):
            kind, _, text = alarm.partition(": ")
            found.setdefault(kind, []).append((int(line["seen"]), text or alarm))
    return found


def _acquisition(learnt: Sequence[Exhibit], shown: Exhibition) -> tuple[list[Listing], list[Fold]]:
    """When each rule was first kept by enough samples, seed by seed, and whether it stayed; folded, what was kept at once."""
    rows: list[tuple[str, ...]] = []
    at_once: list[tuple[str, ...]] = []
    for each in learnt:
        lines = [line for own in each.courses for line in own.lines]
        for name in dict.fromkeys(key for line in lines for key in line if key.startswith(RULE)):
            found = [_acquired(own, name) for own in each.courses if own.lines]
            row = (
                each.name,
                name.removeprefix(RULE),
                fixed(shown.pack.natural.get(name.removeprefix(RULE))),
                "; ".join("never" if one.first is None else count(one.first) for one in found),
                "; ".join(fixed(one.final) for one in found),
                "; ".join(fixed(one.stability) or DASH for one in found),
            )
            kept = all(
                one.first == own.lines[0]["seen"] and one.stability == 1
                for one, own in zip(found, each.courses, strict=False)
            )
            is_asked = name == FIRST_RULE or name.removeprefix(RULE) in shown.own_rules
            (at_once if kept and not is_asked else rows).append(row)
    columns = ("variant", "rule", "natural", "first reached after", "share at the end", "stability")
    caption = (
        f"Sequences seen when a share of {ACQUIRED:g} of the samples first kept a rule, seed by seed; stability is the share of "
        "later evaluations in which as many did."
    )
    numbers = frozenset(columns[2:])
    fold = Fold(
        "Rules that were kept at every evaluation",
        tables=(Listing("By as many samples, or more.", columns, tuple(at_once), numbers),),
    )
    return [Listing(caption, columns, tuple(rows), numbers)] if rows else [], [fold] if at_once else []


def _acquired(own: Course, name: str) -> Acquired:
    seen, shares = _numbers(own, name)
    return acquired(shares.tolist(), seen.astype(int).tolist())

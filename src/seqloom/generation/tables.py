"""The tables of a page about generators: leaderboard and controls, every metric, rules, properties, samples one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.generation.exhibits import DISTANCE, RULE, Exhibit, Exhibition, Score
from seqloom.quality.controls import HELD_OUT, NOISE
from seqloom.quality.copies import NEAR, TIE
from seqloom.report.page import Block, Cell, Fold, Listing, Part
from seqloom.report.words import DASH, MINUS, Parts, plural

COLUMNS = {
    "in_family": "in family", "valid": "valid", "pair_r": "pair r", "pair_slope": "pair slope", "copy_gap": "copy gap",
    "near_copies": "near copies", "unique": "unique", "clusters": "clusters", "entropy_gap": "entropy gap",
    f"{RULE}starts-with-m": "M first", "bits": "bits",
}  # fmt: skip
"""Metrics of the leaderboard, and what they are called there."""
OF_MOLECULES = {
    "valid": "valid", "novel": "novel", "unique": "unique", "exact_copies": "exact copies", "near_copies": "near copies",
    "copy_gap": "copy gap", "clusters": "clusters", "scaffolds": "scaffolds", "internal_diversity": "diversity",
}  # fmt: skip
MEANS = {
    "valid": (
        "valid",
        "standard symbols alone, and a length that training sequences have; of molecules, what can be read",
    ),
    "in_family": ("in the family", "bits that 95 % of training sequences reach"),
    "bits": ("bits", "of the family's profile, median"),
    "hit_rate": ("found", "by search, at one fixed search space"),
    "on_class": ("found in the family", "as the best hit"),
    "off_class": ("found among decoys", "as the best hit"),
    "unique": ("unique", "distinct sequences"),
    "clusters": ("clusters", "at 80 % identity, over those of as many training sequences"),
    "diversity": ("diversity", "mean difference over the columns, over that of training sequences"),
    "nn_within": ("nearest other sample", "identity, median"),
    "nn_train": ("nearest in training", "identity, median"),
    "nn_held_out": ("nearest held-out", "identity, median"),
    "near_copies": ("near copies", "a training sequence at an identity of 0.9 or more"),
    "memorised": ("memorised", "the same at 0.95"),
    "exact_copies": ("exact copies", "of a training sequence"),
    "copy_gap": ("copy gap", "near copies less those of held-out sequences"),
    "novel": ("novel", "of those that can be read, not in training"),
    "scaffolds": ("scaffolds", "distinct ones, over molecules with a ring"),
    "internal_diversity": ("internal diversity", "1 less the mean similarity of two molecules"),
    "f1_r": ("columns, r", "shares of residues, correlation with training"),
    "f1_rmsd": ("columns, rmsd", "root mean square difference of the shares"),
    "kl": ("columns, divergence", "from training, nats"),
    "entropy_gap": ("entropy gap", "bits per column beside training, mean"),
    "entropy_gap_max": ("largest entropy gap", "of all columns"),
    "pair_r": ("pair r", "covariances of pairs of columns, correlation with training"),
    "pair_slope": ("pair slope", "of their regression on training"),
    "pair_r_weighted": ("weighted pair r", "similar sequences sharing one weight"),
    "pair_slope_weighted": ("weighted pair slope", "similar sequences sharing one weight"),
    "mi_spearman": ("mutual information", "of pairs (APC), rank correlation with training"),
    "word_agreement": ("words of columns", "of 2 to 10 columns, correlation of shares with training"),
    "frechet": ("Frechet distance", "from held-out sequences, squared"),
    "kernel_mmd": ("kernel distance", "from held-out sequences, squared (MMD)"),
    "spectrum_mmd": ("spectrum distance", "the same over words of three symbols"),
    "precision": ("precision", "samples within reach of held-out sequences"),
    "recall": ("recall", "held-out sequences within reach of samples"),
    "density": ("density", "of held-out sequences around samples"),
    "coverage": ("coverage", "held-out sequences with a sample near them"),
}
"""What a metric is called, and what it is."""
MOST_LISTED = 20
"""Samples of each table of samples."""
ALIGNED = 10
LINE = 120
"""Symbols of a line of an alignment."""
SEED = 0xE5


def leaderboard(shown: Exhibition) -> Part:
    """Verdicts and the metrics that decide, of samples and of controls; all others folded."""
    names = OF_MOLECULES if shown.of_molecules else COLUMNS
    known = [name for name in names if any(each.value(name) is not None for each in shown.exhibits)]
    rows: list[tuple[Cell, ...]] = [
        (Parts(each.name, _note(each)), each.word, *(_cell(each.metrics.get(name)) for name in known))
        for each in shown.exhibits
    ]
    words = shown.control_words()
    rows += [
        (Parts(name, "control"), words[name], *(fixed(own.get(metric)) for metric in known))
        for name, own in shown.controls.items()
    ]
    heads = [names[name] for name in known]
    order = "Samples, best first," if len(shown.exhibits) > 1 else "The samples,"
    caption = f"{order} with 95 % intervals; below them controls, judged alike."
    table = Listing(caption, ("set", "verdict", *heads), tuple(rows), frozenset(heads), broad=True)
    title = "Leaderboard" if len(shown.exhibits) > 1 else "Beside controls"
    return Part(title, _reading(shown), tables=(table,), folds=(_all_metrics(shown),))


def _note(each: Exhibit) -> str:
    words = ["baseline"] if each.baseline else []
    if len(each.seeds) > 1:
        words.append(plural(len(each.seeds), "seed"))
    return ", ".join(words)


def _reading(shown: Exhibition) -> tuple[str, ...]:
    """How the table is read: what each column cannot see, said with the numbers of the controls."""

    def of(name: str, metric: str) -> str:
        return fixed(shown.controls.get(name, {}).get(metric)) or "no number"

    if shown.of_molecules:
        texts = [
            "No column decides alone. Copies of training molecules are valid and drug-like, so copies are read first: near "
            "copies have a training molecule at a Tanimoto similarity of 0.9 or more, and the copy gap is how many more there "
            "are than among held-out molecules."
        ]
        return tuple(texts)
    texts = ["No column decides alone, and the verdict names the first fault that makes the others meaningless."]
    if "collapse" in shown.controls:
        texts[0] += (
            f" Collapse, one training sequence again and again, has {of('collapse', 'in_family')} in the family: membership "
            "alone is worth nothing."
        )
    if "noisy train" in shown.controls:
        texts[0] += (
            f" Noisy train, training sequences with {100 * NOISE:g} % of their residues drawn anew, has pair covariances of r = "
            f"{of('noisy train', 'pair_r')}, and {of('noisy train', 'near_copies')} of it are near copies: couplings are read "
            "beside copies."
        )
    if "profile emission" in shown.controls:
        texts[0] += (
            f" A profile writes every column by itself (r = {of('profile emission', 'pair_r')}): what a generator has above "
            "that, it has learnt of pairs."
        )
    if HELD_OUT in shown.controls:
        texts[0] += (
            " Held-out sequences say what natural sequences have that were not learnt from "
            f"(r = {of(HELD_OUT, 'pair_r')}; there are {len(shown.reference.held_out):,}, and fewer sequences have a lower r)."
        )
    texts.append(
        "Copy gap: near copies (a training sequence at an identity of 0.9 or more) less those of held-out sequences, ideally 0. "
        "Clusters are at 80 % identity, over those of as many training sequences. Entropy gap: bits per column beside training; "
        "below 0 samples are less varied. Pair r and slope: covariances of all pairs of columns, against those of training."
    )
    return tuple(texts)


def _all_metrics(shown: Exhibition) -> Fold:
    names = dict.fromkeys(name for each in shown.exhibits for name in each.metrics)
    names |= dict.fromkeys(name for own in shown.controls.values() for name in own)
    kept = [name for name in names if not name.startswith((RULE, DISTANCE))]
    ordered = [name for name in MEANS if name in kept] + [name for name in kept if name not in MEANS]
    sets = [each.name for each in shown.exhibits]
    beside = [f"{name} (control)" for name in shown.controls]
    halves = ["half of train beside the other"] if shown.halves else []
    rows = tuple(
        (
            Parts(*MEANS.get(name, (name, ""))),
            *(_cell(each.metrics.get(name)) for each in shown.exhibits),
            *(fixed(own.get(name)) for own in shown.controls.values()),
            *([fixed(shown.halves.get(name))] if shown.halves else []),
        )
        for name in ordered
    )
    columns = ("metric", *sets, *beside, *halves)
    return Fold(
        "All metrics", tables=(Listing("Metrics of every set.", columns, rows, frozenset(columns[1:]), broad=True),)
    )


def rules(shown: Exhibition) -> tuple[Part, ...]:
    """What natural sequences keep, and what share of samples does."""
    names = [name for name in shown.pack.natural if any(f"{RULE}{name}" in each.metrics for each in shown.exhibits)]
    names += [
        name.removeprefix(RULE)
        for each in shown.exhibits
        for name in each.metrics
        if name.startswith(RULE) and name.removeprefix(RULE) not in shown.pack.natural
    ]
    if not names:
        return ()
    texts = {rule.name: rule.text for rule in shown.pack.rules}
    heads = [*(each.name for each in shown.exhibits), "training", "held-out"]
    rows = tuple(
        (
            name,
            texts.get(name, ""),
            *(_cell(each.metrics.get(f"{RULE}{name}")) for each in shown.exhibits),
            fixed(shown.pack.natural.get(name)),
            fixed(shown.controls.get(HELD_OUT, {}).get(f"{RULE}{name}")),
        )
        for name in dict.fromkeys(names)
    )
    caption = "Share of each set that keeps a rule; bounds are those of training sequences."
    return (Part("Rules", tables=(Listing(caption, ("rule", "says", *heads), rows, frozenset(heads)),)),)


def distances(shown: Exhibition) -> tuple[Part, ...]:
    """How far properties of samples lie from those of held-out sequences."""
    names = list(dict.fromkeys(name for each in shown.exhibits for name in each.metrics if name.startswith(DISTANCE)))
    if not names:
        return ()
    heads = tuple(name.removeprefix(DISTANCE).replace("_", " ") for name in names)
    rows: list[tuple[Cell, ...]] = [
        (each.name, *(_cell(each.metrics.get(name)) for name in names)) for each in shown.exhibits
    ]
    rows += [
        (Parts(name, "control"), *(fixed(own.get(metric)) for metric in names))
        for name, own in shown.controls.items()
        if name != HELD_OUT
    ]
    caption = (
        "Distance of the distribution of each number from that of held-out sequences (1-Wasserstein), in standard deviations of "
        "training sequences. As many training sequences (train resample) are the floor."
    )
    return (Part("Properties", tables=(Listing(caption, ("set", *heads), tuple(rows), frozenset(heads)),)),)


def samples(shown: Exhibition) -> Part:
    """The best samples by bits that are no near copies, and some at random."""
    own = [each for each in shown.exhibits if not each.baseline] or list(shown.exhibits)
    rows = pa.concat_tables([each.samples for each in own])
    valid, near = (
        rows["valid"].to_numpy(),
        np.nan_to_num(rows["identity"].to_numpy()) >= NEAR - TIE,
    )
    tables = []
    if not shown.of_molecules:
        good = np.flatnonzero(valid & ~near)
        best = good[np.argsort(-rows["bits"].to_numpy()[good], kind="stable")][:MOST_LISTED]
        caption = f"The {len(best)} samples of most bits that are valid and no near copies."
        tables.append(_listed(shown, rows.take(pa.array(best)), caption))
    some = np.sort(np.random.default_rng(SEED).choice(len(rows), min(MOST_LISTED, len(rows)), replace=False))
    tables.append(_listed(shown, rows.take(pa.array(some)), f"{len(some)} samples at random, as they come."))
    names = ", ".join(each.name for each in own)
    text = f"Of {names}; all samples with their scores are in samples.parquet."
    return Part("Samples", (text,), tables=tuple(tables))


def _listed(shown: Exhibition, rows: pa.Table, caption: str) -> Listing:
    heads = (
        ["bits", "in family", "identity", "held-out"] if not shown.of_molecules else ["valid", "identity", "held-out"]
    )
    lines = []
    for row in rows.to_pylist():
        scores = (f"{row['bits']:.1f}", _yes(row["in_family"])) if not shown.of_molecules else (_yes(row["valid"]),)
        known = row["valid"] or not shown.of_molecules
        identity = [_share(row[name] if known else None) for name in ("identity", "identity_held_out")]
        copied = "" if row["valid"] or shown.of_molecules else "not valid"
        copied = "copy" if row["copy"] else copied
        lines.append((Parts(row["id"], copied), *scores, *identity, row["nearest"] or "", row["sequence"]))
    columns = ("sample", *heads, "nearest in training", "sequence")
    return Listing(caption, columns, tuple(lines), frozenset(heads), frozenset({"sequence"}))


def closest(shown: Exhibition) -> tuple[Listing, Fold | None]:
    """The samples that are nearest to a training sequence, and how they lie over it."""
    own = [each for each in shown.exhibits if not each.baseline] or list(shown.exhibits)
    rows = pa.concat_tables([each.samples for each in own])
    identity = np.nan_to_num(rows["identity"].to_numpy())
    order = np.argsort(-identity, kind="stable")
    texts = rows["sequence"].to_pylist()
    first: dict[str, int] = {}
    for row in order.tolist():
        first.setdefault(texts[row], row)
    rows = rows.take(pa.array(list(first.values())[:ALIGNED]))
    lines = tuple(_neighbour(each, bits=not shown.of_molecules) for each in rows.to_pylist())
    numbers = ("identity", "to held-out", *(() if shown.of_molecules else ("bits",)))
    columns = ("sample", "nearest in training", *numbers, "")
    caption = f"The {len(lines)} distinct samples that come nearest to a training sequence."
    table = Listing(caption, columns, lines, frozenset(numbers))
    blocks = tuple(
        Block(
            f"{row['id']} (above) over {row['nearest']}, identity {_share(row['identity'])}", wrapped(row["alignment"])
        )
        for row in rows.filter(pc.is_valid(rows["alignment"])).to_pylist()
    )
    words = ("| equal, + alike, - a gap; end to end.",)
    return table, Fold("How they lie over their neighbours", words, blocks=blocks) if blocks else None


def _neighbour(row: Mapping[str, Any], *, bits: bool) -> tuple[str, ...]:
    near = (row["identity"] or 0.0) >= NEAR - TIE
    scores = [_share(row["identity"]), _share(row["identity_held_out"])] + ([f"{row['bits']:.1f}"] if bits else [])
    return (row["id"], row["nearest"] or "none", *scores, "a copy" if row["copy"] else "near copy" if near else "")


def wrapped(alignment: str) -> str:
    """The three lines of an alignment in pieces of `LINE` symbols, one below the other."""
    lines = alignment.split("\n")
    longest = max(map(len, lines))
    pieces = ["\n".join(line[start : start + LINE] for line in lines) for start in range(0, longest, LINE)]
    return "\n\n".join(pieces)


def fixed(value: float | None) -> str:
    """Three decimals, so that scores line up in a column; two digits of what is larger. Empty where there is none.

    >>> fixed(0.5), fixed(-0.00012), fixed(84.26), fixed(None)
    ('0.500', '0.000', '84.3', '')
    """
    if value is None or not math.isfinite(value):
        return ""
    decimals = 3 if abs(value) < 10 else 1
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


def _cell(score: Score | None) -> Cell:
    """A number over its interval, which is left out where it has no width."""
    if score is None or score["value"] is None:
        return ""
    value, low, high = (fixed(score[name]) for name in ("value", "low", "high"))
    return Parts(value, f"({low}{'…' if low.startswith(MINUS) else DASH}{high})" if low != high else "")


def _share(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def _yes(value: bool | None) -> str:
    return "yes" if value else "no"

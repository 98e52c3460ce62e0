"""The parts of a page about generators that are drawn: copying, the family, columns, pairs of columns, a map, molecules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from seqloom.generation.exhibits import Exhibit, Exhibition, drawn
from seqloom.generation.figures import (
    HELD_OUT,
    SAMPLES,
    SETS,
    TRAIN,
    cloud_map,
    column_entropies,
    couplings,
    distributions,
)
from seqloom.generation.tables import closest, fixed
from seqloom.quality.columns import agreement, entropies, frequencies, pair_covariances
from seqloom.quality.copies import MEMORISED, NEAR, TIE
from seqloom.quality.embed import Spectrum
from seqloom.quality.fidelity import Target
from seqloom.report.logo import CHEMISTRY, MOST_COLUMNS, PER_LINE, Stack, letter_bits, logo
from seqloom.report.page import Figure, Listing, Part
from seqloom.report.words import count

MOST_DRAWN = 6
"""Sets that are drawn, the best; more would be a wall of panels."""
MOST_PLACED = 400
"""Sequences of each set on a map."""
MOST_MOLECULES = 500
"""Molecules of each set whose properties are worked out, a thousandth of a second each."""
MARGIN = 1.03
"""Of the largest covariance of training, what the axes reach: beyond it points stand at their ends."""
TITLES = {"weight": "weight, Da", "logp": "logP", "tpsa": "polar surface, Å²", "qed": "drug-likeness"}


def shown_exhibits(shown: Exhibition) -> tuple[Exhibit, ...]:
    """Those that are drawn: the first ones, and the first baseline."""
    if len(shown.exhibits) <= MOST_DRAWN:
        return shown.exhibits
    baseline = [each for each in shown.exhibits if each.baseline][:1]
    rest = [each for each in shown.exhibits if not each.baseline][: MOST_DRAWN - len(baseline)]
    return (*rest, *baseline)


def copying(shown: Exhibition) -> Part:
    """How near samples come to training sequences, beside how near natural sequences come."""
    natural, edges = shown.reference.unseen_nearest.identity, np.linspace(0, 1, 51)
    measure = "Tanimoto similarity" if shown.of_molecules else "identity"
    figures = []
    for place, each in enumerate(shown_exhibits(shown)):
        read = each.samples.filter(each.samples["valid"]) if shown.of_molecules else each.samples
        own = np.nan_to_num(read["identity"].to_numpy())
        svg = distributions(
            f"identity-{place}",
            f"{measure} to the nearest training sequence",
            own,
            {HELD_OUT: natural},
            edges,
            measure,
            NEAR,
        )
        near, memorised = (_percent(own >= each - TIE) for each in (NEAR, MEMORISED))
        text = f"Median {_median(own)}; {near} at {NEAR:g} or more, {memorised} at {MEMORISED:g}."
        figures.append(Figure(svg, each.name, text))
    beside = (
        f"Of held-out sequences {_percent(natural >= NEAR - TIE)} have a training sequence at {NEAR:g} or more (median "
        f"{_median(natural)})."
        if len(natural)
        else "No natural sequences are held out to compare with."
    )
    texts = (
        f"Tanimoto similarity of Morgan fingerprints to the nearest training molecule, of samples that can be read. {beside}"
        if shown.of_molecules
        else "Identity to the nearest training sequence: equal residues of the best alignment from end to end, over the length "
        f"of the longer one. {beside} Dotted: {NEAR:g}, from which a sample is called a near copy.",
    )
    table, fold = closest(shown)
    folds = (fold,) if fold else ()
    return Part("Copying", texts, tuple(figures), "small", SETS[:2], (table,), folds=folds)


def family(shown: Exhibition) -> tuple[Part, ...]:
    """Bits of the family's profile; and, where there are decoys, what is found among them."""
    profile = shown.reference.family
    if profile is None:
        return ()
    natural = shown.natural_bits
    low, high = (float(each) for each in np.quantile(natural["train"], (0.0, 1.0)))
    low, high = min(low, 0.0) - 5, high + 10
    edges = np.linspace(low, high, 51)
    outlines = {TRAIN: natural["train"], HELD_OUT: natural["held-out"]}
    figures = []
    for place, each in enumerate(shown_exhibits(shown)):
        own = each.samples["bits"].to_numpy()
        svg = distributions(
            f"bits-{place}", "bits of the family's profile", own, outlines, edges, "bits", profile.floor
        )
        text = f"In the family: {fixed(each.value('in_family'))}."
        figures.append(Figure(svg, each.name, text))
    text = (
        f"Log-odds of each sequence under the profile of the family, in bits. Dotted: {profile.floor:.0f} bits, which 95 % of "
        "the training sequences reach."
    )
    tables = (_searched(shown),) if shown.has_decoys else ()
    return (Part("In the family", (text,), tuple(figures), "small", SETS, tables),)


def _searched(shown: Exhibition) -> Listing:
    """What search finds among the family and its decoys."""
    metrics = ("hit_rate", "on_class", "off_class")
    rows = [(each.name, *(fixed(each.value(metric)) for metric in metrics)) for each in shown.exhibits]
    rows += [(name, *(fixed(own.get(metric)) for metric in metrics)) for name, own in shown.controls.items()]
    heads = ("found at all", "in the family", "among decoys")
    return Listing(
        "Best hits of a search of the family and of other families, the decoys.",
        ("set", *heads),
        tuple(rows),
        frozenset(heads),
    )


def columns(shown: Exhibition) -> tuple[Part, ...]:
    """Logos of training sequences and of samples, and the entropy of each column."""
    target = shown.reference.target
    if target is None or not len(target.frequency):
        return ()
    chosen = shown_exhibits(shown)
    own = [frequencies(shown.aligned(each), target.n_symbols) for each in chosen]
    n_train = f"training, {count(len(shown.reference.train))} sequences"
    stacks = [Stack(n_train, letter_bits(target.frequency, len(shown.reference.train)))]
    stacks += [
        Stack(f"{each.name}, {count(each.n_first)} samples", letter_bits(frequency, each.n_first))
        for each, frequency in zip(chosen, own, strict=True)
    ]
    n_columns = len(target.frequency)
    left_out = f", the first {MOST_COLUMNS} of {n_columns:,}" if n_columns > MOST_COLUMNS else ""
    text = (
        f"The {min(n_columns, MOST_COLUMNS)} columns of the family{left_out}, {PER_LINE} to a line. A column is as high as it is "
        "certain, in bits; each letter has its share of it."
    )
    colours = [(colour, words) for _, colour, words in CHEMISTRY[shown.alphabet.name]]
    drawing = logo("logos", "logos of training sequences and samples", stacks, shown.alphabet)
    figures = []
    for place, (each, frequency) in enumerate(zip(chosen, own, strict=True)):
        svg = column_entropies(f"entropy-{place}", "entropy of columns", target.entropy, entropies(frequency))
        gap = each.first.get("entropy_gap", {}).get("value")
        figures.append(Figure(svg, each.name, f"Mean difference {fixed(gap)} bits."))
    words = "A point for each column, in bits: below the line, samples are less varied there than training sequences."
    return (
        Part("Columns of the family", (text,), (Figure(drawing),), "wide", colours),
        Part("Entropy of columns", (words,), tuple(figures), "small"),
    )


def pairs(shown: Exhibition) -> tuple[Part, ...]:
    """Covariances of pairs of columns against those of training."""
    target = shown.reference.target
    if target is None or len(target.columns) < 2:
        return ()
    limit = max(float(np.abs(target.pairs).max()) * MARGIN, 0.01)
    sets: dict[str, tuple[str, Callable[[], np.ndarray]]] = {
        each.name: (_seed_of(each), lambda each=each: shown.aligned(each))  # type: ignore[misc]
        for each in shown_exhibits(shown)
    }
    if len(shown.reference.held_out):
        few = f"{len(shown.reference.held_out):,} sequences"
        sets["held-out"] = (few, lambda: shown.reference.unseen.aligned)
    figures = []
    for place, (name, (words, residues)) in enumerate(sets.items()):
        figures.append(_pair_figure(f"pairs-{place}", name, words, residues(), target, limit))
    halves = shown.halves.get("pair_r"), shown.halves.get("pair_slope")
    ceiling = (
        f" One half of the training sequences has r = {fixed(halves[0])} and slope {fixed(halves[1])} of the other half."
        if halves[0] is not None
        else ""
    )
    text = (
        "Covariance of two residues in two columns: how often they stand together, less how often they would if columns did not "
        "know of each other. Every pair of residues in every pair of columns is a point; the darker, the more of them, on a "
        f"logarithmic scale. Grey: equal. Orange: the slope.{ceiling}"
    )
    return (Part("Pairs of columns", (text,), tuple(figures), "small"),)


def _pair_figure(key: str, name: str, words: str, aligned: np.ndarray, target: Target, limit: float) -> Figure:
    own = pair_covariances(aligned[:, target.columns], target.n_symbols)
    found = agreement(target.pairs, own)
    svg = couplings(key, "covariances of pairs of columns", target.pairs, own, found.slope, limit)
    return Figure(svg, name, f"r = {fixed(found.r)}, slope {fixed(found.slope)} ({words}).")


def _seed_of(each: Exhibit) -> str:
    samples = f"{count(each.n_first)} samples"
    return f"{samples} of seed {each.seeds[0]}" if len(each.seeds) > 1 else samples


def sequence_map(shown: Exhibition) -> tuple[Part, ...]:
    """Samples among natural sequences, on the two components in which training sequences differ most; not of fewer than 100."""
    reference = shown.reference
    spectrum = Spectrum.of(reference.train, shown.alphabet, dims=2)
    if spectrum.components.shape[1] < 2:
        return ()
    train, unseen = (spectrum(drawn(each, MOST_PLACED)) for each in (reference.train, reference.held_out))
    own = {each.name: spectrum(drawn(shown.tokens(each.first_samples), MOST_PLACED)) for each in shown_exhibits(shown)}
    stacked = np.concatenate([train, unseen, *own.values()])
    reach = np.abs(stacked).max(axis=0) * 1.05
    figures = tuple(
        Figure(
            cloud_map(
                f"map-{place}",
                "samples among natural sequences",
                {TRAIN: train, HELD_OUT: unseen, SAMPLES: places},
                (-reach, reach),
            ),
            name,
        )
        for place, (name, places) in enumerate(own.items())
    )
    text = (
        "Sequences by their words of three symbols, on the two principal components of training sequences, where related ones "
        f"stand together. At most {MOST_PLACED} of each set, drawn at random."
    )
    return (Part("Map", (text,), figures, "small", SETS),)


def molecules(shown: Exhibition) -> tuple[Part, ...]:
    """What can be read and why the rest cannot, and what molecules are like beside those of training."""
    from seqloom.quality.molecules import REASONS, Molecules

    if not shown.of_molecules:
        return ()
    chosen = shown_exhibits(shown)
    read = {each.name: Molecules.of(each.samples["sequence"].to_pylist()) for each in chosen}
    train = Molecules.of(shown.alphabet.decode(shown.reference.train))
    rows = []
    for name, own in read.items():
        reasons, novel = Counter(own.reasons), own.novel(train)
        rows.append(
            (
                name,
                _percent(own.valid),
                _percent(novel[~np.isnan(novel)] > 0),
                fixed(own.distinct()(np.arange(own.n))),
                *(_percent(np.arange(own.n) < reasons[each]) for each in REASONS),
            )
        )
    heads = ("can be read", "new, of these", "distinct, of these", *REASONS)
    table = Listing(
        "Samples that RDKit reads, and why it does not read the others.", ("set", *heads), tuple(rows), frozenset(heads)
    )
    natural = Molecules.of(shown.alphabet.decode(drawn(shown.reference.train, MOST_MOLECULES))).properties
    figures = [
        figure
        for place, (name, own) in enumerate(read.items())
        for figure in _property_figures(place, name, Molecules.of(_few(own.smiles)).properties, natural)
    ]
    colours = (SETS[0], SETS[2])
    text = f"Properties of at most {MOST_MOLECULES} molecules of each set, beside those of training molecules."
    return (Part("Molecules", (text,), tuple(figures), "small", colours, (table,)),)


def _property_figures(
    place: int, name: str, own: Mapping[str, np.ndarray], natural: Mapping[str, np.ndarray]
) -> list[Figure]:
    figures = []
    for metric, title in TITLES.items():
        known, usual = (each[metric][~np.isnan(each[metric])] for each in (own, natural))
        if not len(usual):
            continue
        low, high = np.quantile(usual, (0.005, 0.995))
        edges = np.linspace(low, high if high > low else low + 1, 31)
        svg = distributions(f"{metric}-{place}", title, known, {TRAIN: usual}, edges, title)
        figures.append(Figure(svg, f"{name}: {title}"))
    return figures


def _few(smiles: tuple[str, ...]) -> list[str]:
    rng = np.random.default_rng(0xE6)
    chosen = rng.choice(len(smiles), min(MOST_MOLECULES, len(smiles)), replace=False)
    return [smiles[each] for each in np.sort(chosen).tolist()]


def _median(values: np.ndarray) -> str:
    return f"{np.median(values):.2f}" if len(values) else "none"


def _percent(mask: np.ndarray) -> str:
    return f"{float(mask.mean()):.1%}".replace("%", " %") if len(mask) else "none"

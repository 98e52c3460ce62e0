"""More metrics for `quality.standard`: homology, rules, physico-chemical distances, clouds of points, and molecules.

A judge is made for one reference, so that profiles, bounds and components are worked out once, and asked of many sets. Names
of metrics with a colon belong together: `rule:length`, `distance:gravy`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from seqloom.alphabet import SMILES
from seqloom.errors import DataError
from seqloom.quality.clouds import Clouds
from seqloom.quality.columns import word_agreement
from seqloom.quality.copies import Bank
from seqloom.quality.embed import Embedder, Spectrum, drawn
from seqloom.quality.intervals import Joint, Numbers
from seqloom.quality.molecules import Molecules
from seqloom.quality.properties import Distance, distances, properties
from seqloom.quality.reference import Reference
from seqloom.quality.rules import Pack
from seqloom.quality.search import Database, Engine, hits
from seqloom.tokens import Tokens

Judge = Callable[[Bank, Reference], Mapping[str, Numbers | Joint]]
FAMILY = "the family"
"""The label of the family among decoys."""
MOST_MOLECULES = 2000
"""Natural molecules whose numbers are taken: two milliseconds each."""


def judges(
    reference: Reference,
    rules: Mapping[str, str] | None = None,
    embedder: Spectrum | Embedder | None = None,
    engine: Engine = "hmm",
) -> tuple[Judge, ...]:
    """All judges that apply to the reference. `rules`: the user's own; `embedder`: the spectrum of words if there is none."""
    found = [rule_judge(reference, rules), cloud_judge(reference, embedder)]
    if reference.alphabet is SMILES:
        return (*found, molecule_judge(reference))
    found.append(property_judge(reference))
    return (*found, search_judge(reference, engine)) if reference.family is not None else tuple(found)


def search_judge(reference: Reference, engine: Engine = "hmm") -> Judge:
    """`hit_rate`, `on_class`, and `off_class` where there are decoys; DataError where one has the label of the family."""
    assert reference.family is not None
    if FAMILY in reference.decoys:
        raise DataError(
            f"decoys: a family is labelled {FAMILY!r}, which stands for the family itself; call it otherwise"
        )
    families = {FAMILY: reference.family}
    sequences = {FAMILY: reference.train, **reference.decoys}
    database = Database(sequences, reference.alphabet, families, reference.seed)

    def judge(own: Bank, reference: Reference) -> dict[str, Numbers | Joint]:
        found = hits(own.tokens, database, engine, seed=reference.seed)
        return {name: Numbers(values.astype(float)) for name, values in found.measures(FAMILY).items()}

    return judge


def rule_judge(reference: Reference, rules: Mapping[str, str] | None = None) -> Judge:
    """The share that keeps each rule, `rule:NAME`."""
    family = reference.family
    pack = Pack.of(reference.train, reference.alphabet, rules, family.aligned if family is not None else None)

    def judge(own: Bank, _: Reference) -> dict[str, Numbers | Joint]:
        return {f"rule:{name}": Numbers(kept.astype(float)) for name, kept in pack.judge(own.tokens).items()}

    return judge


def property_judge(reference: Reference) -> Judge:
    """Distances of physico-chemical numbers from those of held-out sequences, `distance:NAME`, in natural standard deviations."""
    natural, apart = (properties(each, reference.alphabet) for each in (reference.train, reference.held_out))

    def judge(own: Bank, reference: Reference) -> dict[str, Numbers | Joint]:
        return _joint(distances(properties(own.tokens, reference.alphabet), apart, natural), len(own))

    return judge


def cloud_judge(reference: Reference, embedder: Spectrum | Embedder | None = None) -> Judge:
    """`frechet`, `kernel_mmd`, `precision`, `recall`, `density`, `coverage`; of words `spectrum_mmd`."""
    place = embedder or Spectrum.of(reference.train, reference.alphabet, seed=reference.seed)

    def judge(own: Bank, reference: Reference) -> dict[str, Numbers | Joint]:
        clouds = Clouds.of(own.tokens, reference.held_out, reference.train, place, reference.seed)
        return {
            name: Numbers(each) if isinstance(each, np.ndarray) else Joint(each, len(own))
            for name, each in clouds.measures().items()
        }

    return judge


def word_judge(reference: Reference, n_sets: int = 100) -> Judge:
    """`word_agreement`: the mean of `columns.word_agreement` over words of 2 to 10 columns; a second for each value."""
    assert reference.family is not None
    natural, n_symbols = reference.natural.aligned, reference.family.n_letters + 1

    def judge(own: Bank, reference: Reference) -> dict[str, Numbers | Joint]:
        def of(rows: np.ndarray) -> float:
            found = word_agreement(natural, own.aligned[rows], n_symbols, reference.seed, n_sets=n_sets)
            return float(np.nanmean(list(found.values())))

        return {"word_agreement": Joint(of, len(own))}

    return judge


def molecule_judge(reference: Reference) -> Judge:
    """`novel`, `internal_diversity`, `scaffolds`, and `distance:NAME` of molecular numbers."""
    train, few, apart = (
        Molecules.of(reference.alphabet.decode(each))
        for each in (reference.train, _few(reference.train, reference.seed), _few(reference.held_out, reference.seed))
    )

    def judge(own: Bank, reference: Reference) -> dict[str, Numbers | Joint]:
        molecules = Molecules.of(own.alphabet.decode(own.tokens))
        found: dict[str, Numbers | Joint] = {
            "novel": Numbers(molecules.novel(train)),
            "internal_diversity": Joint(molecules.internal_diversity(reference.seed), len(own)),
            "scaffolds": Joint(molecules.distinct_scaffolds(), len(own)),
        }
        return found | _joint(distances(molecules.properties, apart.properties, few.properties), len(own))

    return judge


def _joint(found: Mapping[str, Distance], n: int) -> dict[str, Numbers | Joint]:
    return {f"distance:{name}": Joint(each, n) for name, each in found.items()}


def _few(tokens: Tokens, seed: int) -> Tokens:
    return tokens.take(drawn(len(tokens), MOST_MOLECULES, seed))

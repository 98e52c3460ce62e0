"""How unusual the mutations of a variant are, by the substitution matrix that everybody has."""

from __future__ import annotations

from seqloom.encode.substitutions import BLOSUM62, MUTATIONS
from seqloom.predict.on_variants import LinearOnVariants
from seqloom.registry import register


@register("predictor", "substitution")
class Substitution(LinearOnVariants):
    """Least squares, or logistic regression, on the change in BLOSUM62 score of a variant and its number of mutations.

    A model that is no better knows no more of a protein than which residues replace each other anywhere.
    """

    numbers = (BLOSUM62, MUTATIONS)

"""What the mutations of a variant do to its hydropathy."""

from __future__ import annotations

from seqloom.encode.substitutions import HYDROPATHY
from seqloom.predict.on_variants import LinearOnVariants
from seqloom.registry import register


@register("predictor", "hydropathy")
class Hydropathy(LinearOnVariants):
    """Least squares, or logistic regression, on the change in the sum of hydropathy (Kyte and Doolittle 1982) of a variant.

    A model that is no better knows only whether mutations make a protein greasier or not.
    """

    numbers = (HYDROPATHY,)

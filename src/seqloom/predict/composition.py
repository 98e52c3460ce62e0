"""What a sequence is made of, whatever the order: a linear model of shares of symbols."""

from __future__ import annotations

from seqloom.predict.linear import Linear
from seqloom.registry import register


@register("predictor", "composition")
class Composition(Linear):
    """Ridge or logistic regression on the share of each symbol and the logarithm of the length.

    A model that is no better reads nothing from the order of symbols. It is `linear` with the encoder `composition`.
    """

    reads = "composition"

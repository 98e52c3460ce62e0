"""Metrics of the rows a search would try first: the top of the order that predictions give.

A top of one tenth or one hundredth of the rows is rounded up, so it holds a row at least. Rows with equal
predictions at the end of the top stand in it as often as by chance: each counts with the share of them that
still has room. High values are sought.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from seqloom.metrics.base import ONE_CLASS, REGRESSION, TWO, Metric, Value, nothing
from seqloom.resample import Counts, Floats, Ordering, Predicted, Sample, held, ratio, top

TENTH, HUNDREDTH = 10, 100
ALPHA = 20.0
"""Of bedroc: the first 8 % of the rows make 80 % of the score of a perfect order (Truchon and Bayly 2007)."""


def _ndcg(predicted: Predicted) -> Value:
    """Gains are targets less the lowest drawn one: scaling them to 0..1, as ProteinGym does, cancels out.

    Discounts are 1 / log2(1 + rank) up to the end of the top, 0 after it. ProteinGym rounds its tenth down.
    """
    if not np.isfinite(predicted.y).all():
        return nothing
    ranked, ideally = predicted.ordering, predicted.column.ordering
    y = predicted.y[ranked.order]

    def value(sample: Sample) -> Floats:
        drawn = sample.drawn
        k = _top_of(sample, TENTH)
        lowest = predicted.y[held(drawn.cumulated, np.zeros_like(k))]
        highest = predicted.y[held(drawn.cumulated, drawn.cumulated[:, -1] - 1)]
        gain = _discounted(ranked, sample.ordered, sample.cumulated, y, lowest, k)
        ideal = _discounted(ideally, drawn.counts, drawn.cumulated, predicted.y, lowest, k)
        return np.minimum(ratio(gain, np.where(highest > lowest, ideal, 0.0)), 1.0)

    return value


def _top_recall(predicted: Predicted) -> Value:
    """The true top is all rows at least as good as the last of the best tenth, unless that is all there is.

    Then it is the rows above the lowest target. The predicted top has as many rows, so a perfect order has
    recall 1 and chance has their share of all rows. Without ties it is that of ProteinGym.
    """
    ranked, ideally = predicted.ordering, predicted.column.ordering

    def value(sample: Sample) -> Floats:
        draws, cumulated = np.arange(len(sample.n_rows)), sample.drawn.cumulated
        n_rows = cumulated[:, -1]
        cut = held(cumulated, n_rows - _top_of(sample, TENTH))
        lowest = cumulated[draws, ideally.start[cut]] == 0
        least = np.where(lowest, ideally.stop[cut], ideally.start[cut])
        n_true = n_rows - cumulated[draws, least]
        chosen = top(ranked, sample.cumulated, n_true)
        hits = sample.ordered[:, chosen.first :] * (ranked.order[chosen.first :] >= least[:, None])
        return ratio(np.einsum("rn,rn->r", hits, chosen.share(len(ranked.order))), n_true.astype(np.float64))

    return value


def _bedroc(predicted: Predicted) -> Value:
    """Truchon and Bayly 2007 (J. Chem. Inf. Model. 47:488): RIE between what all positives last and first would have."""
    ranked = predicted.ordering
    places = np.flatnonzero(predicted.y[ranked.order] == 1)
    start, stop = ranked.start[places], ranked.stop[places]

    def value(sample: Sample) -> Floats:
        n = np.maximum(sample.n_rows, 1.0)
        positives = sample.ordered.take(places, axis=1)
        below, through = sample.cumulated.take(start, axis=1), sample.cumulated.take(stop, axis=1)
        # Of x ** rank, x = exp(-ALPHA / n), the mean over ranks a + 1 .. b is (x ** a - x ** b) / (b - a) * x / (1 - x).
        rate = (ALPHA / n)[:, None]
        weight = np.exp((through - sample.n_rows[:, None]) * rate) - np.exp((below - sample.n_rows[:, None]) * rate)
        weight /= np.maximum(through - below, 1)
        n_positive = positives.sum(axis=1, dtype=np.float64)
        share = n_positive / n
        rie = ratio(np.einsum("rn,rn->r", positives, weight), share * -np.expm1(-ALPHA))
        least = ratio(np.expm1(ALPHA * share), share * np.expm1(ALPHA))
        most = ratio(np.expm1(-ALPHA * share), share * np.expm1(-ALPHA))
        return np.clip(ratio(rie - least, np.where(n_positive < sample.n_rows, most - least, 0.0)), 0.0, 1.0)

    return value


def _enrichment(predicted: Predicted) -> Value:
    ranked = predicted.ordering
    positive = predicted.y == 1
    places = np.flatnonzero(positive[ranked.order])

    def value(sample: Sample) -> Floats:
        k = _top_of(sample, HUNDREDTH)
        chosen = top(ranked, sample.cumulated, k)
        near = places[np.searchsorted(places, chosen.first) :]
        shares = chosen.share(len(ranked.order)).take(near - chosen.first, axis=1)
        hits = np.einsum("rn,rn->r", sample.ordered.take(near, axis=1), shares)
        prevalence = sample.mean(positive.astype(np.float64))
        return ratio(ratio(hits, k.astype(np.float64)), np.where(prevalence < 1, prevalence, 0.0))

    return value


def _top_of(sample: Sample, part: int) -> NDArray[np.int32]:
    """How many rows are one in `part` of those drawn, rounded up: int32 (R,)."""
    return np.ceil(sample.n_rows / part).astype(np.int32)


def _discounted(
    ranked: Ordering, counts: Counts, cumulated: Counts, y: Floats, lowest: Floats, k: NDArray[np.int32]
) -> Floats:
    """Discounted cumulative gain of the first k drawn rows, float64 (R,); tied rows share their discounts.

    `counts` (R, N), `cumulated` (R, N + 1) and `y` (N,) in the order of `ranked`.
    """
    first = top(ranked, cumulated, k).first
    discounts = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k.max(initial=0) + 2)))])
    below, through = ranked.around(cumulated, first)
    end, k = cumulated[:, -1:], k[:, None]
    # A rank is counted from the top: rows through a place are those at its rank or after it.
    discount = discounts.take(np.minimum(end - below, k)) - discounts.take(np.minimum(end - through, k))
    discount /= np.maximum(through - below, 1)
    discount *= counts[:, first:]
    return np.einsum("rn,rn->r", discount, y[first:] - lowest[:, None])


# fmt: off
METRICS_OF_NUMBERS = (
    Metric("ndcg", REGRESSION, True, True, True,
           "discounted gain of the top tenth / that of a perfect order; gains: targets less the lowest",
           "the targets are constant", _ndcg),
    Metric("top_recall", REGRESSION, True, True, True,
           "share of the true top tenth that stands in a predicted top of as many rows",
           "the targets are constant", _top_recall),
)
METRICS_OF_TWO = (
    Metric("bedroc", TWO, True, True, True,
           "early recognition, positives weighted by exp(-20 rank / rows): 1 all first, 0 all last",
           ONE_CLASS, _bedroc),
    Metric("enrichment", TWO, True, True, True,
           "share of positives in the top hundredth / that in all rows: 1 by chance",
           ONE_CLASS, _enrichment),
)
# fmt: on

"""Blends are known by hand; a member that hurts and a blend that loses to its best member are named."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from scipy.stats import rankdata

from seqloom.errors import DataError
from seqloom.large.blend import Addition, Gap, additions, best_first, blend, blend_findings
from seqloom.large.scores import Scored, score


def column(*values: float, dtype: type = np.float64) -> np.ndarray:
    return np.array(values, dtype)[:, None]


def test_a_mean_is_of_probabilities() -> None:
    found = blend({"a": column(0.2, 0.4), "b": column(0.6, 1.0)})
    assert found == pytest.approx(column(0.4, 0.7))


def test_a_blend_of_one_is_itself() -> None:
    p = np.random.default_rng(0).random((50, 2))
    assert blend({"a": p}) == pytest.approx(p)
    assert blend({"a": p}, "logit") == pytest.approx(p)


def test_a_logit_blend_is_the_geometric_mean_of_odds() -> None:
    found = blend({"a": column(0.5, 0.9), "b": column(0.8, 0.9)}, "logit")
    assert found == pytest.approx(column(2 / 3, 0.9))  # odds 1 and 4 make 2


def test_certain_float32_probabilities_blend_to_finite_numbers() -> None:
    certain = column(0, 1, 0, 1e-38, dtype=np.float32)
    found = blend({"a": certain, "b": column(0, 1, 1, 0.5, dtype=np.float32)}, "logit")
    assert np.isfinite(found).all()
    assert found[2] == pytest.approx(0.5)
    assert 0 < found[0] < 1e-7
    assert found[1] == pytest.approx(1, abs=1e-7)


def test_ranks_are_those_of_scipy_scaled_to_one_and_ties_have_their_mean() -> None:
    rng = np.random.default_rng(0)
    a, b = np.round(rng.normal(size=(40, 2)), 1), rng.normal(size=(40, 2)) * 100
    wanted = (rankdata(a, axis=0) + rankdata(b, axis=0) - 2) / 2 / 39
    assert blend({"a": a, "b": b}, "rank") == pytest.approx(wanted)
    assert blend({"a": column(3, 3, 9)}, "rank") == pytest.approx(column(0.25, 0.25, 1))
    assert blend({"a": column(7)}, "rank") == pytest.approx(column(0.5))


def test_what_is_no_probability_is_named() -> None:
    with pytest.raises(
        DataError, match=r"2 predictions of b are no probabilities \(0 to 1\): rows 2, 3; a blend by rank"
    ):
        blend({"a": column(0, 0.5, 1), "b": column(0.5, -1, np.nan)}, "logit")
    with pytest.raises(DataError, match="1 predictions of b are no numbers: rows 3"):
        blend({"a": column(0, 0.5, 1), "b": column(0.5, -1, np.nan)}, "rank")
    with pytest.raises(ValueError, match="a blend of nothing"):
        blend({})
    with pytest.raises(ValueError, match="a blend of"):
        blend({"a": column(0), "b": column(0, 1)})


def part(noises: Mapping[str, float], seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """2,000 independent rows; models whose errors are the larger the more noise they have."""
    rng = np.random.default_rng(seed)
    drive = rng.normal(size=(2_000, 1))
    y = (drive > 1.3).astype(np.float32)
    return y, {
        name: 1 / (1 + np.exp(-4 * (drive - 1.3 + rng.normal(size=y.shape) * noise))) for name, noise in noises.items()
    }


def test_a_blend_that_loses_on_new_blocks_is_flagged_there_alone() -> None:
    parts = {
        "share": part({"net": 0.7, "second": 0.7, "third": 0.7}, 1),
        "nonshare": part({"net": 0.3, "second": 3, "third": 0.6}, 2),
    }

    def scored(name: str, predictions: Mapping[str, np.ndarray]) -> Scored:
        return score(parts[name][0], predictions, np.zeros((2_000, 0), int), targets=["hit"], draws=200)

    order = ("net", "second", "third")
    steps = additions({name: own for name, (_, own) in parts.items()}, scored, order)
    assert [(step.part, len(step.members)) for step in steps] == [(name, k) for name in parts for k in (1, 2, 3)]
    first, second, third = steps[3:]
    own = scored("nonshare", parts["nonshare"][1] | {"two": blend({k: parts["nonshare"][1][k] for k in order[:2]})})
    assert (first.value, first.gain, first.over_best) == (own.value("net", "hit"), None, None)
    assert second.gain == Gap(*own.difference("two", "net", "hit")) == second.over_best
    assert third.gain is not None
    assert third.gain.value > 0
    assert steps[2].over_best is not None
    assert steps[2].over_best.low > 0

    found = blend_findings(steps)
    assert [(each.code, each.severity) for each in found] == [("member-hurts", "warning"), ("blend-loses", "warning")]
    assert found[0].message.startswith("nonshare: second takes 0.")
    assert "from net" in found[0].message
    assert found[1].message.startswith("nonshare: the blend of all 3 (net, second, third) scores 0.")
    assert "less than net alone, the best on validation rows" in found[1].message


def test_nothing_is_claimed_of_an_interval_that_holds_zero_or_is_unknown() -> None:
    unsure, unknown = Gap(-0.02, -0.05, 0.01), Gap(-0.02, np.nan, np.nan)
    steps = [Addition("share", ("a", "b"), 0.5, 0.4, 0.6, gap, gap) for gap in (unsure, unknown)]
    assert blend_findings(steps) == [] == blend_findings([])


def test_members_are_in_order_of_their_validation_score_and_undefined_ones_come_last() -> None:
    y, p = part({"worse": 2, "best": 0.2, "middle": 1}, 0)
    valid = score(y, p, np.zeros((2_000, 0), int), targets=["hit"], draws=0)
    assert best_first(valid) == ("best", "middle", "worse")
    none = score(np.zeros_like(y), p, np.zeros((2_000, 0), int), targets=["hit"], draws=0)
    assert best_first(none) == ("best", "middle", "worse")  # by name


def test_the_mean_over_targets_decides_where_there_are_several() -> None:
    y, p = part({"a": 1, "b": 2}, 0)
    valid = score(
        np.hstack([y, y]),
        {k: np.hstack([v, v]) for k, v in p.items()},
        np.zeros((2_000, 0), int),
        targets=["x", "y"],
        draws=0,
    )
    assert valid.primary == "mean"
    assert best_first(valid, "micro") == ("a", "b")

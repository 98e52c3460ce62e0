"""Simulated families: related, divisible, and with columns that change together."""

import numpy as np
import pytest

from seqloom.alphabet import PROTEIN
from seqloom.ancestry import FamilySettings
from seqloom.similarity import similar_groups


def test_members_are_distinct_and_begin_with_methionine():
    table = FamilySettings(rows=300).table()
    sequences = table["sequence"].to_pylist()
    assert len(set(sequences)) == 300
    assert all(each[0] == "M" for each in sequences)
    assert {len(each) for each in sequences} <= set(range(56, 61))


def test_the_same_seed_makes_the_same_family_and_another_makes_another():
    first, again, other = (FamilySettings(rows=50, seed=seed).table() for seed in (1, 1, 2))
    assert first.equals(again)
    assert first["sequence"].to_pylist() != other["sequence"].to_pylist()


def test_a_family_falls_into_groups_of_relatives_that_can_be_held_out():
    tokens = PROTEIN.encode(FamilySettings(rows=400).table()["sequence"].combine_chunks())
    sizes = np.bincount(similar_groups(tokens, PROTEIN, 0.7))
    assert len(sizes) > 20
    assert sizes.max() < 0.3 * len(tokens)


@pytest.mark.parametrize("couplings", [0, 8])
def test_coupled_columns_covary_and_others_do_not(couplings):
    table = FamilySettings(rows=3000, length=40, clades=1500, couplings=couplings, seed=3).table()
    whole = [each for each in table["sequence"].to_pylist() if len(each) == 40]
    letters = np.array([list(each) for each in whole])
    strong = sum(_association(letters[:, i], letters[:, j]) > 0.3 for i in range(40) for j in range(i))
    assert strong == couplings


def _association(left: np.ndarray, right: np.ndarray) -> float:
    """Cramer's V of two columns of letters."""
    i, j = (np.unique(each, return_inverse=True)[1] for each in (left, right))
    counts = np.zeros((i.max() + 1, j.max() + 1))
    np.add.at(counts, (i, j), 1)
    if min(counts.shape) < 2:
        return 0.0
    expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    return float(np.sqrt((((counts - expected) ** 2) / expected).sum() / counts.sum() / (min(counts.shape) - 1)))

"""Whole groups at random, and one after another: no group stands on both sides."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.errors import ConfigError, DataError
from seqloom.split.base import TEST, TRAIN, UNUSED, VALID
from seqloom.table import DataSection, read_table
from split_tables import PLENTY, assigned, of, parted, sides, splitter_of, table_of, values

# --- at random --------------------------------------------------------------------------------------------------------


def test_groups_that_share_inputs_are_one_group():
    sequences = [PLENTY[0], PLENTY[1], PLENTY[1], PLENTY[2], *PLENTY[10:30]]
    families = ["a", "a", "b", "b", *(f"f{i}" for i in range(20))]
    for seed in range(10):
        partition, _ = parted(table_of(sequences, family=families), "group", seed=seed)
        assert len({int(role) == TEST for role in partition.roles[0, :4]}) == 1


def test_rows_without_a_group_are_groups_of_their_own():
    families = pa.array(["a"] * 50 + [None] * 350, pa.string())
    partition, _ = parted(table_of(PLENTY, family=families), "group")
    assert partition.counts(0)["test"] == pytest.approx(80, abs=1)


@pytest.mark.parametrize("sizes", [(50, 34, 4, 1, 1), (10, 3, 1), (1, 1, 1), (100, 2, 2, 2), (3, 3, 3, 3, 1, 1)])
def test_unequal_groups_fill_every_fold_when_there_are_as_many_as_folds(sizes):
    families = np.repeat([f"f{i}" for i in range(len(sizes))], sizes).tolist()
    table = table_of(PLENTY[: len(families)], family=families)
    for seed in range(20):
        partition, _ = parted(table, "group", folds=len(sizes), seed=seed)
        assert sorted(partition.counts(fold)["test"] for fold in range(len(sizes))) == sorted(sizes)


def test_few_large_groups_give_the_smallest_away():
    table = table_of(PLENTY[:90], family=["a"] * 20 + ["c"] * 25 + ["b"] * 45)
    for seed in range(5):
        counts = parted(table, "group", seed=seed)[0].counts(0)
        assert counts == {"train": 45, "valid": 25, "test": 20, "unused": 0}


def test_one_group_only_is_refused():
    with pytest.raises(
        DataError, match=r"column 'family' has one group .'a'. in all 20 rows, and a split by groups needs two"
    ):
        parted(table_of(PLENTY[:20], family=["a"] * 20), "group")


def test_two_groups_leave_no_valid_rows_and_that_is_said():
    partition, audit = parted(table_of(PLENTY[:20], family=["a"] * 10 + ["b"] * 10), "group")
    assert partition.counts(0) == {"train": 10, "valid": 0, "test": 10, "unused": 0}
    assert "no-inner-split" in [each.code for each in audit.findings]


def test_a_split_by_groups_asks_for_their_column():
    with pytest.raises(ConfigError, match="needs a group column; name it with --group COLUMN"):
        parted(table_of(PLENTY[:20]), "group")


# --- groups one after another ----------------------------------------------------------------------------------------


def grouped(families, sequences=None, **columns):
    return table_of(sequences or PLENTY[: len(families)], family=pa.array(families, pa.string()), **columns)


def test_each_of_the_largest_groups_is_tested_alone():
    families = ["a"] * 30 + ["b"] * 50 + [None] * 10 + ["c"] * 20 + ["d"] * 15 + ["e"] * 5
    table = grouped(families)
    partition, audit = parted(table, "leave-one-group-out", largest=3)
    assert [of(families, partition.rows(fold, TEST)) for fold in range(3)] == [{"b"}, {"a"}, {"c"}]
    for fold in range(3):
        assert sum(partition.counts(fold)[role] for role in ("train", "valid", "test")) == 130
    assert audit.facts["guarantee"] == "no test row shares its group or its inputs with a training row"
    (found,) = splitter_of("leave-one-group-out", largest=3).findings(table)
    assert found.message == (
        "3 of 5 groups are tested, one in each fold: fold 0: 'b' (50 rows); fold 1: 'a' (30 rows); fold 2: 'c' (20 rows); "
        "the others are always trained on"
    )


@given(
    st.lists(st.tuples(st.sampled_from(PLENTY[:25]), st.sampled_from("abcd") | st.none()), min_size=12, max_size=60),
    st.integers(1, 4),
)
def test_neither_group_nor_inputs_of_a_test_row_are_trained_on(rows, fewest):
    sequences, families = (list(each) for each in zip(*rows, strict=True))
    try:
        partition, _ = parted(grouped(families, sequences), "leave-one-group-out", fewest=fewest)
    except DataError as error:
        assert any(  # noqa: PT017 - the three ways in which there is nothing to do
            part in str(error) for part in ("at least two", "no group of column", "has no train rows")
        )
        return
    for fold in range(partition.n_folds):
        fitted, tested = sides(partition, fold)
        (group,) = of(families, tested)
        assert set(tested) == {row for row, each in enumerate(families) if each == group}
        assert group not in of(families, fitted)
        assert not of(sequences, tested) & of(sequences, fitted)
        assert {*fitted, *tested, *partition.rows(fold, UNUSED)} == set(range(len(rows)))
        assert of(sequences, partition.rows(fold, UNUSED)) <= of(sequences, tested)
        assert not of(sequences, partition.rows(fold, TRAIN)) & of(sequences, partition.rows(fold, VALID))


def test_small_groups_and_groups_without_targets_are_trained_on():
    families = ["a"] * 30 + ["b"] * 20 + ["c"] * 9 + ["d"] * 40
    target = np.where(np.array(families) == "d", np.nan, 1.0)
    partition, _ = parted(grouped(families, y=target), "leave-one-group-out")
    assert [of(families, partition.rows(fold, TEST)) for fold in range(partition.n_folds)] == [{"a"}, {"b"}]
    with pytest.raises(
        DataError, match=r"no group of column 'family' has 31 rows .* 'a', has 30; .*--set split\.fewest=30"
    ):
        parted(grouped(families, y=target), "leave-one-group-out", fewest=31)


def test_valid_rows_are_whole_groups_unless_groups_hang_together():
    families = [f"f{row // 10}" for row in range(200)]
    partition, _ = parted(grouped(families), "leave-one-group-out")
    for fold in range(10):
        assert not of(families, partition.rows(fold, TRAIN)) & of(families, partition.rows(fold, VALID))
        assert len(partition.rows(fold, VALID)) == 20
    linked = [
        PLENTY[0] if row % 10 == 0 else PLENTY[row] for row in range(200)
    ]  # every group holds one row of the same
    partition, _ = parted(grouped(families, linked), "leave-one-group-out")
    assert len(partition.rows(0, VALID)) == pytest.approx(17, abs=1)


def test_one_group_or_none_or_no_column_is_refused():
    with pytest.raises(
        DataError, match=r"column 'family' has one group \('a'\); leave-one-group-out and group need at least two"
    ):
        parted(grouped(["a"] * 20 + [None] * 5), "leave-one-group-out")
    with pytest.raises(DataError, match="column 'family' is empty"):
        parted(grouped([None] * 20), "leave-one-group-out")
    with pytest.raises(ConfigError, match="needs a group column; name it with --group COLUMN"):
        parted(table_of(PLENTY[:20]), "leave-one-group-out")


def test_alleles_of_a_published_table_are_left_out_one_by_one(data):
    table = read_table(data / "mhc/bdata.20130222.mhci.VALID.9.CDHIT.txt", DataSection(group="mhc"), ("meas",))
    partition = assigned(table, "leave-one-group-out", largest=3)
    alleles, found = values(table, "mhc"), values(table, "sequence")
    sizes = sorted(zip(*np.unique(alleles, return_counts=True), strict=True), key=lambda pair: -pair[1])
    for fold in range(3):
        fitted, tested = sides(partition, fold)
        assert of(alleles, tested) == {sizes[fold][0]}
        assert len(tested) == sizes[fold][1]
        assert not of(found, tested) & of(found, fitted)
        assert sizes[fold][0] not in of(alleles, fitted)

"""Rows dealt at random, by class or by group: whatever the units, none stands on both sides."""

import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.errors import ConfigError, DataError
from seqloom.registry import build
from seqloom.split.base import TEST, TRAIN, VALID
from seqloom.split.inputs import seen_groups
from seqloom.table import DataSection, read_table
from split_tables import PLENTY, assigned, of, parted, sides, table_of

RANDOM_KINDS = ("random", "stratified", "group")


@st.composite
def tables(draw):
    """10 to 40 rows of few distinct sequences and families."""
    n_rows = draw(st.integers(10, 40))
    sequences = draw(st.lists(st.sampled_from(PLENTY[:12]), min_size=n_rows, max_size=n_rows))
    families = draw(st.lists(st.sampled_from("abcdefgh") | st.none(), min_size=n_rows, max_size=n_rows))
    classes = draw(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=n_rows, max_size=n_rows))
    return table_of(sequences, family=pa.array(families, pa.string())), np.array(classes)


@given(tables(), st.sampled_from(RANDOM_KINDS), st.integers(1, 4), st.integers(0, 5))
def test_every_row_has_one_role_per_fold_and_equal_inputs_never_stand_on_both_sides(drawn, kind, folds, seed):
    table, strata = drawn
    try:
        partition, audit = parted(table, kind, strata, folds=folds, seed=seed)
    except DataError as error:
        assert "cannot make" in str(error) or "has one group" in str(error)  # noqa: PT017 - too few units for so many parts
        return
    sequences, families = np.array(table.sequences().to_pylist()), np.array(table.text("family").to_pylist(), object)
    tests = np.zeros(table.n_rows, int)
    for fold in range(folds):
        assert sum(partition.counts(fold).values()) == table.n_rows
        fitted, tested = sides(partition, fold)
        assert len(tested)
        assert len(partition.rows(fold, TRAIN))
        assert not set(sequences[fitted]) & set(sequences[tested])
        train, valid = partition.rows(fold, TRAIN), partition.rows(fold, VALID)
        assert not set(sequences[train]) & set(sequences[valid])
        if kind == "group":
            assert not (set(families[fitted]) & set(families[tested])) - {None}
            whole = "related-valid-rows" not in [each.code for each in audit.findings]
            assert not (whole and (set(families[train]) & set(families[valid])) - {None})
        tests[tested] += 1
    assert folds == 1 or (tests == 1).all()
    assert audit.facts["guarantee"]


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_the_same_seed_gives_the_same_partition_and_another_seed_another(kind):
    table = table_of(PLENTY, family=[f"f{i % 40}" for i in range(400)])
    classes = np.arange(400.0) % 2

    def roles(seed, folds=1):
        return parted(table, kind, classes, seed=seed, folds=folds)[0].roles

    assert np.array_equal(roles(0), roles(0))
    assert np.array_equal(roles(3, 5), roles(3, 5))
    assert not np.array_equal(roles(0), roles(1))


def test_shares_are_those_asked_for():
    partition, _ = parted(table_of(PLENTY), "random", test=0.25)
    assert partition.counts(0) == {"train": 270, "valid": 30, "test": 100, "unused": 0}
    partition, _ = parted(table_of(PLENTY), "random", folds=5)
    assert [partition.counts(fold)["test"] for fold in range(5)] == [80] * 5


def test_every_class_has_its_share_in_every_part():
    classes = np.repeat([0.0, 1.0, 2.0], [300, 80, 20])
    for folds in (1, 5):
        partition, _ = parted(table_of(PLENTY), "stratified", classes, folds=folds)
        for fold in range(folds):
            for role, share in ((TEST, 0.2), (VALID, 0.08), (TRAIN, 0.72)):
                counts = np.bincount(classes[partition.rows(fold, role)].astype(int), minlength=3)
                np.testing.assert_allclose(counts, np.array([300, 80, 20]) * share, atol=1)


def test_a_random_split_leaves_classes_to_chance_and_a_stratified_one_does_not():
    classes = (np.arange(400) < 40).astype(float)

    def spread(kind):
        shares = [parted(table_of(PLENTY), kind, classes, seed=seed)[0].rows(0, TEST) for seed in range(10)]
        return np.std([classes[rows].sum() for rows in shares])

    assert spread("stratified") < 0.5 < spread("random")


def test_rows_without_a_class_are_dealt_as_a_class_of_their_own():
    classes = np.where(np.arange(400) < 100, np.nan, np.arange(400.0) % 2)
    partition, _ = parted(table_of(PLENTY), "stratified", classes)
    assert np.isnan(classes[partition.rows(0, TEST)]).sum() == pytest.approx(20, abs=1)


def test_rows_of_covariates_or_context_that_differ_are_different_inputs():
    data = pa.table({"sequence": ["ACDEFGH"] * 8, "ph": np.arange(8.0), "y": np.arange(8) + 0.5})
    table = read_table(data, DataSection(sequence=("sequence",), covariates=("ph",), alphabet="protein"), ("y",))
    partition, _ = parted(table, "random")
    assert partition.counts(0)["test"] > 0


# Molecules

FORWARD, BACKWARD = ([spelling.format("C" * n) for n in range(1, 21)] for spelling in ("{}O", "O{}"))


@pytest.mark.parametrize("kind", RANDOM_KINDS)
@pytest.mark.parametrize("folds", [1, 4])
def test_two_spellings_of_a_molecule_have_one_role(kind, folds):
    pytest.importorskip("rdkit", reason="needs rdkit")
    families = [f"f{row}" for row in range(40)]
    table = table_of([*FORWARD, *BACKWARD], alphabet="smiles", family=families)
    for seed in range(5):
        partition, audit = parted(table, kind, np.arange(40.0) % 2, folds=folds, seed=seed)
        assert np.array_equal(partition.roles[:, :20], partition.roles[:, 20:])
        assert all(facts["shared_inputs"] == 0 for facts in audit.facts["folds"])


def test_molecules_that_a_published_table_spells_in_several_ways_stand_on_one_side(data):
    chem = pytest.importorskip("rdkit.Chem", reason="needs rdkit")
    from rdkit.rdBase import BlockLogs

    table = read_table(data / "smallmol/BBBP.csv", DataSection(alphabet="smiles"), ("p_np",))
    with BlockLogs():
        spelt = [chem.CanonSmiles(each) for each in table.sequences().to_pylist()]
    assert len(set(table.sequences().to_pylist())) - len(set(spelt)) > 50
    partition = assigned(table, "random", folds=5)
    for fold in range(5):
        fitted, tested = sides(partition, fold)
        assert not of(spelt, fitted) & of(spelt, tested)


def test_mirror_images_and_what_rdkit_cannot_read_are_inputs_of_their_own():
    pytest.importorskip("rdkit", reason="needs rdkit")
    smiles = ["C[C@H](N)O", "C[C@@H](N)O", "N[C@@H](C)O", "C1CC", "C1CCC", "C1CC"]
    assert seen_groups(table_of(smiles, alphabet="smiles")).tolist() == [0, 1, 0, 2, 3, 2]


def test_without_rdkit_molecules_are_told_by_their_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    table = table_of([*FORWARD, *BACKWARD, "CO"], alphabet="smiles")
    assert seen_groups(table).tolist() == [*range(40), 0]
    partition, _ = parted(table, "random")
    assert partition.roles[0, 0] == partition.roles[0, 40]


# Small tables


@pytest.mark.parametrize("n_rows", [2, 3, 4, 5, 9])
def test_the_smallest_tables_have_training_and_test_rows(n_rows):
    for seed in range(20):
        partition, audit = parted(table_of(PLENTY[:n_rows]), "random", seed=seed)
        counts = partition.counts(0)
        assert counts["train"] >= 1
        assert counts["test"] >= 1
        assert (counts["valid"] == 0) == ("no-inner-split" in {each.code for each in audit.findings})


@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_as_many_folds_as_distinct_rows_test_one_each(kind):
    for seed in range(10):
        partition, _ = parted(table_of(PLENTY[:6]), kind, np.array([0, 0, 0, 1, 1, 2.0]), folds=6, seed=seed)
        assert [partition.counts(fold)["test"] for fold in range(6)] == [1] * 6


def test_fewer_distinct_rows_than_folds_are_refused():
    with pytest.raises(DataError, match=r"3 distinct inputs cannot make 5 parts; use fewer folds"):
        parted(table_of(PLENTY[:3] * 4), "random", folds=5)
    with pytest.raises(DataError, match="1 distinct inputs cannot make 2 parts"):
        parted(table_of(PLENTY[:1] * 9), "random")


def test_settings_out_of_range_are_refused():
    for wrong in ({"test": 0}, {"test": 1}, {"folds": 0}, {"shared": "never"}):
        with pytest.raises(ConfigError, match=r"\[splitter\]"):
            build("splitter", {"kind": "random", **wrong})

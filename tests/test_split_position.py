"""The split by mutated sites: no tested row is mutated where a training row is."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutants import OTHER, WILD, differing, doubles, mutated, scan
from seqloom.errors import DataError
from seqloom.mutation.variants import families_of
from seqloom.split.base import TEST, TRAIN, UNUSED, VALID
from seqloom.table import DataSection, read_table
from split_tables import assigned, parted, sides, table_of

SINGLES, PAIRS = scan(WILD, range(1, 41, 2)), doubles(WILD, pairwise(range(1, 21)))


def sites_apart(table, partition, wild_types):
    """That no tested row is mutated at a site of a fitted row, by a loop; `wild_types` of each row."""
    sequences = table.sequences().to_pylist()
    for fold in range(partition.n_folds):
        fitted, tested = sides(partition, fold)
        seen = {(wild_types[row], site) for row in fitted for site in differing(wild_types[row], sequences[row])}
        for row in tested:
            own = {(wild_types[row], site) for site in differing(wild_types[row], sequences[row])}
            assert own
            assert not own & seen


@pytest.mark.parametrize("scheme", ["modulo", "contiguous"])
@pytest.mark.parametrize("folds", [1, 3])
def test_no_tested_row_is_mutated_at_a_site_of_training(scheme, folds):
    table = table_of([WILD, *SINGLES, *PAIRS])
    partition, audit = parted(table, "position", scheme=scheme, folds=folds)
    sites_apart(table, partition, [WILD] * table.n_rows)
    assert (partition.roles[:, 0] != TEST).all()
    assert set(audit.facts["unused"]) <= {"mutated at tested sites and at others"}
    for fold in range(folds):
        unused = partition.rows(fold, UNUSED)
        sequences = table.sequences().to_pylist()
        assert all(len(differing(WILD, sequences[row])) == 2 for row in unused)


def test_modulo_deals_sites_in_turn_and_contiguous_in_stretches():
    singles = scan(WILD, range(1, 31))
    site_of = [min(differing(WILD, each)) for each in singles]
    table = table_of(singles)
    for scheme in ("modulo", "contiguous"):
        partition, _ = parted(table, "position", scheme=scheme, folds=5)
        tests = np.stack([partition.roles[fold] == TEST for fold in range(5)])
        assert (tests.sum(0) == 1).all()
        for fold in range(5):
            sites = sorted({site_of[row] for row in np.flatnonzero(tests[fold])})
            expected = range(fold + 1, 31, 5) if scheme == "modulo" else range(6 * fold + 1, 6 * fold + 7)
            assert sites == list(expected)


@pytest.mark.parametrize("scheme", ["modulo", "contiguous"])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_about_the_wanted_share_of_the_sites_is_tested(scheme, share):
    singles = scan(WILD, range(1, 41))
    site_of = [min(differing(WILD, each)) for each in singles]
    chosen = []
    for seed in range(6):
        partition, _ = parted(table_of(singles), "position", scheme=scheme, test=share, seed=seed)
        sites = sorted({site_of[row] for row in sides(partition)[1]})
        assert abs(len(sites) - 40 * share) <= 1
        gaps = set(np.diff(sites).tolist())
        assert (
            gaps == {1} if scheme == "contiguous" else gaps <= {int(1 / share), round(1 / share) + 1, round(1 / share)}
        )
        chosen.append(tuple(sites))
    assert len(set(chosen)) > 1


def test_each_family_has_sites_of_its_own():
    others = scan(OTHER, range(1, 41))
    table = table_of([*scan(WILD, range(1, 41)), *others])
    wild_types = [WILD] * (table.n_rows - len(others)) + [OTHER] * len(others)
    for scheme in ("modulo", "contiguous"):
        for folds in (1, 4):
            partition, _ = parted(table, "position", scheme=scheme, folds=folds)
            sites_apart(table, partition, wild_types)
            tested = sides(partition)[1]
            assert {wild_types[row] for row in tested} == {WILD, OTHER}


def test_deleted_and_inserted_residues_have_sites_as_well():
    deletions = [WILD[: site - 1] + WILD[site:] for site in (3, 7, 15, 22, 30)]
    table = table_of([*scan(WILD, (1, 5, 9, 22, 30, 33, 36)), *deletions, WILD[:20] + "W" + WILD[20:]])
    partition, _ = parted(table, "position", folds=4)
    families = families_of(table)
    for fold in range(4):
        fitted, tested = sides(partition, fold)
        of = families.mutations
        assert not set(of.sites[np.isin(of.rows, fitted)]) & set(of.sites[np.isin(of.rows, tested)])


@given(st.data())
def test_sites_stay_apart_whatever_the_rows(data):
    rows = st.lists(st.tuples(st.integers(1, 12), st.sampled_from("AWY")), max_size=3)
    drawn = data.draw(st.lists(rows, min_size=4, max_size=25))
    sequences = [*scan(WILD, range(20, 38)), *(mutated(WILD, *each) for each in drawn)]
    folds = data.draw(st.integers(1, 5))
    table = table_of(sequences)
    try:
        partition, audit = parted(
            table, "position", folds=folds, scheme=data.draw(st.sampled_from(["modulo", "contiguous"]))
        )
    except DataError as error:
        assert "can be" in str(error)  # noqa: PT017 - every row may be mutated at tested sites and at others
        return
    sites_apart(table, partition, [WILD] * table.n_rows)
    assert all(fold["shared_inputs"] == 0 for fold in audit.facts["folds"])


def test_too_few_sites_are_refused():
    table = table_of(scan(WILD, (4, 9, 22), "AWY"))
    with pytest.raises(DataError, match="3 mutated sites cannot make 5 parts"):
        parted(table, "position", folds=5)
    assert parted(table, "position", folds=3)[0].n_folds == 3


def test_rows_that_are_all_mutated_on_both_sides_are_refused():
    every = [mutated(WILD, (4, a), (9, b)) for a in "GNW" for b in "ANW"]
    with pytest.raises(DataError, match=r"fold 0: no row with a target can be tested.*mutations"):
        parted(table_of([*every, WILD], section={"wild_type": WILD}), "position", test=0.5)


def test_sites_of_real_single_and_double_mutants_stay_apart(data):
    folder = data / "fitness"
    table = read_table(
        folder / "nn4dms_pab1.tsv", DataSection(wild_type=str(folder / "nn4dms_pab1_wt.fasta")), ("score",)
    )
    sites = [{int(word[1:-1]) for word in text.split(",")} for text in table.text("variant").to_pylist()]
    for settings in ({}, {"scheme": "contiguous", "folds": 3}):
        partition = assigned(table, "position", **settings)
        for fold in range(partition.n_folds):
            fitted, tested = sides(partition, fold)
            assert not set().union(*(sites[row] for row in fitted)) & set().union(*(sites[row] for row in tested))
            assert len(tested) > 1000


def test_valid_rows_are_of_other_sites_where_rows_allow_it():
    table = table_of(scan(WILD, range(1, 41), "AWYF"))
    partition, _ = parted(table, "position")
    sequences = table.sequences().to_pylist()
    train, valid = (
        {min(differing(WILD, sequences[row])) for row in partition.rows(0, role)} for role in (TRAIN, VALID)
    )
    assert valid
    assert not train & valid

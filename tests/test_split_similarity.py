"""The split by similarity: its guarantee is computed again here by Biopython, and what is recommended when no split is named."""

import re
import time

import numpy as np
import pyarrow as pa
import pytest

from contracts.tables import peptides
from seqloom.errors import ConfigError, DataError, MissingExtra
from seqloom.registry import available
from seqloom.similarity import rows as similarity_rows
from seqloom.split.base import TEST, TRAIN, VALID
from seqloom.split.recommend import recommended
from seqloom.table import DataSection, read_table
from split_tables import assigned, parted, sides, splitter_of, table_of

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def by_similarity(table, strata=None, **settings):
    return parted(table, "similarity", strata, **settings)


def mutated(rng, sequence, share):
    drawn = rng.random(len(sequence)) < share
    return "".join(np.where(drawn, rng.choice(LETTERS, len(sequence)), list(sequence)))


def families(n_families=40, n_members=6, length=50, seed=0, widest=0.2):
    """Strangers and their descendants, each from a random earlier member; shuffled, with the family of each row."""
    rng = np.random.default_rng(seed)
    found, names = [], []
    for family in range(n_families):
        members = ["".join(rng.choice(LETTERS, length))]
        while len(members) < n_members:
            members.append(mutated(rng, members[rng.integers(len(members))], rng.uniform(0, widest)))
        found += members
        names += [family] * n_members
    order = rng.permutation(len(found))
    return [found[i] for i in order], np.array(names)[order]


def alike(one, two, threshold, n_rows):
    """Whether Biopython's alignments make the two alike, whichever of equally good ones is taken."""
    aligner = alike.aligner = getattr(alike, "aligner", None) or local_aligner()
    if aligner.score(one, two) <= 0:
        return False
    alignment = aligner.align(one, two)[0]
    starts, ends = alignment.coordinates[:, 0], alignment.coordinates[:, -1]
    covered = ((ends - starts) >= 0.8 * np.array([len(one), len(two)])).all()
    evalue = n_rows * 0.041 * len(one) * len(two) * np.exp(-0.267 * alignment.score)
    matches = sum(a == b for a, b in zip(alignment[0], alignment[1], strict=True))
    return bool((covered or evalue <= 1e-3) and matches >= threshold * min(len(one), len(two)) - 1e-9)


def local_aligner():
    align = pytest.importorskip("Bio.Align", reason="needs biopython")
    aligner = align.PairwiseAligner(mode="local")
    aligner.substitution_matrix = align.substitution_matrices.load("BLOSUM62")
    aligner.open_gap_score, aligner.extend_gap_score = -12, -1
    return aligner


# --- what it promises ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.4, 0.6, 0.9])
def test_no_test_row_has_a_fitted_row_at_the_threshold(threshold):
    strings, _ = families(30, 5, widest=0.35)
    partition, audit = by_similarity(table_of(strings), identity=threshold)
    fitted, tested = sides(partition)
    assert len(tested) == pytest.approx(30, abs=5)
    for row in tested:
        assert not any(alike(strings[row], strings[other], threshold, len(strings)) for other in fitted)
    assert max(audit.nearest["identity"].to_pylist()) < threshold
    assert f"at {threshold:.0%} identity or more" in audit.facts["guarantee"]


def test_the_guarantee_holds_for_anticancer_peptides(data):
    table = read_table(data / "peptides/acp_mlacp.csv")
    strings = table.sequences().to_pylist()
    partition, audit = by_similarity(table, table.numeric("label"), identity=0.6)
    fitted, tested = sides(partition)
    assert len(tested) == pytest.approx(117, abs=6)
    for row in tested[:40]:
        assert not any(alike(strings[row], strings[other], 0.6, len(strings)) for other in fitted)
    assert max(audit.nearest["identity"].to_pylist()) < 0.6
    (said,) = [each for each in audit.findings if each.code == "similarity"]
    assert "groups of rows that are alike at 60% identity" in said.message
    assert "all pairs were compared" in said.message


def test_rows_joined_by_a_chain_stand_on_one_side_though_its_ends_are_strangers():
    rng = np.random.default_rng(0)
    chain = ["".join(rng.choice(LETTERS, 40))]
    for step in range(8):  # eight times another eighth of the residues
        last = list(chain[-1])
        for site in range(step * 5, step * 5 + 5):
            last[site] = "W" if last[site] != "W" else "P"
        chain.append("".join(last))
    assert not alike(chain[0], chain[-1], 0.3, 100)
    table = table_of([*chain, *peptides(60, shortest=40, longest=40)])
    for seed in range(5):
        partition, _ = by_similarity(table, identity=0.8, seed=seed)
        assert len({int(role) == TEST for role in partition.roles[0, :9]}) == 1


def test_every_row_is_tested_once_in_several_folds_and_families_stay_whole():
    strings, family = families()
    partition, _ = by_similarity(table_of(strings), identity=0.5, folds=5)
    assert ((partition.roles == TEST).sum(axis=0) == 1).all()
    for fold in range(5):
        fitted, tested = sides(partition, fold)
        assert not set(family[fitted]) & set(family[tested])
        assert len(tested) == pytest.approx(48, abs=6)
        train, valid = partition.rows(fold, TRAIN), partition.rows(fold, VALID)
        assert len(valid)
        assert not set(family[train]) & set(family[valid])


def test_classes_are_balanced_as_far_as_families_allow():
    strings, family = families(60, 4)
    classes = (family % 3 == 0).astype(float)
    for seed in range(3):
        partition, _ = by_similarity(table_of(strings), classes, identity=0.5, seed=seed)
        for role, share in ((TEST, 0.2), (TRAIN, 0.72)):
            rows = partition.rows(0, role)
            assert len(rows) == pytest.approx(share * 240, abs=12)
            assert classes[rows].mean() == pytest.approx(1 / 3, abs=0.06)


def test_nested_folds_test_the_same_rows_and_validate_on_others():
    strings, family = families()
    partition, audit = by_similarity(table_of(strings), identity=0.5, folds=2, inner=3)
    assert partition.n_folds == 6
    for outer in range(2):
        own = [3 * outer + inner for inner in range(3)]
        tested = [partition.rows(fold, TEST).tolist() for fold in own]
        assert tested[0] == tested[1] == tested[2]
        valid = [set(partition.rows(fold, VALID).tolist()) for fold in own]
        fitted, _ = sides(partition, own[0])
        assert set.union(*valid) == set(fitted.tolist())
        assert sum(map(len, valid)) == len(fitted)
        for fold in own:
            assert not set(family[partition.rows(fold, TRAIN)]) & set(family[partition.rows(fold, VALID)])
    assert not set(partition.rows(0, TEST)) & set(partition.rows(3, TEST))
    assert set(audit.nearest["fold"].to_pylist()) == {0, 3}


def test_equal_inputs_stay_together_and_so_do_rows_of_one_sequence_with_other_covariates():
    strings = peptides(30, shortest=20, longest=20)
    data = pa.table({"sequence": strings * 2, "ph": [5.0] * 30 + [7.0] * 30, "y": np.arange(60) + 0.5})
    section = DataSection(sequence=("sequence",), covariates=("ph",), alphabet="protein")
    table = read_table(data, section, ("y",))
    partition, _ = by_similarity(table, identity=0.9)
    assert np.array_equal(partition.roles[0, :30] == TEST, partition.roles[0, 30:] == TEST)


def test_the_same_seed_gives_the_same_partition_and_another_seed_another():
    table = table_of(families()[0])
    first, again, other = (by_similarity(table, seed=seed)[0].roles for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_thresholds_out_of_range_are_refused():
    for wrong in (0, -0.1, 1.01):
        with pytest.raises(ConfigError, match="identity"):
            splitter_of("similarity", identity=wrong)


# --- when one component holds nearly all ------------------------------------------------------------------------------


def test_variants_of_one_protein_are_refused_with_the_size_and_other_splits():
    rng = np.random.default_rng(0)
    wild_type = "".join(rng.choice(LETTERS, 60))
    table = table_of([mutated(rng, wild_type, 0.05) for _ in range(98)] + peptides(2, seed=9))
    for settings in ({}, {"folds": 5}):
        with pytest.raises(DataError) as caught:
            by_similarity(table, identity=0.5, **settings)
        message = str(caught.value)
        assert "at 50% identity 98 of 100 rows are one connected component" in message
        assert "leaves 2 rows to test" in message
        assert "--split position" in message
        assert "--split mutations" in message
        assert "--set split.identity=0.9" in message


def test_forty_thousand_mutants_are_refused_in_seconds():
    rng = np.random.default_rng(0)
    residues = np.tile(rng.choice(LETTERS, 75), (40_000, 1))
    for _ in range(2):
        residues[np.arange(40_000), rng.integers(0, 75, 40_000)] = rng.choice(LETTERS, 40_000)
    table = table_of(["".join(row) for row in residues.tolist()])
    started = time.process_time()
    with pytest.raises(DataError, match=r"40,000 of 40,000 rows are one connected component .* --split position"):
        assigned(table, "similarity")
    assert time.process_time() - started < 30


def test_a_component_that_leaves_half_of_the_wanted_test_rows_is_accepted():
    rng = np.random.default_rng(0)
    wild_type = "".join(rng.choice(LETTERS, 60))
    table = table_of([mutated(rng, wild_type, 0.05) for _ in range(85)] + peptides(15, seed=9))
    partition, _ = by_similarity(table, identity=0.5)
    fitted, tested = sides(partition)
    assert set(range(85)) <= set(fitted.tolist())
    assert len(tested) >= 10


# --- what is recommended ----------------------------------------------------------------------------------------------


def test_a_column_of_parts_comes_first_and_a_group_next():
    strings = peptides(10)
    marked = table_of(strings, set=["train"] * 8 + ["test"] * 2, family=["a", "b"] * 5)
    assert recommended(marked).settings == {"kind": "columns"}
    assert "'set'" in recommended(marked).reason
    grouped = table_of(strings, family=["a", "b"] * 5)
    assert recommended(grouped).settings == {"kind": "group"}
    assert "'family'" in recommended(grouped).reason


def test_families_are_split_by_similarity_and_the_reason_counts_them():
    found = recommended(table_of(families(20, 5)[0]))
    assert found.settings == {"kind": "similarity", "identity": 0.5}
    assert found.reason == "20 groups of rows alike at 50% identity, the largest of 5% of the rows"


@pytest.mark.parametrize(("share", "threshold"), [(0.25, 0.7), (0.16, 0.8), (0.12, 0.9)])
def test_the_threshold_rises_until_enough_rows_are_apart(share, threshold):
    """Children of one ancestor that are joined at the thresholds below, and strangers to each other at this one."""
    rng = np.random.default_rng(0)
    ancestor = rng.choice(LETTERS, 60)
    strings = []
    for _ in range(40):
        child = ancestor.copy()
        sites = rng.permutation(np.arange(2, 58))[: round(share * 60)]
        child[sites] = rng.choice(LETTERS, len(sites))
        strings.append("".join(child))
    found = recommended(table_of(strings))
    assert found.settings == {"kind": "similarity", "identity": threshold}
    assert f"alike at {threshold:.0%} identity" in found.reason
    assert re.search(r"; at [578]0% one group has (9\d|100)%$", found.reason)


def variants(sites, n_rows, n_mutations, seed=0):
    """Mutants of one protein at the given sites; the wild type first."""
    rng = np.random.default_rng(seed)
    wild_type = rng.choice(LETTERS, 100)
    found = {"".join(wild_type): None}
    while len(found) < n_rows:
        mutant = wild_type.copy()
        chosen = rng.choice(sites, rng.integers(1, n_mutations + 1), replace=False)
        mutant[chosen] = rng.choice(LETTERS, len(chosen))
        found["".join(mutant)] = None
    return list(found)


def test_variants_are_split_by_position_and_those_of_few_sites_by_number_of_mutations():
    assert {"position", "mutations"} <= set(available("splitter"))
    many = recommended(table_of(variants(np.arange(100), 200, 2)))
    assert many.settings == {"kind": "position"}
    assert "200 of 200 rows are variants of 1 wild type" in many.reason
    few = recommended(table_of(variants(np.arange(4) + 40, 200, 4)))
    assert few.settings == {"kind": "mutations"}
    assert "mutated at 4 sites" in few.reason
    for found, sites in ((many, np.arange(100)), (few, np.arange(4) + 40)):
        table = table_of(variants(sites, 200, 3))
        partition, _ = parted(table, **found.settings)
        assert partition.counts(0)["test"]


def test_sites_are_not_held_out_where_rows_have_mutations_at_too_many_of_them():
    table = table_of(variants(np.arange(100), 200, 3))
    assert assigned(table, "position").counts(0)["test"] < 10
    assert recommended(table).settings == {"kind": "mutations"}
    wild_type, *mutants = variants(np.arange(100), 80, 9)
    relatives = [each for each in mutants if sum(a != b for a, b in zip(each, wild_type, strict=True)) > 2]
    found = recommended(table_of(relatives), "binary")
    assert found.settings == {"kind": "stratified"}
    assert "no variants that can be divided by their mutations" in found.reason


def test_smiles_without_rdkit_are_dealt_at_random_and_by_class_where_there_are_classes(monkeypatch):
    def missing(*_):
        raise MissingExtra("reading SMILES as molecules", "chem")

    monkeypatch.setattr(similarity_rows, "_prints", missing)
    table = table_of([f"{'C' * n}O" for n in range(1, 30)], alphabet="smiles")
    found = recommended(table)
    assert found.settings == {"kind": "random"}
    assert "rows could not be compared" in found.reason
    assert "chem" in found.reason
    assert recommended(table, "binary").settings == {"kind": "stratified"}
    with pytest.raises(MissingExtra):
        by_similarity(table)


def test_molecules_are_split_by_tanimoto_similarity(data):
    pytest.importorskip("rdkit", reason="needs rdkit")
    table = read_table(data / "smallmol/freesolv.csv", DataSection(alphabet="smiles"), ("freesolv",))
    assert recommended(table).settings == {"kind": "similarity", "identity": 0.5}
    _, audit = by_similarity(table, identity=0.5)
    assert audit.facts["folds"][0]["nearest"]["measure"] == "tanimoto"
    assert max(audit.nearest["identity"].to_pylist()) < 0.5


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("peptides/acp_mlacp.csv", "label", {"kind": "similarity", "identity": 0.5}),
        ("leakage/hiv_v3_tropism.csv", "label", {"kind": "similarity", "identity": 0.9}),
        ("fitness/flip_gb1/sampled.csv.gz", "target", {"kind": "columns"}),
        ("fitness/proteingym_B2L11_HUMAN_Dutta_2010.csv", "DMS_score", {"kind": "position"}),
    ],
)
def test_published_tables_get_the_split_that_suits_them(data, name, target, expected):
    found = recommended(read_table(data / name, DataSection(), (target,)))
    assert found.settings == expected, found.reason


def test_small_or_empty_tables_are_dealt_at_random():
    for strings in (["ACDEFGHIKL"], ["ACDEFGHIKL"] * 3, ["ACDEFGHIKL"] * 50):
        assert recommended(table_of(strings)).settings == {"kind": "random"}

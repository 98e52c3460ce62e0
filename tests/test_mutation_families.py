"""Sequences become families of variants, each with its wild type."""

import time

import numpy as np
import pytest

from contracts.tables import peptides
from mutants import OTHER, RESIDUES, WILD, mutated, rows_of, singles
from seqloom.alphabet import PROTEIN
from seqloom.mutation.edits import edit_counts, reach
from seqloom.mutation.families import families
from seqloom.table import DataSection, read_table


def found_in(texts, alphabet=PROTEIN, **settings):
    return families(alphabet.encode(texts), alphabet, **settings)


def wild_types(found, alphabet=PROTEIN):
    return alphabet.decode(found.wild_types)


def test_single_mutants_vouch_for_their_wild_type_whether_or_not_it_is_a_row():
    for texts in (singles(WILD, 12), [*singles(WILD, 12), WILD]):
        found = found_in(texts)
        assert wild_types(found) == [WILD]
        assert found.certain.tolist() == [True]
        assert found.label.tolist() == [0] * len(texts)
        assert found.edits.tolist() == [int(text != WILD) for text in texts]


def test_each_family_has_its_wild_type_and_strangers_have_none():
    strangers = peptides(20)
    found = found_in([*singles(WILD, 6), *strangers, *singles(OTHER, 9)])
    assert wild_types(found) == [OTHER, WILD]
    assert found.label.tolist() == [1] * 6 + [-1] * 20 + [0] * 9
    assert found.edits.tolist() == [1] * 6 + [0] * 20 + [1] * 9


def test_mutated_sites_are_those_that_were_mutated():
    found = found_in([*singles(WILD, 8), mutated(WILD, (3, "W"), (20, "W"))])
    own = found.mutations.where(found.mutations.rows == 8)
    symbols = "\0" + PROTEIN.symbols
    assert own.sites.tolist() == [3, 20]
    assert [symbols[each] for each in own.wild] == [WILD[2], WILD[19]]
    assert [symbols[each] for each in own.mutant] == ["W", "W"]


def test_insertions_and_deletions_of_a_residue_stay_in_the_family():
    texts = [*singles(WILD, 8), WILD[:9] + WILD[10:], WILD[:20] + "W" + WILD[20:]]
    found = found_in(texts)
    assert found.label.tolist() == [0] * 10
    assert found.edits.tolist() == [1] * 10
    deletion, insertion = (found.mutations.where(found.mutations.rows == row) for row in (8, 9))
    assert (deletion.sites.tolist(), deletion.mutant.tolist()) == ([10], [0])
    assert (insertion.sites.tolist(), insertion.wild.tolist()) == ([20], [0])


def test_a_deletion_scan_does_not_become_a_family_of_its_own():
    scan = [WILD[:site] + WILD[site + 1 :] for site in range(0, 40, 3)]
    found = found_in([*singles(WILD, 20), *scan])
    assert wild_types(found) == [WILD]
    assert (found.edits == 1).all()


def test_mutants_of_a_construct_with_one_residue_more_have_a_wild_type_of_their_own_and_are_kin():
    longer = [f"M{text}" for text in singles(WILD, 10, seed=1)]
    found = found_in([*singles(WILD, 20), *longer])
    assert wild_types(found) == [WILD, f"M{WILD}"]
    assert (found.edits == 1).all()
    assert found.kin.tolist() == [0, 0]


def test_two_backgrounds_a_substitution_apart_are_told_apart():
    background = mutated(WILD, (30, "W"))
    found = found_in([*singles(WILD, 14), *singles(background, 9, seed=2)])
    assert wild_types(found) == [WILD, background]
    assert found.sizes.tolist() == [14, 9]
    assert (found.edits == 1).all()
    assert found.kin.tolist() == [0, 0]


def test_double_mutants_are_no_backgrounds():
    rng = np.random.default_rng(0)
    texts = {mutated(text, (int(site) + 1, "W")) for text in singles(WILD, 20) for site in rng.integers(0, 40, 8)}
    found = found_in(sorted(texts))
    assert wild_types(found) == [WILD]


def test_two_single_mutants_have_the_wild_type_whose_mutations_are_the_usual_ones():
    """Most mutations are to alanine here, so that of A and L the wild type has L."""
    scan = [mutated(OTHER, (site, "A")) for site in (2, 3, 6, 9, 10, 12, 13, 15) if OTHER[site - 1] != "A"]
    leucines = [mutated(OTHER, (28, "A")), mutated(OTHER, (30, "A")), mutated(OTHER, (37, "A"))]
    pair = [mutated(WILD, (8, "A")), mutated(WILD, (17, "A"))]  # WILD has L at both sites
    found = found_in([*scan, *leucines, *pair])
    assert wild_types(found)[1] == WILD
    assert found.basis[1] == "ties"
    assert not found.certain[1]
    assert found.edits[-2:].tolist() == [1, 1]


def test_a_library_that_saturates_some_sites_has_its_first_row_and_says_so():
    rng = np.random.default_rng(0)
    texts = [WILD]
    while len(texts) < 200:
        texts.append(mutated(WILD, *((site, RESIDUES[rng.integers(20)]) for site in (5, 9, 21, 30))))
    found = found_in(texts)
    assert wild_types(found) == [WILD]
    assert found.basis == ("first row",)
    assert not found.certain[0]


def test_rows_at_one_site_alone_cannot_vouch_for_it():
    found = found_in([mutated(WILD, (4, residue)) for residue in "ACDW"])
    assert not found.certain[0]


def test_a_named_wild_type_is_taken_whatever_the_rows_say():
    texts = [mutated(WILD, *((site, "W") for site in range(2, 2 + n))) for n in range(4, 12)]
    found = found_in([*texts, *singles(OTHER, 5)], wild_type=PROTEIN.encode([WILD]).values)
    assert wild_types(found) == [WILD, OTHER]
    assert found.basis == ("named", "majority")
    assert found.edits.tolist() == [sum(a != b for a, b in zip(text, WILD, strict=True)) for text in texts] + [1] * 5


def test_groups_that_are_given_replace_those_that_would_be_found():
    found = found_in([*singles(WILD, 6), *singles(WILD, 6, seed=5)], groups=np.repeat([0, 1], 6))
    assert found.sizes.tolist() == [6, 6]


@pytest.mark.parametrize(
    "texts", [[], ["ACDEFGHIKLMN"], ["ACDEFGHIKLMN"] * 5, ["A", "C", "AC", ""], ["ACD", "ACE", "ACF"]]
)
def test_tables_without_variants_have_no_families(texts):
    found = found_in(texts)
    assert len(found) == 0
    assert found.label.tolist() == [-1] * len(texts)
    assert found.edits.tolist() == [0] * len(texts)


def test_the_order_of_rows_does_not_matter_to_a_certain_family():
    texts = [*singles(WILD, 30), *singles(OTHER, 12), *peptides(10)]
    order = np.random.default_rng(3).permutation(len(texts))
    plain, shuffled = found_in(texts), found_in([texts[row] for row in order])
    assert wild_types(plain) == wild_types(shuffled)
    assert np.array_equal(plain.label[order], shuffled.label)
    assert np.array_equal(plain.edits[order], shuffled.edits)


# Real families


def agreement(texts, truth):
    """Share of rows whose family has their true wild type, and the families; no two families have the same one."""
    found = found_in(texts)
    named = wild_types(found)
    assert len(set(named)) == len(named)
    right = np.array([label >= 0 and named[label] == wild for label, wild in zip(found.label, truth, strict=True)])
    return right, found


def test_wild_types_of_a_real_table_of_single_mutants_are_found(data):
    rows = rows_of(data / "stability" / "jin_v2_train.csv")
    right, found = agreement([row["mut_seq"] for row in rows], [row["wt_seq"] for row in rows])
    assert len(rows) == 4048
    assert right.mean() >= 0.95
    assert right.mean() == pytest.approx(0.9763, abs=0.002)  # 23 of the others are the only mutants of their wild type
    assert (found.edits[right] == 1).all()
    sure = (found.label >= 0) & np.append(found.certain, False)[found.label]
    assert right[sure].mean() > 0.999
    assert sure.mean() > 0.95


@pytest.mark.parametrize(
    ("site", "column", "first"), [("position", "sequence", 1), ("pdb_position", "pdb_sequence", 0)]
)
def test_wild_types_of_mutants_made_of_real_columns_are_found(data, site, column, first):
    """FireProt numbers the residues of `sequence` from 1 by `position`, and those of `pdb_sequence` from 0 by `pdb_position`."""
    texts, truth = [], []
    for row in rows_of(data / "stability" / "fireprot_train.csv"):
        place = int(float(row[site])) - first
        wild = row[column]
        assert wild[place] == row["wild_type"]
        texts.append(mutated(wild, (place + 1, row["mutation"])))
        truth.append(wild)
    right, found = agreement(texts, truth)
    assert len(texts) == 2669
    assert right.mean() >= 0.95
    assert right.mean() == pytest.approx(0.9869, abs=0.002)
    assert (found.edits[right] == 1).all()


def test_families_of_forty_thousand_mutants_are_found_soon(data):
    folder = data / "fitness"
    table = read_table(folder / "nn4dms_pab1.tsv", DataSection(wild_type=str(folder / "nn4dms_pab1_wt.fasta")))
    tokens = table.tokens()
    started = time.perf_counter()
    found = families(tokens, PROTEIN)
    assert time.perf_counter() - started < 6  # .6 s on one idle core
    assert wild_types(found) == [table.wild_type.sequence]
    assert found.certain.all()
    n_mutations = table.numeric("num_mutations")
    last = np.array([text.endswith("*") for text in table.data["mutated_sequence"].to_pylist()])
    assert (found.edits[~last] == n_mutations[~last]).all()


def test_unrelated_real_proteins_make_hardly_any_family(data):
    found = found_in([row["sequence"] for row in rows_of(data / "solubility" / "esol_train.csv")])
    assert (found.label >= 0).mean() < 0.01


@pytest.mark.parametrize(
    "name", ["leakage/hiv_nfv_resistance.csv", "leakage/hiv_v3_tropism.csv", "peptides/acp_mlacp.csv"]
)
def test_no_row_outside_families_is_a_mutant_of_a_wild_type(data, name):
    texts = [row["sequence"] for row in rows_of(data / name)]
    found = found_in(texts)
    outside = PROTEIN.encode(
        [text for text, label in zip(texts, found.label, strict=True) if label < 0 and len(text) >= 18]
    )
    for wild in wild_types(found):
        counts = edit_counts(PROTEIN.encode([wild]).values, outside)
        same = outside.lengths == len(wild)
        assert (counts[same] > reach(len(wild))).all()

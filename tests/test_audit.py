"""The audit of a partition: what it finds is counted again here, on tables made by hand and on published ones."""

import re

import numpy as np
import pyarrow as pa
import pytest

from contracts.tables import peptides
from seqloom.alphabet import PROTEIN
from seqloom.similarity import nearest
from seqloom.similarity.rows import Groups
from seqloom.split.audit import BANDS
from seqloom.split.base import TEST, TRAIN, VALID
from seqloom.table import DataSection, read_table
from split_tables import assigned, parted, table_of

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
STRANGERS = peptides(200, seed=3, shortest=40, longest=40)


def marked(sequences, roles, y=None, **more):
    """A table whose column `set` says train, valid or test."""
    return table_of(sequences, np.arange(len(sequences)) % 7 + 0.5 if y is None else y, set=roles, **more)


def audited(table, kind="columns", **settings):
    """The partition and its audit; test rows by the target of the table."""
    return parted(table, kind, **settings)


def finding(audit, code):
    """The one finding of this code."""
    (found,) = [each for each in audit.findings if each.code == code]
    return found


def codes(audit):
    return {each.code for each in audit.findings}


def identity(one, two, n_rows):
    """Identity of two sequences of a table of so many rows; tests/test_similarity.py compares it with a slow alignment."""
    return float(nearest(PROTEIN.encode([one]), PROTEIN.encode([two]), PROTEIN, n_rows=n_rows).best()[1][0])


def changed(sequence, n):
    """`sequence` with `n` residues in its middle replaced by others."""
    letters = list(sequence)
    for site in range(10, 10 + n):
        letters[site] = "W" if letters[site] != "W" else "P"
    return "".join(letters)


# --- near duplicates -------------------------------------------------------------------------------------------------


def test_near_duplicates_are_counted_from_four_fifths_and_named():
    near = [changed(STRANGERS[i], i + 1) for i in range(12)]  # 1 to 12 of 40 residues differ, 8 is four fifths
    table = marked([*STRANGERS[:100], *near], ["train"] * 100 + ["test"] * 12)
    _, audit = audited(table)
    facts = audit.facts["folds"][0]["nearest"]
    assert (facts["measure"], facts["rows"], facts["exact"], facts["none_alike"]) == ("identity", 12, True, 0)
    assert facts["near_duplicates"] == 8
    assert facts["near_duplicate_share"] == pytest.approx(8 / 12, abs=1e-4)
    assert facts["median"] == pytest.approx(1 - 6.5 / 40, abs=1e-4)
    assert {each["from"]: each["rows"] for each in facts["bands"]} == {
        0: 0,
        0.3: 0,
        0.5: 0,
        0.7: 4,
        0.8: 4,
        0.9: 4,
        1.0: 0,
    }
    assert sum(facts["histogram"]["counts"]) == 12
    assert len(facts["histogram"]["edges"]) == len(facts["histogram"]["counts"]) + 1
    leaks = finding(audit, "leaks")
    assert (leaks.severity, leaks.count, leaks.rows) == ("warning", 8, (101, 102, 103, 104, 105))
    assert "8 of 12 test rows of fold 0 (67%) are near duplicates" in leaks.message
    assert "this partition leaks" in leaks.message
    assert "--split similarity" in leaks.message


@pytest.mark.parametrize(("n_near", "code", "severity"), [(1, "near-duplicates", "info"), (2, "leaks", "warning")])
def test_a_tenth_of_the_test_rows_makes_a_leak(n_near, code, severity):
    near = [changed(each, 2) for each in STRANGERS[:n_near]]
    strangers = STRANGERS[100 : 120 - n_near]
    table = marked([*STRANGERS[:60], *near, *strangers], ["train"] * 60 + ["test"] * 20)
    _, audit = audited(table)
    found = finding(audit, code)
    assert (found.severity, found.count) == (severity, n_near)
    assert not {"leaks", "near-duplicates"} - {code} & codes(audit)


def kin(n, rate, seed=0, length=60):
    """Children of one ancestor, each with `rate` of its residues replaced: too many for variants of one wild type."""
    rng = np.random.default_rng(seed)
    ancestor = rng.choice(LETTERS, length)
    return ["".join(np.where(rng.random(length) < rate, rng.choice(LETTERS, length), ancestor)) for _ in range(n)]


def test_a_split_by_similarity_that_leaks_is_told_the_threshold_that_does_not():
    families = [child for seed in range(4) for child in kin(40, 0.14, seed)]
    _, audit = audited(table_of(families), "similarity", identity=0.97)
    leaks = finding(audit, "leaks")
    assert leaks.message.endswith("compare with --set split.identity=0.5")
    _, audit = audited(table_of(families), "similarity", identity=0.5)
    assert "leaks" not in codes(audit)


def test_where_no_threshold_does_better_that_is_said_with_what_to_do():
    table = table_of(kin(80, 0.12, length=120), medium=[f"m{i % 6}" for i in range(80)])
    _, audit = audited(table, "similarity", identity=0.97)
    message = finding(audit, "leaks").message
    assert re.search(
        r"no split by similarity does better, as at 80% identity (7\d|80) of the 80 rows are one group", message
    )
    assert "by band of identity in the report" in message
    assert message.endswith("--split leave-one-group-out --group medium")
    assert "--split similarity" not in message
    _, audit = audited(table, "random")
    assert "no split by similarity does better" in finding(audit, "leaks").message


def test_valid_rows_are_fitted_rows():
    table = marked([*STRANGERS[:40], STRANGERS[50], changed(STRANGERS[50], 1)], ["train"] * 40 + ["valid", "test"])
    _, audit = audited(table)
    assert audit.nearest["nearest_row"].to_pylist() == [41]
    assert audit.nearest["identity"].to_pylist() == [pytest.approx(39 / 40)]


def test_strangers_leave_nothing_to_say():
    table = marked(STRANGERS[:100], ["train"] * 80 + ["test"] * 20)
    _, audit = audited(table)
    assert codes(audit) == set()
    facts = audit.facts["folds"][0]
    assert facts["nearest"]["near_duplicates"] == 0
    assert facts["shared_inputs"] == 0
    assert facts["counts"]["test"] == 20


def test_the_nearest_rows_are_those_of_all_pairs_by_row_and_id():
    rng = np.random.default_rng(0)
    strings = [*STRANGERS[:30]]
    strings += [changed(strings[rng.integers(30)], int(rng.integers(1, 20))) for _ in range(30)]
    names = [f"protein-{i}" for i in range(60)]
    roles = np.where(rng.random(60) < 0.3, "test", "train").tolist()
    table = marked(strings, roles, id=names, section={"id": "id"})
    partition, audit = audited(table, shared="allow")
    fitted, tested = np.flatnonzero(np.isin(partition.roles[0], (TRAIN, VALID))), partition.rows(0, TEST)
    rows = audit.nearest.to_pylist()
    assert [each["row"] for each in rows] == (tested + 1).tolist()
    assert [each["id"] for each in rows] == [names[row] for row in tested]
    for each, row in zip(rows, tested, strict=True):
        values = np.array([identity(strings[row], strings[other], table.n_rows) for other in fitted])
        assert each["identity"] == pytest.approx(values.max(initial=0))
        if values.any():
            best = fitted[int(values.argmax())]
            assert (each["nearest_row"], each["nearest_id"]) == (best + 1, names[best])
        else:
            assert (each["nearest_row"], each["nearest_id"]) == (None, None)
    counts = np.histogram([each["identity"] + 1e-6 for each in rows], [*BANDS, 2.0])[0]
    assert [each["rows"] for each in audit.facts["folds"][0]["nearest"]["bands"]] == counts.tolist()


def pairs_table(one, two, roles):
    data = pa.table({"one": one, "two": two, "y": np.arange(len(one)) % 7 + 0.5, "set": roles})
    return read_table(data, DataSection(sequence=("one", "two"), alphabet="protein"), ("y",))


def test_rows_that_share_one_of_two_sequences_are_no_near_duplicates():
    allele, roles = STRANGERS[0], ["train"] * 40 + ["test"] * 20
    _, audit = audited(pairs_table([allele] * 60, peptides(60, seed=5, shortest=9, longest=9), roles))
    assert audit.facts["folds"][0]["nearest"]["near_duplicates"] == 0
    assert not {"leaks", "near-duplicates"} & codes(audit)


def test_rows_that_are_alike_in_both_sequences_are_near_duplicates():
    near = [changed(each, 4) for each in STRANGERS[20:40]]
    roles = ["train"] * 20 + ["test"] * 20
    _, audit = audited(pairs_table([*STRANGERS[:20]] * 2, [*STRANGERS[20:40], *near], roles))
    assert audit.facts["folds"][0]["nearest"]["near_duplicates"] == 20
    assert audit.facts["folds"][0]["nearest"]["median"] == pytest.approx(0.9)
    assert "(80% identity or more in every sequence column)" in finding(audit, "near-duplicates").message


def test_a_split_by_similarity_of_two_sequences_leaves_nothing_that_its_audit_finds_alike():
    one = [*STRANGERS[:40]] * 2
    two = [*STRANGERS[40:80], *(changed(each, 8) for each in STRANGERS[40:80])]
    _, audit = audited(pairs_table(one, two, ["train"] * 80), "similarity", seed=0)
    assert max(audit.nearest["identity"].to_pylist()) < 0.5
    assert not {"above-threshold", "leaks"} & codes(audit)


def test_every_fold_is_looked_at_and_its_rows_are_told_apart():
    near = [changed(each, 1) for each in STRANGERS[:30]]
    table = marked([*STRANGERS[:30], *near], ["train"] * 60)
    partition, audit = audited(table, "random", folds=3)
    assert [each["fold"] for each in audit.facts["folds"]] == [0, 1, 2]
    assert sorted(audit.nearest["row"].to_pylist()) == list(range(1, 61))
    for fold in range(3):
        own = audit.nearest.filter(pa.compute.equal(audit.nearest["fold"], fold))
        assert own["row"].to_pylist() == (partition.rows(fold, TEST) + 1).tolist()
        facts = audit.facts["folds"][fold]["nearest"]
        assert facts["near_duplicates"] == sum(value >= 0.8 for value in own["identity"].to_pylist())
        assert f"fold {fold}" in [each for each in audit.findings if each.code == "leaks"][fold].message


def test_molecules_are_near_duplicates_by_tanimoto_similarity():
    data_structs = pytest.importorskip("rdkit.DataStructs", reason="needs rdkit")
    from rdkit.Chem import MolFromSmiles
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    strings = [f"{'C' * n}O" for n in range(3, 23)] + [f"c1ccc({'C' * n}N)cc1" for n in range(1, 21)]
    roles = ["test" if i % 5 == 0 else "train" for i in range(40)]
    _, audit = audited(marked(strings, roles, alphabet="smiles"))
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(MolFromSmiles(each)) for each in strings]
    train = [i for i in range(40) if i % 5]
    expected = [
        max(data_structs.BulkTanimotoSimilarity(prints[i], [prints[j] for j in train])) for i in range(0, 40, 5)
    ]
    np.testing.assert_allclose(audit.nearest["identity"].to_pylist(), expected, atol=1e-6)
    assert "80% Tanimoto similarity or more" in finding(audit, "leaks").message


def test_without_rdkit_molecules_are_not_compared_and_that_is_said(monkeypatch):
    from seqloom.errors import MissingExtra
    from seqloom.similarity import rows

    def missing(*_):
        raise MissingExtra("reading SMILES as molecules", "chem")

    monkeypatch.setattr(rows, "_prints", missing)
    _, audit = audited(marked([f"{'C' * n}O" for n in range(1, 31)], ["train"] * 20 + ["test"] * 10, alphabet="smiles"))
    assert "near duplicates were not looked for" in finding(audit, "not-compared").message
    assert len(audit.nearest) == 0
    assert audit.facts["folds"][0]["nearest"] == {"measure": None, "rows": 0}


# --- other relations -------------------------------------------------------------------------------------------------


def test_groups_on_both_sides_are_counted_and_rows_without_a_group_are_not():
    groups = pa.array(["a"] * 10 + ["b"] * 10 + [None] * 10 + ["a", "a", "c", None, "b"], pa.string())
    table = marked(STRANGERS[:35], ["train"] * 30 + ["test"] * 5, family=groups)
    _, audit = audited(table)
    assert audit.facts["folds"][0]["shared_groups"] == 3
    found = finding(audit, "shared-groups")
    assert (found.severity, found.count, found.rows) == ("warning", 3, (31, 32, 35))
    assert "3 of 5 test rows of fold 0 share their group (family) with a training row" in found.message
    assert "--split group" in found.message
    _, audit = audited(table, "group")
    assert audit.facts["folds"][0]["shared_groups"] == 0


@pytest.mark.parametrize("role", ["covariates", "context"])
def test_the_same_sequence_under_another_covariate_or_allele_is_said(role):
    strings = [*STRANGERS[:20], *STRANGERS[:3], *STRANGERS[40:42]]
    values = [5.0] * 20 + [7.0] * 5 if role == "covariates" else ["A*02:01"] * 20 + ["B*07:02"] * 5
    table = marked(strings, ["train"] * 20 + ["test"] * 5, which=values, section={role: ("which",)})
    _, audit = audited(table)
    assert audit.facts["folds"][0]["other_covariates"] == 3
    found = finding(audit, "other-covariate")
    assert (found.severity, found.count, found.rows) == ("warning", 3, (21, 22, 23))
    assert "3 of 5 test rows of fold 0 have the sequence of a training row with another which" in found.message


def test_a_molecule_in_another_spelling_under_another_covariate_is_said():
    pytest.importorskip("rdkit", reason="needs rdkit")
    smiles = [*(f"{'C' * n}N" for n in range(2, 22)), "NCC", "NCCC", "CCN"]
    ph = [5.0] * 20 + [7.0, 7.0, 7.0]
    table = marked(smiles, ["train"] * 20 + ["test"] * 3, alphabet="smiles", ph=ph, section={"covariates": ("ph",)})
    _, audit = audited(table)
    assert audit.facts["folds"][0]["shared_inputs"] == 0
    assert finding(audit, "other-covariate").rows == (21, 22, 23)


def test_targets_beyond_those_of_training_are_counted():
    y = [*np.linspace(0, 1, 30), 0.5, 2.0, 3.0, -1.0]
    table = marked(STRANGERS[:34], ["train"] * 30 + ["test"] * 4, y=y)
    _, audit = audited(table)
    assert audit.facts["folds"][0]["targets_beyond_training"] == pytest.approx(0.75)


# --- variants of one protein -----------------------------------------------------------------------------------------


def mutant(wild_type, **sites):
    letters = list(wild_type)
    for site, letter in sites.items():
        letters[int(site[1:]) - 1] = letter
    return "".join(letters)


def test_what_variants_ask_for_beyond_training_is_counted():
    wild_type = "MKTAYIAKQRQISFVKSHFSRQDILDLWIYHTQGYFPDWQNYTPGPGVRY"
    train = [wild_type, *(mutant(wild_type, **{f"s{site}": letter}) for site in range(5, 25) for letter in "AG")]
    test = [
        mutant(wild_type, s5="W"),  # a new mutation at a known site
        mutant(wild_type, s30="W"),  # a new site
        mutant(wild_type, s6="A", s7="G"),  # known mutations, two of them
        mutant(wild_type, s8="A", s31="W"),  # two, and a new site
    ]
    table = marked([*train, *test], ["train"] * len(train) + ["test"] * len(test))
    _, audit = audited(table, shared="unused")
    facts = audit.facts["folds"][0]["families"]
    assert facts["rows"] == 1.0
    assert facts["new_family"] == 0
    assert facts["more_mutations"] == 0.5
    assert facts["new_site"] == 0.5
    assert facts["new_mutation"] == 0.75
    assert facts["train_mutations"]["max"] == 1
    assert facts["test_mutations"] == {"min": 1, "median": 1.5, "max": 2}
    found = finding(audit, "near-duplicates")
    assert found.severity == "info"
    assert "what the test asks for is still new: 1 to 2 mutations, and training rows have at most 1" in found.message
    assert "50% of test rows are mutated at a site that no training row has mutated" in found.message


@pytest.mark.parametrize(
    ("name", "leaks", "asks"),
    [
        ("sampled", True, ""),
        ("three_vs_rest", False, "training rows have at most 3"),
        ("low_vs_high", False, "test targets lie beyond the range of training targets"),
    ],
)
def test_of_the_gb1_splits_only_the_random_one_leaks(data, name, leaks, asks):
    whole = read_table(data / f"fitness/flip_gb1/{name}.csv.gz", DataSection(), ("target",))
    _, audit = audited(whole.take(np.arange(0, whole.n_rows, 4)))
    facts = audit.facts["folds"][0]
    assert facts["nearest"]["near_duplicate_share"] == 1.0
    assert ("leaks" in codes(audit)) == leaks
    if not leaks:
        assert asks in finding(audit, "near-duplicates").message


# --- published tables, split at random -------------------------------------------------------------------------------

MEASURED = {
    "leakage/hiv_nfv_resistance.csv": 0.95,
    "leakage/hiv_lpv_resistance.csv": 0.92,
    "leakage/hiv_v3_tropism.csv": 0.89,
    "peptides/acp_mlacp.csv": 0.20,
    "leakage/acp_anticp.csv": 0.14,
    "peptides/tox_toxinpred.csv": 0.13,
    "peptides/amp_iamp2l.csv": 0.02,
}
"""Shares of test rows with a near duplicate in training by another measure, shared three-letter words, to the per cent."""


@pytest.mark.parametrize(("name", "share"), MEASURED.items())
def test_a_random_split_shows_the_leakage_that_is_known(data, name, share):
    table = read_table(data / name, DataSection(), ("label",))
    seeds = (0,) if table.n_rows > 1500 else range(3)
    found = [audited(table, "random", seed=seed)[1] for seed in seeds]
    shares = [audit.facts["folds"][0]["nearest"]["near_duplicate_share"] for audit in found]
    assert round(float(np.mean(shares)), 2) >= share
    assert all(("leaks" in codes(audit)) == (value >= 0.1) for audit, value in zip(found, shares, strict=True))


@pytest.mark.slow
def test_a_random_split_of_signal_peptides_shows_the_leakage_that_is_known(data):
    table = read_table(data / "signal_peptide/signalp_binary.csv", DataSection(), ("label",))
    _, audit = audited(table, "random")
    assert round(audit.facts["folds"][0]["nearest"]["near_duplicate_share"], 2) >= 0.02


def test_tables_with_few_duplicates_are_not_stopped(data):
    table = read_table(data / "solubility/esol_train.csv", DataSection(), ("solubility",))
    _, audit = audited(table, "random")
    assert audit.facts["folds"][0]["shared_inputs"] == 0
    assert not [each for each in audit.findings if each.severity == "error"]
    assert audit.facts["folds"][0]["nearest"]["near_duplicate_share"] >= 0.005


def pairs_missed(monkeypatch, n=30):
    """Pairs of alike rows, 2 i and 2 i + 1, of which the split by similarity is told none."""
    sequences = [
        each for pair in zip(STRANGERS[:n], [f"{each[:-1]}A" for each in STRANGERS[:n]], strict=True) for each in pair
    ]
    missed = Groups(np.arange(2 * n), False)
    monkeypatch.setattr("seqloom.split.similarity.alike_groups", lambda *_: missed)
    return marked(sequences, ["train"] * (2 * n))


def test_test_rows_of_alike_pairs_that_a_split_by_similarity_missed_are_left_out(monkeypatch):
    table = pairs_missed(monkeypatch)
    before = assigned(table, "similarity", search="words", seed=0).rows(0, TEST).tolist()
    whole = [row for row in before if row ^ 1 in before]
    assert 0 < len(whole) < len(before)
    partition, audit = audited(table, "similarity", search="words", seed=0)
    assert partition.rows(0, TEST).tolist() == whole
    assert audit.facts["unused"] == {
        "alike to a training row, in a pair that the split did not compare": len(before) - len(whole)
    }
    assert max(audit.nearest["identity"].to_pylist()) < 0.5
    assert not {"above-threshold", "leaks"} & codes(audit)


def test_alike_pairs_that_were_missed_are_said_where_leaving_them_out_would_leave_nothing(monkeypatch):
    partition, audit = audited(pairs_missed(monkeypatch, n=3), "similarity", search="words")
    found = finding(audit, "above-threshold")
    assert (found.count, found.severity) == (partition.counts(0)["test"], "warning")
    assert "--set split.search=exact" in found.message

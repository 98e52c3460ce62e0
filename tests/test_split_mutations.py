"""Splits by mutations, sites and families: what each promises is computed again here, from the rows of its partition."""

import csv
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tables import peptides
from seqloom.errors import DataError
from seqloom.mutation.variants import families_of
from seqloom.registry import build
from seqloom.split.base import TEST, TRAIN, UNUSED, VALID
from seqloom.split.make import make_partition
from seqloom.table import DataSection, read_table

WILD = "GNIFIKNLHPDIDNKALYDTFSVFGDILSSKIATDENGKS"
OTHER = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRV"
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def mutated(wild, *changes):
    """`wild` with residues replaced at sites from 1, such as (3, "A")."""
    letters = list(wild)
    for site, residue in changes:
        letters[site - 1] = residue
    return "".join(letters)


def table_of(sequences, targets=None, **section):
    targets = np.arange(len(sequences)) + 0.5 if targets is None else targets
    data = pa.table({"sequence": sequences, "y": targets})
    return read_table(data, DataSection(sequence=("sequence",), alphabet="protein", **section), ("y",))


def parted(table, kind, **settings):
    targets = table.numeric(table.roles.targets[0])[:, None]
    return make_partition(build("splitter", {"kind": kind, **settings}), table, targets, None)


def assigned(table, kind, **settings):
    """The roles alone, as the splitter gives them: the audit of a large table takes its time."""
    return build("splitter", {"kind": kind, **settings}).assign(table, None)


def sides(partition, fold=0):
    """Rows that are fitted (train and valid) and rows that are tested."""
    return np.concatenate([partition.rows(fold, TRAIN), partition.rows(fold, VALID)]), partition.rows(fold, TEST)


def told(table, kind, **settings):
    return {each.code: each for each in build("splitter", {"kind": kind, **settings}).findings(table)}


def differing(wild, sequence):
    """Sites from 1 at which two sequences of one length differ."""
    return {site for site, (a, b) in enumerate(zip(wild, sequence, strict=True), start=1) if a != b}


def scan(wild, sites, residues="AW"):
    """Single mutants: every site by every residue that differs."""
    return [mutated(wild, (site, each)) for site in sites for each in residues if wild[site - 1] != each]


def doubles(wild, pairs):
    return [mutated(wild, (one, "W"), (other, "W")) for one, other in pairs]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


SINGLES, PAIRS = scan(WILD, range(1, 41, 2)), doubles(WILD, pairwise(range(1, 21)))


# --- by number of mutations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 2])
def test_rows_of_more_mutations_than_n_are_tested(n):
    triples = [mutated(WILD, (site, "W"), (site + 5, "W"), (site + 9, "W")) for site in range(1, 8)]
    table = table_of([WILD, *SINGLES, *PAIRS, *triples, "PLAINSTRANGER" * 3])
    partition, audit = parted(table, "mutations", n=n)
    n_mutations = [len(differing(WILD, each)) for each in table.sequences().to_pylist()[:-1]]
    fitted, tested = sides(partition)
    assert all(n_mutations[row] <= n for row in fitted)
    assert all(n_mutations[row] > n for row in tested)
    assert len(fitted) + len(tested) == table.n_rows - 1
    assert partition.rows(0, UNUSED).tolist() == [table.n_rows - 1]
    assert audit.facts["unused"] == {"variant of no wild type": 1}
    assert f"more than {n} mutations" in audit.facts["guarantee"]


def test_a_deletion_is_a_mutation_like_any_other():
    both = mutated(WILD, (5, "W"))
    table = table_of([*SINGLES, WILD[:9] + WILD[10:], both[:20] + both[21:], WILD[:20] + "W" + WILD[20:]])
    partition, _ = parted(table, "mutations")
    assert sides(partition)[1].tolist() == [table.n_rows - 2]


def test_mutations_are_counted_from_each_family_s_own_wild_type():
    table = table_of([*SINGLES, *scan(OTHER, range(1, 30, 2)), *PAIRS, *doubles(OTHER, [(3, 9), (4, 12)])])
    partition, _ = parted(table, "mutations")
    tested = set(sides(partition)[1].tolist())
    assert tested == set(range(table.n_rows - len(PAIRS) - 2, table.n_rows))


def test_mutation_lists_are_counted_from_the_wild_type_that_is_named():
    """The consensus of these rows has W at site 1, which the named wild type has not."""
    lists = ["G1W", *(f"G1W,{WILD[site - 1]}{site}A" for site in (2, 3, 5, 7, 8, 9)), "N2A", "I3A", "WT"]
    data = pa.table({"mutations": lists, "y": np.arange(len(lists)) + 0.5})
    table = read_table(data, DataSection(wild_type=WILD), ("y",))
    partition, _ = parted(table, "mutations")
    assert sides(partition)[1].tolist() == [1, 2, 3, 4, 5, 6]
    assert "wild-type" not in told(table, "mutations")


def test_a_list_of_most_of_the_residues_is_still_a_mutant():
    lists = [
        "G1W",
        "N2A",
        "I3A",
        ",".join(f"{WILD[site - 1]}{site}{'W' if WILD[site - 1] != 'W' else 'A'}" for site in range(1, 36)),
    ]
    table = read_table(pa.table({"mutations": lists, "y": [1.0, 2.0, 3.0, 4.0]}), DataSection(wild_type=WILD), ("y",))
    assert families_of(table).edits.tolist() == [1, 1, 1, 35]


@pytest.mark.parametrize(("name", "n"), [("one_vs_rest", 1), ("two_vs_rest", 2), ("three_vs_rest", 3)])
def test_the_published_splits_of_gb1_by_mutations_are_found_from_its_sequences(data, name, n):
    table = read_table(data / "fitness" / "flip_gb1" / f"{name}.csv.gz")
    partition = assigned(table, "mutations", n=n)
    published = np.array(table.text("set").to_pylist()) == "test"
    assert table.n_rows == 8733
    assert np.array_equal(partition.roles[0] == TEST, published)
    findings = told(table, "mutations", n=n)
    assert "whose wild type is a guess (the first row" in findings["wild-type"].message
    assert findings["wild-type"].severity == "warning"


def test_a_table_of_single_mutants_has_no_rest_to_test(data):
    table = read_table(data / "fitness" / "proteingym_B2L11_HUMAN_Dutta_2010.csv")
    with pytest.raises(
        DataError,
        match=r"no row has more than 1 mutations \(rows by number of mutations: 1: 170\).*--set split.scheme=low_vs_high",
    ):
        parted(table, "mutations")
    with pytest.raises(DataError, match=r"no row has at most 0 mutations"):
        parted(table, "mutations", n=0)


@pytest.mark.parametrize("kind", ["mutations", "position"])
def test_a_table_of_strangers_is_refused(data, kind):
    for table in (
        table_of(peptides(40)),
        read_table(data / "solubility" / "esol_train.csv", DataSection(), ("solubility",)),
    ):
        with pytest.raises(
            DataError,
            match=r"is for variants of few wild types, and \d+ of [\d,]+ rows .*--set data.wild_type=FILE.*split.kind=similarity",
        ):
            parted(table, kind)


@pytest.mark.parametrize("kind", ["mutations", "position", "family"])
def test_smiles_have_no_mutations(kind):
    data = pa.table({"smiles": ["CCO", "CCCO", "c1ccccc1", "CC(=O)O"] * 3, "y": np.arange(12) + 0.5})
    with pytest.raises(DataError, match=r"'smiles' is smiles; .*scaffold"):
        parted(read_table(data, DataSection(), ("y",)), kind)


# --- by target -------------------------------------------------------------------------------------------------------


def test_targets_above_the_wild_type_s_are_tested():
    rng = np.random.default_rng(0)
    targets = np.append(rng.normal(size=len(SINGLES)), 0.1)
    table = table_of([*SINGLES, WILD], targets)
    partition, _ = parted(table, "mutations", scheme="low_vs_high")
    assert np.array_equal(partition.roles[0] == TEST, targets > targets[-1])
    bounds = told(table, "mutations", scheme="low_vs_high")["bounds"].message
    assert f"{targets[-1]:g} (its wild type)" in bounds
    assert "measured in 1 of 1 families" in bounds


def test_without_a_measured_wild_type_the_median_divides_each_family():
    rng = np.random.default_rng(0)
    others = scan(OTHER, range(1, 30, 2))
    targets = np.concatenate([rng.normal(size=len(SINGLES)), rng.normal(size=len(others)) + 5])
    table = table_of([*SINGLES, *others], targets)
    partition, _ = parted(table, "mutations", scheme="low_vs_high")
    first = np.arange(len(targets)) < len(SINGLES)
    expected = np.where(first, targets > np.median(targets[first]), targets > np.median(targets[~first]))
    assert np.array_equal(partition.roles[0] == TEST, expected)
    assert "the median of its rows" in told(table, "mutations", scheme="low_vs_high")["bounds"].message


def test_rows_of_one_sequence_stand_together_by_their_mean_target():
    targets = np.concatenate([np.arange(len(SINGLES)) * 1.0, [10.0, -50.0, 400.0]])
    table = table_of([*SINGLES, WILD, SINGLES[0], SINGLES[0]], targets)  # SINGLES[0]: the mean of 0, -50 and 400
    partition, audit = parted(table, "mutations", scheme="low_vs_high")
    assert {int(partition.roles[0, row]) for row in (0, -1, -2)} == {TEST}
    assert audit.facts["folds"][0]["shared_inputs"] == 0


def test_rows_without_a_target_are_unused():
    targets = np.arange(len(SINGLES)) * 1.0
    targets[3] = np.nan
    partition, audit = parted(table_of(SINGLES, targets), "mutations", scheme="low_vs_high")
    assert partition.rows(0, UNUSED).tolist() == [3]
    assert audit.facts["unused"] == {"no target": 1}


def test_a_target_that_no_row_exceeds_and_targets_of_classes_are_refused():
    with pytest.raises(DataError, match=r"no row has a 'y' above that of its wild type .*n_vs_rest"):
        parted(table_of([*SINGLES, WILD], [*[1.0] * len(SINGLES), 2.0]), "mutations", scheme="low_vs_high")
    table = read_table(
        pa.table({"sequence": SINGLES, "y": ["a", "b", *["a"] * (len(SINGLES) - 2)]}),
        DataSection(sequence=("sequence",)),
        ("y",),
    )
    splitter = build("splitter", {"kind": "mutations", "scheme": "low_vs_high"})
    with pytest.raises(DataError, match="values are no numbers"):
        splitter.assign(table, None)


def test_the_published_low_and_high_rows_of_gb1_are_found(data):
    """FLIP tests the wild type itself, whose target is neither above nor below its own; all others agree."""
    table = read_table(data / "fitness" / "flip_gb1" / "low_vs_high.csv.gz")
    partition = assigned(table, "mutations", scheme="low_vs_high")
    published = np.array(table.text("set").to_pylist()) == "test"
    odd = np.flatnonzero((partition.roles[0] == TEST) != published)
    assert table.numeric("target")[odd].tolist() == [1.0]
    assert families_of(table).edits[odd].tolist() == [0]


# --- by site ---------------------------------------------------------------------------------------------------------


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
        parted(table_of([*every, WILD], wild_type=WILD), "position", test=0.5)


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


# --- by family -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folds", [1, 3])
def test_families_and_kin_and_equal_rows_stand_on_one_side(folds):
    proteins = peptides(30, seed=4, low=30, high=30) if False else [each * 3 for each in peptides(12)]
    proteins = [protein[:30] + OTHER[:10] for protein in proteins if len(protein) >= 20]
    texts, family = [], []
    for number, protein in enumerate(proteins):
        own = scan(protein, range(1, 9))
        texts += own
        family += [number] * len(own)
    kin = mutated(WILD, (30, "W"))
    texts += [*scan(WILD, range(1, 15)), *scan(kin, range(1, 12)), *scan(WILD, (3, 4)), WILD[:9] + WILD[10:]]
    family += [-1] * (len(texts) - len(family))
    strangers = peptides(40)[20:]
    table = table_of([*texts, *strangers, *strangers[:5]])
    partition, audit = parted(table, "family", folds=folds)
    family = np.array(family)
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert not set(family[fitted[fitted < len(family)]]) & set(family[tested[tested < len(family)]])
        assert audit.facts["folds"][fold]["shared_inputs"] == 0
    assert folds == 1 or ((partition.roles == TEST).sum(0) == 1).all()


def test_valid_rows_are_of_other_families_as_well():
    texts = [
        each for number in range(12) for each in scan(mutated((WILD[number:] + WILD[:number]), (1, "W")), range(5, 12))
    ]
    table = table_of(texts)
    label = families_of(table).label
    partition, _ = parted(table, "family")
    train, valid, test = (set(label[partition.rows(0, role)].tolist()) for role in (TRAIN, VALID, TEST))
    assert valid
    assert not train & valid
    assert not train & test


@pytest.mark.parametrize("folds", [1, 5])
def test_no_real_mutant_is_tested_whose_wild_type_was_trained_on(data, folds):
    rows = rows_of(data / "stability" / "jin_v2_train.csv")
    table = table_of([row["mut_seq"] for row in rows], [float(row["ddG"]) for row in rows])
    truth = np.array([row["wt_seq"] for row in rows])
    n_rows = {wild: int((truth == wild).sum()) for wild in set(truth)}
    partition = assigned(table, "family", folds=folds)
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        shared = set(truth[fitted]) & set(truth[tested])
        assert not shared, [n_rows[wild] for wild in shared]
        assert 0.1 < len(tested) / len(truth) < 0.3


def test_a_table_of_one_family_cannot_be_divided():
    with pytest.raises(DataError, match=r"1 distinct families of variants cannot make 2 parts"):
        parted(table_of(SINGLES), "family")


def test_rows_of_no_family_are_units_of_their_own():
    table = table_of(peptides(60))
    partition, _ = parted(table, "family")
    assert len(sides(partition)[1]) == 12
    assert told(table, "family")["families"].message == "no row is a variant of another"


def test_the_findings_name_the_families():
    table = table_of([*SINGLES, *scan(OTHER, range(1, 11)), *peptides(5)])
    found = told(table, "family")["families"]
    assert found.message.startswith("2 families of variants, with the wild types GNIFIKNLHPDI...DENGKS (")
    assert "5 rows are in none" in found.message

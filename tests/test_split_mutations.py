"""The splits by number of mutations and by target, counted again here, and by what the splits of GB1 published."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from contracts.tables import peptides
from mutants import OTHER, WILD, differing, doubles, mutated, scan
from seqloom.errors import DataError
from seqloom.mutation.variants import families_of
from seqloom.split.base import TEST, UNUSED
from seqloom.table import DataSection, read_table
from split_tables import assigned, parted, sides, splitter_of, table_of, told

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
    splitter = splitter_of("mutations", scheme="low_vs_high")
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

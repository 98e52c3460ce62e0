"""What is noticed about rows: replicates, classes, and what published tables are told; values are in `test_check_values`."""

import statistics
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from check_tables import codes, found, peptides, read
from seqloom.check import bad_symbols, check, rows_with
from seqloom.check.classes import class_targets
from seqloom.table import DataSection, read_table
from seqloom.target import TargetSection, find_target

# --- replicates ------------------------------------------------------------------------------------------------------


def replicated(n_groups: int, noise: float, extra: int = 0) -> tuple[list[str], np.ndarray]:
    """Two measurements of each of `n_groups` peptides, and one of `extra` others; group means have a spread of 1."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=n_groups + extra)
    sequences = peptides(n_groups + extra)
    y = np.concatenate([mean[:n_groups] + noise * rng.normal(size=n_groups), mean])
    return sequences[:n_groups] + sequences, y


def test_the_noise_floor_is_the_median_spread_of_groups_that_differ():
    sequences, y = replicated(40, noise=0.2, extra=100)
    table = read_table(pa.table({"sequence": sequences, "y": y}))
    spreads = [statistics.stdev([y[row], y[row + 40]]) for row in range(40)]
    spreads = [each for each in spreads if each >= 0.01 * statistics.stdev(y)]
    message = found(table, "replicates").message
    assert "40 groups of replicates (80 rows of equal inputs) differ in 'y'" in message
    share = statistics.median(spreads) / statistics.stdev(y)
    assert (
        f"the median SD is {statistics.median(spreads):.3g}, {share:.0%} of the SD of all rows: the noise floor"
        in message
    )
    assert "they stay rows of their own, always on one side of a split" in message
    assert "--set data.replicates=mean" in message
    assert found(table, "conflicting-targets").count == 80


def test_replicates_name_the_rule_that_will_merge_them():
    sequences, y = replicated(20, noise=0.2)
    for rule in ("mean", "median", "first"):
        table = read_table(pa.table({"sequence": sequences, "y": y}), DataSection(replicates=rule), for_prediction=True)
        assert f"[data] replicates = '{rule}' makes one row of each group" in found(table, "replicates").message
    table = read_table(pa.table({"sequence": sequences, "y": y}))
    assert any(
        "'drop-conflicting' leaves these groups out" in each.message for each in check(table, "drop-conflicting")
    )


def test_replicates_as_far_apart_as_unrelated_rows_point_to_another_column():
    sequences, y = replicated(40, noise=2.0)
    message = found(read_table(pa.table({"sequence": sequences, "y": y})), "replicates").message
    assert "nearly as far apart as unrelated rows" in message
    assert "--set data.context=COLUMN" in message
    assert "data.replicates" not in message


def test_one_value_rounded_in_two_ways_is_no_measure_of_noise():
    values = np.linspace(1, 100, 60)
    sequences = peptides(60)
    doubled = np.concatenate([values, np.round(values, 1)])
    message = found(read_table(pa.table({"sequence": sequences * 2, "y": doubled})), "replicates").message
    assert "all lie less than 1% of the SD of all rows apart, as one measurement rounded in two ways is" in message
    assert "noise floor" not in message


def test_replicates_of_a_wide_target_are_compared_on_the_log_scale():
    rng = np.random.default_rng(1)
    mean = rng.uniform(np.log(1), np.log(1e6), 200)
    y = np.exp(np.concatenate([mean, mean + rng.normal(0, 0.5, 200)]))
    message = found(read_table(pa.table({"sequence": peptides(200) * 2, "y": y})), "replicates").message
    assert "of the SD of all rows on the log scale" in message


def test_equal_rows_missing_values_and_bounds_are_no_replicates():
    y = [1.0, 1.0, 2.0, None, 3.0, 9.0, 4.5, 5.5]
    sequences = ["MKV", "MKV", "MKW", "MKW", "MKA", "MKA", "MKC", "MKD"]
    signs = ["=", "=", "=", "=", "=", ">", "=", "="]
    table = read_table(pa.table({"sequence": sequences, "inequality": signs, "y": y}))
    assert "replicates" not in codes(table)


def test_classes_in_conflict_stay_the_warning_they_were():
    table = read_table(pa.table({"sequence": ["MKV", "MKV", "MKW", "MKA"], "label": [0, 1, 1, 0]}))
    assert found(table, "conflicting-targets").severity == "warning"
    assert "replicates" not in codes(table)


# --- classes ---------------------------------------------------------------------------------------------------------


def test_uneven_classes_are_counted():
    label = ["rare"] * 12 + ["common"] * 188
    finding = found(read(label), "uneven-classes")
    assert finding.severity == "info"
    assert (
        "the smallest class of 'y' is 'rare' with 12 of 200 rows (0.06), the largest 'common' with 188 (0.94)"
        in finding.message
    )
    assert "uneven-classes" not in codes(read(["rare"] * 20 + ["common"] * 180))


def test_classes_of_fewer_than_ten_rows_are_a_warning_that_names_them():
    finding = found(read([0] * 60 + [1] * 40 + [2] * 9 + [3] * 2), "rare-classes")
    assert finding.severity == "warning"
    assert "2 classes of 'y' have fewer than 10 rows: '3' (2), '2' (9)" in finding.message
    assert not {"rare-classes", "uneven-classes"} & codes(read([0] * 60 + [1] * 40 + [2] * 10))


def test_a_small_table_and_a_column_of_measurements_have_no_rare_classes():
    assert read(["a", "b", "c", "a"] * 4).findings == ()
    assert "rare-classes" not in codes(read(np.linspace(0, 1, 200)))


def test_of_many_targets_the_most_uneven_is_told():
    rng = np.random.default_rng(0)
    even, odd = rng.integers(0, 2, 300), np.repeat([0, 1], [285, 15])
    table = read_table(pa.table({"smiles": ["C" * (1 + row) for row in range(300)], "a": even, "b": odd}))
    assert "class of 'b', the most uneven of 2 targets, is '1' with 15 of 300" in found(table, "uneven-classes").message


@pytest.mark.parametrize(
    "columns",
    [
        {"y": ["a", "b", "c"] * 10},
        {"y": [True, False] * 15},
        {"y": [0, 1] * 15},
        {"y": [-1.0, 1.0] * 15},
        {"y": [3, 4] * 15},
        {"y": [0, 1, 2] * 10},
        {"y": [0.0, 1.0, 2.0, None, 1.0] * 6},
        {"y": [0, 1, 70] * 10},
        {"y": [-1, 0, 1] * 10},
        {"y": list(range(10)) * 3},
        {"y": [0.5, 1.5, 2.5] * 10},
        {"y": [0, 1] * 15, "z": [1, 0, 0] * 10},
        {"y": [0, 1, 2] * 10, "z": [1, 0, 2] * 10},
        {"y": [0, 1] * 15, "z": np.linspace(0, 1, 30)},
    ],
)
def test_classes_are_told_as_the_task_is(columns: dict[str, object]):
    table = read_table(pa.table({"sequence": peptides(30), **columns}), targets=tuple(columns))
    task = find_target(table, TargetSection()).task
    assert class_targets(table) == (() if task == "regression" else tuple(columns))


# --- real tables -----------------------------------------------------------------------------------------------------


def test_the_limit_of_measured_affinities_is_found_where_it_passes_for_a_value(data: Path):
    table = read_table(data / "mhc" / "curated_2018_no_mass_spec.dev.csv.bz2")
    finding = found(table, "assay-limit")
    assert finding.count == 38_991
    assert (
        "20000 occurs 38,991 times (22.6% of the rows that are no bound) near the top of 'measurement_value'"
        in finding.message
    )
    assert "probably '> 20000'" in finding.message
    assert "13,246 groups of replicates" in found(table, "replicates").message
    assert "10,043 of them lie less than 1%" in found(table, "replicates").message
    assert "20% of the SD of all rows on the log scale: the noise floor" in found(table, "replicates").message


def test_affinities_whose_signs_tell_the_bounds_have_no_hidden_limit(data: Path):
    table = read_table(data / "mhc" / "bdata.20130222.mhci.VALID.9.CDHIT.txt")
    assert codes(table) == {"inequality", "unused-columns", "wide-range"}


def test_solubility_has_a_limit_and_proteins_measured_twice(data: Path):
    table = read_table(data / "solubility" / "esol_train.csv")
    assert "1 occurs 190 times (8.0%) at the top of 'solubility'" in found(table, "assay-limit").message
    assert "11 groups of replicates (23 rows of equal inputs)" in found(table, "replicates").message
    assert (
        "90% of the SD of all rows: they lie nearly as far apart as unrelated rows"
        in found(table, "replicates").message
    )


def test_mutants_without_their_mutation_are_no_replicates(data: Path):
    path = data / "stability" / "fireprot_train.csv"
    message = found(read_table(path, DataSection(sequence=("sequence",)), ("ddG",)), "replicates").message
    assert "54 groups of replicates (2,666 rows of equal inputs)" in message
    assert "add --set data.context=COLUMN" in message
    told_apart = DataSection(sequence=("sequence",), context=("position", "mutation"))
    assert not {"replicates", "conflicting-targets"} & codes(read_table(path, told_apart, ("ddG",)))


NEW = {"replicates", "impossible-values", "assay-limit", "zeros", "rare-classes", "uneven-classes", "wide-range"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fitness/proteingym_B2L11_HUMAN_Dutta_2010.csv", set()),
        ("fitness/flip_gb1/sampled.csv.gz", {"zeros"}),
        ("peptides/rt_luna_silica.csv", set()),
        ("peptides/tox_toxinpred.csv", set()),
        ("peptides/acp_mlacp.csv", set()),
        ("signal_peptide/signalp_binary.csv", set()),
        ("leakage/hiv_nfv_resistance.csv", set()),
        ("leakage/hiv_v3_tropism.csv", set()),
        ("smallmol/freesolv.csv", set()),
        ("smallmol/lipo.csv", set()),
        ("smallmol/bace.csv", set()),
        ("smallmol/BBBP.csv", set()),
        ("smallmol/delaney.csv", {"replicates"}),
        ("smallmol/tox21.csv", {"uneven-classes"}),
        ("stability/jin_v1_train.csv", set()),
        ("stability/jin_v1_tm.csv", set()),
        ("stability/jin_v2_train.csv", set()),
        ("arg/coala70_fold1.csv", {"uneven-classes"}),
        ("localization/deeploc_test_set.fasta", {"uneven-classes"}),
        ("mhc/combined_test_BLIND_dataset_from_kim2013.csv", {"assay-limit", "wide-range"}),
    ],
)
def test_well_behaved_tables_raise_no_false_alarm(name: str, expected: set[str], data: Path):
    assert codes(read_table(data / name)) & NEW == expected


# --- the parts other modules use -------------------------------------------------------------------------------------


def test_rows_that_hold_symbols_are_found_in_the_ragged_bytes():
    text = np.frombuffer(b"ACDAXCX", np.uint8)
    assert rows_with(text, np.array([0, 3, 3, 5, 7]), np.frombuffer(b"X", np.uint8)).tolist() == [2, 3]


def test_a_table_without_bad_symbols_has_no_finding_of_them():
    assert bad_symbols(read([0.1, 0.2, 0.3]), "sequence") is None

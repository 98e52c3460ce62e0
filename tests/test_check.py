"""What is noticed about rows: replicates, classes, limits of an assay, orders of magnitude, impossible values."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from seqloom.check import bad_symbols, check, rows_with
from seqloom.check.classes import class_targets
from seqloom.findings import Finding
from seqloom.table import DataSection, Table, read_table
from seqloom.target import TargetSection, find_target

LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def peptides(n: int) -> list[str]:
    """N different peptides of one length."""
    return ["M" + "".join(LETTERS[row // 20**place % 20] for place in range(4)) + "WYK" for row in range(n)]


def read(y: Sequence[object] | np.ndarray, section: DataSection | None = None, **columns: object) -> Table:
    return read_table(pa.table({"sequence": peptides(len(y)), **columns, "y": pa.array(y)}), section, ("y",))


def found(table: Table, code: str) -> Finding:
    matching = [each for each in table.findings if each.code == code]
    assert len(matching) == 1, [each.code for each in table.findings]
    return matching[0]


def codes(table: Table) -> set[str]:
    return {each.code for each in table.findings}


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


# --- limits of an assay ----------------------------------------------------------------------------------------------


def capped(n: int, limit: float) -> np.ndarray:
    return np.minimum(np.random.default_rng(2).lognormal(5, 2, n), limit)


def test_a_limit_at_the_top_is_named_with_the_filter_that_leaves_it_out():
    y = capped(1000, 2000)
    n = int((y == 2000).sum())
    finding = found(read(y), "assay-limit")
    assert finding.severity == "warning"
    assert finding.count == n
    assert f"2000 occurs {n} times ({n / 1000:.1%}) at the top of 'y'" in finding.message
    assert "probably '> 2000', a limit of the assay" in finding.message
    filtered = read(y, DataSection(where=finding.message.split('--where "')[1].rstrip('"')))
    assert filtered.n_rows == 1000 - n
    assert "assay-limit" not in codes(filtered)


def test_a_limit_at_the_bottom_is_named_as_one():
    message = found(read(np.maximum(capped(1000, np.inf), 20)), "assay-limit").message
    assert "at the bottom of 'y'" in message
    assert "probably '< 20'" in message


def test_a_limit_with_values_beyond_it_is_near_the_top():
    y = capped(1000, 2000)
    y[:40] = np.linspace(2100, 9000, 40)
    assert "near the top of 'y'" in found(read(y), "assay-limit").message


def test_rows_that_are_bounds_by_their_sign_are_known_already():
    y = capped(1000, 2000)
    signs = np.where(y == 2000, ">", "=").tolist()
    assert "assay-limit" not in codes(read(y, inequality=signs))
    signs = ["="] * 1000
    assert "of the rows that are no bound" in found(read(y, inequality=signs), "assay-limit").message


@pytest.mark.parametrize(
    "y",
    [
        np.random.default_rng(3).normal(size=2000),
        np.round(np.random.default_rng(3).normal(size=2000), 1),
        np.random.default_rng(3).poisson(40, 2000),
        np.random.default_rng(3).geometric(0.05, 2000),
        np.random.default_rng(3).zipf(3, 2000),
        np.random.default_rng(3).integers(0, 12, 2000),
        np.random.default_rng(3).uniform(size=2000),
        np.random.default_rng(3).exponential(size=2000),
        np.concatenate([np.random.default_rng(3).normal(size=2000), np.zeros(300)]),
        np.round(np.random.default_rng(3).lognormal(5, 2, 2000), -1) + 10,
        np.where(
            np.random.default_rng(3).uniform(size=2000) < 0.3,
            np.round(np.linspace(9, 46, 2000)),
            np.linspace(9, 46, 2000),
        ),
    ],
    ids=[
        "normal",
        "rounded",
        "poisson",
        "geometric",
        "zipf",
        "grades",
        "uniform",
        "exponential",
        "no change",
        "tens",
        "favourites",
    ],
)
def test_ordinary_distributions_have_no_limit(y: np.ndarray):
    assert not {"assay-limit", "zeros"} & codes(read(y))


def test_zeros_at_the_bottom_are_said_in_their_own_words_and_zeros_among_counts_not_at_all():
    y = np.concatenate([np.zeros(200), np.random.default_rng(4).exponential(size=800)])
    finding = found(read(y), "zeros")
    assert finding.severity == "info"
    assert "0 occurs 200 times (20.0%) at the bottom of 'y'" in finding.message
    assert "either nothing was there to be measured, or it was too little for the assay" in finding.message
    counts = np.concatenate([np.zeros(500, np.int64), np.random.default_rng(4).poisson(60, 500)])
    assert not {"assay-limit", "zeros"} & codes(read(counts))


def test_a_wild_type_measured_many_times_is_no_limit():
    y = np.concatenate([np.random.default_rng(5).uniform(0, 1, 400), np.ones(60)])
    sequences = peptides(400) + ["MKVLAAGG"] * 60
    assert "assay-limit" not in codes(read_table(pa.table({"sequence": sequences, "y": y})))


# --- orders of magnitude ---------------------------------------------------------------------------------------------


def test_many_orders_of_magnitude_suggest_the_logarithm():
    y = np.logspace(0, 6, 500)
    message = found(read(y), "wide-range").message
    assert "'y' spans 5.9 orders of magnitude (1.07 to 9.33e+05, the middle 99 %), all above 0" in message
    assert "--set target.transform=log" in message
    assert "wide-range" not in codes(read(np.logspace(0, 3, 500)))
    assert "wide-range" not in codes(read(np.concatenate([np.logspace(0, 6, 500), [0.0]])))
    assert "wide-range" not in codes(read(np.concatenate([np.logspace(0, 1, 500), [1e-9]])))


# --- impossible values -----------------------------------------------------------------------------------------------


def enzymes(n_swapped: int) -> Table:
    """Melting temperatures and pH of 1,000 enzymes, some of them swapped, as in a table that is well known for it."""
    rng = np.random.default_rng(6)
    ph, tm = rng.choice([5.5, 7.0, 8.0], 1000), np.round(rng.normal(51, 12, 1000), 1)
    ph[:n_swapped], tm[:n_swapped] = tm[:n_swapped].copy(), ph[:n_swapped].copy()
    names = [f"enzyme-{row}" for row in range(1000)]
    return read_table(pa.table({"seq_id": names, "protein_sequence": peptides(1000), "pH": ph, "tm": tm}))


def test_swapped_ph_and_temperature_are_recognised():
    table = enzymes(29)
    assert table.roles.targets == ("tm",)
    finding = found(table, "impossible-values")
    assert (finding.severity, finding.count, finding.rows) == ("warning", 29, (1, 2, 3, 4, 5))
    assert "29 of 1,000 values of 'pH' cannot be: a pH lies within 0 to 14: row 1 (enzyme-0): " in finding.message
    assert "29 rows have pH > 14 and tm within 0 to 14: pH and tm look swapped" in finding.message
    assert "--set data.patch=FILE" in finding.message
    assert "impossible-values" not in codes(enzymes(0))


@pytest.mark.parametrize(
    ("name", "ordinary", "odd"),
    [
        ("ph", 7.0, -1.0),
        ("assay_pH", 7.0, 70.0),
        ("Tm", 50.0, -999.0),
        ("temperature (C)", 25.0, -300.0),
        ("IC50_nM", 250.0, -1.0),
        ("Kd (uM)", 90.0, -5.0),
        ("probability", 0.5, 1.2),
        ("percent_identity", 80.0, 101.0),
        ("pident", 80.0, 250.0),
    ],
)
def test_values_that_a_name_forbids_are_found(name: str, ordinary: float, odd: float):
    column = [ordinary] * 30 + [ordinary / 2] * 9 + [odd]
    finding = found(read(np.linspace(0, 1, 40), **{name: column}), "impossible-values")
    assert (finding.count, finding.rows) == (1, (40,))
    assert f"row 40: {odd:g}" in finding.message


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("delta_pH", [7.0] * 39 + [-1.0]),
        ("log_ic50", [2.0] * 39 + [-1.0]),
        ("kd", [2.0, -1.0] * 20),  # logarithms, whatever the name
        ("pKi", [7.0] * 39 + [-1.0]),
        ("dTm", [1.0] * 39 + [-300.0]),
        ("ph_score", [70.0] * 40),
        ("pH", [70.0] * 40),  # most of them: another thing than pH
        ("probability", [55.0] * 40),  # per cent
        ("fident", [0.8] * 40),
        ("graph", [70.0] * 40),
        ("identity", ["same", "other"] * 20),
        ("tm", [330.0] * 40),  # kelvin
        ("tm", [None] * 40),
    ],
)
def test_names_and_values_that_are_something_else_are_left_alone(name: str, column: list[object]):
    table = read(
        np.linspace(0, 1, 40), **{name: pa.array(column, pa.string() if column[0] == "same" else pa.float64())}
    )
    assert "impossible-values" not in codes(table)


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

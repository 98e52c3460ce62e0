"""Partitions: one role per row and fold, and nothing of the test rows among those that are fitted."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tables import peptides
from seqloom.errors import ConfigError, DataError, LeakError
from seqloom.joined import SET_COLUMN, read_tables
from seqloom.registry import build
from seqloom.split.base import TEST, TRAIN, UNUSED, VALID
from seqloom.split.deal import inner_split, smallest_unit
from seqloom.split.make import make_partition
from seqloom.table import DataSection, read_table
from seqloom.target import TargetSection, find_target

PLENTY = peptides(400)
RANDOM_KINDS = ("random", "stratified", "group")


def table_with(sequences, **columns):
    section = {"group": "family"} if "family" in columns else {}
    if "set" in columns:
        section["set"] = "set"
    data = pa.table({"sequence": sequences, "y": np.arange(len(sequences)) + 0.5, **columns})
    return read_table(data, DataSection(sequence=("sequence",), alphabet="protein", **section), ("y",))


def partition_of(table, kind, strata=None, targets=None, **settings):
    targets = np.zeros((table.n_rows, 1)) if targets is None else targets
    return make_partition(build("splitter", {"kind": kind, **settings}), table, targets, strata)


def fitted_and_tested(partition, fold):
    return np.concatenate([partition.rows(fold, TRAIN), partition.rows(fold, VALID)]), partition.rows(fold, TEST)


@st.composite
def tables(draw):
    """10 to 40 rows of few distinct sequences and families."""
    n_rows = draw(st.integers(10, 40))
    sequences = draw(st.lists(st.sampled_from(PLENTY[:12]), min_size=n_rows, max_size=n_rows))
    families = draw(st.lists(st.sampled_from("abcdefgh") | st.none(), min_size=n_rows, max_size=n_rows))
    classes = draw(st.lists(st.sampled_from([0.0, 1.0, np.nan]), min_size=n_rows, max_size=n_rows))
    return table_with(sequences, family=pa.array(families, pa.string())), np.array(classes)


# What holds of every partition


@given(tables(), st.sampled_from(RANDOM_KINDS), st.integers(1, 4), st.integers(0, 5))
def test_every_row_has_one_role_per_fold_and_equal_inputs_never_stand_on_both_sides(drawn, kind, folds, seed):
    table, strata = drawn
    try:
        partition, audit = partition_of(table, kind, strata, folds=folds, seed=seed)
    except DataError as error:
        assert "cannot make" in str(error)  # noqa: PT017 - too few distinct units for so many parts
        return
    sequences, families = np.array(table.sequences().to_pylist()), np.array(table.text("family").to_pylist(), object)
    tests = np.zeros(table.n_rows, int)
    for fold in range(folds):
        assert sum(partition.counts(fold).values()) == table.n_rows
        fitted, tested = fitted_and_tested(partition, fold)
        assert len(tested)
        assert len(partition.rows(fold, TRAIN))
        assert not set(sequences[fitted]) & set(sequences[tested])
        train, valid = partition.rows(fold, TRAIN), partition.rows(fold, VALID)
        assert not set(sequences[train]) & set(sequences[valid])
        if kind == "group":
            assert not (set(families[fitted]) & set(families[tested])) - {None}
            assert not (set(families[train]) & set(families[valid])) - {None}
        tests[tested] += 1
    assert folds == 1 or (tests == 1).all()
    assert audit.facts["guarantee"]


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_the_same_seed_gives_the_same_partition_and_another_seed_another(kind):
    table = table_with(PLENTY, family=[f"f{i % 40}" for i in range(400)])
    classes = np.arange(400.0) % 2

    def roles(seed, folds=1):
        return partition_of(table, kind, classes, seed=seed, folds=folds)[0].roles

    assert np.array_equal(roles(0), roles(0))
    assert np.array_equal(roles(3, 5), roles(3, 5))
    assert not np.array_equal(roles(0), roles(1))


def test_shares_are_those_asked_for():
    partition, _ = partition_of(table_with(PLENTY), "random", test=0.25)
    assert partition.counts(0) == {"train": 270, "valid": 30, "test": 100, "unused": 0}
    partition, _ = partition_of(table_with(PLENTY), "random", folds=5)
    assert [partition.counts(fold)["test"] for fold in range(5)] == [80] * 5


def test_every_class_has_its_share_in_every_part():
    classes = np.repeat([0.0, 1.0, 2.0], [300, 80, 20])
    for folds in (1, 5):
        partition, _ = partition_of(table_with(PLENTY), "stratified", classes, folds=folds)
        for fold in range(folds):
            for role, share in ((TEST, 0.2), (VALID, 0.08), (TRAIN, 0.72)):
                counts = np.bincount(classes[partition.rows(fold, role)].astype(int), minlength=3)
                np.testing.assert_allclose(counts, np.array([300, 80, 20]) * share, atol=1)


def test_a_random_split_leaves_classes_to_chance_and_a_stratified_one_does_not():
    classes = (np.arange(400) < 40).astype(float)

    def spread(kind):
        shares = [partition_of(table_with(PLENTY), kind, classes, seed=seed)[0].rows(0, TEST) for seed in range(10)]
        return np.std([classes[rows].sum() for rows in shares])

    assert spread("stratified") < 0.5 < spread("random")


def test_rows_without_a_class_are_dealt_as_a_class_of_their_own():
    classes = np.where(np.arange(400) < 100, np.nan, np.arange(400.0) % 2)
    partition, _ = partition_of(table_with(PLENTY), "stratified", classes)
    assert np.isnan(classes[partition.rows(0, TEST)]).sum() == pytest.approx(20, abs=1)


def test_rows_of_covariates_or_context_that_differ_are_different_inputs():
    data = pa.table({"sequence": ["ACDEFGH"] * 8, "ph": np.arange(8.0), "y": np.arange(8) + 0.5})
    table = read_table(data, DataSection(sequence=("sequence",), covariates=("ph",), alphabet="protein"), ("y",))
    partition, _ = partition_of(table, "random")
    assert partition.counts(0)["test"] > 0


# Small tables


@pytest.mark.parametrize("n_rows", [2, 3, 4, 5, 9])
def test_the_smallest_tables_have_training_and_test_rows(n_rows):
    for seed in range(20):
        partition, audit = partition_of(table_with(PLENTY[:n_rows]), "random", seed=seed)
        counts = partition.counts(0)
        assert counts["train"] >= 1
        assert counts["test"] >= 1
        assert (counts["valid"] == 0) == ("no-inner-split" in {each.code for each in audit.findings})


@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_as_many_folds_as_distinct_rows_test_one_each(kind):
    for seed in range(10):
        partition, _ = partition_of(table_with(PLENTY[:6]), kind, np.array([0, 0, 0, 1, 1, 2.0]), folds=6, seed=seed)
        assert [partition.counts(fold)["test"] for fold in range(6)] == [1] * 6


def test_fewer_distinct_rows_than_folds_are_refused():
    with pytest.raises(DataError, match=r"3 distinct inputs cannot make 5 parts; use fewer folds"):
        partition_of(table_with(PLENTY[:3] * 4), "random", folds=5)
    with pytest.raises(DataError, match="1 distinct inputs cannot make 2 parts"):
        partition_of(table_with(PLENTY[:1] * 9), "random")


def test_settings_out_of_range_are_refused():
    for wrong in ({"test": 0}, {"test": 1}, {"folds": 0}, {"shared": "never"}):
        with pytest.raises(ConfigError, match=r"\[splitter\]"):
            build("splitter", {"kind": "random", **wrong})


# Groups


def test_groups_that_share_inputs_are_one_group():
    sequences = [PLENTY[0], PLENTY[1], PLENTY[1], PLENTY[2], *PLENTY[10:30]]
    families = ["a", "a", "b", "b", *(f"f{i}" for i in range(20))]
    for seed in range(10):
        partition, _ = partition_of(table_with(sequences, family=families), "group", seed=seed)
        assert len({int(role) == TEST for role in partition.roles[0, :4]}) == 1


def test_rows_without_a_group_are_groups_of_their_own():
    families = pa.array(["a"] * 50 + [None] * 350, pa.string())
    partition, _ = partition_of(table_with(PLENTY, family=families), "group")
    assert partition.counts(0)["test"] == pytest.approx(80, abs=1)


@pytest.mark.parametrize("sizes", [(50, 34, 4, 1, 1), (10, 3, 1), (1, 1, 1), (100, 2, 2, 2), (3, 3, 3, 3, 1, 1)])
def test_unequal_groups_fill_every_fold_when_there_are_as_many_as_folds(sizes):
    families = np.repeat([f"f{i}" for i in range(len(sizes))], sizes).tolist()
    table = table_with(PLENTY[: len(families)], family=families)
    for seed in range(20):
        partition, _ = partition_of(table, "group", folds=len(sizes), seed=seed)
        assert sorted(partition.counts(fold)["test"] for fold in range(len(sizes))) == sorted(sizes)


def test_few_large_groups_give_the_smallest_away():
    table = table_with(PLENTY[:90], family=["a"] * 20 + ["c"] * 25 + ["b"] * 45)
    for seed in range(5):
        counts = partition_of(table, "group", seed=seed)[0].counts(0)
        assert counts == {"train": 45, "valid": 25, "test": 20, "unused": 0}


def test_one_group_only_is_refused():
    with pytest.raises(
        DataError, match=r"column 'family' has one group .'a'. in all 20 rows, and a split by groups needs two"
    ):
        partition_of(table_with(PLENTY[:20], family=["a"] * 20), "group")


def test_two_groups_leave_no_valid_rows_and_that_is_said():
    partition, audit = partition_of(table_with(PLENTY[:20], family=["a"] * 10 + ["b"] * 10), "group")
    assert partition.counts(0) == {"train": 10, "valid": 0, "test": 10, "unused": 0}
    assert "no-inner-split" in [each.code for each in audit.findings]


def test_a_split_by_groups_asks_for_their_column():
    with pytest.raises(ConfigError, match="needs a group column; name it with --group COLUMN"):
        partition_of(table_with(PLENTY[:20]), "group")


def test_the_inner_split_takes_a_tenth_and_whole_units():
    units = np.arange(200) // 2
    chosen = inner_split(units, None, seed=0)
    assert chosen.sum() == 20
    assert (chosen[::2] == chosen[1::2]).all()
    assert not inner_split(np.arange(3), None, 0).any()
    assert not inner_split(np.zeros(50, int), None, 0).any()
    assert smallest_unit(np.array([5, 5, 9, 2, 2]), 0) == 9


# The table's own columns


def test_the_words_of_a_column_give_the_parts():
    words = ["train", "Training", " TEST ", "testing", "val", "valid", "Validation", "dev", "pred", None, "train"]
    partition, audit = partition_of(table_with(PLENTY[:11], set=pa.array(words, pa.string())), "columns")
    names = np.array(["train", "valid", "test", "unused"])[partition.roles[0]]
    assert names.tolist() == ["train"] * 2 + ["test"] * 2 + ["valid"] * 4 + ["unused"] * 2 + ["train"]
    assert audit.facts["unused"] == {"column 'set' gives it no part": 2}


def test_unknown_words_are_named_with_the_nearest_known_one():
    table = table_with(PLENTY[:4], set=["train", "tset", "odd", "test"])
    with pytest.raises(DataError) as caught:
        partition_of(table, "columns")
    assert (
        "column 'set': 2 values are not train, valid, test or pred, first 'tset' at row 2; did you mean 'test'?"
        in str(caught.value)
    )


def test_validation_marks_training_rows_only():
    words = ["train", "train", "test", "train", "train", "train"]
    marks = [True, False, True, None, False, False]
    partition, _ = partition_of(table_with(PLENTY[:6], set=words, validation=pa.array(marks)), "columns")
    assert partition.roles[0].tolist() == [VALID, TRAIN, TEST, TRAIN, TRAIN, TRAIN]


def test_without_valid_rows_some_training_rows_are_set_aside():
    partition, _ = partition_of(table_with(PLENTY[:50], set=["train"] * 40 + ["test"] * 10), "columns")
    assert partition.counts(0) == {"train": 36, "valid": 4, "test": 10, "unused": 0}


def test_a_column_without_test_or_training_rows_is_refused():
    for word, missing in (("train", "test"), ("test", "train")):
        table = table_with(PLENTY[:5], set=[word] * 5)
        with pytest.raises(DataError, match=f"fold 0 has no {missing} rows among 5; use fewer folds"):
            partition_of(table, "columns")


def test_a_split_by_columns_asks_for_the_column():
    with pytest.raises(ConfigError, match=r"name it with --set data\.set=COLUMN"):
        partition_of(table_with(PLENTY[:5]), "columns")


def test_the_flip_columns_give_the_published_counts(data):
    table = read_table(data / "fitness/flip_gb1/sampled.csv.gz", DataSection(), ("target",))
    partition, _ = partition_of(table, "columns", targets=table.numeric("target")[:, None])
    assert partition.counts(0) == {"train": 6988 - 699, "valid": 699, "test": 1745, "unused": 0}


# Rows that stand on both sides

SHARED = ["train"] * 10 + ["test"] * 4


def shared_table():
    """Rows 1 and 2 are training rows that come again as rows 11 and 12, which are test rows."""
    return table_with([*PLENTY[:10], PLENTY[0], PLENTY[1], *PLENTY[20:22]], set=SHARED)


def test_shared_inputs_stop_and_say_how_many_and_what_to_type():
    with pytest.raises(LeakError) as caught:
        partition_of(shared_table(), "columns")
    message = str(caught.value)
    assert message.startswith("2 shared inputs (sequence): test rows of fold 0 whose inputs also stand in training")
    assert PLENTY[0] in message
    assert "--set split.shared=unused" in message
    assert "--set split.shared=allow" in message


def test_unused_leaves_out_exactly_the_training_rows_that_are_shared():
    partition, audit = partition_of(shared_table(), "columns", shared="unused")
    assert partition.rows(0, UNUSED).tolist() == [0, 1]
    assert partition.rows(0, TEST).tolist() == [10, 11, 12, 13]
    assert audit.facts["unused"] == {"same inputs as a test row": 2}
    assert [(each.severity, each.count, each.rows) for each in audit.findings] == [("info", 2, (1, 2))]


def test_allow_keeps_them_and_warns():
    partition, audit = partition_of(shared_table(), "columns", shared="allow")
    assert partition.counts(0)["unused"] == 0
    warning = next(each for each in audit.findings if each.code == "shared-inputs")
    assert (warning.code, warning.severity, warning.count, warning.rows) == ("shared-inputs", "warning", 2, (11, 12))
    assert audit.facts["folds"][0]["shared_inputs"] == 2


def test_valid_rows_count_as_training_when_inputs_are_shared():
    table = table_with([*PLENTY[:10], PLENTY[0]], set=["val", *["train"] * 9, "test"])
    with pytest.raises(LeakError, match="1 shared inputs"):
        partition_of(table, "columns")


def test_valid_rows_are_left_out_too_when_they_are_shared():
    table = table_with([*PLENTY[:10], PLENTY[0]], set=["val", "val", *["train"] * 8, "test"])
    partition, _ = partition_of(table, "columns", shared="unused")
    assert partition.roles[0].tolist() == [UNUSED, VALID, *[TRAIN] * 8, TEST]


def test_the_same_sequence_in_another_context_is_another_input():
    data = pa.table({"sequence": PLENTY[:5] * 2, "mhc": ["a"] * 5 + ["b"] * 5, "y": np.arange(10) + 0.5,
                     "set": ["train"] * 5 + ["test"] * 5})  # fmt: skip
    table = read_table(data, DataSection(sequence=("sequence",), context=("mhc",), alphabet="protein"), ("y",))
    partition, _ = partition_of(table, "columns")
    assert partition.counts(0)["test"] == 5


# Rows without a target


def test_rows_without_any_target_are_unused_with_a_reason():
    table = table_with(PLENTY[:40])
    targets = np.zeros((40, 2))
    targets[:6, 0] = np.nan
    targets[3:6, 1] = np.nan
    partition, audit = partition_of(table, "random", targets=targets, folds=2)
    assert partition.rows(0, UNUSED).tolist() == partition.rows(1, UNUSED).tolist() == [3, 4, 5]
    assert audit.facts["unused"] == {"no target": 3}


def test_the_reasons_of_unused_rows_are_kept_row_by_row():
    table = shared_table()
    targets = np.zeros((14, 1))
    targets[5] = np.nan
    partition, _ = partition_of(table, "columns", targets=targets, shared="unused")
    written = partition.as_table(table)
    reasons = dict(zip(written["row"].to_pylist(), written["reason"].to_pylist(), strict=True))
    assert {row: why for row, why in reasons.items() if why} == {
        1: "same inputs as a test row", 2: "same inputs as a test row", 6: "no target",
    }  # fmt: skip


# Files


def test_the_partition_file_has_a_line_for_every_row_and_fold():
    table = table_with(PLENTY[:20])
    partition, _ = partition_of(table, "random", folds=2)
    written = partition.as_table(table)
    assert {"row", "id", "fold", "role", "reason"} <= set(written.column_names)
    assert written.num_rows == 40
    assert written["row"].to_pylist() == list(range(1, 21)) * 2
    assert written["id"].to_pylist()[:2] == ["row-1", "row-2"]
    assert written["fold"].to_pylist() == [0] * 20 + [1] * 20
    for fold in range(2):
        roles = np.array(written["role"].to_pylist()[fold * 20 : fold * 20 + 20])
        assert np.flatnonzero(roles == "test").tolist() == partition.rows(fold, TEST).tolist()
    assert set(written["reason"].to_pylist()) == {""}


def test_the_audit_is_plain_json():
    import json

    _, audit = partition_of(shared_table(), "columns", shared="allow")
    facts = json.loads(json.dumps(audit.as_json()))
    assert facts["splitter"]["kind"] == "columns"
    assert facts["folds"][0]["counts"] == {"train": 9, "valid": 1, "test": 4, "unused": 0}
    assert facts["findings"][0]["code"] == "shared-inputs"


# A second table as test rows


@pytest.fixture
def joined(tmp_path):
    """Two CSV files, read as a training and a test table."""

    def read(main, test, **section):
        for name, columns in (("main", main), ("test", test)):
            pa.csv.write_csv(pa.table(columns), tmp_path / f"{name}.csv")
        paths = {"table": str(tmp_path / "main.csv"), "test": str(tmp_path / "test.csv")}
        return read_tables(DataSection(**paths, alphabet="protein", **section), ("y",))

    return read


def numbers(n):
    return np.arange(n) + 0.5


def test_rows_of_the_second_table_are_the_test_rows_numbered_on(joined):
    table = joined(
        {"sequence": PLENTY[:10], "y": numbers(10)}, {"y": numbers(3), "sequence": PLENTY[10:13], "more": [1, 2, 3]}
    )
    assert table.data[SET_COLUMN].to_pylist() == ["train"] * 10 + ["test"] * 3
    assert table.row_numbers.tolist() == list(range(1, 14))
    assert table.sequences().to_pylist() == PLENTY[:13]
    partition, _ = partition_of(table, "columns")
    assert partition.rows(0, TEST).tolist() == [10, 11, 12]
    assert any("3 test rows were joined from test.csv" in each.message for each in table.findings)


def test_findings_of_the_second_table_name_it_once(joined):
    table = joined(
        {"sequence": PLENTY[:10], "y": numbers(10)}, {"sequence": ["acdefgh", *PLENTY[11:13]], "y": numbers(3)}
    )
    (lower,) = [each for each in table.findings if each.code == "lower-case"]
    assert lower.message.count("test.csv") == 1


def test_own_test_rows_of_the_training_table_are_set_aside(joined):
    main = {
        "sequence": PLENTY[:8],
        "y": numbers(8),
        "set": ["train", "train", "test", "Testing", "test ", "val", "train", ""],
        "validation": [True, False, True, False, False, False, False, False],
    }
    table = joined(main, {"sequence": PLENTY[10:12], "y": numbers(2)}, set="set")
    partition, _ = partition_of(table, "columns")
    assert partition.roles[0].tolist() == [VALID, TRAIN, UNUSED, UNUSED, UNUSED, VALID, TRAIN, UNUSED, TEST, TEST]


def test_a_filter_applies_to_both_tables_and_rows_keep_their_numbers(joined):
    table = joined(
        {"sequence": PLENTY[:10], "y": numbers(10)}, {"sequence": PLENTY[10:13], "y": numbers(3)}, where="y > 1"
    )
    assert table.row_numbers.tolist() == [*range(2, 11), 12, 13]


def test_a_second_table_without_a_needed_column_or_of_another_type_is_refused(joined):
    with pytest.raises(DataError, match="'y'"):
        joined({"sequence": PLENTY[:10], "y": numbers(10)}, {"sequence": PLENTY[10:12], "z": numbers(2)})
    with pytest.raises(
        DataError, match=r"test\.csv: column 'y' is (large_)?string there and double in the training table"
    ):
        joined({"sequence": PLENTY[:10], "y": numbers(10)}, {"sequence": PLENTY[10:12], "y": ["low", "high"]})


def test_pairs_of_the_published_test_set_are_found_among_the_thinned_training_pairs(data):
    mhc = data / "mhc"
    section = DataSection(
        table=str(mhc / "bdata.20130222.mhci.VALID.9.CDHIT.txt"), test=str(mhc / "bdata.2013.mhci.public.blind.1.txt")
    )
    table = read_tables(section, ("meas",))
    scores = find_target(table, TargetSection(transform="log50k")).read(table)
    with pytest.raises(LeakError, match=r"^16,479 shared pairs \(mhc, sequence\)"):
        partition_of(table, "columns", targets=scores)
    partition, _ = partition_of(table, "columns", targets=scores, shared="unused")
    counts = partition.counts(0)
    assert counts["unused"] == 16_479
    assert counts["test"] == 27_680
    assert counts["train"] + counts["valid"] == 87_970

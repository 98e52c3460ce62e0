"""The table's own columns, and a second table, as the partition."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from seqloom.errors import ConfigError, DataError, LeakError
from seqloom.joined import SET_COLUMN, read_tables
from seqloom.split.base import TEST, TRAIN, UNUSED, VALID
from seqloom.table import DataSection, read_table
from seqloom.target import TargetSection, find_target
from split_tables import PLENTY, parted, table_of

# --- columns ----------------------------------------------------------------------------------------------------------


def test_the_words_of_a_column_give_the_parts():
    words = ["train", "Training", " TEST ", "testing", "val", "valid", "Validation", "dev", "pred", None, "train"]
    partition, audit = parted(table_of(PLENTY[:11], set=pa.array(words, pa.string())), "columns")
    names = np.array(["train", "valid", "test", "unused"])[partition.roles[0]]
    assert names.tolist() == ["train"] * 2 + ["test"] * 2 + ["valid"] * 4 + ["unused"] * 2 + ["train"]
    assert audit.facts["unused"] == {"column 'set' gives it no part": 2}


def test_unknown_words_are_named_with_the_nearest_known_one():
    table = table_of(PLENTY[:4], set=["train", "tset", "odd", "test"])
    with pytest.raises(DataError) as caught:
        parted(table, "columns")
    assert (
        "column 'set': 2 values are not train, valid, test or pred, first 'tset' at row 2; did you mean 'test'?"
        in str(caught.value)
    )


def test_validation_marks_training_rows_only():
    words = ["train", "train", "test", "train", "train", "train"]
    marks = [True, False, True, None, False, False]
    partition, _ = parted(table_of(PLENTY[:6], set=words, validation=pa.array(marks)), "columns")
    assert partition.roles[0].tolist() == [VALID, TRAIN, TEST, TRAIN, TRAIN, TRAIN]


def test_without_valid_rows_some_training_rows_are_set_aside():
    partition, _ = parted(table_of(PLENTY[:50], set=["train"] * 40 + ["test"] * 10), "columns")
    assert partition.counts(0) == {"train": 36, "valid": 4, "test": 10, "unused": 0}


def test_a_column_without_test_or_training_rows_is_refused():
    for word, missing in (("train", "test"), ("test", "train")):
        table = table_of(PLENTY[:5], set=[word] * 5)
        with pytest.raises(DataError, match=f"fold 0 has no {missing} rows among 5; use fewer folds"):
            parted(table, "columns")


def test_a_split_by_columns_asks_for_the_column():
    with pytest.raises(ConfigError, match=r"name it with --set data\.set=COLUMN"):
        parted(table_of(PLENTY[:5]), "columns")


def test_the_flip_columns_give_the_published_counts(data):
    table = read_table(data / "fitness/flip_gb1/sampled.csv.gz", DataSection(), ("target",))
    partition, _ = parted(table, "columns", targets=table.numeric("target")[:, None])
    assert partition.counts(0) == {"train": 6988 - 699, "valid": 699, "test": 1745, "unused": 0}


# --- a second table as test rows -------------------------------------------------------------------------------------


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
    partition, _ = parted(table, "columns")
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
    partition, _ = parted(table, "columns")
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
        parted(table, "columns", targets=scores)
    partition, _ = parted(table, "columns", targets=scores, shared="unused")
    counts = partition.counts(0)
    assert counts["unused"] == 16_479
    assert counts["test"] == 27_680
    assert counts["train"] + counts["valid"] == 87_970

"""What holds of every partition, whoever made it: inner splits, shared inputs, rows without a target, and its file."""

from hashlib import blake2b

import numpy as np
import pyarrow as pa
import pytest

from seqloom.errors import LeakError
from seqloom.split.base import TEST, TRAIN, UNUSED, VALID
from seqloom.split.deal import deal, inner_split, smallest_unit
from seqloom.table import DataSection, read_table
from split_tables import PLENTY, assigned, parted, table_of


def test_the_inner_split_takes_a_tenth_and_whole_units():
    units = np.arange(200) // 2
    chosen = inner_split(units, None, seed=0)
    assert chosen.sum() == 20
    assert (chosen[::2] == chosen[1::2]).all()
    assert not inner_split(np.arange(3), None, 0).any()
    assert not inner_split(np.zeros(50, int), None, 0).any()
    assert smallest_unit(np.array([5, 5, 9, 2, 2]), 0) == 9


def test_a_large_unit_of_many_classes_counts_for_each_of_its_rows():
    """Rows 0 to 599 are one unit with 20 of the 120 rows of class 1: the first of them, and the others of 400 rows alone."""
    units = np.concatenate([np.zeros(600, int), 1 + np.arange(400)])
    classes = np.concatenate([np.arange(600) < 20, np.arange(400) < 100]).astype(float)
    parts = deal(units, classes, [0.8, 0.2], seed=0)
    assert (parts[:600] == 0).all()
    assert [int(((parts == 1) & (classes == each)).sum()) for each in (0, 1)] == [176, 24]


@pytest.mark.parametrize("seed", range(3))
def test_units_of_mixed_classes_leave_every_part_its_share_of_each_class(seed):
    rng = np.random.default_rng(seed)
    units = rng.integers(0, 150, 600)
    classes = (rng.random(600) < 0.2).astype(float)
    parts = deal(units, classes, [0.8, 0.2], seed)
    assert all(len(set(parts[units == each])) == 1 for each in np.unique(units))
    for each in (0, 1):
        assert (parts[classes == each] == 1).mean() == pytest.approx(0.2, abs=0.04)


# Valid rows where training rows hang together


def relatives(n_together=300, n_alone=100):
    """A group of most rows, and rows without a group."""
    return table_of(PLENTY[: n_together + n_alone], family=pa.array(["a"] * n_together + [None] * n_alone, pa.string()))


def test_valid_rows_are_whole_units_as_long_as_these_are_enough():
    partition, audit = parted(relatives(), "group")
    assert partition.counts(0) == {"train": 300, "valid": 20, "test": 80, "unused": 0}
    assert "related-valid-rows" not in [each.code for each in audit.findings]


def test_valid_rows_are_dealt_from_a_unit_that_leaves_too_few_and_that_is_said():
    table = relatives(n_together=330, n_alone=70)
    partition, audit = parted(table, "group")
    tested = partition.rows(0, TEST)
    assert (len(tested), tested.min()) == (70, 330)  # no row of the group is tested
    assert partition.counts(0)["valid"] == 33
    (found,) = [each for each in audit.findings if each.code == "related-valid-rows"]
    assert (found.severity, found.count) == ("warning", 1)
    assert "fold 0: related training rows hang together" in found.message
    assert "at random" in found.message


def test_every_class_has_valid_rows_where_it_has_training_rows_to_spare():
    classes = np.concatenate([np.arange(300) % 3 == 0, np.zeros(100)]).astype(float)
    partition, audit = parted(relatives(), "group", classes)
    valid = partition.rows(0, VALID)
    assert classes[valid].sum() == 10
    assert "related-valid-rows" in [each.code for each in audit.findings]


def test_nested_folds_divide_a_unit_that_would_be_most_of_one_of_them():
    partition, audit = parted(relatives(n_together=330, n_alone=70), "group", inner=3)
    assert [partition.counts(fold)["valid"] for fold in range(3)] == [110] * 3
    (found,) = [each for each in audit.findings if each.code == "related-valid-rows"]
    assert "folds 0, 1, 2" in found.message


# Rows that stand on both sides

SHARED = ["train"] * 10 + ["test"] * 4


def shared_table():
    """Rows 1 and 2 are training rows that come again as rows 11 and 12, which are test rows."""
    return table_of([*PLENTY[:10], PLENTY[0], PLENTY[1], *PLENTY[20:22]], set=SHARED)


def test_shared_inputs_stop_and_say_how_many_and_what_to_type():
    with pytest.raises(LeakError) as caught:
        parted(shared_table(), "columns")
    message = str(caught.value)
    assert message.startswith("2 shared inputs (sequence): test rows of fold 0 whose inputs also stand in training")
    assert PLENTY[0] in message
    assert "--set split.shared=unused" in message
    assert "--set split.shared=allow" in message


def test_unused_leaves_out_exactly_the_training_rows_that_are_shared():
    partition, audit = parted(shared_table(), "columns", shared="unused")
    assert partition.rows(0, UNUSED).tolist() == [0, 1]
    assert partition.rows(0, TEST).tolist() == [10, 11, 12, 13]
    assert audit.facts["unused"] == {"same inputs as a test row": 2}
    assert [(each.severity, each.count, each.rows) for each in audit.findings] == [("info", 2, (1, 2))]


def test_allow_keeps_them_and_warns():
    partition, audit = parted(shared_table(), "columns", shared="allow")
    assert partition.counts(0)["unused"] == 0
    warning = next(each for each in audit.findings if each.code == "shared-inputs")
    assert (warning.code, warning.severity, warning.count, warning.rows) == ("shared-inputs", "warning", 2, (11, 12))
    assert audit.facts["folds"][0]["shared_inputs"] == 2


def test_valid_rows_count_as_training_when_inputs_are_shared():
    table = table_of([*PLENTY[:10], PLENTY[0]], set=["val", *["train"] * 9, "test"])
    with pytest.raises(LeakError, match="1 shared inputs"):
        parted(table, "columns")


def test_valid_rows_are_left_out_too_when_they_are_shared():
    table = table_of([*PLENTY[:10], PLENTY[0]], set=["val", "val", *["train"] * 8, "test"])
    partition, _ = parted(table, "columns", shared="unused")
    assert partition.roles[0].tolist() == [UNUSED, VALID, *[TRAIN] * 8, TEST]


def test_the_same_sequence_in_another_context_is_another_input():
    data = pa.table({"sequence": PLENTY[:5] * 2, "mhc": ["a"] * 5 + ["b"] * 5, "y": np.arange(10) + 0.5,
                     "set": ["train"] * 5 + ["test"] * 5})  # fmt: skip
    table = read_table(data, DataSection(sequence=("sequence",), context=("mhc",), alphabet="protein"), ("y",))
    partition, _ = parted(table, "columns")
    assert partition.counts(0)["test"] == 5


def test_a_molecule_in_another_spelling_is_the_same_input():
    pytest.importorskip("rdkit", reason="needs rdkit")
    smiles = [*(f"{'C' * n}O" for n in range(2, 12)), "OCC", "c1ccccc1"]
    table = table_of(smiles, alphabet="smiles", set=[*["train"] * 10, "test", "test"])
    with pytest.raises(
        LeakError, match=r"^1 shared inputs .* stand in training \(molecules in whatever spelling\), .* OCC;"
    ):
        parted(table, "columns")
    partition, audit = parted(table, "columns", shared="unused")
    assert partition.rows(0, UNUSED).tolist() == [0]
    assert audit.facts["unused"] == {"same inputs as a test row": 1}


# Rows without a target


def test_rows_without_any_target_are_unused_with_a_reason():
    table = table_of(PLENTY[:40])
    targets = np.zeros((40, 2))
    targets[:6, 0] = np.nan
    targets[3:6, 1] = np.nan
    partition, audit = parted(table, "random", targets=targets, folds=2)
    assert partition.rows(0, UNUSED).tolist() == partition.rows(1, UNUSED).tolist() == [3, 4, 5]
    assert audit.facts["unused"] == {"no target": 3}


def test_the_reasons_of_unused_rows_are_kept_row_by_row():
    table = shared_table()
    targets = np.zeros((14, 1))
    targets[5] = np.nan
    partition, _ = parted(table, "columns", targets=targets, shared="unused")
    written = partition.as_table(table)
    reasons = dict(zip(written["row"].to_pylist(), written["reason"].to_pylist(), strict=True))
    assert {row: why for row, why in reasons.items() if why} == {
        1: "same inputs as a test row", 2: "same inputs as a test row", 6: "no target",
    }  # fmt: skip


# Files


def test_the_partition_file_has_a_line_for_every_row_and_fold():
    table = table_of(PLENTY[:20])
    partition, _ = parted(table, "random", folds=2)
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


def test_the_file_knows_molecules_by_their_text_so_that_older_files_hold():
    table = table_of([*(f"{'C' * n}O" for n in range(1, 12)), "OCC"], alphabet="smiles")
    written = assigned(table, "random").as_table(table)
    for row, text in ((1, "CCO"), (11, "OCC")):
        known = blake2b(repr((text,)).encode(), digest_size=8).digest()
        assert written["inputs"][row].as_py() == int.from_bytes(known, "little")


def test_the_audit_is_plain_json():
    import json

    _, audit = parted(shared_table(), "columns", shared="allow")
    facts = json.loads(json.dumps(audit.as_json()))
    assert facts["splitter"]["kind"] == "columns"
    assert facts["folds"][0]["counts"] == {"train": 9, "valid": 1, "test": 4, "unused": 0}
    assert facts["findings"][0]["code"] == "shared-inputs"

"""Rows of equal inputs as one row: what stands for them, what is dropped, what is said."""

import math
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding
from seqloom.joined import read_tables
from seqloom.registry import validated
from seqloom.replicates import aggregated
from seqloom.table import DataSection, Table, read_table

RULES = ("mean", "median", "first", "drop-conflicting")
SEQUENCES = ["MKV", "MKW", "MKV", "MKA", "MKW", "MKV", "MKC", "MKC"]
Y = [1.0, 5.0, 2.0, 7.0, 5.0, 6.0, None, 8.0]


def read(columns: dict[str, object], rule: str = "keep", **section: object) -> Table:
    return read_table(pa.table(columns), DataSection(replicates=rule, **section))


def found(table: Table, code: str) -> Finding:
    matching = [each for each in table.findings if each.code == code]
    assert len(matching) == 1, [each.code for each in table.findings]
    return matching[0]


def held(table: Table, target: str = "y") -> dict[str, object]:
    return dict(zip(table.sequences().to_pylist(), table.data[target].to_pylist(), strict=True))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("mean", {"MKV": 3.0, "MKW": 5.0, "MKA": 7.0, "MKC": 8.0}),
        ("median", {"MKV": 2.0, "MKW": 5.0, "MKA": 7.0, "MKC": 8.0}),
        ("first", {"MKV": 1.0, "MKW": 5.0, "MKA": 7.0, "MKC": 8.0}),
        ("drop-conflicting", {"MKW": 5.0, "MKA": 7.0, "MKC": 8.0}),
    ],
)
def test_numbers_are_merged_by_the_rule(rule: str, expected: dict[str, float]):
    table = read({"sequence": SEQUENCES, "y": Y}, rule)
    assert held(table) == expected
    assert list(held(table)) == list(expected), "groups stand in the order of their first rows"


def test_kept_rows_stay_as_they_are():
    table = read({"sequence": SEQUENCES, "y": Y})
    assert table.n_rows == 8
    assert aggregated(table, "keep") is table


def test_what_was_merged_and_dropped_is_said():
    merged = found(read({"sequence": SEQUENCES, "y": Y}, "mean"), "replicates-merged")
    assert (merged.severity, merged.count, merged.rows) == ("info", 7, (1, 2, 3, 5, 6))
    assert (
        "7 rows of equal inputs were merged into 3 by [data] replicates = 'mean': the mean of the target"
        in merged.message
    )
    assert "all other columns of the first row" in merged.message
    dropped = found(read({"sequence": SEQUENCES, "y": Y}, "drop-conflicting"), "replicates-dropped")
    assert (dropped.severity, dropped.count, dropped.rows) == ("warning", 3, (1, 3, 6))
    assert "3 rows of equal inputs in 1 group were dropped" in dropped.message
    assert "they differ in their target" in dropped.message


def test_other_columns_and_row_numbers_are_those_of_the_first_row():
    table = read({"id": list("abcdefgh"), "sequence": SEQUENCES, "lab": list("pqrstuvw"), "y": Y}, "median")
    assert table.ids.to_pylist() == ["a", "b", "d", "g"]
    assert table.data["lab"].to_pylist() == ["p", "q", "s", "v"]
    assert table.row_numbers.tolist() == [1, 2, 4, 7]


def test_classes_go_by_majority_and_ties_are_dropped():
    columns: dict[str, object] = {
        "sequence": ["MKV"] * 3 + ["MKW"] * 2 + ["MKA"] * 3 + ["MKC"],
        "label": ["no", "yes", "yes", "no", "yes", "no", None, "no", "yes"],
    }
    for rule in ("mean", "median"):
        table = read(columns, rule)
        assert held(table, "label") == {"MKV": "yes", "MKA": "no", "MKC": "yes"}
        assert "the most frequent class" in found(table, "replicates-merged").message
        dropped = found(table, "replicates-dropped")
        assert (dropped.count, dropped.rows) == (2, (4, 5))
        assert "tie between classes" in dropped.message
    assert held(read(columns, "first"), "label") == {"MKV": "no", "MKW": "no", "MKA": "no", "MKC": "yes"}
    assert held(read(columns, "drop-conflicting"), "label") == {"MKA": "no", "MKC": "yes"}


def test_whole_numbers_that_are_classes_are_never_averaged():
    sequences = ["MKV", "MKV", "MKV"] + [f"MK{letter}W" for letter in "ACDEFGHIKLMNPQRSTVWY"]
    table = read({"sequence": sequences, "label": [0, 1, 1] + [0, 1] * 10}, "mean")
    assert held(table, "label")["MKV"] == 1
    assert table.data["label"].type == pa.int64()


def test_of_several_targets_each_is_merged_by_itself():
    columns: dict[str, object] = {
        "smiles": ["CCO", "CCO", "CCN", "CCN", "CCC"], "a": [1.5, 2.5, None, None, 9.5], "b": [None, 4.5, 6.5, 6.5, 8.5],
    }  # fmt: skip
    table = read(columns, "mean")
    assert (held(table, "a"), held(table, "b")) == (
        {"CCO": 2.0, "CCN": None, "CCC": 9.5}, {"CCO": 4.5, "CCN": 6.5, "CCC": 8.5},
    )  # fmt: skip
    table = read(columns, "drop-conflicting")
    assert held(table, "a") == {"CCO": None, "CCN": None, "CCC": 9.5}
    assert held(table, "b") == {"CCO": 4.5, "CCN": 6.5, "CCC": 8.5}
    assert (
        "the value of the target they agree on (1 in conflict were emptied)"
        in found(table, "replicates-merged").message
    )


def test_rows_of_other_sets_signs_and_contexts_are_never_merged():
    columns = {"sequence": ["MKV"] * 4, "y": [1.0, 2.0, 3.0, 4.0]}
    sets = read({**columns, "set": ["train", "train", "test", "test"]}, "mean")
    assert list(zip(sets.data["set"].to_pylist(), sets.data["y"].to_pylist(), strict=True)) == [
        ("train", 1.5),
        ("test", 3.5),
    ]
    signs = read({**columns, "inequality": ["=", ">", "=", ">"]}, "mean")
    assert signs.data["y"].to_pylist() == [2.0, 3.0]
    alleles = read({**columns, "allele": ["A", "B", "B", "B"]}, "mean")
    assert alleles.data["y"].to_pylist() == [1.0, 3.0]
    marked = read(
        {**columns, "set": ["train", "train", "train", "test"], "validation": [True, None, None, None]}, "mean"
    )
    assert marked.data["y"].to_pylist() == [1.0, 2.5, 4.0]


def test_sequences_are_compared_as_they_are_read():
    table = read({"sequence": ["mkv*", "MKV", "MKW"], "y": [1.0, 2.0, 3.0]}, "mean")
    assert held(table) == {"MKV": 1.5, "MKW": 3.0}


def test_values_that_agree_are_kept_to_the_last_bit():
    y = [0.1] * 3 + [0.7]
    assert (0.1 + 0.1 + 0.1) / 3 != 0.1
    assert held(read({"sequence": ["MKV"] * 3 + ["MKW"], "y": y}, "mean"))["MKV"] == 0.1


def test_nothing_left_is_refused_with_a_way_out():
    with pytest.raises(
        DataError, match=r"leaves no row: the targets of all equal inputs differ; use --set data.replicates=mean"
    ):
        read({"sequence": ["MKV", "MKV", "MKW", "MKW"], "y": [1.0, 2.0, 3.0, 4.5]}, "drop-conflicting")


def test_rows_to_predict_are_never_merged():
    table = read_table(pa.table({"sequence": SEQUENCES, "y": Y}), DataSection(replicates="mean"), for_prediction=True)
    assert table.n_rows == 8


def test_a_table_with_an_error_is_left_for_the_error_to_be_said():
    sequences = [f"MK{letter}" for letter in "ACDEFGHIKL"] * 2
    table = read(
        {"sequence": sequences, "y": [str(row / 2) for row in range(19)] + ["low"]}, "mean", sequence=("sequence",)
    )
    assert table.n_rows == 20
    assert found(table, "not-a-number").severity == "error"


def test_a_train_and_a_test_table_are_merged_each_by_itself(tmp_path: Path):
    (tmp_path / "train.csv").write_text("sequence,y\nMKVLAA,1\nMKWLAA,5\nMKALAA,7\n")
    (tmp_path / "test.csv").write_text("sequence,y\nMKVLAA,1\nMKVLAA,2\nMKCLAA,4\n")
    section = DataSection(table=str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"), replicates="mean")
    table = read_tables(section)
    assert table.data["y"].to_pylist() == [1, 5, 7, 1.5, 4]
    assert table.data[table.roles.set].to_pylist() == ["train"] * 3 + ["test"] * 2


def test_an_unknown_rule_names_those_there_are():
    with pytest.raises(ConfigError, match="'keep', 'mean', 'median', 'first' or 'drop-conflicting'"):
        validated(DataSection, {"replicates": "average"}, "[data]")


@pytest.mark.parametrize("rule", RULES)
def test_numbers_agree_with_a_slow_loop(rule: str):
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 120, 400)
    y = np.where(rng.uniform(size=400) < 0.2, np.nan, np.round(rng.normal(size=400), 1))
    sequences = ["MKV" + "ACDEFGHIKLMN"[key // 12] + "ACDEFGHIKLMN"[key % 12] for key in keys]
    rows: dict[str, list[float]] = {}
    for sequence, value in zip(sequences, y, strict=True):
        rows.setdefault(sequence, []).extend([] if math.isnan(value) else [float(value)])
    expected: dict[str, float | None] = {}
    for sequence, values in rows.items():
        if rule == "drop-conflicting" and len(set(values)) > 1:
            continue
        stands = {"mean": statistics.fmean, "median": statistics.median}.get(rule, lambda values: values[0])
        expected[sequence] = stands(values) if values else None
    table = read({"sequence": sequences, "y": pa.array(y, mask=np.isnan(y))}, rule)
    assert list(held(table)) == list(expected)
    np.testing.assert_allclose(
        np.array(list(held(table).values()), float), np.array(list(expected.values()), float), rtol=1e-12
    )


def test_majorities_agree_with_a_slow_loop():
    rng = np.random.default_rng(1)
    sequences = ["MKV" + "ACDEFGHIKLMN"[key] + "WY" for key in rng.integers(0, 12, 60)]
    labels = rng.choice(["a", "b", "c"], 60).tolist()
    expected = {}
    for sequence in dict.fromkeys(sequences):
        votes = Counter(label for each, label in zip(sequences, labels, strict=True) if each == sequence).most_common()
        if len(votes) == 1 or votes[0][1] > votes[1][1]:
            expected[sequence] = votes[0][0]
    assert held(read({"sequence": sequences, "label": labels}, "mean"), "label") == expected


# --- real tables -----------------------------------------------------------------------------------------------------


def test_proteins_measured_twice_become_one(data: Path):
    path = data / "solubility" / "esol_train.csv"
    kept, merged = read_table(path), read_table(path, DataSection(replicates="mean"))
    assert (kept.n_rows, merged.n_rows) == (2364, 2352)
    assert len(set(merged.sequences().to_pylist())) == 2352
    assert {"replicates", "replicates-merged"} <= {each.code for each in merged.findings}
    sequences, y = kept.sequences().to_pylist(), kept.numeric("solubility")
    for sequence, count in Counter(sequences).items():
        if count > 1:
            own = [value for each, value in zip(sequences, y, strict=True) if each == sequence]
            assert held(merged, "solubility")[sequence] == pytest.approx(statistics.fmean(own))


def test_conflicting_labels_are_settled_or_dropped(data: Path):
    path = data / "peptides" / "tox_toxinpred.csv"
    kept = read_table(path)
    distinct = len(set(kept.sequences().to_pylist()))
    table = read_table(path, DataSection(replicates="drop-conflicting"))
    n_conflicting = found(kept, "conflicting-targets").count
    assert found(table, "replicates-dropped").count == n_conflicting
    assert table.n_rows == distinct - n_conflicting // 2
    assert "conflicting-targets" not in {each.code for each in read_table(table.data).findings}

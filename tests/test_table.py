"""Table: what its accessors give, what is found about its rows, and how fast it is read."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from seqloom.errors import DataError
from seqloom.findings import Finding, raise_errors
from seqloom.table import DataSection, Table, read_table


def read(columns: dict[str, list[object]], section: DataSection | None = None, targets: tuple[str, ...] = ()) -> Table:
    return read_table(pa.table(columns), section, targets)


def found(table: Table, code: str) -> Finding:
    matching = [each for each in table.findings if each.code == code]
    assert len(matching) == 1, [each.code for each in table.findings]
    return matching[0]


def codes(table: Table) -> list[str]:
    return [each.code for each in table.findings]


SEQUENCES: list[object] = ["MKVLAAGGTW", "ACDEFGHIKL", "MNPQRSTVWY", "GGHHKKLLMM"]
NUMBERS: list[object] = [0.1, 0.2, 0.3, 0.4]
CLEAN: dict[str, list[object]] = {"id": ["a", "b", "c", "d"], "sequence": SEQUENCES, "y": NUMBERS}


# --- accessors -------------------------------------------------------------------------------------------------------


def test_a_clean_table_has_no_findings() -> None:
    table = read(CLEAN)
    assert table.findings == ()
    assert table.n_rows == 4
    assert table.ids.to_pylist() == ["a", "b", "c", "d"]
    assert table.row_numbers.tolist() == [1, 2, 3, 4]


def test_canonical_sequences_have_no_case_no_white_space_and_no_trailing_stop() -> None:
    raw: list[object] = ["mkv laa*", " ACDEF\tGH ", "A*CDEFGH", None, "GG*HHKKLL*", "ACDEFG"]
    table = read({"sequence": raw, "y": [1, 2, 3, 4, 5, 6]})
    assert table.sequences().to_pylist() == ["MKVLAA", "ACDEFGH", "A*CDEFGH", "", "GG*HHKKLL", "ACDEFG"]
    assert table.sequences().null_count == 0
    assert table.data["sequence"].to_pylist() == raw
    rows = {
        code: found(table, code).rows
        for code in ("lower-case", "white-space", "trailing-stop", "inner-stop", "empty-sequence")
    }
    assert rows == {
        "lower-case": (1,), "white-space": (1, 2), "trailing-stop": (1, 5), "inner-stop": (3, 5), "empty-sequence": (4,),
    }  # fmt: skip


def test_smiles_keep_their_case_and_white_space_inside_is_an_error() -> None:
    table = read({"smiles": [" c1ccccc1 ", "CCO ethanol", "CC(=O)O"], "y": [1, 2, 3]})
    assert table.sequences().to_pylist() == ["c1ccccc1", "CCO ethanol", "CC(=O)O"]
    assert found(table, "unknown-symbols").rows == (2,)
    with pytest.raises(DataError, match=r"row 2 \(row-2\): ' ' in 'CCO ethanol'"):
        table.tokens()


def test_tokens_decode_to_the_canonical_sequences() -> None:
    table = read({"sequence": ["mkv*", "AC-DE", "XBZUOJ"], "y": [1, 2, 3]})
    assert table.alphabets["sequence"].decode(table.tokens()) == ["MKV", "AC-DE", "XBZUOJ"]
    assert table.tokens() is table.tokens("sequence")


def test_symbols_outside_the_alphabet_name_row_id_and_symbol() -> None:
    table = read(CLEAN | {"sequence": ["MKVLAAGGTW", "ACD3FGHIKL", "MNPQRSTVWY", "GGHHé?LLMM"]})
    message = found(table, "unknown-symbols").message
    assert "2 of 4 sequences in column 'sequence'" in message
    assert "row 2 (b): '3' in 'ACD3FGHIKL'" in message
    assert "row 4 (d): '?' 'é'" in message
    assert "--set data.alphabet=NAME" in message
    with pytest.raises(DataError, match="row 2"):
        raise_errors(table.findings)


def test_numbers_are_floats_with_nan_where_missing() -> None:
    columns: dict[str, list[object]] = {
        "sequence": SEQUENCES, "y": NUMBERS, "whole": [1, None, 3, 4], "truth": [True, False, None, True],
        "text": ["1.5", "NA", "", " -2e3 "],
    }  # fmt: skip
    table = read(columns)
    np.testing.assert_array_equal(table.numeric("whole"), [1, np.nan, 3, 4])
    np.testing.assert_array_equal(table.numeric("truth"), [1, 0, np.nan, 1])
    np.testing.assert_array_equal(table.numeric("text"), [1.5, np.nan, np.nan, -2000])
    assert table.numeric("whole").dtype == np.float64


def test_a_value_that_is_no_number_names_row_and_value(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "sequence,y,dose\n" + "".join(f"MKVLAC,{i},{i}\n" for i in range(9)) + "MKVLAC,low,x\n", encoding="utf-8"
    )
    table = read_table(path)
    assert "column 'y': 1 of 10 values are no numbers: row 10: 'low'; mend them" in found(table, "not-a-number").message
    with pytest.raises(DataError, match=r"t\.csv: column 'dose': 1 of 10 values are no numbers: row 10: 'x'"):
        table.numeric("dose")
    path.write_text('sequence;y\nMKVLA;"1,5"\nACDEF;2,5\n', encoding="utf-8")
    with pytest.raises(DataError, match="write decimals with a point"):
        read_table(path).numeric("y")


def test_text_reads_as_it_would_be_written() -> None:
    table = read(CLEAN | {"whole": [1, None, 3, 4], "truth": [True, False, None, True], "word": ["a", "", None, "NA"]})
    assert table.text("whole").to_pylist() == ["1", None, "3", "4"]
    assert table.text("truth").to_pylist() == ["true", "false", None, "true"]
    assert table.text("word").to_pylist() == ["a", None, None, "NA"]
    assert table.text("word").type == pa.large_string()


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(DataError, match="has no column 'sequense'; did you mean 'sequence'"):
        read(CLEAN).text("sequense")


def test_input_keys_are_equal_where_all_inputs_are() -> None:
    table = read(
        {
            "sequence": ["MKVLA", "mkvla*", "MKVLA", "MKVLA", "ACDEF"],
            "allele": ["A", "A", "B", "A", None],
            "ph": [7.0, 7, 7, 8, 7],
            "y": [1, 2, 3, 4, 5],
        },
        DataSection(covariates=("ph",)),
    )  # fmt: skip
    keys = table.input_keys().to_pylist()
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert found(table, "duplicate-inputs").rows == (2,)
    assert found(table, "conflicting-targets").rows == (1, 2)


def test_take_keeps_numbers_and_order_and_recomputes_nothing_wrong() -> None:
    table = read(CLEAN)
    taken = table.take(np.array([3, 0]))
    assert taken.row_numbers.tolist() == [4, 1]
    assert taken.ids.to_pylist() == ["d", "a"]
    assert taken.sequences().to_pylist() == [SEQUENCES[3], SEQUENCES[0]]
    assert table.alphabets["sequence"].decode(taken.tokens()) == taken.sequences().to_pylist()
    assert taken.take([1]).ids.to_pylist() == ["a"]
    assert table.take([]).n_rows == 0


def test_a_replaced_column_keeps_its_place() -> None:
    table = read(CLEAN)
    changed = table.with_column("sequence", pa.array(["AAAAA", "CCCCC", "DDDDD", "EEEEE"]))
    assert changed.data.column_names == table.data.column_names
    assert changed.sequences().to_pylist() == ["AAAAA", "CCCCC", "DDDDD", "EEEEE"]
    assert table.sequences().to_pylist() == SEQUENCES
    assert table.with_column("new", pa.array([1, 2, 3, 4])).data.column_names[-1] == "new"


# --- findings --------------------------------------------------------------------------------------------------------


def test_gaps_of_one_length_are_called_an_alignment() -> None:
    table = read(CLEAN | {"sequence": ["MKV-LA", "M--.LA", "MKVWLA", "MKVALA"]})
    finding = found(table, "gaps")
    assert finding.severity == "warning"
    assert "2 of 4" in finding.message
    assert "as in an alignment" in finding.message


def test_ambiguous_symbols_and_long_sequences_are_mentioned() -> None:
    table = read(CLEAN | {"sequence": ["MKVXLA", "MKVULA", "MKVWLA" * 1000, "MKVALA"]})
    assert "U X" in found(table, "ambiguous").message
    assert "longer than 5,000 symbols, the longest 6,000: row 3 (c)" in found(table, "long").message


def test_repeated_identifiers_are_named() -> None:
    table = read(CLEAN | {"id": ["a", "b", "a", None]})
    assert found(table, "duplicate-ids").rows == (3,)
    assert table.ids.to_pylist() == ["a", "b", "a", "row-4"]


def test_conflicts_need_known_targets_that_differ() -> None:
    table = read({"sequence": ["MKVLA", "MKVLA", "ACDEF", "ACDEF", "GGGHH"], "y": [1.0, None, 2.0, 2.0, 3.0]})
    assert found(table, "duplicate-inputs").count == 2
    assert "conflicting-targets" not in codes(table)


def test_missing_targets_are_counted_and_none_at_all_is_an_error() -> None:
    some = read(CLEAN | {"y": [0.1, None, 0.3, None]})
    assert (found(some, "missing-target").severity, found(some, "missing-target").rows) == ("info", (2, 4))
    none = read_table(pa.table({"sequence": SEQUENCES, "y": pa.nulls(4, pa.float64())}), targets=("y",))
    assert found(none, "no-target").severity == "error"


def test_words_for_missing_are_no_class(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sequence,label\nMKVLA,none\nACDEF,NA\nGGGHI,some\n", encoding="utf-8")
    table = read_table(path)
    assert table.text("label").to_pylist() == ["none", None, "some"]


def test_covariates_without_a_finite_number_are_errors() -> None:
    table = read(CLEAN | {"ph": [7.0, None, float("inf"), 8.0]}, DataSection(covariates=("ph",)))
    assert (found(table, "covariate").severity, found(table, "covariate").rows) == ("error", (2, 3))
    words = read(CLEAN | {"ph": ["7", "low", "8", "9"]}, DataSection(covariates=("ph",)))
    assert found(words, "covariate").rows == (2,)


def test_bounds_are_counted() -> None:
    table = read(CLEAN | {"inequality": ["=", ">", "<", ">"]})
    finding = found(table, "inequality")
    assert finding.severity == "info"
    assert "(1 '<', 2 '>')" in finding.message
    assert "beyond its bound a prediction is right" in finding.message
    assert "inequality" not in codes(read(CLEAN | {"inequality": ["="] * 4}))


def test_unused_columns_are_listed_and_kept() -> None:
    table = read(CLEAN | {"note": ["p", "q", "r", "s"], "ph": [7.0, 7, 7, 7]})
    assert "note, ph" in found(table, "unused-columns").message
    assert table.data.column_names == [*CLEAN, "note", "ph"]
    assert table.roles.covariates == ()


def test_findings_name_no_more_than_five_rows() -> None:
    table = read({"sequence": ["mkvla"] * 50, "y": list(range(50))})
    finding = found(table, "lower-case")
    assert finding.count == 50
    assert finding.rows == (1, 2, 3, 4, 5)
    assert finding.message.endswith("row 1, row 2, row 3, row 4, row 5, ...")


# --- speed -----------------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_rows_are_read_in_well_under_a_second(data: Path) -> None:
    path = data / "mhc" / "bdata.20130222.mhci.VALID.9.CDHIT.txt"
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        read_table(path)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1.0


def test_importing_the_table_loads_no_heavy_library() -> None:
    heavy = ("torch", "sklearn", "scipy", "pandas", "pyarrow.parquet")
    code = f"import sys, seqloom.table; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

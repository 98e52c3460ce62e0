"""Corrections to a table by identifier: what changes, what is said, and what is refused with all its reasons."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqloom.errors import DataError
from seqloom.findings import Finding
from seqloom.inspection import inspect
from seqloom.joined import read_tables
from seqloom.sections import read_toml
from seqloom.table import DataSection, Table, read_table

TABLE = """seq_id,protein_sequence,pH,data_source,tm
0,AAAAKAALALLGEAPEIVDIWLPAGWRQPFRVFRLERKGDGVLVGMIKDAGDDTDVTHDSNGK,7.0,lab,75.7
1,AAADGEPLHNEEERAGAGQVGRSLPQESEEQRTGSRPRRRRDLGSRLLSTVVRLGQVLKTRYT,7.0,lab,50.5
2,AAAFSTPRATSYRILSSAGSGSTRADAPQVRRLHTTRDLLAKDYYATLGVAKNASGKEIKKAY,7.0,lab,40.5
3,AAASGLRTAIPAQPLRHLLQPAPRPCLRPFGLLSVRAGSARRSGLLQPPVPCACGCGALVQQV,46.6,lab,7.5
4,AAATKSGPRRQSQGASVRTFTPFYFLVEPVDTLSVRGSSVILNCSAYSEPSPNIEWKKDGTFL,55.5,lab,8.0
5,AAAVLFLIVVTFIPRLQYYYNPLTNSSWKQPGLEAETNMVEQRVQTLLRNTLRNGAIDADKVV,7.0,lab,48.4
"""
UPDATES = """seq_id,protein_sequence,pH,data_source,tm
1,,,,
3,AAASGLRTAIPAQPLRHLLQPAPRPCLRPFGLLSVRAGSARRSGLLQPPVPCACGCGALVQQV,7.5,lab,46.6
4,AAATKSGPRRQSQGASVRTFTPFYFLVEPVDTLSVRGSSVILNCSAYSEPSPNIEWKKDGTFL,8.0,lab,55.5
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(TABLE)
    return tmp_path


def patched(folder: Path, patch: str, table: str = "train.csv", suffix: str = ".csv", **section: object) -> Table:
    (folder / f"fixes{suffix}").write_text(patch)
    return read_table(folder / table, DataSection(patch=str(folder / f"fixes{suffix}"), **section))


def refusal(folder: Path, patch: str, **section: object) -> str:
    with pytest.raises(DataError) as caught:
        patched(folder, patch, **section)
    return str(caught.value)


def found(table: Table, code: str) -> Finding:
    matching = [each for each in table.findings if each.code == code]
    assert len(matching) == 1, [each.code for each in table.findings]
    return matching[0]


# --- what changes ----------------------------------------------------------------------------------------------------


def test_an_update_file_deletes_its_empty_rows_and_corrects_the_others(folder: Path):
    assert {"impossible-values"} <= {each.code for each in read_table(folder / "train.csv").findings}
    table = patched(folder, UPDATES)
    assert table.ids.to_pylist() == ["0", "2", "3", "4", "5"]
    assert table.numeric("pH").tolist() == [7, 7, 7.5, 8, 7]
    assert table.numeric("tm").tolist() == [75.7, 40.5, 46.6, 55.5, 48.4]
    assert table.row_numbers.tolist() == [1, 3, 4, 5, 6], "rows keep their number in the source"
    assert table.data["tm"].type == pa.float64()
    finding = found(table, "patch")
    assert finding.message == "train.csv: patch: 1 rows deleted, 2 rows corrected (pH, tm) by fixes.csv"
    assert (finding.severity, finding.count, finding.rows) == ("info", 3, (2, 4, 5))
    assert "impossible-values" not in {each.code for each in table.findings}


def test_empty_cells_leave_the_value_and_other_rows_are_untouched(folder: Path):
    table = patched(folder, "seq_id,tm\n5,50\n")
    before = read_table(folder / "train.csv")
    assert table.numeric("tm").tolist() == [75.7, 50.5, 40.5, 7.5, 8.0, 50]
    assert table.data.drop_columns("tm").equals(before.data.drop_columns("tm"))
    table = patched(folder, "seq_id,pH,tm\n5,,50\n4,8,\n")
    assert table.numeric("pH").tolist() == [7, 7, 7, 46.6, 8, 7]
    assert table.numeric("tm").tolist() == [75.7, 50.5, 40.5, 7.5, 8.0, 50]


@pytest.mark.parametrize(
    "patch",
    ["seq_id,action\n1,delete\n3,Delete\n", "id,delete\n1,true\n3,TRUE\n", "seq_id,action,tm\n1,delete,\n3,delete,9\n"],
)
def test_rows_are_deleted_by_a_column_that_says_so(folder: Path, patch: str):
    table = patched(folder, patch)
    assert table.ids.to_pylist() == ["0", "2", "4", "5"]
    assert "2 rows deleted, 0 rows corrected by fixes.csv" in found(table, "patch").message


def test_a_column_of_actions_may_stand_beside_corrections(folder: Path):
    table = patched(folder, "seq_id,action,tm\n1,delete,\n3,update,46.6\n4,,55.5\n")
    assert table.numeric("tm").tolist() == [75.7, 40.5, 46.6, 55.5, 48.4]
    table = patched(folder, "seq_id,delete,tm\n1,true,\n3,false,46.6\n")
    assert table.numeric("tm").tolist() == [75.7, 40.5, 46.6, 8, 48.4]


def test_tabs_parquet_and_data_frames_do_as_well(folder: Path):
    expected = patched(folder, UPDATES).data
    assert patched(folder, UPDATES.replace(",", "\t"), suffix=".tsv").data.equals(expected)
    columns = {
        "seq_id": [1, 3, 4], "protein_sequence": pa.nulls(3, pa.string()), "pH": [None, 7.5, 8.0], "tm": [np.nan, 46.6, 55.5],
    }  # fmt: skip
    pq.write_table(pa.table(columns), folder / "fixes.parquet")
    section = DataSection(patch=str(folder / "fixes.parquet"))
    assert read_table(folder / "train.csv", section).data.equals(expected)
    frame = read_table(folder / "train.csv").data
    assert read_table(frame, section).data.equals(expected)
    pq.write_table(frame, folder / "train.parquet")
    assert read_table(folder / "train.parquet", section).data.equals(expected)


def test_numbers_stay_numbers_and_text_stays_text(tmp_path: Path):
    frame = pa.table(
        {"id": ["a", "b"], "sequence": ["MKVLAA", "MKWLAA"], "y": [1, 2], "ok": [True, False], "lab": ["p", "q"]}
    )
    path = tmp_path / "fixes.parquet"

    def corrected(patch: dict[str, list[object]]) -> pa.Table:
        pq.write_table(pa.table(patch), path)
        return read_table(frame, DataSection(patch=str(path)), ("y",)).data

    whole = corrected({"id": ["b"], "y": [5], "ok": [True], "lab": ["r"]})
    assert whole.drop_columns("sequence").to_pydict() == {
        "id": ["a", "b"], "y": [1, 5], "ok": [True, True], "lab": ["p", "r"],
    }  # fmt: skip
    assert (whole["y"].type, whole["ok"].type) == (pa.int64(), pa.bool_())
    assert corrected({"id": ["b"], "y": [5.5]})["y"].to_pylist() == [1.0, 5.5]
    assert corrected({"id": ["b"], "y": ["NA"]})["y"].to_pylist() == [1, None], "NA makes a number missing"


def test_values_that_are_there_already_are_no_corrections(folder: Path):
    table = patched(folder, "seq_id,tm,pH\n0,75.70,7\n5,48.5,7\n")
    assert "0 rows deleted, 1 rows corrected (tm), 1 as they were by fixes.csv" in found(table, "patch").message


def test_rows_of_a_table_without_identifiers_go_by_their_number(tmp_path: Path):
    (tmp_path / "train.csv").write_text("sequence,y\nMKVLAA,1\nMKWLAA,2\nMKALAA,3\n")
    table = patched(tmp_path, "id,y,action\nrow-2,2.5,\nrow-3,,delete\n")
    assert table.numeric("y").tolist() == [1, 2.5]
    assert table.ids.to_pylist() == ["row-1", "row-2"]


def test_any_column_can_be_the_identifier_once_it_is_named(tmp_path: Path):
    (tmp_path / "train.csv").write_text("well,sequence,y\nA1,MKVLAA,1\nA2,MKWLAA,2\n")
    table = patched(tmp_path, "well,sequence\nA2,MKWLAAG\n", id="well")
    assert table.sequences().to_pylist() == ["MKVLAA", "MKWLAAG"]


def test_the_filter_and_the_merging_of_replicates_see_corrected_rows(folder: Path):
    table = patched(folder, UPDATES, where="pH <= 14 and tm > 45")
    assert table.ids.to_pylist() == ["0", "3", "4", "5"]
    assert table.row_numbers.tolist() == [1, 4, 5, 6]
    same = TABLE.splitlines()[1].split(",")[1]
    table = patched(folder, f"seq_id,protein_sequence\n5,{same}\n", replicates="mean")
    assert table.numeric("tm")[0] == pytest.approx((75.7 + 48.4) / 2)


def test_a_fasta_file_can_be_patched(tmp_path: Path):
    (tmp_path / "train.fasta").write_text(">a\nMKVLAA\n>b\nMKWLAA\n>c\nMKALAA\n")
    table = patched(tmp_path, "id,sequence\nb,MKWLAAGG\nc,\n", table="train.fasta")
    assert table.sequences().to_pylist() == ["MKVLAA", "MKWLAAGG"]


def test_the_patch_is_for_the_table_and_not_for_the_test_table(folder: Path):
    (folder / "test.csv").write_text(TABLE.replace("\n0,", "\n90,").replace("\n3,", "\n93,"))
    (folder / "fixes.csv").write_text("seq_id,tm\n0,76\n1,51\n")
    section = DataSection(
        table=str(folder / "train.csv"), test=str(folder / "test.csv"), patch=str(folder / "fixes.csv")
    )
    table = read_tables(section)
    assert table.n_rows == 12
    assert table.numeric("tm")[[0, 1, 6, 7]].tolist() == [76, 51, 75.7, 50.5]


def test_an_index_that_pandas_wrote_is_passed_over(folder: Path):
    assert patched(folder, ",seq_id,tm\n0,5,50\n").numeric("tm").tolist()[-1] == 50


def test_what_was_patched_is_recorded(folder: Path):
    (folder / "fixes.csv").write_text(UPDATES)
    (folder / "experiment.toml").write_text('[data]\ntable = "train.csv"\npatch = "fixes.csv"\n')
    sections = read_toml(folder / "experiment.toml")
    assert sections["data"]["patch"] == (folder / "fixes.csv").as_posix()
    facts = json.loads(json.dumps(inspect(sections)))
    assert facts["patch_source"]["sha256"] == hashlib.sha256(UPDATES.encode()).hexdigest()
    assert facts["patch_source"]["name"] == "fixes.csv"
    assert facts["rows"] == 5
    assert [each["message"] for each in facts["findings"] if each["code"] == "patch"] == [
        "train.csv: patch: 1 rows deleted, 2 rows corrected (pH, tm) by fixes.csv"
    ]


def test_without_a_patch_nothing_is_recorded(folder: Path):
    assert inspect({"data": {"table": str(folder / "train.csv")}})["patch_source"] is None


# --- what is refused -------------------------------------------------------------------------------------------------


def test_identifiers_that_are_not_in_the_table_are_counted_and_named(folder: Path):
    message = refusal(folder, "seq_id,tm\n0,1\n" + "".join(f"{row},1\n" for row in range(90, 97)))
    assert (
        "fixes.csv: 7 of 8 identifiers are not in column 'seq_id' of train.csv: '90', '91', '92', '93', '94', ..."
        in message
    )
    assert "remove these rows, or name the right column with --set data.id=COLUMN" in message


def test_all_that_is_wrong_is_told_at_once(folder: Path):
    message = refusal(folder, "seq_id,tm,PH\n0,1,7\n0,2,7\n77,x,7\n,4,7\n2,high,7\n")
    assert "1 columns are not in train.csv: 'PH'; did you mean 'pH'?" in message
    assert "1 identifiers stand in it more than once: '0'" in message
    assert "1 of 5 identifiers are not in column 'seq_id' of train.csv: '77'" in message
    assert "1 rows have no identifier: row 4" in message
    assert (
        "column 'tm' of train.csv holds numbers, and 2 values of the patch are none: '77': 'x', '2': 'high'" in message
    )


def test_identifiers_that_repeat_in_the_table_are_refused(tmp_path: Path):
    (tmp_path / "train.csv").write_text("id,sequence,y\na,MKVLAA,1\na,MKWLAA,2\nb,MKALAA,3\n")
    assert "1 of its identifiers stand more than once in column 'id' of train.csv: 'a'" in refusal(
        tmp_path, "id,y\na,5\n"
    )
    assert patched(tmp_path, "id,y\nb,5\n").numeric("y").tolist() == [1, 2, 5]


def test_a_table_without_identifiers_asks_for_a_column(tmp_path: Path):
    (tmp_path / "train.csv").write_text("well,sequence,y\nA1,MKVLAA,1\nA2,MKWLAA,2\n")
    message = refusal(tmp_path, "well,y\nA2,3\n")
    assert "train.csv has no column of them; name one with --set data.id=COLUMN (columns: well, sequence, y)" in message
    assert "or call rows row-1, row-2, ... in a column 'id'" in message
    assert "1 of 1 identifiers are not in train.csv: 'row-3'" in refusal(tmp_path, "id,y\nrow-3,3\n")
    assert "no column 'wel'; did you mean 'well'" in refusal(tmp_path, "well,y\nA2,3\n", id="wel")


def test_a_patch_without_the_column_of_identifiers_is_refused(folder: Path):
    assert "no column 'seq_id' or 'id' says which rows of train.csv it is about" in refusal(folder, "seqid,tm\n0,1\n")
    assert "did you mean 'seqid'?" in refusal(folder, "seqid,tm\n0,1\n")


def test_rows_that_ask_for_nothing_or_for_something_unknown_are_refused(folder: Path):
    message = refusal(folder, "seq_id,action,tm\n0,remove,\n1,,\n2,delete,\n")
    assert "1 rows ask for what a patch cannot do: '0': 'remove'; write 'delete'" in message
    assert "1 rows have neither a value nor a word to delete: '1'" in message
    assert "it has identifiers and nothing else; to take these rows out, add a column 'action'" in refusal(
        folder, "seq_id\n0\n"
    )


def test_a_patch_that_deletes_everything_is_refused(folder: Path):
    everything = "seq_id,tm\n" + "".join(f"{row},\n" for row in range(6))
    assert "it deletes every row of train.csv; is it a patch for another table?" in refusal(folder, everything)


def test_truths_are_not_corrected_by_other_words(tmp_path: Path):
    (tmp_path / "train.csv").write_text(
        "id,sequence,ok\n" + "".join(f"r{i},MKVLA{a},{i % 2 == 0}\n" for i, a in enumerate("ACDEFGHIKL"))
    )
    assert "holds true or false, and 1 values of the patch are none: 'r1': 'maybe'" in refusal(
        tmp_path, "id,ok\nr1,maybe\n"
    )
    table = patched(tmp_path, "id,ok\nr1,TRUE\n")
    assert table.data["ok"].to_pylist()[:3] == [True, True, True]


def test_fasta_is_no_patch_and_a_missing_file_is_named(folder: Path):
    assert "a patch is a table (CSV, TSV, Parquet)" in refusal(folder, ">a\nMKVLAA\n")
    with pytest.raises(DataError, match=r"fixs\.csv: there is no such file; did you mean 'fixes\.csv'\?"):
        read_table(folder / "train.csv", DataSection(patch=str(folder / "fixs.csv")))

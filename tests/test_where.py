"""Row filters keep what a Python loop keeps, and say what is wrong with a filter that cannot be used."""

import ast
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqloom.errors import DataError
from seqloom.table import DataSection, read_table

ROWS: list[dict[str, object]] = [
    {"peptide": "SIINFEKL", "mhc": "H-2-Kb", "n": 8, "y": 0.5, "is_in": True, "odd name": "a"},
    {"peptide": "GILGFVFTL", "mhc": "HLA-A*02:01", "n": 9, "y": None, "is_in": False, "odd name": "b"},
    {"peptide": "NLVPMVATV", "mhc": "HLA-A*02:01", "n": 9, "y": -1.0, "is_in": True, "odd name": None},
    {"peptide": "KLGGALQAK", "mhc": "HLA-A*03:01", "n": None, "y": 2.0, "is_in": None, "odd name": "it's"},
    {"peptide": "KLGGALQA KR*", "mhc": "HLA-A*03:01", "n": 10, "y": 2.0, "is_in": True, "odd name": "b"},
]
TABLE = pa.Table.from_pylist(ROWS)


def kept(where: str) -> list[int]:
    return [int(row) for row in read_table(TABLE, DataSection(where=where), ("y",)).row_numbers]


def refused(where: str) -> str:
    with pytest.raises(DataError) as caught:
        kept(where)
    return str(caught.value)


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("mhc == 'HLA-A*02:01'", [2, 3]),
        ('mhc == "HLA-A*02:01" and n == 9 and y < 0', [3]),
        ("mhc != 'H-2-Kb' or n < 9", [1, 2, 3, 4, 5]),
        ("not mhc == 'H-2-Kb'", [2, 3, 4, 5]),
        ("len(peptide) > 8", [2, 3, 4, 5]),
        ("len(peptide) == 10", [5]),  # of the canonical sequence: no white space, no trailing stop
        ("mhc in ('H-2-Kb', 'HLA-A*03:01')", [1, 4, 5]),
        ("mhc not in ['H-2-Kb', 'HLA-A*03:01']", [2, 3]),
        ("n in (8, 10)", [1, 5]),
        ("8 < n <= 10", [2, 3, 5]),
        ("y >= -1 and y <= .5", [1, 3]),
        ("y == -1.0", [3]),
        ("n != 9", [1, 5]),
        ("not n == 9", [1, 5]),
        ("n is None", [4]),
        ("y is not None and (n is None or n == 10)", [4, 5]),
        ("`odd name` == 'b'", [2, 5]),
        ("""`odd name` == "it's" """, [4]),
        ("mhc == '`a`' or n == 8", [1]),
        ("is_in", [1, 3, 5]),
        ("not is_in", [2]),
        ("is_in == True and n > 8", [3, 5]),
        ("n > y", [1, 3, 5]),
        ("  n == 8 ", [1]),
    ],
)
def test_a_filter_keeps_the_rows_it_says(where: str, rows: list[int]) -> None:
    assert kept(where) == rows


numbers = st.sampled_from(["n", "y", "len(peptide)", "8", "9", "0.5", "-1"])
words = st.sampled_from(["mhc", "`odd name`", "peptide", "'b'", "'HLA-A*02:01'"])
operators = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
comparisons = st.builds(lambda a, op, b: f"{a} {op} {b}", numbers, operators, numbers) | st.builds(
    lambda a, op, b: f"{a} {op} {b}", words, operators, words
)
conditions = st.recursive(
    comparisons,
    lambda inner: (
        st.builds(lambda a, b: f"({a} and {b})", inner, inner)
        | st.builds(lambda a, b: f"({a} or {b})", inner, inner)
        | inner.map(lambda a: f"not ({a})")
    ),
    max_leaves=5,
)


def by_loop(text: str, row: dict[str, object]) -> bool:
    """What the filter means for one row, evaluated by Python: a comparison with a missing value is unknown (None)."""
    names = row | {"odd_name": row["odd name"]}
    functions = {"len": lambda text: len(text.replace(" ", "").rstrip("*"))}

    def walk(node: ast.expr) -> bool | None:
        if isinstance(node, ast.BoolOp):
            decisive = isinstance(node.op, ast.Or)
            sides = [walk(each) for each in node.values]
            return decisive if decisive in sides else None if None in sides else not decisive
        if isinstance(node, ast.UnaryOp):
            inner = walk(node.operand)
            return None if inner is None else not inner
        assert isinstance(node, ast.Compare)
        values = [eval(ast.unparse(side), functions, names) for side in (node.left, *node.comparators)]
        return None if None in values else bool(eval(ast.unparse(node), functions, names))

    return walk(ast.parse(text.replace("`odd name`", "odd_name"), mode="eval").body) is True


@settings(deadline=None, max_examples=150)
@given(conditions)
def test_a_filter_keeps_what_a_loop_over_rows_keeps(where: str) -> None:
    expected = [number for number, row in enumerate(ROWS, start=1) if by_loop(where, row)]
    assert kept_or_none(where) in (expected, None)


def kept_or_none(where: str) -> list[int] | None:
    """Kept rows; none where the filter says so; None where it compares constants, which is refused."""
    try:
        return kept(where)
    except DataError as error:
        return [] if "keeps none of 5 rows" in str(error) else None if "both constants" in str(error) else [-1]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("mch == 'H-2-Kb'", ["no column 'mch'", "did you mean 'mhc'?", "columns: peptide, mhc"]),
        ("mhc == HLA", ["no column 'HLA'", "text needs quotes"]),
        ("n == '9'", ["n is a number and '9' is text", "numbers from 8 to 10", "leave out the quotes"]),
        ("mhc == 9", ["mhc is text and 9 is a number", "put 9 in quotes"]),
        ("`odd name` > 3", ["`odd name` is text"]),
        ("is_in == 1", ["compare with True or False"]),
        ("mhc", ["mhc is not a condition"]),
        ("mhc = 'a'", ["cannot be read"]),
        ("n ==", ["cannot be read", "a filter reads like"]),
        ("1 == 1", ["both constants"]),
        ("1 in (1, 2)", ["both constants"]),
        ("n is 9", ["use == to compare"]),
        ("mhc in 'abc'", ["`in` needs a list"]),
        ("len(n) > 3", ["needs a column of text"]),
        ("__import__('os').system('true') == 0", ["is neither a column"]),
        ("(lambda: 1)() == 1", ["is neither a column"]),
        ("n + 1 == 9", ["is neither a column"]),
        ("not " * 3000 + "is_in", ["a filter reads like"]),
        ("mhc == 'HLA-B*07:02'", ["keeps none of 5 rows", "'H-2-Kb', 'HLA-A*02:01', 'HLA-A*03:01'"]),
        ("n > 100", ["keeps none of 5 rows", "column 'n' holds numbers from 8 to 10"]),
    ],
)
def test_a_filter_that_cannot_be_used_is_refused_with_what_to_type(where: str, said: list[str]) -> None:
    message = refused(where)
    for each in said:
        assert each in message


def test_rows_keep_their_numbers_and_findings_speak_of_kept_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sequence,y\nMKV1,1\nACDEF,2\nacdgh,3\n", encoding="utf-8")
    table = read_table(path, DataSection(where="y > 1", alphabet="protein"))
    assert table.row_numbers.tolist() == [2, 3]
    assert table.ids.to_pylist() == ["row-2", "row-3"]
    assert [(each.code, each.rows) for each in table.findings] == [("lower-case", (3,))]

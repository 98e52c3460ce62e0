"""Tables whose rows are one class each, and classes read from FASTA headers."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqloom.errors import ConfigError, DataError
from seqloom.joined import read_tables
from seqloom.table import DataSection, read_table

HEADERS = (
    ">A1 ~~~blaOXA-23~~~OXA-51 family class D beta-lactamase~~~\nMKVLAA\n"
    ">A2 ~~~blaTEM-1~~~broad-spectrum class A beta-lactamase~~~\nMSIQHF\n"
    ">A3 ~~~stxA~~~Shiga toxin~~~\nMKKVVL\n"
)
FAMILY = "~~~[^~]*~~~(?P<family>\\S+) family [^~]*class (?P<class>[A-D])"
GENE = "~~~(?P<family>[^~]*?)(?:-[0-9][^~]*)?~~~[^~]*class (?P<class>[A-D])"


def fasta(folder: Path, text: str, name: str = "amr.fasta") -> str:
    path = folder / name
    path.write_text(text)
    return path.as_posix()


def test_named_groups_of_the_first_pattern_that_matches_become_columns(tmp_path: Path) -> None:
    section = DataSection(header=(FAMILY, GENE))
    table = read_table(fasta(tmp_path, HEADERS), section, ("class",))
    assert table.text("family").to_pylist() == ["OXA-51", "blaTEM", None]
    assert table.text("class").to_pylist() == ["D", "A", None]
    assert any(each.code == "header-unmatched" and "1 of 3" in each.message for each in table.findings)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("class ([A-D])", "every group has a name"), ("class [A-D]", "names no group"), ("(?P<x>", "regular expression")],
)
def test_a_pattern_that_makes_no_column_is_refused(tmp_path: Path, pattern: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_table(fasta(tmp_path, HEADERS), DataSection(header=pattern), ("class",))


def test_a_pattern_that_matches_nothing_shows_the_first_header(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="matches none of 3 headers; the first is 'A1 ~~~blaOXA"):
        read_table(fasta(tmp_path, HEADERS), DataSection(header="(?P<class>nowhere)"), ("class",))


def test_a_pattern_for_headers_needs_headers(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="header is for FASTA files"):
        read_table(fasta(tmp_path, "sequence,y\nMKV,1\n", "t.csv"), DataSection(header=GENE))


def test_rows_of_further_classes_are_added_below(tmp_path: Path) -> None:
    proteome = fasta(tmp_path, "gene,sequence,solubility\nb1,MSTNPK,0.5\nb2,MALWMR,0.7\n", "coli.csv")
    section = DataSection(table=fasta(tmp_path, HEADERS), header=(FAMILY, GENE), add={"none": proteome}, group="family")
    table = read_tables(section, ("class",))
    assert table.text("class").to_pylist() == ["D", "A", None, "none", "none"]
    assert table.ids.to_pylist()[:4] == ["A1", "A2", "A3", "b1"]
    assert table.text("family").to_pylist() == ["OXA-51", "blaTEM", None, None, None]
    assert table.row_numbers.tolist() == [1, 2, 3, 4, 5]
    assert table.source.name == "amr.fasta"
    assert any(each.code == "added-class" and "2 rows of class 'none'" in each.message for each in table.findings)


def test_two_files_are_positives_and_negatives(tmp_path: Path) -> None:
    section = DataSection(
        table=fasta(tmp_path, ">a\nMKVLAA\n>b\nMSIQHF\n"),
        add={"negative": fasta(tmp_path, ">c\nMKKVVL\n>d\nMSTNPK\n>e\nMALWMR\n", "no.fasta")},
    )
    table = read_tables(section)
    assert table.roles.targets == ("class",)
    assert table.text("class").to_pylist() == ["positive", "positive", "negative", "negative", "negative"]
    assert table.ids.to_pylist() == list("abcde")


def test_a_class_cannot_be_added_to_several_targets(tmp_path: Path) -> None:
    table = fasta(tmp_path, "sequence,y,z\nMKV,1,2\nMKL,2,3\n", "t.csv")
    with pytest.raises(ConfigError, match="several targets"):
        read_tables(DataSection(table=table, add={"none": fasta(tmp_path, HEADERS)}), ("y", "z"))

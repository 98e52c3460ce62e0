"""Mutation lists and a wild type become sequences."""

import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutants import OTHER, RESIDUES, WILD, mutated
from seqloom.alphabet import DNA
from seqloom.errors import DataError
from seqloom.findings import raise_errors
from seqloom.joined import read_tables
from seqloom.mutation.notation import holds_lists, read_lists
from seqloom.sections import read_toml
from seqloom.summary import data_facts
from seqloom.table import DataSection, read_table


def lists(*texts):
    return pa.array(list(texts), pa.large_string())


def listed(texts, wild_type=WILD, name="mutant", **section):
    data = pa.table({name: lists(*texts), "y": np.arange(len(texts)) + 0.5})
    return read_table(data, DataSection(wild_type=wild_type, **section))


def sequences(table):
    return table.sequences().to_pylist()


# How lists are written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("G126A", [(126, "G", "A")]),
        ("g126a", [(126, "G", "A")]),
        ("p.G126A", [(126, "G", "A")]),
        ("p.Gly126Ala", [(126, "G", "A")]),
        ("p.(Gly126Ala)", [(126, "G", "A")]),
        ("GLY126ALA", [(126, "G", "A")]),
        ("p.[Gly126Ala;Lys3del]", [(3, "K", "\0"), (126, "G", "A")]),
        ("K3del", [(3, "K", "\0")]),
        ("K3-", [(3, "K", "\0")]),
        ("W24*", [(24, "W", "*")]),
        ("p.Trp24Ter", [(24, "W", "*")]),
        ("p.Gly126=", [(126, "G", "G")]),
        ("A1C,D2E:F3G;H4I/K5L M6N", [(1, "A", "C"), (2, "D", "E"), (3, "F", "G"), (4, "H", "I"), (5, "K", "L"), (6, "M", "N")]),
        (" , A1C ,", [(1, "A", "C")]),
        ("WT", []), ("wt", []), ("_wt", []), ("", []), (None, []), ("p.=", []),
    ],
)  # fmt: skip
def test_a_list_is_read_however_the_field_writes_it(text, expected):
    found, unread = read_lists(lists("A1C", text))
    own = found.where(found.rows == 1)
    assert not unread
    assert list(zip(own.sites.tolist(), map(chr, own.wild), map(chr, own.mutant), strict=True)) == expected


@pytest.mark.parametrize("word", ["G126", "126A", "GG126A", "G0A", "G126AA", "G126fs", "hello", "G-1A", "Xyz1Ala"])
def test_what_is_no_mutation_is_unread(word):
    assert read_lists(lists("A1C", f"A1C,{word}")).unread == {1: word.upper()}


def test_a_column_of_lists_is_told_from_identifiers_and_words():
    assert holds_lists(lists("A1C", "D2E,F3G", "WT"))
    assert not holds_lists(lists("WT", "wt", ""))
    assert not holds_lists(lists("P12345", "Q9Y6K9", "A0A023PXQ4"))
    assert not holds_lists(lists("A", "V", "L"))
    assert not holds_lists(lists("wild type of it", "mutant"))


# Lists and a wild type make sequences


@given(st.data())
def test_a_list_is_applied_as_a_loop_over_its_mutations_would(data):
    first = data.draw(st.integers(1, 300))
    texts, expected = [], []
    for _ in range(data.draw(st.integers(1, 8))):
        sites = data.draw(st.lists(st.integers(0, len(WILD) - 1), unique=True, max_size=5))
        letters, words = list(WILD), []
        for site in sites:
            new = data.draw(st.sampled_from([*RESIDUES, "-"]))
            words.append(f"{WILD[site]}{site + first}{new}")
            letters[site] = new
        texts.append(data.draw(st.sampled_from(",:;/ ")).join(words))
        expected.append("".join(letters).replace("-", ""))
    anchored = [f"{WILD[0]}{first}A", f"{WILD[-1]}{first + len(WILD) - 1}A"]
    table = listed([*texts, *anchored])
    assert sequences(table)[: len(texts)] == expected
    assert table.wild_type.first_site == first
    assert listed([*texts, *anchored], first_site=first).sequences().equals(table.sequences())


def test_the_column_that_was_made_is_named_and_says_how():
    table = listed(["G126A", "N127C", "WT"], name="variant")
    assert table.roles.sequences == ("mutated_sequence",)
    assert table.roles.mutations == "variant"
    assert table.roles.targets == ("y",)
    assert sequences(table)[2] == WILD
    told = data_facts(table, None, DataSection())["roles"]
    assert (
        "column 'variant' applied to the wild type the given wild type (40 residues, sites 126 to 165)"
        in told["reasons"]["mutated_sequence"]
    )
    assert "first site 126: where all wild-type letters agree" in told["reasons"]["mutated_sequence"]
    assert told["mutations"] == "variant"


def test_a_stop_stands_in_its_place_and_a_last_one_is_no_residue():
    assert sequences(listed(["I128*", "G126A", "S165*"])) == [
        mutated(WILD, (3, "*")),
        mutated(WILD, (1, "A")),
        WILD[:-1],
    ]


def test_a_table_with_sequences_keeps_them_and_knows_the_wild_type():
    data = pa.table(
        {"mutant": ["G1A", "N2C"], "sequence": [mutated(WILD, (1, "A")), mutated(WILD, (2, "C"))], "y": [1.0, 2.0]}
    )
    table = read_table(data, DataSection(wild_type=WILD))
    assert table.roles.sequences == ("sequence",)
    assert table.roles.mutations is None
    assert table.wild_type.sequence == WILD


def test_the_likeliest_name_is_taken_of_several_columns_of_lists():
    data = pa.table({"hgvs": ["N127A", "N127C"], "mutations": ["G126A", "G126C"], "y": [1.0, 2.0]})
    assert read_table(data, DataSection(wild_type=WILD, first_site=126)).roles.mutations == "mutations"
    data = pa.table({"odd name": ["G126A", "N127C"], "y": [1.0, 2.0]})
    assert read_table(data, DataSection(wild_type=WILD)).roles.mutations == "odd name"


def test_nucleotides_are_mutated_as_well():
    wild = "ATGGCCAAGTTTGGGCATTAACCGGTATTCGA"
    table = listed(["A1G", "C5T", "A32-"], wild_type=wild)
    assert table.alphabets["mutated_sequence"] is DNA
    assert sequences(table) == [mutated(wild, (1, "G")), mutated(wild, (5, "T")), wild[:-1]]


def test_a_wild_type_is_read_from_fasta_and_its_header_decides_between_offsets(tmp_path):
    fasta = tmp_path / "wt.fasta"
    fasta.write_text(">protein some words\nACDEFACDEF\nGHIKLMNPQR\n")
    texts = ["A10C", "C11D", "D12E"]  # the letters agree at 5 and at 10
    with pytest.raises(
        DataError,
        match=r"agree with the wild type at 2 first sites: 5 \(wt.fasta\), 10 \(wt.fasta\); .*--set data.first_site=N",
    ):
        listed(texts, wild_type=str(fasta))
    assert listed(texts, wild_type=str(fasta), first_site=5).wild_type.first_site == 5
    fasta.write_text(">protein offset=10\nACDEFACDEFGHIKLMNPQR\n")
    assert listed(texts, wild_type=str(fasta)).wild_type.first_site == 10


def test_of_several_records_the_only_one_that_fits_is_taken(tmp_path):
    fasta = tmp_path / "wts.fasta"
    fasta.write_text(f">first\n{OTHER}\n>second\n{WILD}\n")
    table = listed(["G126A", "N127C", "S165A"], wild_type=str(fasta))
    assert (table.wild_type.sequence, table.wild_type.name) == (WILD, "second of wts.fasta")
    fasta.write_text(f">first\n{WILD}\n>second\n{WILD}\n")
    with pytest.raises(
        DataError,
        match=r"at 2 first sites: 126 \(first of wts.fasta\), 126 \(second of wts.fasta\).*FASTA file of that record alone",
    ):
        listed(["G126A", "N127C", "S165A"], wild_type=str(fasta))


def test_a_path_in_an_experiment_file_is_taken_from_its_folder_and_a_sequence_is_none(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text('[data]\nwild_type = "wt.fasta"\n')
    assert read_toml(path)["data"]["wild_type"] == (tmp_path / "wt.fasta").as_posix()
    for setting in (WILD, "data:fitness/wt.fasta"):
        path.write_text(f'[data]\nwild_type = "{setting}"\n')
        assert read_toml(path)["data"]["wild_type"] == setting


def test_the_lists_of_a_second_table_are_told_from_the_same_wild_type(tmp_path):
    for name, texts in (
        ("main", "mutant,y\nG126A,1\nN127C,2\nI128C,3\n"),
        ("test", "mutant,y\nF129C,1\nI130D,2\nK131A,3\n"),
    ):
        (tmp_path / f"{name}.csv").write_text(texts)
    table = read_tables(
        DataSection(table=str(tmp_path / "main.csv"), test=str(tmp_path / "test.csv"), wild_type=WILD), ("y",)
    )
    assert sequences(table)[3:] == [mutated(WILD, (4, "C")), mutated(WILD, (5, "D")), mutated(WILD, (6, "A"))]


# Lists that do not fit


def test_letters_that_disagree_are_named_with_their_rows():
    with pytest.raises(DataError) as caught:
        listed(["G126A", "A127C", "I128C", "W140A", "F129C", "I130C"])
    message = str(caught.value)
    assert "column 'mutant'" in message
    assert "at no first site; at 126, which fits best, 2 rows disagree" in message
    assert "row 2: A127C, and the wild type has N there; row 4: W140A, and the wild type has K there" in message
    assert "--set data.first_site=N" in message


def test_with_a_first_site_single_rows_that_do_not_fit_are_found_and_the_others_read():
    table = listed(["G126A", "A127C", "G300A", "C5A", "N127x9", "G126A:G126C", "WT"], first_site=126)
    (found,) = [each for each in table.findings if each.code == "mutations"]
    assert (found.severity, found.count, found.rows) == ("error", 5, (2, 3, 4, 5, 6))
    for part in (
        "5 of 7 lists in column 'mutant' do not fit the wild type the given wild type (40 residues, sites 126 to 165)",
        "row 2: A127C, and the wild type has N at site 127",
        "row 3: G300A is outside the wild type, which ends at site 165",
        "row 4: C5A is outside the wild type, which begins at 126",
        "row 5: 'N127X9' is no mutation",
        "row 6: G126C, and site 126 is mutated twice",
        "written as G126A, p.Gly126Ala, G126del",
    ):
        assert part in found.message
    assert table.sequences().to_pylist()[::6] == [mutated(WILD, (1, "A")), WILD]
    with pytest.raises(DataError, match="do not fit the wild type"):
        raise_errors(table.findings)


def test_rows_that_a_filter_leaves_out_may_be_wrong():
    table = listed(["G126A", "A127C", "I128C"], first_site=126, where="y != 1.5")
    assert not [each for each in table.findings if each.severity == "error"]
    assert table.row_numbers.tolist() == [1, 3]


def test_a_first_site_at_which_nothing_fits_is_refused_with_the_one_where_all_fit():
    with pytest.raises(
        DataError,
        match=r"3 of 3 lists .*row 1: G126A is outside .*agree if the first site is 126: type --set data.first_site=126",
    ):
        listed(["G126A", "N127C", "S165A"], first_site=1)


def test_a_wild_type_without_lists_and_lists_without_a_wild_type_say_what_is_missing():
    with pytest.raises(DataError, match=r"wild_type is named, and no column holds mutation lists .* among name, y"):
        read_table(pa.table({"name": ["a", "b"], "y": [1.0, 2.0]}), DataSection(wild_type=WILD))
    with pytest.raises(
        DataError, match=r"no column of sequences.*'mutant' holds mutations: .*--set data.wild_type=FILE"
    ):
        read_table(pa.table({"mutant": ["G126A", "N127C"], "y": [1.0, 2.0]}))


def test_a_missing_or_odd_wild_type_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"wt.fasta: there is no such file"):
        listed(["G126A"], wild_type=str(tmp_path / "wt.fasta"))
    (tmp_path / "wt.fasta").write_text(">x\nACD1F\n")
    with pytest.raises(DataError, match=r"wild_type: wt.fasta holds symbols that are no residues"):
        listed(["G126A"], wild_type=str(tmp_path / "wt.fasta"))


# Real lists


def test_all_lists_of_a_real_scan_apply_and_soon(data):
    folder = data / "fitness"
    section = DataSection(wild_type=str(folder / "nn4dms_pab1_wt.fasta"))
    table = read_table(folder / "nn4dms_pab1.tsv", section)
    assert table.n_rows == 40_852
    assert table.wild_type.first_site == 126
    assert not [each for each in table.findings if each.severity == "error"]
    wild = table.wild_type.sequence
    expected = []
    for text in table.text("variant").to_pylist():
        letters = list(wild)
        for word in text.split(","):
            assert letters[int(word[1:-1]) - 126] == word[0]
            letters[int(word[1:-1]) - 126] = word[-1]
        expected.append("".join(letters).rstrip("*"))
    assert sequences(table) == expected
    started = time.perf_counter()
    read_lists(table.data["variant"])
    assert time.perf_counter() - started < 1.0


def test_real_tables_of_lists_alone_ask_for_the_wild_type_and_others_stay_as_they_are(data):
    with pytest.raises(DataError, match=r"'mutant' holds mutations: .*--set data.wild_type=FILE"):
        read_table(data / "fitness" / "deepsequence_DLG4_RAT_PDZ_singles.csv")
    table = read_table(data / "fitness" / "proteingym_B2L11_HUMAN_Dutta_2010.csv")
    assert (table.roles.sequences, table.roles.mutations, table.wild_type) == (("mutated_sequence",), None, None)

"""Mutation lists become sequences, and sequences become families of variants with their wild types."""

import csv
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.tables import peptides
from seqloom.alphabet import DNA, PROTEIN
from seqloom.config import read_toml
from seqloom.errors import DataError
from seqloom.findings import raise_errors
from seqloom.joined import read_tables
from seqloom.mutation.edits import edit_counts, edits, pair_counts, reach
from seqloom.mutation.families import families
from seqloom.mutation.linking import near_groups
from seqloom.mutation.notation import holds_lists, read_lists
from seqloom.summary import data_facts
from seqloom.table import DataSection, read_table

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
WILD = "GNIFIKNLHPDIDNKALYDTFSVFGDILSSKIATDENGKS"  # residues 126 to 165 of the yeast poly(A)-binding protein
OTHER = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRV"


def lists(*texts):
    return pa.array(list(texts), pa.large_string())


def listed(texts, wild_type=WILD, name="mutant", **section):
    data = pa.table({name: lists(*texts), "y": np.arange(len(texts)) + 0.5})
    return read_table(data, DataSection(wild_type=wild_type, **section))


def sequences(table):
    return table.sequences().to_pylist()


def mutated(wild, *changes):
    """`wild` with residues replaced at sites from 1, such as (3, "A")."""
    letters = list(wild)
    for site, residue in changes:
        letters[site - 1] = residue
    return "".join(letters)


def singles(wild, n, seed=0):
    """`n` distinct single mutants."""
    rng = np.random.default_rng(seed)
    found = set()
    while len(found) < n:
        site = int(rng.integers(len(wild)))
        found.add(mutated(wild, (site + 1, RESIDUES[rng.integers(20)])))
        found.discard(wild)
    return sorted(found)


def found_in(texts, alphabet=PROTEIN, **settings):
    return families(alphabet.encode(texts), alphabet, **settings)


def wild_types(found, alphabet=PROTEIN):
    return alphabet.decode(found.wild_types)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


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


# How rows differ from a reference


def applied(reference, found, row):
    """The sequence that the edits of a row make of the reference, by a plain loop."""
    letters = dict(enumerate(reference, start=1))
    inserted = {}
    for site, wild, mutant in zip(*(part[found.rows == row] for part in found[1:]), strict=True):
        if wild == 0:
            inserted.setdefault(int(site), []).append(chr(mutant))
        else:
            assert letters[site] == chr(wild)
            letters[site] = chr(mutant) if mutant else ""
    return "".join(letters[site] + "".join(inserted.get(site, [])) for site in sorted(letters))


def letters_of(text):
    return np.frombuffer(text.encode(), np.uint8)


@given(st.data())
def test_edits_make_every_row_of_the_reference(data):
    from seqloom.tokens import Tokens, ragged_bytes

    texts = []
    for _ in range(data.draw(st.integers(1, 6))):
        changes = data.draw(st.lists(st.tuples(st.integers(2, 40), st.sampled_from(RESIDUES)), max_size=4))
        text = mutated(WILD, *changes)
        start = data.draw(st.integers(2, 35))
        gap = data.draw(st.integers(-4, 4))
        inserted = data.draw(st.text(RESIDUES, min_size=4, max_size=4))
        texts.append(text[:start] + inserted[: max(gap, 0)] + text[start + max(-gap, 0) :])
    tokens = Tokens(*ragged_bytes(texts))
    reference = letters_of(WILD)
    found = edits(reference, tokens)
    counts = edit_counts(reference, tokens)
    for row, text in enumerate(texts):
        assert applied(WILD, found, row) == text or (text[0] != WILD[0] and 1 in found.sites[found.rows == row])
        assert (found.rows == row).sum() == counts[row]
        best = min(
            sum(a != b for a, b in zip(long[:place] + long[place + len(long) - len(short) :], short, strict=True))
            for short, long in [sorted([text, WILD], key=len)]
            for place in range(len(short) + 1)
        )
        assert counts[row] == best + abs(len(text) - len(WILD))
    n_rows = len(texts)
    left, right = np.divmod(np.arange(n_rows**2), n_rows)
    expected = [edit_counts(letters_of(texts[one]), tokens)[other] for one, other in zip(left, right, strict=True)]
    assert pair_counts(tokens, left, right).tolist() == expected


def test_rows_near_each_other_are_joined_as_comparing_all_pairs_would(data):
    texts = [*singles(WILD, 30), *singles(OTHER, 20), *peptides(50), WILD[:7] + WILD[8:], OTHER + "A"]
    texts += [row["sequence"] for row in rows_of(data / "leakage" / "hiv_nfv_resistance.csv")[:150]]
    tokens = PROTEIN.encode(texts)
    from scipy.sparse.csgraph import connected_components

    left, right = np.divmod(np.arange(len(texts) ** 2), len(texts))
    most = reach(np.minimum(tokens.lengths[left], tokens.lengths[right]))
    near = (pair_counts(tokens, left, right) <= most).reshape(len(texts), -1)
    expected = connected_components(near, directed=False)[1]
    label = near_groups(tokens)
    n_groups, n_expected = len(np.unique(label)), len(np.unique(expected))
    assert len(np.unique(np.stack([label, expected]), axis=1).T) == n_groups  # what is joined is joined there, too
    assert n_expected <= n_groups <= n_expected + 2  # two viruses share no block with those they are compared with


@pytest.mark.parametrize(
    "name", ["leakage/hiv_nfv_resistance.csv", "leakage/hiv_v3_tropism.csv", "peptides/acp_mlacp.csv"]
)
def test_no_row_outside_families_is_a_mutant_of_a_wild_type(data, name):
    texts = [row["sequence"] for row in rows_of(data / name)]
    found = found_in(texts)
    outside = PROTEIN.encode(
        [text for text, label in zip(texts, found.label, strict=True) if label < 0 and len(text) >= 18]
    )
    for wild in wild_types(found):
        counts = edit_counts(PROTEIN.encode([wild]).values, outside)
        same = outside.lengths == len(wild)
        assert (counts[same] > reach(len(wild))).all()


# Families


def test_single_mutants_vouch_for_their_wild_type_whether_or_not_it_is_a_row():
    for texts in (singles(WILD, 12), [*singles(WILD, 12), WILD]):
        found = found_in(texts)
        assert wild_types(found) == [WILD]
        assert found.certain.tolist() == [True]
        assert found.label.tolist() == [0] * len(texts)
        assert found.edits.tolist() == [int(text != WILD) for text in texts]


def test_each_family_has_its_wild_type_and_strangers_have_none():
    strangers = peptides(20)
    found = found_in([*singles(WILD, 6), *strangers, *singles(OTHER, 9)])
    assert wild_types(found) == [OTHER, WILD]
    assert found.label.tolist() == [1] * 6 + [-1] * 20 + [0] * 9
    assert found.edits.tolist() == [1] * 6 + [0] * 20 + [1] * 9


def test_mutated_sites_are_those_that_were_mutated():
    found = found_in([*singles(WILD, 8), mutated(WILD, (3, "W"), (20, "W"))])
    own = found.mutations.where(found.mutations.rows == 8)
    symbols = "\0" + PROTEIN.symbols
    assert own.sites.tolist() == [3, 20]
    assert [symbols[each] for each in own.wild] == [WILD[2], WILD[19]]
    assert [symbols[each] for each in own.mutant] == ["W", "W"]


def test_insertions_and_deletions_of_a_residue_stay_in_the_family():
    texts = [*singles(WILD, 8), WILD[:9] + WILD[10:], WILD[:20] + "W" + WILD[20:]]
    found = found_in(texts)
    assert found.label.tolist() == [0] * 10
    assert found.edits.tolist() == [1] * 10
    deletion, insertion = (found.mutations.where(found.mutations.rows == row) for row in (8, 9))
    assert (deletion.sites.tolist(), deletion.mutant.tolist()) == ([10], [0])
    assert (insertion.sites.tolist(), insertion.wild.tolist()) == ([20], [0])


def test_a_deletion_scan_does_not_become_a_family_of_its_own():
    scan = [WILD[:site] + WILD[site + 1 :] for site in range(0, 40, 3)]
    found = found_in([*singles(WILD, 20), *scan])
    assert wild_types(found) == [WILD]
    assert (found.edits == 1).all()


def test_mutants_of_a_construct_with_one_residue_more_have_a_wild_type_of_their_own_and_are_kin():
    longer = [f"M{text}" for text in singles(WILD, 10, seed=1)]
    found = found_in([*singles(WILD, 20), *longer])
    assert wild_types(found) == [WILD, f"M{WILD}"]
    assert (found.edits == 1).all()
    assert found.kin.tolist() == [0, 0]


def test_two_backgrounds_a_substitution_apart_are_told_apart():
    background = mutated(WILD, (30, "W"))
    found = found_in([*singles(WILD, 14), *singles(background, 9, seed=2)])
    assert wild_types(found) == [WILD, background]
    assert found.sizes.tolist() == [14, 9]
    assert (found.edits == 1).all()
    assert found.kin.tolist() == [0, 0]


def test_double_mutants_are_no_backgrounds():
    rng = np.random.default_rng(0)
    texts = {mutated(text, (int(site) + 1, "W")) for text in singles(WILD, 20) for site in rng.integers(0, 40, 8)}
    found = found_in(sorted(texts))
    assert wild_types(found) == [WILD]


def test_two_single_mutants_have_the_wild_type_whose_mutations_are_the_usual_ones():
    """Most mutations are to alanine here, so that of A and L the wild type has L."""
    scan = [mutated(OTHER, (site, "A")) for site in (2, 3, 6, 9, 10, 12, 13, 15) if OTHER[site - 1] != "A"]
    leucines = [mutated(OTHER, (28, "A")), mutated(OTHER, (30, "A")), mutated(OTHER, (37, "A"))]
    pair = [mutated(WILD, (8, "A")), mutated(WILD, (17, "A"))]  # WILD has L at both sites
    found = found_in([*scan, *leucines, *pair])
    assert wild_types(found)[1] == WILD
    assert found.basis[1] == "ties"
    assert not found.certain[1]
    assert found.edits[-2:].tolist() == [1, 1]


def test_a_library_that_saturates_some_sites_has_its_first_row_and_says_so():
    rng = np.random.default_rng(0)
    texts = [WILD]
    while len(texts) < 200:
        texts.append(mutated(WILD, *((site, RESIDUES[rng.integers(20)]) for site in (5, 9, 21, 30))))
    found = found_in(texts)
    assert wild_types(found) == [WILD]
    assert found.basis == ("first row",)
    assert not found.certain[0]


def test_rows_at_one_site_alone_cannot_vouch_for_it():
    found = found_in([mutated(WILD, (4, residue)) for residue in "ACDW"])
    assert not found.certain[0]


def test_a_named_wild_type_is_taken_whatever_the_rows_say():
    texts = [mutated(WILD, *((site, "W") for site in range(2, 2 + n))) for n in range(4, 12)]
    found = found_in([*texts, *singles(OTHER, 5)], wild_type=PROTEIN.encode([WILD]).values)
    assert wild_types(found) == [WILD, OTHER]
    assert found.basis == ("named", "majority")
    assert found.edits.tolist() == [sum(a != b for a, b in zip(text, WILD, strict=True)) for text in texts] + [1] * 5


def test_groups_that_are_given_replace_those_that_would_be_found():
    found = found_in([*singles(WILD, 6), *singles(WILD, 6, seed=5)], groups=np.repeat([0, 1], 6))
    assert found.sizes.tolist() == [6, 6]


@pytest.mark.parametrize(
    "texts", [[], ["ACDEFGHIKLMN"], ["ACDEFGHIKLMN"] * 5, ["A", "C", "AC", ""], ["ACD", "ACE", "ACF"]]
)
def test_tables_without_variants_have_no_families(texts):
    found = found_in(texts)
    assert len(found) == 0
    assert found.label.tolist() == [-1] * len(texts)
    assert found.edits.tolist() == [0] * len(texts)


def test_the_order_of_rows_does_not_matter_to_a_certain_family():
    texts = [*singles(WILD, 30), *singles(OTHER, 12), *peptides(10)]
    order = np.random.default_rng(3).permutation(len(texts))
    plain, shuffled = found_in(texts), found_in([texts[row] for row in order])
    assert wild_types(plain) == wild_types(shuffled)
    assert np.array_equal(plain.label[order], shuffled.label)
    assert np.array_equal(plain.edits[order], shuffled.edits)


# Real families


def agreement(texts, truth):
    """Share of rows whose family has their true wild type, and the families; no two families have the same one."""
    found = found_in(texts)
    named = wild_types(found)
    assert len(set(named)) == len(named)
    right = np.array([label >= 0 and named[label] == wild for label, wild in zip(found.label, truth, strict=True)])
    return right, found


def test_wild_types_of_a_real_table_of_single_mutants_are_found(data):
    rows = rows_of(data / "stability" / "jin_v2_train.csv")
    right, found = agreement([row["mut_seq"] for row in rows], [row["wt_seq"] for row in rows])
    assert len(rows) == 4048
    assert right.mean() >= 0.95
    assert right.mean() == pytest.approx(0.9763, abs=0.002)  # 23 of the others are the only mutants of their wild type
    assert (found.edits[right] == 1).all()
    sure = (found.label >= 0) & np.append(found.certain, False)[found.label]
    assert right[sure].mean() > 0.999
    assert sure.mean() > 0.95


@pytest.mark.parametrize(
    ("site", "column", "first"), [("position", "sequence", 1), ("pdb_position", "pdb_sequence", 0)]
)
def test_wild_types_of_mutants_made_of_real_columns_are_found(data, site, column, first):
    """FireProt numbers the residues of `sequence` from 1 by `position`, and those of `pdb_sequence` from 0 by `pdb_position`."""
    texts, truth = [], []
    for row in rows_of(data / "stability" / "fireprot_train.csv"):
        place = int(float(row[site])) - first
        wild = row[column]
        assert wild[place] == row["wild_type"]
        texts.append(mutated(wild, (place + 1, row["mutation"])))
        truth.append(wild)
    right, found = agreement(texts, truth)
    assert len(texts) == 2669
    assert right.mean() >= 0.95
    assert right.mean() == pytest.approx(0.9869, abs=0.002)
    assert (found.edits[right] == 1).all()


def test_families_of_forty_thousand_mutants_are_found_soon(data):
    folder = data / "fitness"
    table = read_table(folder / "nn4dms_pab1.tsv", DataSection(wild_type=str(folder / "nn4dms_pab1_wt.fasta")))
    tokens = table.tokens()
    started = time.perf_counter()
    found = families(tokens, PROTEIN)
    assert time.perf_counter() - started < 6  # .6 s on one idle core
    assert wild_types(found) == [table.wild_type.sequence]
    assert found.certain.all()
    n_mutations = table.numeric("num_mutations")
    last = np.array([text.endswith("*") for text in table.data["mutated_sequence"].to_pylist()])
    assert (found.edits[~last] == n_mutations[~last]).all()


def test_unrelated_real_proteins_make_hardly_any_family(data):
    found = found_in([row["sequence"] for row in rows_of(data / "solubility" / "esol_train.csv")])
    assert (found.label >= 0).mean() < 0.01

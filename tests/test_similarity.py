"""Similarity of sequences, compared with a slow alignment written here, with RDKit, and with answers known by hand."""

from functools import cache, lru_cache

import numpy as np
import pyarrow as pa
import pytest
from scoring_matrices import ScoringMatrix

from contracts.tables import peptides
from seqloom.alphabet import DNA, PROTEIN, RNA
from seqloom.similarity import Neighbours, fingerprints, linked, nearest, similar_groups
from seqloom.similarity.rows import alike_groups, nearest_rows
from seqloom.table import DataSection, read_table

LETTERS = "ACDEFGHIKLMNPQRSTVWY"
BLOSUM = ScoringMatrix.from_name("BLOSUM62")
PLACE = {letter: index for index, letter in enumerate(BLOSUM.alphabet)}
SCORES = [list(row) for row in BLOSUM]
LAMBDA, K = 0.267, 0.041
MUTANTS = [
    "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQAPILSRVGDGTQDNLSGAEKAVQVKVKALPDAQFEVV",
    "MKTAYIAKQRQISFVKSHFSRQDILDLWIYHTQGYFPDWQNYTPGPGVRYPLTFGWCYKLVPVEPDKVEE",
]


@cache
def slow_identity(one, two, n_rows):
    """Identity by a plain Smith-Waterman (Gotoh 1982); a gap of n residues costs 11 + n, of equal scores most matches win."""
    nothing = (-1e9, 0, 0, 0)
    above = [(0, 0, 0, 0)] * (len(two) + 1)  # score, matches, and where the alignment began in each
    down = [nothing] * (len(two) + 1)
    best = (0, 0, 0, 0, 0, 0)
    for i, a in enumerate(one, start=1):
        here, across = [(0, 0, i, 0)], nothing
        for j, b in enumerate(two, start=1):
            down[j] = max(worse(above[j], 12), worse(down[j], 1), key=rank)
            across = max(worse(here[j - 1], 12), worse(across, 1), key=rank)
            score, matches, *start = above[j - 1] if rank(above[j - 1]) > (0, 0) else (0, 0, i - 1, j - 1)
            diagonal = (score + SCORES[PLACE[a]][PLACE[b]], matches + (a == b), *start)
            cell = max(diagonal, across, down[j], (0, 0, i, j), key=rank)
            here.append(cell)
            if rank(cell) > best[:2]:
                best = (*cell, i, j)
        above = here
    score, matches, first, second, i, j = best
    covered = i - first >= 0.8 * len(one) and j - second >= 0.8 * len(two)
    evalue = n_rows * K * len(one) * len(two) * np.exp(-LAMBDA * score)
    return matches / min(len(one), len(two)) if matches and (covered or evalue <= 1e-3) else 0.0


def rank(cell):
    return cell[:2]


def worse(cell, cost):
    return (cell[0] - cost, *cell[1:])


def identity(one, two, alphabet=PROTEIN):
    """Identity of two sequences that are a table by themselves."""
    return float(nearest(alphabet.encode([one]), alphabet.encode([two]), alphabet).best()[1][0])


def random_sequence(rng, length):
    return "".join(rng.choice(list(LETTERS), length))


def mutated(rng, sequence, share, gaps=0.0):
    """`sequence` with a `share` of residues drawn anew, and residues lost or added."""
    found = [str(rng.choice(list(LETTERS))) if rng.random() < share else letter for letter in sequence]
    for index in np.flatnonzero(rng.random(len(found)) < gaps):
        found[index] = "" if rng.random() < 0.5 else found[index] + random_sequence(rng, rng.integers(1, 4))
    return "".join(found)


@lru_cache(maxsize=8)
def families(n_families=12, n_members=8, shortest=70, longest=110, seed=0):
    """Families of sequences, members from random earlier ones at 60 to 98 % identity, with a gap here and there; shuffled."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n_families):
        members = [random_sequence(rng, rng.integers(shortest, longest))]
        while len(members) < n_members:
            members.append(mutated(rng, members[rng.integers(len(members))], rng.uniform(0.02, 0.4), 0.01))
        found += members
    return tuple(found[i] for i in rng.permutation(len(found)))


def same_partition(left, right):
    pairs = len(set(zip(left.tolist(), right.tolist(), strict=True)))
    return pairs == len(set(left.tolist())) == len(set(right.tolist()))


def brute_groups(alike):
    """Connected components of a bool matrix (N, N), by walking."""
    label = np.full(len(alike), -1)
    for first in range(len(alike)):
        if label[first] < 0:
            todo = [first]
            while todo:
                row = todo.pop()
                if label[row] < 0:
                    label[row] = first
                    todo += np.flatnonzero(alike[row]).tolist()
    return label


# --- identity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("ACDEFGHIKL", "ACDEFGHIKL", 1.0),
        ("ACDEFGHIKL", "ACDEFGHIKV", 0.9),  # L to V scores 1, so the alignment goes on to the end
        ("ACDEFGHIKLMN", "ACDEFGHIKLGG", 10 / 12),  # ends before the two that differ, and covers ten of twelve
        ("ACDEFGHIKLMNWW", "ACDEFGHIKLGGGG", 10 / 14),  # covers less than four fifths, but E = 2e-6
        ("AAAAAWW", "AAAAAGG", 0.0),  # covers less than four fifths, and E = 1e-2
        ("WWWWWWWWWW", "KKKKKKKKKK", 0.0),
        ("MKTAYIAKQRQISFVKSHFSRQ", "MKTAYIAKQRWISFVKSHFSRQ", 21 / 22),
        (MUTANTS[0], MUTANTS[0][:30] + MUTANTS[0][33:], 1.0),  # a gap of three; all residues of the shorter
        (MUTANTS[0], MUTANTS[0][:35], 1.0),  # half of it: too little of the longer one, but no accident
        (*MUTANTS, 22 / 70),  # a common beginning beyond chance
        ("A", "A", 1.0),
        ("AC", "AC", 1.0),
        ("", "", 0.0),
        ("", "ACDEFGHIKL", 0.0),
        ("ACDEFGHIKL", "", 0.0),
    ],
)
def test_identity_is_what_it_is_by_hand(one, two, expected):
    assert identity(one, two) == pytest.approx(expected, abs=1e-6)
    assert identity(two, one) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("lengths", [(5, 12), (12, 30), (30, 90)])
def test_identity_agrees_with_a_slow_alignment(lengths):
    rng = np.random.default_rng(lengths[0])
    for _ in range(40):
        one = random_sequence(rng, rng.integers(*lengths))
        two = mutated(rng, one, rng.uniform(0, 0.9), 0.03)
        if rng.random() < 0.3:
            two = two[: rng.integers(3, len(two) + 1)] if len(two) > 3 else two
        assert identity(one, two) == pytest.approx(slow_identity(one, two, 1), abs=1e-6), (one, two)


def test_of_equally_good_alignments_the_one_with_most_identical_residues_counts():
    # The second half is reached by a gap that costs just what it gains; without it half of both were covered.
    assert identity("ASEPTALGLPRIFPGLM", "ASGPTQAGIVGRKRQKGEMFVGLM") == pytest.approx(9 / 17)


def test_a_short_match_counts_among_few_rows_and_is_an_accident_among_many():
    rng = np.random.default_rng(0)
    core = "HMWYFPRC"
    query, match = (random_sequence(rng, 45) + core + random_sequence(rng, 45) for _ in range(2))
    others = [random_sequence(rng, 30) for _ in range(500)]
    few = nearest(PROTEIN.encode([query]), PROTEIN.encode([match]), PROTEIN).best()
    many = nearest(PROTEIN.encode([query]), PROTEIN.encode([match, *others]), PROTEIN, most=501)
    assert few[1][0] == pytest.approx(slow_identity(query, match, 1))
    assert few[1][0] >= 0.08
    assert slow_identity(query, match, 501) == 0
    assert 0 not in many.references


def test_gaps_of_aligned_input_are_no_residues():
    assert identity("AC-DE--FGH", "ACDEFGH...") == 1.0
    labels = similar_groups(PROTEIN.encode(["AC-DEFGH", "ACDEFGH-", "WWWWYYY", "W-WWWYYY"]), PROTEIN, 1.0)
    assert labels.tolist() == [0, 0, 1, 1]


def test_unknown_residues_are_no_evidence():
    assert identity("X" * 40, "X" * 40) == 0.0
    assert identity("N" * 40, "N" * 40, DNA) == 0.0
    # One unknown residue among twenty costs one match and no more.
    known = "MKTAYIAKQRQISFVKSHFS"
    assert identity(known, known.replace("R", "X")) == pytest.approx(19 / 20)
    assert identity(known, known.replace("R", "U")) == pytest.approx(19 / 20)


def test_nucleic_acids_are_compared_in_their_own_letters():
    one = "ACGTTGCAAGCTTACGGATCCATGCA"
    assert identity(one, one, DNA) == 1.0
    assert identity(one, one[:10] + "A" + one[11:], DNA) == pytest.approx(25 / 26)
    assert identity(one, one[:13], DNA) in (0.0, 1.0)
    labels = similar_groups(RNA.encode(["ACGUUGCAAGCU", "ACGTTGCAAGCT", "GGGGGGGGGGGG"]), RNA, 1.0)
    assert labels.tolist() == [0, 0, 1]


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.9, 1.0])
def test_groups_are_the_components_of_all_pairs_that_are_alike(threshold):
    strings = families(5, 4, 15, 30, seed=2)
    alike = brute_nearest(strings, strings) >= threshold - 1e-6
    assert np.array_equal(alike, alike.T)
    for search in ("exact", "auto"):
        groups = linked(PROTEIN.encode(strings), PROTEIN, threshold, search).groups()
        assert same_partition(groups, brute_groups(alike))


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_words_find_the_groups_that_alignment_of_all_pairs_finds(threshold, seed):
    tokens = PROTEIN.encode(families(seed=seed))
    exact, words = (linked(tokens, PROTEIN, threshold, search) for search in ("exact", "words"))
    assert exact.exact
    assert not words.exact
    assert same_partition(exact.groups(), words.groups())
    assert len(set(exact.groups().tolist())) > 12 - 6 * (threshold < 0.9)


@pytest.mark.parametrize("search", ["exact", "words"])
def test_the_order_of_rows_changes_no_group(search):
    tokens = PROTEIN.encode(families(seed=5))
    groups = linked(tokens, PROTEIN, 0.6, search).groups()
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(tokens))
        assert same_partition(linked(tokens.take(order), PROTEIN, 0.6, search).groups(), groups[order])


@pytest.mark.parametrize("search", ["exact", "words", "auto"])
def test_every_pair_that_joins_is_alike_and_pairs_are_those_of_the_groups(search):
    strings = families(shortest=60, longest=75, seed=1)
    found = linked(PROTEIN.encode([*strings, *strings[:9]]), PROTEIN, 0.7, search)
    assert (found.identity >= 0.7 - 1e-6).all()
    groups = found.groups()
    assert (groups[found.queries] == groups[found.references]).all()
    assert groups[-9:].tolist() == groups[:9].tolist()


@pytest.mark.parametrize("search", ["exact", "words", "auto"])
def test_tables_at_the_edge(search):
    def groups(strings, threshold=0.5):
        return linked(PROTEIN.encode(strings), PROTEIN, threshold, search).groups().tolist()

    assert groups([]) == []
    assert groups(["ACDEF"]) == [0]
    assert groups([""]) == [0]
    assert groups(["", "ACDEFGH", ""]) == [0, 1, 0]
    assert groups(["ACDEFGHIKL"] * 7, 1.0) == [0] * 7
    assert groups(["A", "C", "A", "W"]) == [0, 1, 0, 2]
    assert groups(["XXXXX", "XXXXX", "ACDEF"]) == [0, 0, 1]
    assert groups(["ACDEFGHIKL", "ACDEFGHIKV"], 1.0) == [0, 1]
    assert groups(["ACDEFGHIKL", "ACDEFGHIKV"], 0.9) == [0, 0]
    assert groups(["ACDEFGHIKL", "ACDEFGHIKV"], 0.91) == [0, 1]


def test_short_sequences_that_share_no_word_are_alike_all_the_same():
    # Every third residue differs, so that no three stand together; two in three are equal.
    one = "MKTAYIAKQRQISFVKSHFSRQ"
    two = "".join("VAR"[i % 3] if i % 3 == 2 else letter for i, letter in enumerate(one))
    others = peptides(60, shortest=18, longest=26)
    groups = linked(PROTEIN.encode([one, *others, two]), PROTEIN, 0.5).groups()
    assert identity(one, two) > 0.6
    assert groups[0] == groups[-1]


# --- the nearest -----------------------------------------------------------------------------------------------------


def brute_nearest(queries, references):
    return np.array([[slow_identity(one, two, len(references)) for two in references] for one in queries])


@pytest.mark.parametrize("lengths", [(8, 12), (20, 35)])
def test_the_nearest_is_the_nearest_of_all(lengths):
    strings = families(5, 6, *lengths, seed=3)
    queries, references = strings[:8], strings[8:]
    table = brute_nearest(queries, references)
    row, value = nearest(PROTEIN.encode(queries), PROTEIN.encode(references), PROTEIN).best()
    np.testing.assert_allclose(value, table.max(axis=1), atol=1e-6)
    known = row >= 0
    assert np.array_equal(known, table.max(axis=1) > 0)
    assert np.array_equal(row[known], table.argmax(axis=1)[known])


def test_words_find_the_nearest_that_alignment_of_all_pairs_finds():
    strings = families(n_families=30, seed=4)
    queries, references = PROTEIN.encode(strings[:60]), PROTEIN.encode(strings[60:])
    exact, words = (nearest(queries, references, PROTEIN, search=search) for search in ("exact", "words"))
    near = exact.best()[1] >= 0.5
    assert near.sum() > 50
    np.testing.assert_allclose(words.best()[1][near], exact.best()[1][near], atol=1e-6)


@pytest.mark.parametrize("search", ["exact", "words"])
def test_copies_and_ties_come_in_the_order_of_rows_and_no_more_than_asked_for(search):
    one, other = MUTANTS
    near = one[:-1] + "W"
    references = PROTEIN.encode([other, near, one, near, one, one])

    def found(most, queries=(one,)):
        pairs = nearest(PROTEIN.encode(list(queries)), references, PROTEIN, most, search)
        different = np.rint((1 - pairs.identity) * 70).astype(int)
        return list(zip(pairs.queries.tolist(), pairs.references.tolist(), different.tolist(), strict=True))

    assert found(1) == [(0, 2, 0)]
    assert found(2) == [(0, 2, 0), (0, 4, 0)]
    assert found(4) == [(0, 2, 0), (0, 4, 0), (0, 5, 0), (0, 1, 1)]
    assert found(9)[:5] == [(0, 2, 0), (0, 4, 0), (0, 5, 0), (0, 1, 1), (0, 3, 1)]
    assert found(1, [one, "W" * 30, one]) == [(0, 2, 0), (2, 2, 0)]


def test_queries_without_anything_alike_have_no_neighbour():
    for strings in ([], ["W" * 30]):
        pairs = nearest(PROTEIN.encode(["ACDEFGHIKLMN", ""]), PROTEIN.encode(strings), PROTEIN)
        assert pairs.best()[0].tolist() == [-1, -1]
        assert pairs.best()[1].tolist() == [0.0, 0.0]
    assert nearest(PROTEIN.encode([]), PROTEIN.encode(["ACDEF"]), PROTEIN).best()[0].tolist() == []


def test_the_best_of_pairs_is_the_closest_and_of_ties_the_first_row():
    pairs = Neighbours(np.array([0, 0, 2, 2]), np.array([5, 3, 7, 1]), np.float32([0.9, 0.9, 0.2, 0.4]), 4, True)
    row, value = pairs.best()
    assert row.tolist() == [3, -1, 1, -1]
    np.testing.assert_allclose(value, [0.9, 0, 0.4, 0])


def test_groups_are_numbered_by_their_first_rows():
    pairs = Neighbours(np.array([4, 1]), np.array([2, 5]), np.float32([1, 1]), 6, True)
    assert pairs.groups().tolist() == [0, 1, 2, 3, 2, 1]


# --- molecules -------------------------------------------------------------------------------------------------------


def smiles_table(strings, **columns):
    data = pa.table({"smiles": strings, "y": np.arange(len(strings)) + 0.5, **columns})
    return read_table(data, DataSection(sequence=("smiles",), alphabet="smiles"), ("y",))


def tanimoto(strings):
    """RDKit's own Tanimoto similarities, float64 (N, N)."""
    Chem = pytest.importorskip("rdkit.Chem", reason="needs rdkit")  # noqa: N806 - as RDKit writes it
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.DataStructs import BulkTanimotoSimilarity

    generator = GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(each)) for each in strings]
    return np.array([BulkTanimotoSimilarity(each, prints) for each in prints])


def alcohols(n=60):
    """Chains of carbon with an oxygen, a nitrogen or a ring somewhere."""
    ends = ["O", "N", "c1ccccc1", "C(=O)O", "Cl", "S"]
    return [f"{'C' * (2 + i // 6)}{ends[i % 6]}" for i in range(n)]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 1.0])
def test_molecules_are_grouped_by_rdkits_tanimoto_similarity(threshold):
    strings = alcohols()
    label = alike_groups(smiles_table(strings), threshold).label
    assert same_partition(label, brute_groups(tanimoto(strings) >= threshold - 1e-6))


def test_the_nearest_molecule_is_the_one_of_rdkits_highest_similarity():
    strings = alcohols()
    queries, references = np.arange(0, 60, 3), np.setdiff1d(np.arange(60), np.arange(0, 60, 3))
    row, value = nearest_rows(smiles_table(strings), queries, references).best()
    table = tanimoto(strings)[np.ix_(queries, references)]
    np.testing.assert_allclose(value, table.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(table[np.arange(len(queries)), row], table.max(axis=1), atol=1e-6)


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_many_molecules_are_grouped_alike_when_only_some_are_compared(data, monkeypatch, threshold):
    pytest.importorskip("rdkit", reason="needs rdkit")
    from seqloom.chemistry import fingerprints as prints_of

    strings = read_table(data / "smallmol/delaney.csv", DataSection(alphabet="smiles"), ("logp",)).sequences()
    prints = prints_of(strings.to_pylist())[0]
    exact = fingerprints.linked_prints(prints, threshold)
    monkeypatch.setattr(fingerprints, "EXACT_PAIRS", 0)
    some = fingerprints.linked_prints(prints, threshold)
    assert (exact.exact, some.exact) == (True, False)
    assert (some.identity >= threshold - 1e-6).all()
    assert len(set(some.groups().tolist())) <= 1.01 * len(set(exact.groups().tolist()))


def test_smiles_that_cannot_be_read_are_alike_only_to_themselves():
    pytest.importorskip("rdkit", reason="needs rdkit")
    table = smiles_table(["CCO", "no1such", "OCC", "no1such", "C1CC", "no1sucH"])
    assert alike_groups(table, 0.5).label.tolist() == [0, 1, 0, 1, 2, 3]
    row, value = nearest_rows(table, np.array([1, 4, 0]), np.array([2, 3, 5])).best()
    assert row.tolist() == [1, -1, 0]
    assert value.tolist() == [1.0, 0.0, 1.0]


# --- rows of several sequences ---------------------------------------------------------------------------------------


def test_rows_of_two_sequences_are_alike_when_both_are():
    a, b, c, d = peptides(4, shortest=30, longest=30)
    data = pa.table({"one": [a, a, b, a], "two": [c, c, c, d], "y": [1.0, 2, 3, 4]})
    table = read_table(data, DataSection(sequence=("one", "two"), alphabet="protein"), ("y",))
    assert same_partition(alike_groups(table, 0.5).label, np.array([0, 0, 1, 2]))
    row, value = nearest_rows(table, np.array([0, 3]), np.array([1, 2])).best()
    assert (row.tolist(), value.tolist()) == ([0, -1], [1.0, 0.0])  # the last row's second sequence is like none


def pairs_of_families(n, seed=0, shortest=20, longest=40):
    """Rows of a family each in two columns: members of six families in the first, of twenty in the second."""
    rng = np.random.default_rng(seed)
    few, many = (families(k, 6, shortest, longest, seed + k) for k in (6, 20))
    columns = {
        "one": [few[i] for i in rng.integers(len(few), size=n)],
        "two": [many[i] for i in rng.integers(len(many), size=n)],
    }
    data = pa.table({**columns, "y": rng.normal(size=n)})
    return read_table(data, DataSection(sequence=("one", "two"), alphabet="protein"), ("y",)), columns


def lowest_identities(columns, queries, references, n_rows):
    """Every pair of rows by the lowest identity of their columns, float64 (N, M)."""
    tables = []
    for strings in columns.values():
        distinct = {each: k for k, each in enumerate(dict.fromkeys(strings))}
        encoded = PROTEIN.encode(list(distinct))
        found = nearest(encoded, encoded, PROTEIN, len(distinct), "exact", n_rows)
        values = np.zeros((len(distinct), len(distinct)))
        values[found.queries, found.references] = found.identity
        codes = np.array([distinct[each] for each in strings])
        tables.append(values[np.ix_(codes[queries], codes[references])])
    return np.minimum(*tables)


@pytest.mark.parametrize(("search", "least_equal"), [("exact", 1.0), ("auto", 1.0), ("words", 0.98)])
def test_the_nearest_row_of_two_sequences_is_that_with_the_highest_lowest_identity(search, least_equal):
    table, columns = pairs_of_families(300)
    queries, references = np.arange(80), np.arange(80, 300)
    values = lowest_identities(columns, queries, references, 300)
    row, value = nearest_rows(table, queries, references, search=search).best()
    assert np.mean(np.abs(value - values.max(axis=1)) < 1e-6) >= least_equal
    known = row >= 0
    np.testing.assert_allclose(values[queries[known], row[known]], value[known], atol=1e-6)  # and what is told is true


def test_rows_with_one_sequence_in_common_are_no_nearer_than_their_other_one():
    rng = np.random.default_rng(3)
    groove, words = random_sequence(rng, 34), ["".join(rng.choice(list(LETTERS), 9)) for _ in range(40)]
    data = pa.table({"allele": [groove] * 40, "peptide": words, "y": np.arange(40.0)})
    table = read_table(data, DataSection(sequence=("allele", "peptide"), alphabet="protein"), ("y",))
    value = nearest_rows(table, np.arange(20), np.arange(20, 40)).best()[1]
    alone = nearest(PROTEIN.encode(words[:20]), PROTEIN.encode(words[20:]), PROTEIN, n_rows=40).best()[1]
    np.testing.assert_allclose(value, alone, atol=1e-6)
    assert value.max() < 0.8


def test_no_rows_that_are_alike_in_every_column_are_in_two_groups():
    table, columns = pairs_of_families(200, seed=5)
    rows = np.arange(200)
    for identity_wanted in (0.5, 0.8):
        alike = lowest_identities(columns, rows, rows, 200) >= identity_wanted
        label = alike_groups(table, identity_wanted, "exact").label
        assert not (alike & (label[:, None] != label[None, :])).any()
        found = nearest_rows(table, rows, rows, most=2)
        assert ((found.identity < identity_wanted) | (label[found.queries] == label[found.references])).all()


def test_equal_rows_of_two_sequences_are_each_others_second_nearest():
    table, _ = pairs_of_families(30)
    twice = np.append(np.arange(30), np.arange(30))
    found = nearest_rows(table.take(twice), np.arange(60), np.arange(60), most=2)
    assert found.identity.tolist() == [1.0] * 120
    assert sorted(zip(found.queries.tolist(), found.references.tolist(), strict=True))[:2] == [(0, 0), (0, 30)]


@pytest.mark.parametrize("search", ["exact", "words"])
def test_a_protein_and_its_molecule_are_as_alike_as_the_less_alike_of_both(search):
    pytest.importorskip("rdkit", reason="needs rdkit")
    strings, molecules = families(4, 5, 30, 40), [*alcohols(18), "no1such", "no1such"]
    data = pa.table({"target": list(strings), "smiles": molecules, "y": np.arange(20.0)})
    kinds = {"target": "protein", "smiles": "smiles"}
    table = read_table(data, DataSection(sequence=("target", "smiles"), alphabet=kinds), ("y",))
    rows = np.arange(20)
    found = nearest_rows(table, rows[::2], rows[1::2], search=search)
    similarity = np.zeros((20, 20))
    similarity[:18, :18] = tanimoto(molecules[:18])
    similarity[18:, 18:] = 1
    values = np.minimum(lowest_identities({"a": strings, "b": strings}, rows, rows, 20), similarity)[::2, 1::2]
    np.testing.assert_allclose(found.best()[1], values.max(axis=1), atol=1e-6)
    assert found.measure == "identity"

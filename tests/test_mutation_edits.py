"""How rows differ from a reference, and which are near each other, as plain loops find it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.tables import peptides
from mutants import OTHER, RESIDUES, WILD, mutated, rows_of, singles
from seqloom.alphabet import PROTEIN
from seqloom.mutation.edits import edit_counts, edits, pair_counts, reach
from seqloom.mutation.linking import near_groups
from seqloom.tokens import Tokens, ragged_bytes


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

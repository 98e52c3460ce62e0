"""Profiles of a family: likelihoods against counts of what they write, columns, bits, odd residues, files."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from seqloom.alphabet import DNA, PROTEIN, RNA, SMILES
from seqloom.errors import DataError, RunError
from seqloom.quality.family import NO_HIT, Family
from seqloom.tokens import Tokens

pytest.importorskip("pyhmmer", reason="needs the extra 'family'")
pytest.importorskip("pyfamsa", reason="needs the extra 'family'")

ANCESTOR = "MSLLDYFLGRKKNTANIAKERLQIIVAHERRDRGSPDYLPQLRQDILEVICKYV"


def descendants(alphabet, ancestor, n, share=0.15, seed=0):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        letters = np.array(list(ancestor))
        hit = rng.random(len(letters)) < share
        letters[hit] = rng.choice(list(alphabet.standard), int(hit.sum()))
        found.append("".join(letters))
    return found


@pytest.fixture(scope="module")
def family():
    return Family.of(PROTEIN.encode(descendants(PROTEIN, ANCESTOR, 200)), PROTEIN)


def test_likelihood_is_the_probability_with_which_the_profile_writes_a_sequence():
    small = Family.of(DNA.encode(["ACG", "ACG", "ACT", "AG", "ACG", "AACG", "GCG"]), DNA)
    written = Counter(DNA.decode(small.emitted(40_000, seed=3)))
    texts = [text for text, _ in written.most_common(25)]
    probability = np.exp(small.log_likelihood(DNA.encode(texts)))
    share = np.array([written[text] for text in texts]) / 40_000
    error = np.sqrt(probability * (1 - probability) / 40_000)
    assert np.abs(share - probability).max() < 0.05
    assert (np.abs(share - probability) < 4.5 * error).all()


def test_likelihoods_of_all_short_sequences_sum_to_the_share_of_short_ones_among_those_written():
    small = Family.of(DNA.encode(["AC", "AC", "AG", "C", "AC", "GC"]), DNA)
    every = ["".join(each) for n in range(1, 6) for each in itertools.product("ACGT", repeat=n)]
    total = np.exp(small.log_likelihood(DNA.encode(every))).sum()
    written = small.emitted(20_000, seed=1).lengths
    short = ((written >= 1) & (written <= 5)).mean()
    assert total == pytest.approx(short, abs=0.02)


def test_an_ambiguous_residue_is_any_of_those_it_stands_for(family):
    one_each = np.exp(family.log_likelihood(PROTEIN.encode([ANCESTOR[:9] + each + ANCESTOR[10:] for each in "DN"])))
    both = math.exp(family.log_likelihood(PROTEIN.encode([ANCESTOR[:9] + "B" + ANCESTOR[10:]]))[0])
    assert both == pytest.approx(one_each.sum(), rel=1e-9)


def test_a_descendant_is_in_the_family_and_a_random_sequence_is_not(family):
    own = family.bits(PROTEIN.encode(descendants(PROTEIN, ANCESTOR, 50, seed=9)))
    rng = np.random.default_rng(0)
    strange = family.bits(PROTEIN.encode(["".join(rng.choice(list(PROTEIN.standard), 54)) for _ in range(50)]))
    assert family.is_member(own).mean() > 0.8
    assert not family.is_member(strange).any()
    assert (strange >= NO_HIT).all()


def test_bits_of_members_are_those_of_hmmsearch_with_its_own_settings(family):
    import io

    import pyhmmer

    texts = descendants(PROTEIN, ANCESTOR, 20, seed=4)
    with pyhmmer.plan7.HMMFile(io.BytesIO(family.search.encode())) as file:
        profile = file.read()
    easel = pyhmmer.easel.Alphabet.amino()
    block = pyhmmer.easel.DigitalSequenceBlock(
        easel,
        [pyhmmer.easel.TextSequence(name=b"%d" % row, sequence=text).digitize(easel) for row, text in enumerate(texts)],
    )
    (hits,) = pyhmmer.hmmsearch(profile, block, cpus=1)
    expected = {int(hit.name): hit.score for hit in hits}
    assert len(expected) == 20
    assert family.bits(PROTEIN.encode(texts)) == pytest.approx([expected[row] for row in range(20)], abs=1e-4)


def test_columns_hold_residues_where_they_belong_and_gaps_where_there_are_none(family):
    rows = family.aligned(
        PROTEIN.encode([ANCESTOR, ANCESTOR[:20] + ANCESTOR[21:], ANCESTOR[:30] + "WWW" + ANCESTOR[30:], ""])
    )
    assert rows.dtype == np.uint8
    assert rows.shape == (4, len(ANCESTOR))
    whole = np.array([PROTEIN.standard.index(each) for each in ANCESTOR])
    assert (rows[0] == whole).all()
    assert (rows[1] == 20).sum() == 1
    assert (rows[1] != whole).sum() <= 4  # a deletion in a run may be placed beside it
    assert (rows[2] == whole).mean() > 0.9  # inserted residues stand in no column
    assert (rows[3] == 20).all()


def test_residues_outside_the_standard_ones_gaps_and_stops_are_legal(family):
    odd = PROTEIN.encode(
        [ANCESTOR[:10] + "XBZUOJ" + ANCESTOR[16:], ANCESTOR[:20] + "--.." + ANCESTOR[20:], "*", "-", ""]
    )
    plain = PROTEIN.encode([ANCESTOR])
    assert (family.aligned(odd)[0][10:16] == 20).all()
    assert family.bits(odd)[1] == family.bits(plain)[0]
    assert family.log_likelihood(odd)[1] == family.log_likelihood(plain)[0]
    assert family.bits(odd)[2:].tolist() == [NO_HIT] * 3
    assert np.isfinite(family.log_likelihood(odd)[:2]).all()
    assert Family.of(odd, PROTEIN).n_columns > 20


def test_the_same_sequences_give_the_same_family_and_the_same_seed_the_same_emissions(family):
    again = Family.of(PROTEIN.encode(descendants(PROTEIN, ANCESTOR, 200)), PROTEIN)
    assert (again.search, again.emission, again.floor) == (family.search, family.emission, family.floor)
    one, two, other = family.emitted(30, 1), again.emitted(30, 1), family.emitted(30, 2)
    assert (one.values == two.values).all()
    assert PROTEIN.decode(one) != PROTEIN.decode(other)


def test_a_family_is_saved_and_loaded_without_a_difference(family, tmp_path):
    family.save(tmp_path)
    loaded = Family.load(tmp_path)
    tokens = PROTEIN.encode(descendants(PROTEIN, ANCESTOR, 10, seed=2))
    assert (loaded.bits(tokens) == family.bits(tokens)).all()
    assert (loaded.aligned(tokens) == family.aligned(tokens)).all()
    assert (loaded.log_likelihood(tokens) == family.log_likelihood(tokens)).all()
    assert (loaded.floor, loaded.n_train) == (family.floor, family.n_train)
    with pytest.raises(RunError, match="no family is saved here"):
        Family.load(tmp_path / "elsewhere")


def test_sequences_of_large_weight_are_those_that_are_aligned():
    texts = descendants(PROTEIN, ANCESTOR, 40) + descendants(PROTEIN, "".join(reversed(ANCESTOR)), 40)
    weights = np.array([1.0] * 40 + [0.0] * 40)
    first = Family.of(PROTEIN.encode(texts), PROTEIN, weights, most=30)
    assert first.n_aligned == 30
    bits = first.bits(PROTEIN.encode(texts))
    assert bits[:40].min() > bits[40:].max()


@pytest.mark.parametrize("alphabet", [DNA, RNA])
def test_nucleic_acids_have_a_family(alphabet):
    ancestor = "".join(np.random.default_rng(5).choice(list(alphabet.standard), 80))
    own = Family.of(alphabet.encode([*descendants(alphabet, ancestor, 60), "ACGNRY"]), alphabet)
    tokens = alphabet.encode([ancestor])
    assert own.n_columns == pytest.approx(80, abs=2)
    assert own.aligned(tokens).max() <= 4
    assert own.is_member(own.bits(tokens)).all()
    assert set("".join(alphabet.decode(own.emitted(5, 0)))) <= set(alphabet.standard)


@pytest.mark.parametrize(
    "texts",
    [["MKVLA"], ["MKVLAARTWLL"] * 30, ["MKVLA", "M", "WWWWWWWW", ""], [ANCESTOR * 20, "MKVLA", ANCESTOR * 12]],
    ids=["one", "identical", "short", "lengths from 5 to 1,000"],
)
def test_the_smallest_and_oddest_sets_have_a_family(texts):
    own = Family.of(PROTEIN.encode(texts), PROTEIN)
    tokens = PROTEIN.encode(texts)
    assert own.n_columns >= 1
    assert own.aligned(tokens).shape == (len(texts), own.n_columns)
    assert np.isfinite(own.bits(tokens)).all()
    assert not np.isnan(own.log_likelihood(tokens)).any()
    assert len(own.emitted(3, 0)) == 3


def test_no_sequences_and_molecules_have_no_family():
    with pytest.raises(DataError, match="none with a residue"):
        Family.of(PROTEIN.encode(["", "-"]), PROTEIN)
    with pytest.raises(DataError, match="molecules have no profile"):
        Family.of(SMILES.encode(["CCO"]), SMILES)
    family = Family.of(PROTEIN.encode([ANCESTOR]), PROTEIN)
    none = Tokens(np.zeros(0, np.uint8), np.zeros(1, np.int64))
    assert family.aligned(none).shape == (0, family.n_columns)
    assert len(family.bits(none)) == len(family.log_likelihood(none)) == len(family.emitted(0, 0)) == 0

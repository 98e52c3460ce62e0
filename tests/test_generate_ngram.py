"""N-grams: chances known by hand and by a slow loop, likelihoods that add up, samples that follow them."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from seqloom.alphabet import ALPHABETS, DNA, SMILES
from seqloom.generate.base import Dims, Job, Naturals
from seqloom.generate.ngram import BLOCK, Ngram
from seqloom.generate.settings import GeneratorTraining
from seqloom.registry import available, build
from seqloom.tokens import Tokens


def fitted(strings, order=2, alphabet=DNA, weights=None):
    tokens = alphabet.encode(strings)
    weights = np.ones(len(strings)) if weights is None else np.asarray(weights, np.float64)
    job = Job(Dims(alphabet.name, int(tokens.lengths.max())), GeneratorTraining(), 0)
    return Ngram(order=order).fit(Naturals(tokens, weights), Naturals(tokens, weights), job)


def likelihoods(sampler, strings):
    return np.exp(sampler.score(ALPHABETS[sampler.dims.alphabet].encode(strings)).values)


def random_strings(n, seed=0, longest=9):
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("ACGT"), random.integers(1, longest))) for _ in range(n)]


def test_chances_of_a_unigram_are_those_of_the_formula():
    # Symbols A A C and two ends: 5 seen, 3 kinds; all alike are 1/5. An empty sequence is not written.
    a, c, end = (2 + 3 / 5) / 8, (1 + 3 / 5) / 8, (2 + 3 / 5) / 8
    sampler = fitted(["AA", "C"], order=1)
    assert likelihoods(sampler, ["A", "AC"]) == pytest.approx([a * end / (1 - end), a * c * end / (1 - end)])


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_likelihoods_are_those_of_a_slow_loop(order):
    strings, new = random_strings(40), random_strings(30, seed=1)
    v = 5

    def chance(symbol, before):
        if before is None:
            return 1 / v
        seen = {}
        for text in strings:
            padded = "^" * (order - 1) + text
            for place in range(order - 1, len(padded) + 1):
                if padded[place - len(before) : place] == before:
                    follows = padded[place] if place < len(padded) else "$"
                    seen[follows] = seen.get(follows, 0) + 1
        lower = chance(symbol, before[1:] if before else None)
        if not seen:
            return lower
        return (seen.get(symbol, 0) + len(seen) * lower) / (sum(seen.values()) + len(seen))

    def likelihood(text):
        padded = "^" * (order - 1) + text + "$"
        places = range(order - 1, len(padded))
        product = np.prod([chance(padded[place], padded[place - order + 1 : place]) for place in places])
        return product / (1 - chance("$", "^" * (order - 1)))

    assert likelihoods(fitted(strings, order), new) == pytest.approx([likelihood(text) for text in new])


def test_the_chances_of_all_sequences_add_up_to_one():
    sampler = fitted(["A", "C", "AC", "G", "CA", "A", "T"], order=2)
    every = ["".join(letters) for length in range(1, 8) for letters in itertools.product("ACGT", repeat=length)]
    assert 0.98 < likelihoods(sampler, every).sum() < 1


def test_weights_count_as_repeats():
    heavy, repeated = fitted(["AC", "GGT"], weights=[2, 1]), fitted(["AC", "AC", "GGT"])
    assert likelihoods(heavy, ["AC", "GT"]) == pytest.approx(likelihoods(repeated, ["AC", "GT"]))


def test_samples_come_as_often_as_their_likelihood_says():
    sampler = fitted(["A", "C", "AC", "G", "CA", "A", "T"], order=2)
    n = 20_000
    texts = DNA.decode(sampler.sample(n, 0))
    for text in ("A", "AC", "G", "CA"):
        p = likelihoods(sampler, [text])[0]
        assert texts.count(text) == pytest.approx(n * p, abs=4 * np.sqrt(n * p))
    assert min(map(len, texts)) == 1


def test_the_first_samples_of_more_are_those_of_fewer():
    sampler = fitted(random_strings(50), order=3)
    many = DNA.decode(sampler.sample(BLOCK + 50, 7, temperature=0.8))
    assert DNA.decode(sampler.sample(20, 7, temperature=0.8)) == many[:20]
    assert DNA.decode(sampler.sample(BLOCK + 1, 7, temperature=0.8)) == many[: BLOCK + 1]
    assert DNA.decode(sampler.sample(20, 8, temperature=0.8)) != many[:20]
    assert len(sampler.sample(0, 7)) == 0


def test_samples_begin_with_the_prefix_and_go_on_as_after_it():
    sampler = fitted(["ACGT"] * 50, order=3)
    texts = DNA.decode(sampler.sample(200, 0, prefix="AC"))
    assert all(text.startswith("AC") for text in texts)
    assert texts.count("ACGT") > 150
    assert set(DNA.decode(sampler.sample(5, 0, prefix="A" * 30))) == {"A" * 30}


def test_a_low_temperature_writes_what_is_usual_and_a_generator_without_end_is_ended():
    sampler = fitted(["ACGT"] * 9 + ["TTTT"], order=4)
    assert set(DNA.decode(sampler.sample(50, 0, temperature=0.02))) == {"ACGT"}
    assert fitted(["A" * 100] * 5).sample(100, 0, temperature=0.01).lengths.tolist() == [125] * 100


def test_what_cannot_be_written_is_as_unlikely_as_can_be_and_is_not_learnt_from():
    sampler = fitted(["ACGT", "ACNT", ""], order=2)
    assert likelihoods(sampler, ["ACN", ""]).tolist() == [0, 0]
    assert likelihoods(sampler, ["ACGT"]) == pytest.approx(likelihoods(fitted(["ACGT"]), ["ACGT"]))
    assert len(sampler.score(Tokens(np.zeros(0, np.uint8), np.zeros(1, np.int64))).values) == 0


def test_restored_from_its_state_it_is_the_same():
    sampler = fitted(random_strings(50), order=3)
    again = Ngram(order=3).restored(sampler.dims, sampler.state())
    tokens = DNA.encode(random_strings(20, seed=5))
    assert np.array_equal(again.score(tokens).values, sampler.score(tokens).values)
    assert DNA.decode(again.sample(30, 1)) == DNA.decode(sampler.sample(30, 1))


def test_molecules_are_written_too():
    strings = ["CCO", "CCN", "c1ccccc1", "CC(=O)O"] * 5
    sampler = fitted(strings, order=8, alphabet=SMILES)
    assert set(SMILES.decode(sampler.sample(200, 0))) & set(strings)


def test_it_is_found_by_name_and_needs_no_torch():
    assert "ngram" in available("generator")
    assert build("generator", {"kind": "ngram", "order": 3}).order == 3
    code = "import sys, seqloom.generate.ngram; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The autoregressive generator: exact likelihoods, samples that follow them, training that stops, resumes and repeats itself."""

import itertools
import math
import signal

import numpy as np
import pytest
import torch

import seqloom.training.loop as loop
from seqloom.alphabet import ALPHABETS, DNA, PROTEIN, SMILES
from seqloom.errors import ConfigError
from seqloom.generate.autoregressive import Autoregressive, AutoregressiveSampler
from seqloom.generate.base import Dims, Job, Naturals
from seqloom.generate.causal import ROWS, turned, turns
from seqloom.generate.ngram import Ngram
from seqloom.generate.settings import GeneratorTraining
from seqloom.registry import available, build
from seqloom.tokens import Tokens

NETS = ("gru", "transformer")
SMALL = {"width": 32, "layers": 2, "heads": 2}
SHORT = {"sequences": 1600, "every": 400, "batch": 20, "lr": 1e-2, "precision": "32"}
EMPTY = Tokens(np.zeros(0, np.uint8), np.zeros(1, np.int64))


def naturals(strings, alphabet=DNA, conditions=None):
    return Naturals(alphabet.encode(strings), np.ones(len(strings)), conditions)


def untrained(net="gru", alphabet=DNA, ending=0.0, seed=0, n_conditions=0, **settings):
    torch.manual_seed(seed)
    dims = Dims(alphabet.name, 20, n_conditions)
    module = Autoregressive(net=net, **{**SMALL, **settings}).module(dims).eval()
    for each in module.parameters():
        each.data *= 3  # far from all symbols alike
    module.head.bias.data[0] += ending
    return AutoregressiveSampler(dims, module)


def fitted(train, valid=None, *, seed=0, folder=None, progress=None, say=str, recipe=None, **settings):
    valid = valid or train
    conditions = train.conditions
    dims = Dims("dna", int(train.tokens.lengths.max()), 0 if conditions is None else conditions.shape[1])
    job = Job(dims, GeneratorTraining(**{**SHORT, **settings}), seed, folder, progress=progress, say=say)
    return (recipe or Autoregressive(**SMALL)).fit(train, valid, job)


def echoes(n=200, seed=0):
    """Three letters, and the same again: no letter of the second half is known from the one before it."""
    random = np.random.default_rng(seed)
    halves = ["".join(random.choice(list("ACGT"), 3)) for _ in range(n)]
    return [half + half for half in halves]


def likelihoods(sampler, strings):
    return np.exp(sampler.score(ALPHABETS[sampler.dims.alphabet].encode(strings)).values)


def weights_of(sampler):
    return sampler.state()


def alike(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


# Nets


@pytest.mark.parametrize("net", NETS)
def test_symbol_by_symbol_a_net_says_what_it_says_of_the_whole(net):
    module = untrained(net, n_conditions=3).net
    ids, conditions = torch.randint(1, 5, (6, 12)), torch.randn(6, 3)
    whole = module(ids, conditions)
    memory, read = module.memory(6, 13), torch.cat([torch.zeros(6, 1, dtype=torch.int64), ids], dim=1)
    steps = [module.following(read[:, place], conditions, memory, place) for place in range(13)]
    torch.testing.assert_close(torch.stack(steps, dim=1), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("net", NETS)
def test_nothing_is_known_of_what_follows(net):
    module = untrained(net).net
    ids = torch.randint(1, 5, (4, 12))
    changed = ids.clone()
    changed[:, 7:] = 5 - ids[:, 7:]
    first, second = module(ids, None), module(changed, None)
    assert torch.equal(first[:, :8], second[:, :8])
    assert not torch.allclose(first[:, 8:], second[:, 8:])


def test_the_recurrent_net_is_that_of_torch():
    module = untrained("gru", layers=1).net
    ids = torch.randint(1, 5, (3, 9))
    states, _ = module.layers[0](module.embedding(torch.nn.functional.pad(ids, (1, 0))))
    torch.testing.assert_close(module(ids, None)[:, 1:], module.head(states)[:, 1:])


def test_transformers_see_differences_of_places_only():
    query, key = torch.randn(2, 1, 1, 1, 8)

    def product(at, other):
        left, right = (turned(x, turns(torch.tensor([place]), 8)) for x, place in ((query, at), (key, other)))
        return float((left * right).sum())

    assert product(3, 9) == pytest.approx(product(20, 26), rel=1e-4)
    assert product(3, 9) != pytest.approx(product(3, 10), rel=1e-4)


# Likelihoods


@pytest.mark.parametrize("net", NETS)
def test_likelihoods_of_all_sequences_add_up_to_one(net):
    sampler = untrained(net, ending=6.0)
    every = ["".join(letters) for length in range(1, 7) for letters in itertools.product("ACGT", repeat=length)]
    p = likelihoods(sampler, every)
    assert 0.99 < p.sum() < 1 + 1e-6
    assert (p > 0).all()


@pytest.mark.parametrize("net", NETS)
def test_a_likelihood_does_not_depend_on_the_sequences_beside_it(net):
    sampler = untrained(net)
    strings = ["".join(np.random.default_rng(n).choice(list("ACGT"), n)) for n in (1, 20, 300, 7, 64, 5)]
    alone = np.concatenate([sampler.score(DNA.encode([text])).values for text in strings])
    assert sampler.score(DNA.encode(strings)).values == pytest.approx(alone, rel=1e-4)
    assert sampler.score(EMPTY).values.tolist() == []


def test_what_cannot_be_written_is_as_unlikely_as_can_be():
    found = untrained().score(DNA.encode(["ACN", "", "ACG"]))
    assert found.kind == "log-likelihood"
    assert np.isfinite(found.values).tolist() == [False, False, True]


# Samples


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_samples_come_as_often_as_their_likelihood_says(net, temperature):
    sampler = untrained(net, ending=4.0)
    n = 4096
    texts = DNA.decode(sampler.sample(n, 3, temperature=temperature))
    usual = sorted(set(texts), key=texts.count)[-4:]
    if temperature == 1:
        expected = likelihoods(sampler, usual)
    else:
        module = sampler.net
        expected = []
        for text in usual:
            ids = torch.from_numpy(DNA.ids(text)).long()[None]
            shares = (module(ids, None)[0].detach() / temperature).log_softmax(1)
            expected.append(math.exp(float(shares[torch.arange(len(text) + 1), [*ids[0].tolist(), 0]].sum())))
    for text, p in zip(usual, expected, strict=True):
        assert texts.count(text) == pytest.approx(n * p, abs=4 * math.sqrt(n * p))
    assert min(map(len, texts)) >= 1


@pytest.mark.parametrize("net", NETS)
def test_the_first_samples_of_more_are_those_of_fewer(net):
    sampler = untrained(net, ending=1.0, n_conditions=2)
    conditions = np.random.default_rng(0).normal(size=(ROWS + 30, 2)).astype(np.float32)
    many = DNA.decode(sampler.sample(ROWS + 30, 7, conditions=conditions))
    assert len(set(many)) > ROWS / 2
    for n in (1, 20, ROWS, ROWS + 1):
        assert DNA.decode(sampler.sample(n, 7, conditions=conditions[:n])) == many[:n]
    assert DNA.decode(sampler.sample(20, 8, conditions=conditions[:20])) != many[:20]
    assert len(sampler.sample(0, 7)) == 0


@pytest.mark.parametrize("net", NETS)
def test_samples_begin_with_the_prefix_and_end_in_time(net):
    sampler = untrained(net, ending=-50.0)
    tokens = sampler.sample(30, 0, prefix="ACCA")
    assert tokens.lengths.tolist() == [28] * 30  # the longest learnt from has 20
    assert all(text.startswith("ACCA") for text in DNA.decode(tokens))
    assert set(DNA.decode(sampler.sample(3, 0, prefix="A" * 40))) == {"A" * 40}


def test_long_sequences_are_written_few_at_a_time():
    sizes = {net: [untrained(net).net.rows_at_once(longest) for longest in (10, 1000, 10**6)] for net in NETS}
    assert sizes == {"gru": [ROWS] * 3, "transformer": [ROWS, 65, 16]}


def test_what_steers_other_generators_is_refused():
    with pytest.raises(ConfigError, match="truncation"):
        untrained().sample(3, 0, truncation=0.5)
    with pytest.raises(ConfigError, match="2 numbers given"):
        untrained(n_conditions=3).sample(3, 0, conditions=np.zeros(2))


# Training


@pytest.mark.parametrize("net", NETS)
def test_it_learns_what_pairs_of_symbols_do_not_show(net):
    train, valid = naturals(echoes()), naturals(echoes(seed=1))
    sampler = fitted(
        train, valid, recipe=Autoregressive(net=net, dropout=0.0, **SMALL), sequences=6000, every=2000, ema=500
    )
    new = DNA.encode(echoes(seed=2))
    nats = -sampler.score(new).values.mean()
    pairs = Ngram().fit(train, valid, Job(sampler.dims, GeneratorTraining(), 0)).score(new).values.mean()
    assert nats < 1.25 * 3 * math.log(4) < -pairs / 1.5
    written = DNA.decode(sampler.sample(200, 0))
    assert np.mean([text[:3] == text[3:] for text in written]) > 0.8
    assert len(set(written)) > 40


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    train = naturals(echoes(60))
    recipe = Autoregressive(noise=0.1, weight_drop=0.2, **SMALL)
    first, again, other = (fitted(train, recipe=recipe, seed=seed, sequences=400) for seed in (0, 0, 1))
    assert alike(first.state(), again.state())
    assert not alike(first.state(), other.state())


@pytest.mark.parametrize("net", NETS)
def test_a_training_that_is_cut_off_goes_on_to_the_same_bits(net, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    train = naturals(echoes(60))
    recipe = Autoregressive(net=net, noise=0.1, weight_drop=0.2 * (net == "gru"), **SMALL)
    told, stopped = [], []

    def halt(done, of):
        told.append((done, of))
        if done == 2 and not stopped:
            stopped.append(done)
            signal.raise_signal(signal.SIGTERM)

    whole = fitted(train, recipe=recipe, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fitted(train, recipe=recipe, folder=tmp_path / "cut", progress=halt)
    torch.manual_seed(99)
    again = fitted(train, recipe=recipe, folder=tmp_path / "cut", progress=halt)
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert alike(whole.state(), again.state())


def test_it_stops_before_it_over_fits_and_keeps_the_best_weights():
    train, valid = naturals(echoes(12)), naturals(echoes(100, seed=1))
    told, said = [], []
    recipe = Autoregressive(dropout=0.0, **SMALL)
    settings = {"sequences": 20_000, "every": 100, "patience": 4, "ema": 0, "schedule": "constant"}
    stopped = fitted(train, valid, recipe=recipe, progress=lambda *each: told.append(each), say=said.append, **settings)
    done, of = told[-1]
    assert done < of == 200
    best = fitted(train, valid, recipe=recipe, **{**settings, "sequences": 100 * (done - 4)})
    assert alike(stopped.state(), best.state())
    loss = -stopped.score(valid.tokens).values.sum() / (valid.tokens.lengths + 1).sum()
    assert said[-1].endswith(f"{math.exp(loss):.3f}")
    assert f"{100 * (done - 4):,} sequences" in said[-1]


def test_seconds_end_a_training_after_an_evaluation():
    told = []
    fitted(naturals(echoes(30)), progress=lambda *each: told.append(each), seconds=1e-6)
    assert told == [(1, 4)]


def test_conditions_decide_what_is_written():
    random = np.random.default_rng(0)
    kind = random.integers(0, 2, 300)
    strings = ["".join(random.choice(list("AC" if each else "GT"), 5)) for each in kind]
    train = naturals(strings, conditions=np.eye(2, dtype=np.float32)[kind])
    sampler = fitted(train, sequences=2400)
    for number, letters in ((0, "GT"), (1, "AC")):
        condition = np.eye(2, dtype=np.float32)[number]
        assert set("".join(DNA.decode(sampler.sample(60, 0, temperature=0.5, conditions=condition)))) == set(letters)
        found = sampler.score(DNA.encode(["AACC", "GGTT"]), condition).values
        assert found.argmax() == (number == 0)


def test_shares_left_out_change_what_is_learnt():
    train = naturals(echoes(60))
    plain = fitted(train, recipe=Autoregressive(dropout=0.0, **SMALL), sequences=400).state()
    for knob in ("dropout", "weight_drop", "noise"):
        recipe = Autoregressive(**{"dropout": 0.0, **SMALL, knob: 0.3})
        assert not alike(plain, fitted(train, recipe=recipe, sequences=400).state()), knob


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("alphabet", [PROTEIN, SMILES])
def test_restored_from_its_state_it_is_the_same_in_any_alphabet(net, alphabet):
    sampler = untrained(net, alphabet)
    torch.manual_seed(5)
    again = Autoregressive(net=net, **SMALL).restored(sampler.dims, sampler.state())
    tokens = sampler.sample(40, 1, temperature=0.8)
    assert alphabet.decode(again.sample(40, 1, temperature=0.8)) == alphabet.decode(tokens)
    assert np.array_equal(again.score(tokens).values, sampler.score(tokens).values)
    assert np.isfinite(sampler.score(tokens).values).all()


def test_few_sequences_without_held_out_ones_are_learnt_from_too():
    train = naturals(["ACGT", "ACGA", "", "ANG"])
    sampler = fitted(train, naturals([]), sequences=400, every=100)
    assert likelihoods(sampler, ["ACGT"])[0] > 0.05


def test_settings_without_meaning_are_refused():
    assert "autoregressive" in available("generator")
    with pytest.raises(ConfigError, match="multiple of heads"):
        build("generator", {"kind": "autoregressive", "net": "transformer", "width": 36, "heads": 4})
    with pytest.raises(ConfigError, match="weight_drop"):
        build("generator", {"kind": "autoregressive", "net": "transformer", "weight_drop": 0.1})

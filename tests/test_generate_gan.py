"""A gan as a whole: it learns, ends in the same bits, goes on where it was cut off, and comes back from going astray."""

import math
import os
import signal

import numpy as np
import pytest
import torch

from seqloom.alphabet import DNA, PROTEIN
from seqloom.errors import ConfigError, DataError
from seqloom.generate.adversarial.step import AdversarialStep
from seqloom.generate.base import Dims, Job, Naturals
from seqloom.generate.gan import Gan
from seqloom.generate.settings import GeneratorTraining
from seqloom.registry import available, build, describe

SMALL = {"preset": "tiny", "width": 0.25, "latent": 8}
FEW = {"sequences": 96, "every": 32, "batch": 16, "ema": 50, "clip": 0.0, "weight_decay": 0.0, "patience": 100}


def naturals(n=64, seed=0, conditions=None):
    """Sequences of 10 to 14 residues that begin with M and have the same two residues further on."""
    random = np.random.default_rng(seed)
    letters = np.array(list("ACDEF"))
    texts = ["M" + "".join(random.choice(letters, length)) for length in random.integers(9, 14, n)]
    return Naturals(PROTEIN.encode([each[:4] + "WK" + each[4:] for each in texts]), np.ones(n), conditions)


def job(train, tmp=None, seed=0, **settings):
    n_conditions = 0 if train.conditions is None else train.conditions.shape[1]
    dims = Dims("protein", int(train.tokens.lengths.max()), n_conditions)
    return Job(dims, GeneratorTraining(**(FEW | settings)), seed, tmp)


@pytest.fixture(scope="module")
def fitted():
    train = naturals()
    return Gan(**SMALL).fit(train, naturals(16, 1), job(train))


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def test_it_is_found_and_described():
    assert "gan" in available("generator")
    assert all(field.text for field in describe("generator", "gan").fields)
    assert build("generator", {"kind": "gan"}) == Gan()


def test_the_same_seed_gives_the_same_bits_and_another_others(fitted):
    train = naturals()
    assert same(Gan(**SMALL).fit(train, naturals(16, 1), job(train)).state(), fitted.state())
    assert not same(Gan(**SMALL).fit(train, naturals(16, 1), job(train, seed=1)).state(), fitted.state())


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_training_that_is_cut_off_ends_in_the_same_bits(fitted, epoch, tmp_path, monkeypatch):
    train, whole = naturals(), AdversarialStep.update

    def cut(self, batch, fabric):
        found = whole(self, batch, fabric)
        if self.number == 2 * epoch:
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    monkeypatch.setattr(AdversarialStep, "update", cut)
    with pytest.raises(KeyboardInterrupt):
        Gan(**SMALL).fit(train, naturals(16, 1), job(train, tmp_path))
    monkeypatch.setattr(AdversarialStep, "update", whole)
    torch.manual_seed(123)
    assert same(Gan(**SMALL).fit(train, naturals(16, 1), job(train, tmp_path)).state(), fitted.state())


def test_what_is_restored_writes_and_scores_the_same(fitted):
    restored = Gan(**SMALL).restored(fitted.dims, fitted.state())
    tokens = fitted.sample(40, 3)
    assert PROTEIN.decode(restored.sample(40, 3)) == PROTEIN.decode(tokens)
    np.testing.assert_array_equal(restored.score(tokens).values, fitted.score(tokens).values)
    assert same(restored.state(), fitted.state())


def test_samples_depend_on_their_seed_and_the_first_of_more_are_those_of_fewer(fitted):
    many = PROTEIN.decode(fitted.sample(600, 5))
    assert PROTEIN.decode(fitted.sample(7, 5)) == many[:7]
    assert PROTEIN.decode(fitted.sample(300, 5)) == many[:300]
    assert PROTEIN.decode(fitted.sample(7, 6)) != many[:7]
    assert len(fitted.sample(0, 5)) == 0
    assert all(1 <= len(each) <= 16 for each in many)


def test_samples_are_cooler_or_nearer_to_the_mean_on_demand(fitted):
    def spread(**steering):
        return len({each[:2] for each in PROTEIN.decode(fitted.sample(256, 0, **steering))})

    assert spread(temperature=1e-6, truncation=1e-6) == 1
    assert spread(truncation=0.1, temperature=0.1) < spread(temperature=0.1) < spread()
    with pytest.raises(ConfigError, match="prefix"):
        fitted.sample(3, 0, prefix="MA")


def test_the_way_between_two_samples_begins_and_ends_with_them(fitted):
    cold = Gan(**SMALL, heat=0.0).restored(fitted.dims, fitted.state())
    ends = PROTEIN.decode(cold.sample(300, 4))
    way = PROTEIN.decode(cold.interpolate(2, 299, 9, seed=4))
    assert (way[0], way[-1], len(way)) == (ends[2], ends[299], 9)
    assert len(set(PROTEIN.decode(cold.interpolate(2, 2, 3, seed=4)))) == 1


def test_of_more_candidates_those_that_the_critic_finds_most_natural_are_kept(fitted):
    scores = [
        Gan(**SMALL, candidates=candidates).restored(fitted.dims, fitted.state()) for candidates in (1.0, 2.0, 4.0)
    ]
    means = [each.score(each.sample(256, 7)).values.mean() for each in scores]
    assert means[0] < means[1] < means[2]
    assert len(scores[1].sample(300, 7)) == 300


def test_scores_are_of_the_critic_of_each_sequence_alone_and_none_where_it_cannot_be_written(fitted):
    tokens = PROTEIN.encode(["MACDWK", "MAXD", "", "M" * 17, "MCCDWK"])
    score = fitted.score(tokens)
    assert score.kind == "critic"
    assert np.isfinite(score.values).tolist() == [True, False, False, False, True]
    assert (score.values[[1, 2, 3]] == -math.inf).all()
    assert fitted.score(tokens.take(np.array([4]))).values[0] == pytest.approx(score.values[4], abs=1e-5)


class Health:
    """A monitor that finds every later evaluation worse, and keeps what it is told."""

    def __init__(self):
        self.lines = []

    def look(self, sampler, turn, seen, numbers):
        self.lines.append(dict(numbers))
        assert len(sampler.sample(4, 0)) == 4
        return float(turn)


def test_the_best_evaluation_by_the_monitor_is_kept_and_it_is_told_of_the_health_of_the_critic():
    train = naturals()
    health = Health()
    long = Job(job(train).dims, GeneratorTraining(**FEW), 0, None, health)
    short = Job(job(train).dims, GeneratorTraining(**(FEW | {"sequences": 32})), 0, None, Health())
    recipe = Gan(**SMALL, first_temperature=1.0, last_temperature=1.0)
    section = {"schedule": "constant"}
    kept = [
        recipe.fit(
            train, naturals(16, 1), Job(each.dims, each.settings.model_copy(update=section), 0, None, each.monitor)
        )
        for each in (long, short)
    ]
    assert same(kept[0].state(), kept[1].state())
    assert len(health.lines) == 3
    assert {"critic_real", "critic_fake", "critic_valid", "accuracy", "critic_gap", "critic_sure", "augmented"} <= set(
        health.lines[0]
    )
    assert all(math.isfinite(value) for line in health.lines for value in line.values())


def test_numbers_that_are_not_finite_bring_the_best_weights_back_with_twice_the_penalty(monkeypatch):
    train, told, whole = naturals(), [], AdversarialStep.update
    penalties = []

    def broken(self, batch, fabric):
        found = whole(self, batch, fabric)
        if self.number == 2:
            with torch.no_grad():
                self.critic.out.weight.fill_(torch.nan)
        penalties.append(float(self.control.number("heavier")))
        return found

    monkeypatch.setattr(AdversarialStep, "update", broken)
    plain = job(train)
    sampler = Gan(**SMALL).fit(
        train, naturals(16, 1), Job(plain.dims, plain.settings, 0, None, None, None, told.append)
    )
    assert all(np.isfinite(each).all() for each in sampler.state().values())
    assert penalties == [1, 1, 1, 1, 2, 2]
    assert any("went astray" in each for each in told)
    assert any("parameters" in each and "canvas of 16 positions" in each for each in told)


KNOBS = [
    {"loss": "hinge", "critic_norm": "spectral", "r2": 0.0}, {"loss": "wasserstein", "gp": 10.0, "r1": 0.0, "r2": 0.0}, {"loss": "ra-hinge"},
    {"loss": "non-saturating"}, {"norm": "batch"}, {"norm": "pixel"}, {"norm": "spectral"}, {"encoding": "property"}, {"encoding": "blosum"},
    {"encoding": "learned"}, {"relax": "gumbel"}, {"relax": "softmax"}, {"up": "transposed"}, {"up": "nearest"}, {"down": "average"},
    {"kernel": 5}, {"dilation": 1}, {"blocks": 2}, {"attention": False}, {"readout": "sum"}, {"minibatch_std": 0}, {"critic_steps": 2},
    {"critic_rate": 2.0}, {"beta1": 0.5}, {"beta2": 0.9}, {"instance_noise": 0.1, "noise_sequences": 64}, {"augment": "always"},
    {"penalty_every": 1}, {"r1": 10.0}, {"r2": 10.0}, {"latent": 4}, {"preset": "small"}, {"first_temperature": 2.0, "last_temperature": 1.0},
]  # fmt: skip


@pytest.fixture(scope="module")
def unchanged():
    train = naturals()
    return Gan(**SMALL).fit(train, naturals(16, 1), job(train, sequences=64)).state()


@pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: "-".join(map(str, next(iter(knob.items())))))
def test_every_setting_changes_what_is_learnt(knob, unchanged):
    train = naturals()
    sampler = Gan(**(SMALL | knob)).fit(train, naturals(16, 1), job(train, sequences=64))
    state = sampler.state()
    assert all(np.isfinite(each).all() for each in state.values())
    assert not same(state, unchanged)
    restored = Gan(**(SMALL | knob)).restored(sampler.dims, state)
    assert PROTEIN.decode(restored.sample(9, 0)) == PROTEIN.decode(sampler.sample(9, 0))


def test_external_vectors_are_kept_with_the_weights(tmp_path):
    file = tmp_path / "vectors.csv"
    file.write_text("".join(f"{each},{ord(each) % 7},{ord(each) % 5},{ord(each)}\n" for each in PROTEIN.standard))
    recipe, train = Gan(**SMALL, encoding="external", vectors=str(file)), naturals()
    sampler = recipe.fit(train, naturals(16, 1), job(train, sequences=32))
    file.unlink()
    tokens = naturals(5).tokens
    np.testing.assert_array_equal(
        recipe.restored(sampler.dims, sampler.state()).score(tokens).values, sampler.score(tokens).values
    )


def test_it_learns_what_all_sequences_begin_with():
    random = np.random.default_rng(0)
    letters = np.array(list("ACDE"))
    train = Naturals(PROTEIN.encode(["M" + "".join(random.choice(letters, 7)) for _ in range(200)]), np.ones(200))
    fit = job(train, sequences=6400, every=6400, batch=32, lr=2e-3, ema=500)
    texts = PROTEIN.decode(Gan(**(SMALL | {"width": 0.5})).fit(train, naturals(16, 1), fit).sample(200, 0))
    assert np.mean([each[:1] == "M" for each in texts]) > 0.9
    assert len(set(texts)) > 150


def test_it_writes_what_it_is_asked_for():
    random = np.random.default_rng(0)
    kind = np.arange(200) % 2
    texts = ["".join(random.choice(list("AC" if each else "GT"), 8)) for each in kind]
    train = Naturals(DNA.encode(texts), np.ones(200), np.eye(2, dtype=np.float32)[kind])
    fit = Job(
        Dims("dna", 8, 2),
        GeneratorTraining(**(FEW | {"sequences": 6400, "every": 6400, "batch": 32, "lr": 2e-3, "ema": 500})),
        0,
    )
    sampler = Gan(**(SMALL | {"width": 0.5})).fit(train, train, fit)
    for wanted, symbols in ((np.array([1.0, 0.0]), "GT"), (np.array([0.0, 1.0]), "AC")):
        written = "".join(DNA.decode(sampler.sample(100, 0, conditions=wanted)))
        assert np.mean([each in symbols for each in written]) > 0.85
    either = "".join(DNA.decode(sampler.sample(200, 0)))
    assert 0.3 < np.mean([each in "GT" for each in either]) < 0.7
    with pytest.raises(ConfigError, match="fitted with 2"):
        sampler.sample(3, 0, conditions=np.zeros(3))


@pytest.mark.parametrize(("longest", "canvas"), [(1, 8), (5, 8), (40, 40), (100, 104), (128, 128), (3000, 3072)])
def test_any_length_fits_on_its_canvas(longest, canvas):
    sizes = Gan().sizes(longest)
    assert sizes.canvas == canvas
    assert sizes.canvas % 2**sizes.n_halvings == 0
    assert sizes.coarsest >= 4
    assert sizes.canvas >> sizes.attended <= 32


def test_sequences_of_very_different_lengths_are_learnt_from():
    texts = ["MKLVW", "MKLVW" * 60, *PROTEIN.decode(naturals(10).tokens)]
    train = Naturals(PROTEIN.encode(texts), np.ones(12))
    sampler = Gan(**SMALL).fit(train, naturals(0), job(train, sequences=8, every=8, batch=4))
    assert np.isfinite(sampler.score(sampler.sample(3, 0)).values).all()


def test_too_few_or_odd_sequences():
    train = naturals(7)
    with pytest.raises(DataError, match="7 natural sequences"):
        Gan(**SMALL).fit(train, train, job(train))
    odd = Naturals(PROTEIN.encode(["MACDX", "", *PROTEIN.decode(naturals(20).tokens)]), np.ones(22))
    told = []
    Gan(**SMALL).fit(
        odd,
        naturals(0),
        Job(job(odd).dims, GeneratorTraining(**(FEW | {"sequences": 32})), 0, None, None, None, told.append),
    )
    assert told[0].startswith("gan: 2 of 22 sequences")

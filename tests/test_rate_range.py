"""The learning-rate range test: what it finds, what it leaves alone, and what it says of bad input."""

import json
import math

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import seqloom
from seqloom.api import rates
from seqloom.cli import main
from seqloom.errors import ConfigError
from seqloom.simulate import Simulation
from seqloom.split.base import TEST, TRAIN, VALID
from seqloom.training.rate_range import HIGHEST, LOWEST, STEPS, Sweep, read, typical

GOOD = 3e-3
"""A rate at which the nets below learn the planted rule."""
SETTINGS = {"split.kind": "random", "predictor.kind": "mlp", "predictor.hidden": [32]}


def planted(n_rows=500, seed=0):
    return Simulation(rows=n_rows, rule="P2=L", seed=seed).table()


def swept(folder, table=None, **settings):
    table = planted() if table is None else table
    return rates(table, target="label", out=folder, settings={**SETTINGS, **settings})


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rates")
    return folder, swept(folder)


@pytest.fixture
def one_sweep(monkeypatch):
    monkeypatch.setattr("seqloom.rates.SWEEPS", 1)


def curve(loss, end=HIGHEST, noise=0.01, diverged=False):
    """A sweep whose loss is a function of the logarithm of the rate."""
    every = np.geomspace(LOWEST, HIGHEST, STEPS)
    kept = every[every <= end]
    losses = loss(np.log10(kept)) + np.random.default_rng(0).normal(0, noise, len(kept))
    return Sweep(0, kept, losses, diverged)


# --- what a sweep finds ----------------------------------------------------------------------------------------------


def test_a_rate_near_one_that_is_known_to_be_good_is_found(found):
    _, facts = found
    (own,) = facts["rates"]
    for answer in (own["fastest"], own["tenth_of_turn"]):
        assert GOOD / 30 < answer < GOOD * 30
    assert any(GOOD / 10 < each < GOOD * 10 for each in own["try"])
    assert own["tenth_of_turn"] == pytest.approx(own["turn"] / 10)


def test_the_facts_have_the_keys_that_are_promised(found):
    folder, facts = found
    assert list(facts) == ["command", "path", "seconds", "rates", "no_nets", "page", "table", "findings"]
    assert json.loads((folder / "rates.json").read_text()) == json.loads(json.dumps(facts))
    (own,) = facts["rates"]
    assert list(own) == [
        "variant", "predictor", "optimizer", "batch", "train_rows", "fastest", "turn", "tenth_of_turn", "try", "text", "sweeps",
    ]  # fmt: skip
    assert [each["seed"] for each in own["sweeps"]] == [0, 1, 2]
    for each in own["sweeps"]:
        n = len(each["rates"])
        assert n == len(each["losses"]) == len(each["smoothed"]) <= STEPS
        assert each["rates"][0] == pytest.approx(LOWEST)
        assert np.all(np.diff(np.log(each["rates"])) > 0)
        assert each["diverged"] or each["rates"][-1] == pytest.approx(HIGHEST)
    lines = (folder / "rates.csv").read_text().splitlines()
    assert lines[0].replace('"', "") == "variant,seed,step,rate,loss,smoothed"
    assert len(lines) == 1 + sum(len(each["rates"]) for each in own["sweeps"])


def test_the_page_draws_the_losses_and_says_how_rough_they_are(found):
    folder, facts = found
    page = (folder / "rates.html").read_text()
    assert page.count("<svg id=") == 1
    assert "training loss of mlp by learning rate" in page
    assert facts["rates"][0]["text"] in page
    assert "within a factor of three to ten" in page
    assert "--vary train.lr=" in page


def test_the_smoothed_loss_is_read_where_it_falls_fastest_and_where_it_turns():
    found = read(curve(lambda x: 0.7 - 0.5 / (1 + np.exp(-4 * (x + 3))) - 0.05 * x + np.where(x > -1, 2 * (x + 1), 0)))
    assert abs(math.log10(found.fastest) + 3) < 0.2
    assert abs(math.log10(found.turn) + 1) < 0.4


def test_a_loss_that_falls_to_the_highest_rate_has_no_turn_and_a_flat_one_tells_nothing():
    falling = read(curve(lambda x: 0.7 - 0.05 * (x + 6)))
    assert math.isnan(falling.turn)
    assert not math.isnan(falling.fastest)
    flat = read(curve(lambda x: 0.7 + 0 * x, noise=0.1))
    assert (math.isnan(flat.fastest), math.isnan(flat.turn)) == (True, True)
    nothing = Sweep(0, np.zeros(0), np.zeros(0), True)
    assert math.isnan(read(nothing).fastest)
    assert typical([1e-3, 1e-2, 1e-1]) == pytest.approx(1e-2)
    assert math.isnan(typical([1e-3, math.nan, math.nan]))


@pytest.mark.parametrize("worst", [math.nan, math.inf, 1e6])
def test_losses_that_diverge_end_the_sweep(monkeypatch, worst):
    from seqloom.training import rate_range

    def loss(_training, _fabric, rate, *_):
        return 0.7 if rate < 0.1 else worst

    class NoStep:
        def batches(self, epoch):
            return iter([np.arange(2)] * 3)

    monkeypatch.setattr(rate_range, "_step", loss)
    found = rate_range.sweep(rate_range.Training(NoStep(), None, 1, 0), None)
    assert found.diverged
    assert np.isfinite(found.losses).all()
    assert 0.07 < found.rates[-1] < 0.3
    assert np.isfinite(found.smoothed).all()


# --- what it leaves alone ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_sweep")
def test_only_training_rows_are_stepped_on_in_the_order_of_training(monkeypatch, tmp_path):
    from seqloom.folds import Folds
    from seqloom.plan import make_plan
    from seqloom.predict.net import Net, Supervised

    steps, held = [], []
    update, training = Supervised.update, Net.training
    monkeypatch.setattr(
        Supervised, "update", lambda self, batch, fabric: (steps.append(batch), update(self, batch, fabric))[1]
    )
    monkeypatch.setattr(
        Net, "training", lambda self, train, *rest: (held.append(train), training(self, train, *rest))[1]
    )
    table = planted(300)
    swept(tmp_path / "a", table)
    sections = {
        "data": {}, "target": {"column": "label"}, "split": {"kind": "random"}, "predictor": {"kind": "mlp", "hidden": [32]},
    }  # fmt: skip
    plan = make_plan(sections, table, "")
    train = Folds(plan).prepared(plan.variants[0], 0).examples[TRAIN]
    for each in held:
        np.testing.assert_array_equal(each.y, train.y)
        np.testing.assert_array_equal(each.inputs.features, train.inputs.features)
    assert len(train) + len(plan.partition.rows(0, VALID)) + len(plan.partition.rows(0, TEST)) == 300
    in_sweep, steps[:] = steps[: 2 * -(-len(train) // 64)], []
    seqloom.train(table, target="label", out=tmp_path / "b", settings={**SETTINGS, "train.epochs": 2})
    assert len(in_sweep) == len(steps)
    for own, theirs in zip(in_sweep, steps, strict=True):
        np.testing.assert_array_equal(own, theirs)


@pytest.mark.usefixtures("one_sweep")
def test_training_afterwards_gives_the_same_weights_as_without(tmp_path):
    def trained(folder):
        seqloom.train(planted(200), target="label", out=folder, settings={**SETTINGS, "train.epochs": 2})
        return (folder / "fold-0" / "seed-0" / "weights.safetensors").read_bytes()

    before = trained(tmp_path / "before")
    state = torch.random.get_rng_state()
    swept(tmp_path / "rates", planted(200))
    assert torch.equal(state, torch.random.get_rng_state())
    assert trained(tmp_path / "after") == before


@pytest.mark.usefixtures("one_sweep")
def test_the_same_sweep_again_gives_the_same_losses(tmp_path):
    table = planted(150)
    one, two = (swept(tmp_path / name, table)["rates"][0]["sweeps"] for name in "ab")
    assert [each["losses"] for each in one] == [each["losses"] for each in two]


# --- what is asked ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.usefixtures("one_sweep")
def test_fewer_rows_than_a_batch_are_swept(tmp_path, kind):
    settings = {"split.kind": "random", "predictor.kind": kind, "train.batch": 4000}
    (own,) = rates(planted(40), target="label", out=tmp_path, settings=settings)["rates"]
    assert own["train_rows"] < 40
    assert len(own["sweeps"][0]["losses"]) > 30


def test_a_model_that_is_no_net_is_refused_and_nets_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no net is among linear, .*\(nets: cnn, .*mlp.*\)") as told:
        rates(planted(60), target="label", out=tmp_path, settings={"split.kind": "random", "predictor.kind": "linear"})
    assert "knn" not in str(told.value)


@pytest.mark.usefixtures("one_sweep")
def test_models_that_are_no_nets_are_passed_over_and_variants_of_rate_alone_are_swept_once(tmp_path):
    table = planted(60)
    settings = {"split.kind": "random"}
    facts = rates(table, target="label", out=tmp_path, settings=settings, vary={"predictor.kind": ["linear", "mlp"]})
    assert ([each["variant"] for each in facts["rates"]], facts["no_nets"]) == (["mlp"], ["linear"])
    facts = rates(
        table, target="label", out=tmp_path, settings=SETTINGS, vary={"train.lr": [1e-3, 1e-2], "train.epochs": [3]}
    )
    assert len(facts["rates"]) == 1
    facts = rates(table, target="label", out=tmp_path, settings=SETTINGS, vary={"train.optimizer": ["adam", "sgd"]})
    assert [each["optimizer"] for each in facts["rates"]] == ["adam", "sgd"]


@pytest.mark.usefixtures("one_sweep")
def test_the_command_prints_facts_or_words(tmp_path):
    from seqloom.prediction import write_table

    path = tmp_path / "t.csv"
    write_table(planted(100), path)
    asked = ["tune", str(path), "--rates", "--target", "label", "--split", "random", "--set", "predictor.kind=mlp"]
    done = CliRunner().invoke(main, [*asked, "-o", str(tmp_path / "r"), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rates"][0]["variant"] == "mlp"
    done = CliRunner().invoke(main, [*asked, "-o", str(tmp_path / "r")])
    assert "mlp: the loss" in done.stdout
    assert "rates.html" in done.stdout
    done = CliRunner().invoke(main, [*asked, "--inner", "3"])
    assert done.exit_code == 1
    assert "takes no --inner" in done.stderr

"""The optimisation loop: which weights are kept, how a training goes on where it was cut off, what the losses are."""

import math
import signal
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import log_loss, mean_squared_error

from contracts.tables import Case
from seqloom.encode.base import Inputs
from seqloom.errors import ConfigError
from seqloom.predict.base import Dims, Examples, Job, default_loss
from seqloom.predict.net import supervised_loss
from seqloom.registry import build, validated
from seqloom.training import loop
from seqloom.training.device import open_fabric, resolved_device
from seqloom.training.schedule import LAST_RATE, learning_rate
from seqloom.training.settings import LEAST_EPOCHS, LEAST_STEPS, TrainSection
from seqloom.training.step import Step, Training

FABRIC = open_fabric("cpu")


def optimise(step, settings, epochs, seed, folder=None, progress=None):
    return loop.optimise(Training(step, settings, epochs, seed, "one", progress), FABRIC, folder)


class Count(Step):
    """A weight that goes up by one in every epoch, and a valid loss that is given beforehand."""

    def __init__(self, losses):
        self.module = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.module.weight)
        self.modules, self.optimizers, self.losses, self.epoch = {"net": self.module}, {}, losses, -1
        self.n_batches = 2

    def batches(self, epoch):
        self.epoch = epoch
        yield from range(2)

    def update(self, batch, fabric):
        with torch.no_grad():
            self.module.weight += 0.5
        return {"loss": torch.tensor(float(batch))}

    def validate(self):
        return {"valid_loss": self.losses[self.epoch]}


class Noisy(Step):
    """Linear regression with dropout, batch norm and AdamW: all that a checkpoint has to bring back."""

    def __init__(self):
        torch.manual_seed(0)
        module = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1)
        )
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
        self.module, self.optimizer = FABRIC.setup(module, optimizer)
        self.modules, self.optimizers = {"net": self.module}, {"net": self.optimizer}
        self.n_batches = 3
        rng = torch.Generator().manual_seed(1)
        self.x, self.y = torch.randn(40, 4, generator=rng), torch.randn(40, 1, generator=rng)

    def batches(self, epoch):
        order = np.random.default_rng(epoch).permutation(30)
        yield from np.split(order, 3)

    def update(self, batch, fabric):
        loss = torch.nn.functional.mse_loss(self.module(self.x[batch]), self.y[batch])
        self.optimizer.zero_grad()
        fabric.backward(loss)
        self.optimizer.step()
        return {"loss": loss}

    def validate(self):
        with torch.no_grad():
            return {"valid_loss": float(torch.nn.functional.mse_loss(self.module(self.x[30:]), self.y[30:]))}


class Terminated(Noisy):
    """The same, told to stop in a step of an epoch, or cut off by an exception before it; counts its steps."""

    def __init__(self, epoch, step, exception=None):
        super().__init__()
        self.end, self.exception, self.at, self.done = (epoch, step), exception, (-1, 0), 0

    def batches(self, epoch):
        for step, batch in enumerate(super().batches(epoch), 1):
            self.at = (epoch, step)
            yield batch

    def update(self, batch, fabric):
        if self.at == self.end:
            if self.exception is not None:
                raise self.exception
            signal.raise_signal(signal.SIGTERM)
        self.done += 1
        return super().update(batch, fabric)


def weights(step):
    return {key: value.clone() for key, value in step.module.state_dict().items()}


class Cut(Exception):
    """The power goes off."""


def cut_off_at(epoch):
    def progress(done, _):
        if done == epoch:
            raise Cut

    return progress


# Early stopping


def test_the_weights_of_the_epoch_with_the_lowest_valid_loss_are_kept():
    step = Count([5.0, 3.0, 4.0, 2.0, 6.0, 7.0])
    curve = optimise(step, TrainSection(patience=10), 6, 0)
    assert len(curve) == 6
    assert step.module.weight.item() == 4  # after four epochs of two steps of a half


def test_training_stops_when_the_valid_loss_has_not_fallen_for_so_many_epochs():
    losses = [5.0, 3.0, 4.0, 3.0, 3.5, 1.0]
    step = Count(losses)
    curve = optimise(step, TrainSection(patience=3), 6, 0)
    assert [line.valid_loss for line in curve] == losses[:5]  # an equal loss is not a lower one
    assert step.module.weight.item() == 2


def test_a_loss_that_is_no_number_is_never_the_best():
    step = Count([math.nan, 2.0, math.nan, math.inf])
    optimise(step, TrainSection(patience=10), 4, 0)
    assert step.module.weight.item() == 2


def test_a_line_of_the_curve_says_epoch_rate_and_mean_training_loss():
    curve = optimise(Count([1.0, 2.0]), TrainSection(schedule="constant", lr=0.1), 2, 0)
    assert [(line.epoch, line.lr, line.train_loss, line.valid_loss) for line in curve] == [
        (0, 0.1, 0.5, 1),
        (1, 0.1, 0.5, 2),
    ]
    assert math.isnan(curve[0].test_score)


def test_progress_is_told_after_every_epoch():
    told = []
    optimise(Count([1.0] * 3), TrainSection(), 3, 0, progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 3), (2, 3), (3, 3)]


# Interruption


@pytest.mark.parametrize("epoch", [1, 2, 5, 9])
def test_a_training_that_is_cut_off_and_started_again_ends_in_the_same_bits(epoch, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    settings = TrainSection(patience=20, lr=0.05)
    whole = Noisy()
    curve = optimise(whole, settings, 10, 3)
    with pytest.raises(Cut):
        optimise(Noisy(), settings, 10, 3, tmp_path, cut_off_at(epoch))
    assert (tmp_path / "state.safetensors").exists() == (epoch > 1)
    resumed = Noisy()
    torch.manual_seed(99)
    told = []
    again = optimise(resumed, settings, 10, 3, tmp_path, lambda *numbers: told.append(numbers[0]))
    assert told[0] == epoch  # it goes on after the last epoch that was saved
    assert again == curve or str(again) == str(curve)  # NaN of scores that were not asked for
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


@pytest.mark.parametrize(("epoch", "step"), [(0, 1), (0, 2), (3, 2), (5, 3), (9, 3)])
def test_a_training_asked_to_stop_keeps_the_step_and_goes_on_from_it_to_the_same_bits(epoch, step, tmp_path):
    settings = TrainSection(patience=20, lr=0.05, ema=0.9)
    whole, halted = Noisy(), Terminated(epoch, step)
    curve = optimise(whole, settings, 10, 3)
    with pytest.raises(KeyboardInterrupt):
        optimise(halted, settings, 10, 3, tmp_path)
    resumed = Terminated(-1, -1)
    torch.manual_seed(99)
    assert str(optimise(resumed, settings, 10, 3, tmp_path)) == str(curve)
    assert halted.done + resumed.done == 10 * resumed.n_batches  # no step is done again
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())


def test_a_long_epoch_is_kept_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "WITHIN_EPOCH_SECONDS", -1.0)
    whole, cut = Noisy(), Terminated(1, 2, Cut)
    curve = optimise(whole, TrainSection(), 3, 0)
    with pytest.raises(Cut):
        optimise(cut, TrainSection(), 3, 0, tmp_path)
    resumed = Terminated(-1, -1)
    assert str(optimise(resumed, TrainSection(), 3, 0, tmp_path)) == str(curve)
    assert cut.done + resumed.done == 3 * resumed.n_batches


def test_members_side_by_side_that_are_asked_to_stop_end_in_the_same_bits(tmp_path):
    case = Case("mlp", "regression", n=90, settings={"batch": 8, "epochs": 3})
    train, valid, test = (case.examples[name] for name in ("train", "valid", "test"))

    def members(folder, halt=lambda *_: None):
        jobs = []
        for seed, n_rows in ((0, len(train)), (1, len(train) - 20)):  # the second has fewer batches
            own = folder / str(seed)
            own.mkdir(parents=True, exist_ok=True)
            job = Job(case.dims, seed, case.variant.train, str(seed), own, progress=halt)
            jobs.append((train.take(np.arange(n_rows)), valid, job))
        return jobs

    stopped = []

    def halt(done, _):
        if done == 1 and not stopped:
            stopped.append(done)
            signal.raise_signal(signal.SIGTERM)

    predictor = case.variant.predictor
    whole = predictor.fit_members(members(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        predictor.fit_members(members(tmp_path / "cut", halt))
    again = predictor.fit_members(members(tmp_path / "cut"))
    for first, second in zip(whole, again, strict=True):
        assert np.array_equal(first.predict(test.inputs), second.predict(test.inputs))


def test_a_training_that_was_finished_is_not_done_again(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    first, second = Noisy(), Noisy()
    curve = optimise(first, TrainSection(), 5, 0, tmp_path)
    told = []
    again = optimise(second, TrainSection(), 5, 0, tmp_path, lambda *numbers: told.append(numbers))
    assert told == []
    assert str(again) == str(curve)
    assert all(torch.equal(value, weights(second)[name]) for name, value in weights(first).items())


def test_a_short_training_writes_no_checkpoint(tmp_path):
    optimise(Noisy(), TrainSection(), 2, 0, tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_a_net_that_is_cut_off_and_started_again_predicts_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    case = Case("cnn", "regression", n=60)
    train, valid, test = (case.examples[name] for name in ("train", "valid", "test"))
    job = Job(
        case.dims,
        5,
        case.variant.train,
        monitor={"test": test},
        score=lambda _, predicted, __: float(np.mean(predicted)),
    )
    predictor = case.variant.predictor
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = predictor.fit(train, valid, replace(job, folder=tmp_path / "whole"))
    with pytest.raises(Cut):
        predictor.fit(train, valid, replace(job, folder=tmp_path / "cut", progress=cut_off_at(4)))
    resumed = predictor.fit(train, valid, replace(job, folder=tmp_path / "cut"))
    assert np.array_equal(whole.predict(test.inputs), resumed.predict(test.inputs))
    curves = [pq.read_table(tmp_path / name / "curves.parquet") for name in ("whole", "cut")]
    assert curves[0].equals(curves[1])
    assert curves[0].num_rows == 8
    assert (curves[0]["test_score"].to_numpy() != 0).all()


# Settings


def test_the_cosine_schedule_falls_from_the_highest_rate_to_a_hundredth_of_it():
    settings = TrainSection(lr=0.2)
    rates = [learning_rate(settings, epoch, 11) for epoch in range(11)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[5] == pytest.approx(0.2 * (1 + LAST_RATE) / 2)
    assert rates[10] == pytest.approx(0.2 * LAST_RATE)
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(settings, 0, 1) == 0.2


def test_the_constant_schedule_keeps_the_rate():
    settings = TrainSection(lr=0.2, schedule="constant")
    assert [learning_rate(settings, epoch, 7) for epoch in range(7)] == [0.2] * 7


def test_the_rate_of_the_schedule_is_the_one_the_optimiser_uses():
    step = Noisy()
    seen = []
    optimise(step, TrainSection(lr=0.1), 3, 0, progress=lambda *_: seen.append(step.optimizer.param_groups[0]["lr"]))
    assert seen == [learning_rate(TrainSection(lr=0.1), epoch, 3) for epoch in range(3)]


def test_small_tables_get_more_epochs_until_there_are_enough_steps():
    assert TrainSection().epochs_for(10) == LEAST_STEPS
    assert TrainSection(batch=64).epochs_for(6400) == LEAST_EPOCHS
    assert TrainSection(batch=10).epochs_for(250) == LEAST_STEPS // 25
    assert TrainSection(epochs=3).epochs_for(10) == 3
    assert TrainSection().epochs_for(0) == LEAST_STEPS


@pytest.mark.parametrize("device", ["tpu", "gpu", "CPU", ""])
def test_a_device_that_is_none_is_named(device):
    with pytest.raises(ConfigError, match=rf"\[train\] device = '{device}': no such device; use auto, cpu, cuda"):
        open_fabric(device)


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:1"):
        with pytest.raises(
            ConfigError, match=f"device = '{device}' is not available on this machine; use --device auto"
        ):
            resolved_device(device)


def test_one_of_several_devices_is_taken_by_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolved_device("auto") == "cuda"
    assert resolved_device("cuda:1") == "cuda:1"
    with pytest.raises(ConfigError, match="device = 'cuda:2' is not available on this machine"):
        resolved_device("cuda:2")


@pytest.mark.parametrize("device", ["cpu:0", "cuda:", "cuda:x", "mps:1"])
def test_a_device_number_where_none_can_be_is_refused(device):
    with pytest.raises(ConfigError, match=rf"\[train\] device = '{device}': no such device"):
        resolved_device(device)


@pytest.mark.parametrize(
    "wrong",
    [{"lr": 0}, {"batch": 0}, {"patience": 0}, {"seeds": 0}, {"schedule": "downwards"}, {"lr": -1}, {"clip": -1}],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=rf"\[train\] {next(iter(wrong))} = "):
        validated(TrainSection, wrong, "[train]")


# Losses

RNG = np.random.default_rng(0)


def with_holes(y, share=0.3):
    return np.where(RNG.random(y.shape) < share, np.nan, y)


def both_losses(logits, y, dims):
    """The loss that is trained on, and the loss taken of predictions."""
    output = torch.from_numpy(logits)
    trained = float(supervised_loss(output, torch.from_numpy(y).float(), dims))
    shares = (
        output.softmax(1) if dims.task == "multiclass" else output.sigmoid() if dims.task != "regression" else output
    )
    return trained, default_loss(y, shares.numpy(), dims)


def test_the_binary_loss_is_the_log_loss_of_the_known_rows():
    logits, y = RNG.normal(0, 2, (50, 1)), with_holes(RNG.integers(0, 2, (50, 1)).astype(float))
    known = ~np.isnan(y[:, 0])
    expected = log_loss(y[known, 0], 1 / (1 + np.exp(-logits[known, 0])))
    assert both_losses(logits, y, Dims("binary", 1, 1)) == pytest.approx((expected, expected), rel=1e-5)


def test_the_multiclass_loss_is_the_log_loss_of_the_known_rows():
    logits, y = RNG.normal(0, 2, (50, 4)), with_holes(RNG.integers(0, 4, (50, 1)).astype(float))
    known = ~np.isnan(y[:, 0])
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = log_loss(y[known, 0], shares[known], labels=[0, 1, 2, 3])
    assert both_losses(logits, y, Dims("multiclass", 1, 4)) == pytest.approx((expected, expected), rel=1e-5)


def test_the_multilabel_loss_is_the_log_loss_of_all_known_cells_together():
    logits, y = RNG.normal(0, 2, (50, 3)), with_holes(RNG.integers(0, 2, (50, 3)).astype(float))
    known = ~np.isnan(y)
    expected = log_loss(y[known], 1 / (1 + np.exp(-logits[known])))
    assert both_losses(logits, y, Dims("multilabel", 3, 3)) == pytest.approx((expected, expected), rel=1e-5)


def test_the_loss_of_values_is_the_mean_squared_error_of_the_known_cells():
    outputs, y = RNG.normal(0, 2, (50, 2)), with_holes(RNG.normal(0, 1, (50, 2)))
    known = ~np.isnan(y)
    expected = mean_squared_error(y[known], outputs[known])
    assert both_losses(outputs, y, Dims("regression", 2, 2)) == pytest.approx((expected, expected), rel=1e-5)


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "multilabel"])
def test_a_missing_target_pulls_at_no_weight(task):
    n_columns = 2 if task in ("regression", "multilabel") else 1
    dims = Dims(task, n_columns, 3 if task == "multiclass" else n_columns)
    output = torch.randn(6, dims.n_outputs, requires_grad=True)
    y = torch.ones(6, n_columns)
    y[2] = torch.nan
    supervised_loss(output, y, dims).backward()
    assert torch.isfinite(output.grad).all()
    assert (output.grad[2] == 0).all()
    assert (output.grad[[0, 1, 3, 4, 5]] != 0).any(1).all()


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass", "multilabel"])
def test_a_batch_without_any_target_is_harmless(task):
    dims = Dims(task, 1, 3 if task == "multiclass" else 1)
    output = torch.randn(4, dims.n_outputs, requires_grad=True)
    loss = supervised_loss(output, torch.full((4, 1), torch.nan), dims)
    loss.backward()
    assert loss.item() == 0
    assert (output.grad == 0).all()
    assert default_loss(np.full((4, 1), np.nan), np.zeros((4, dims.n_outputs)), dims) == math.inf


def test_sure_and_wrong_predictions_cost_much_but_not_infinitely():
    cost = default_loss(np.array([[1.0], [0.0]]), np.array([[0.0], [1.0]]), Dims("binary", 1, 1))
    assert 10 < cost < 20


def test_nets_train_on_rows_of_known_targets_as_if_the_others_were_not_there():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 3)).astype(np.float32)
    y = x[:, :1].astype(float)
    dims = Dims("regression", 1, 1, n_features=3)
    predictor = build("predictor", {"kind": "mlp", "hidden": [8], "dropout": 0.0})
    job = Job(dims, 0, TrainSection(epochs=3, batch=80, device="cpu"))
    valid = Examples(Inputs(features=x), y)
    alone = predictor.fit(Examples(Inputs(features=x), y), valid, job)
    nothing_known = Examples(
        Inputs(features=np.concatenate([x, 100 + x])), np.concatenate([y, np.full((40, 1), np.nan)])
    )
    beside = predictor.fit(nothing_known, valid, job)
    np.testing.assert_allclose(beside.predict(valid.inputs), alone.predict(valid.inputs), atol=1e-5)


# Schedules, optimisers, running means


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("t^-1", [1, 1 / 2, 1 / 3, 1 / 4]),
        ("t^-0.5", [1, 2**-0.5, 3**-0.5, 1 / 2]),
        ("t^0", [1, 1, 1, 1]),
        ("exp(-e)", [1, math.exp(-1), math.exp(-2), math.exp(-3)]),
        ("exp(-sqrt e)", [1, math.exp(-1), math.exp(-(2**0.5)), math.exp(-(3**0.5))]),
        ("exp(-e^2)", [1, math.exp(-1), math.exp(-4), math.exp(-9)]),
    ],
)
def test_decays_are_the_functions_they_are_named_by(schedule, expected):
    settings = validated(TrainSection, {"schedule": schedule, "lr": 2.0}, "[train]")
    assert [learning_rate(settings, e, 4) / 2 for e in range(4)] == pytest.approx(expected)
    assert learning_rate(settings, 2.75, 4) == learning_rate(settings, 2, 4)  # decays go by whole epochs


def test_one_cycle_rises_with_every_step_and_falls_to_almost_nothing():
    settings = TrainSection(schedule="one-cycle", lr=1.0)
    rates = [learning_rate(settings, step / 10, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) == 30
    assert rates[:31] == sorted(rates[:31])
    assert rates[30:] == sorted(rates[30:], reverse=True)
    assert rates[-1] < 1e-3


def test_a_warm_up_rises_in_a_line_and_the_schedule_begins_after_it():
    settings = TrainSection(warmup=2, lr=1.0, schedule="t^-1")
    assert [learning_rate(settings, epoch, 6) for epoch in (0.5, 1, 1.5)] == pytest.approx([0.25, 0.5, 0.75], abs=1e-3)
    assert [learning_rate(settings, epoch, 6) for epoch in (2, 3, 4)] == pytest.approx([1, 1 / 2, 1 / 3])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"schedule": "t^1"}, "a power such as"),
        ({"schedule": "t^-x"}, "a power such as"),
        ({"optimizer": "sgd", "weight_decay": 0.1}, "weight_decay is used by adamw only"),
        ({"schedule": "one-cycle", "warmup": 1}, "has its own warm-up"),
        ({"epochs": 3, "warmup": 3}, "leaves none of 3 epochs"),
        ({"ema": 1.0}, "ema"),
        ({"optimizer": "adamax"}, "optimizer"),
    ],
)
def test_settings_without_effect_or_sense_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        validated(TrainSection, given, "[train]")


def test_the_running_mean_of_weights_is_validated_and_kept():
    step = Count([3.0, 2.0])
    optimise(step, TrainSection(ema=0.5), 2, 0)
    mean, weight = 0.5, 0.5  # the mean starts at the weights after the first step
    for updates in (2, 3, 4):
        weight += 0.5
        mean += (1 - min(0.5, (1 + updates) / (10 + updates))) * (weight - mean)
    assert step.module.weight.item() == pytest.approx(mean)


def test_the_curve_holds_the_mean_rate_that_the_optimiser_had():
    step = Noisy()
    curve = optimise(step, TrainSection(lr=1.0, warmup=1, schedule="constant"), 2, 0)
    assert curve[0].lr == pytest.approx((0 + 1 / 3 + 2 / 3) / 3, abs=2e-3)
    assert curve[1].lr == 1.0

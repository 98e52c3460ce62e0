"""What else the loop knows: time that is up, steps that put best weights back, rates of several optimisers under one schedule."""

import time

import pytest
import torch

from seqloom.training import loop
from seqloom.training.device import open_fabric
from seqloom.training.schedule import learning_rate
from seqloom.training.settings import TrainSection
from seqloom.training.step import Step, Training

FABRIC = open_fabric("cpu")


class Rising(Step):
    """A weight that goes up by one in every epoch, under an optimiser with a share of the rate."""

    def __init__(self, losses, astray=(), seconds=0.0):
        module = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(module.weight)
        optimizer = torch.optim.SGD(module.parameters(), 1.0)
        self.module, self.optimizer = FABRIC.setup(module, optimizer)
        optimizer.param_groups[0]["rate_share"] = 0.5
        self.modules, self.optimizers, self.losses = {"net": self.module}, {"net": self.optimizer}, losses
        self.n_batches, self.epoch, self.astray, self.seconds, self.rates = 1, -1, astray, seconds, []

    def batches(self, epoch):
        self.epoch = epoch
        yield 0

    def update(self, batch, fabric):
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        time.sleep(self.seconds)
        with torch.no_grad():
            self.module.weight += 1
        return {"loss": torch.tensor(0.0)}

    def validate(self):
        return {"valid_loss": self.losses[self.epoch]}

    def recovered(self, best):
        if self.epoch not in self.astray:
            return False
        with torch.no_grad():
            self.module.weight.copy_(best["net/weight"])
        return True


def optimise(step, settings, **more):
    return loop.optimise(Training(step, settings, len(step.losses), 0, **more), FABRIC)


def test_no_epoch_begins_when_the_time_is_up():
    curve = optimise(Rising([5.0, 4.0, 3.0, 2.0], seconds=0.06), TrainSection(), seconds=0.1)
    assert len(curve) == 2


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_step_that_went_astray_goes_on_from_the_best_weights(ema):
    step = Rising([3.0, 1.0, 9.0, 0.5], astray=(2,))
    seen = []
    validate = step.validate
    step.validate = lambda: (seen.append(step.module.weight.item()), validate())[1]
    optimise(step, TrainSection(ema=ema))
    best = seen[1]
    last = best + 1
    assert seen[3] == pytest.approx(last if ema == 0 else best + (1 - ema), abs=0.51)
    assert seen[3] < seen[2] + 1


def test_an_optimiser_may_have_a_share_of_the_rate():
    step = Rising([2.0, 1.0])
    optimise(step, TrainSection(lr=0.8, schedule="constant"))
    assert step.rates == [0.4, 0.4]


def test_a_linear_schedule_falls_to_nothing_step_by_step():
    settings = TrainSection(lr=2.0, schedule="linear")
    assert [learning_rate(settings, each, 4) for each in (0, 1.5, 2, 3.75)] == [2.0, 1.25, 1.0, 0.125]

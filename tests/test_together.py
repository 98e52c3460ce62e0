"""Members trained as one batched net end as they would have one by one."""

from dataclasses import replace

import numpy as np
import pytest

from contracts.tables import Case
from seqloom.predict.base import Job
from seqloom.predict.net import Net
from seqloom.registry import available, recipe_class

NETS = [kind for kind in available("predictor") if issubclass(recipe_class("predictor", kind), Net)]


def members_of(case: Case, n_seeds: int = 3, **settings):
    """Seeds of one fold; the last has fewer rows, as members of another fold might."""
    train, valid = case.examples["train"], case.examples["valid"]
    rows = [np.arange(len(train)) for _ in range(n_seeds - 1)] + [np.arange(len(train) - 13)]
    changed = case.variant.train.model_copy(update=settings)
    return [(train.take(own), valid, Job(case.dims, seed, changed)) for seed, own in enumerate(rows)]


@pytest.mark.parametrize("kind", NETS)
@pytest.mark.parametrize("task", ["regression", "multiclass"])
def test_members_trained_together_predict_as_those_trained_one_by_one(kind, task):
    case = Case(kind, task, n=150, settings={"batch": 32, "epochs": 4})
    predictor, test = case.variant.predictor, case.examples["test"].inputs
    members = members_of(case)
    together = predictor.fit_members(members)
    alone = [predictor.fit(*member) for member in members]
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours.predict(test), theirs.predict(test), atol=2e-4, rtol=1e-3)
    assert np.abs(together[0].predict(test) - together[1].predict(test)).max() > 1e-3


@pytest.mark.parametrize(
    "changes", [{"optimizer": "rmsprop"}, {"optimizer": "sgd", "lr": 0.01}, {"clip": 0.1}, {"ema": 0.9}]
)
def test_optimiser_clipping_and_running_means_are_each_members_own(changes):
    case = Case("mlp", "regression", n=150, settings={"batch": 32, "epochs": 4})
    predictor, test = case.variant.predictor, case.examples["test"].inputs
    members = members_of(case, **changes)
    for ours, member in zip(predictor.fit_members(members), members, strict=True):
        np.testing.assert_allclose(ours.predict(test), predictor.fit(*member).predict(test), atol=2e-4, rtol=1e-3)


def test_members_may_differ_in_rate_and_stop_when_each_has_had_enough():
    case = Case("mlp", "regression", n=150, settings={"batch": 32, "epochs": 12, "patience": 2})
    predictor, test = case.variant.predictor, case.examples["test"].inputs
    members = [
        (train, valid, replace(job, settings=job.settings.model_copy(update={"lr": lr})))
        for (train, valid, job), lr in zip(members_of(case), (1e-3, 1e-2, 0.3), strict=True)
    ]
    told: dict[int, int] = {}
    watched = [
        (train, valid, replace(job, progress=lambda done, _, seed=job.seed: told.update({seed: done})))
        for train, valid, job in members
    ]
    together = predictor.fit_members(watched)
    assert len(set(told.values())) > 1
    for ours, member in zip(together, members, strict=True):
        np.testing.assert_allclose(ours.predict(test), predictor.fit(*member).predict(test), atol=2e-3, rtol=1e-2)


def test_bounds_and_class_weights_take_part():
    case = Case("mlp", "regression", n=150, settings={"batch": 32, "epochs": 4})
    predictor, test = case.variant.predictor, case.examples["test"].inputs
    rng = np.random.default_rng(0)
    members = [
        (
            replace(
                train, bounds=rng.integers(-1, 2, train.y.shape).astype(np.int8), weights=rng.random(train.y.shape)
            ),
            *rest,
        )
        for train, *rest in members_of(case)
    ]
    for ours, member in zip(predictor.fit_members(members), members, strict=True):
        np.testing.assert_allclose(ours.predict(test), predictor.fit(*member).predict(test), atol=2e-4, rtol=1e-3)


def test_members_with_and_without_class_weights_train_together():
    case = Case("mlp", "binary", n=150, settings={"batch": 32, "epochs": 4})
    predictor, test = case.variant.predictor, case.examples["test"].inputs
    plain = members_of(case, 2)[:1]
    train, valid, job = plain[0]
    weighed = replace(train, weights=np.where(train.y > 0, 3.0, 0.5))
    members = [*plain, (weighed, valid, replace(job, seed=1))]
    for ours, member in zip(predictor.fit_members(members), members, strict=True):
        np.testing.assert_allclose(ours.predict(test), predictor.fit(*member).predict(test), atol=2e-4, rtol=1e-3)


def test_a_finished_group_that_is_found_again_predicts_as_it_did(tmp_path):
    case = Case("light-attention", "regression", n=100, settings={"batch": 32, "epochs": 4})  # dropout and batch norm
    predictor, test = case.variant.predictor, case.examples["test"].inputs
    members = []
    for train, valid, job in members_of(case):
        folder = tmp_path / str(job.seed)
        folder.mkdir()
        members.append((train, valid, replace(job, folder=folder, name=str(job.seed))))
    first = predictor.fit_members(members)
    again = predictor.fit_members(members[1:])  # the first was saved before the interruption
    for ours, theirs in zip(again, first[1:], strict=True):
        assert np.array_equal(ours.predict(test), theirs.predict(test))
        assert all(np.array_equal(ours.state()[name], value) for name, value in theirs.state().items())

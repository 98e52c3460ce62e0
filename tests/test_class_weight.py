"""Weights of classes: what they are, who learns by them, and who refuses them."""

import importlib.util
import json
import tomllib

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.utils.class_weight import compute_class_weight

from contracts.tables import Case, peptides
from seqloom.encode.base import Inputs
from seqloom.errors import ConfigError
from seqloom.estimators import SequenceClassifier
from seqloom.experiment import compare
from seqloom.predict.base import Dims, Examples, Job, default_loss
from seqloom.predict.fitting import fit_model
from seqloom.predict.net import Supervised, supervised_loss
from seqloom.predict.weights import weighed
from seqloom.registry import available, build, recipe_class, validated
from seqloom.training.device import open_fabric
from seqloom.training.settings import TrainSection

NAMES = ("no", "yes")


def settings(class_weight, **others):
    return validated(TrainSection, {"class_weight": class_weight, "device": "cpu", **others}, "[train]")


def examples(y):
    y = np.asarray(y, np.float64)
    y = y if y.ndim == 2 else y[:, None]
    return Examples(Inputs(features=np.zeros((len(y), 1), np.float32)), y)


def weights(class_weight, y, task="binary", n_outputs=1, classes=NAMES, valid=()):
    """The weights that training and valid targets get."""
    n_columns = examples(y).y.shape[1]
    job = Job(Dims(task, n_columns, n_outputs, 1), settings=settings(class_weight), classes=classes)
    train, held = weighed(examples(y), examples(np.asarray(valid).reshape(len(valid), n_columns)), job)
    return train.weights, held.weights


# --- the weights ------------------------------------------------------------------------------------------------------


def test_balanced_classes_count_alike():
    own, held = weights("balanced", [0, 0, 0, 1], valid=[1, 0])
    np.testing.assert_allclose(own.ravel(), [2 / 3, 2 / 3, 2 / 3, 2])
    np.testing.assert_allclose(held.ravel(), [2, 2 / 3])
    y = np.random.default_rng(0).choice(3, 200, p=[0.7, 0.2, 0.1])
    own, _ = weights("balanced", y, "multiclass", 3, ("a", "b", "c"))
    reference = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(own.ravel(), reference[y])


def test_only_ratios_of_weights_matter():
    by_three, _ = weights({"yes": 3}, [0, 0, 0, 1])
    np.testing.assert_allclose(by_three.ravel(), [2 / 3, 2 / 3, 2 / 3, 2])
    np.testing.assert_allclose(weights({"yes": 6, "no": 2}, [0, 0, 0, 1])[0], by_three)
    assert by_three.mean() == 1


def test_a_weight_of_0_leaves_a_class_out():
    np.testing.assert_allclose(weights({"no": 0.0}, [0, 1, 1])[0].ravel(), [0, 1.5, 1.5])
    with pytest.raises(ConfigError, match="all classes that the training rows have count 0"):
        weights({"no": 0.0}, [0, 0])


def test_every_label_is_balanced_by_itself_and_missing_ones_count_nothing():
    own, _ = weights("balanced", [[0, 1], [0, np.nan], [0, 0], [1, np.nan]], "multilabel", 2, ())
    np.testing.assert_allclose(own, [[2 / 3, 1], [2 / 3, 1], [2 / 3, 1], [2, 1]])
    named, _ = weights({"1": 3}, [[0], [1]], "multilabel", 1, ())
    np.testing.assert_allclose(named.ravel(), [0.5, 1.5])


def test_a_class_without_training_rows_counts_as_the_mean():
    own, held = weights("balanced", [0, 0, 1], "multiclass", 3, ("a", "b", "c"), valid=[2])
    np.testing.assert_allclose(own.ravel(), [0.75, 0.75, 1.5])
    assert held.ravel().tolist() == [1.0]


# --- who learns by them -----------------------------------------------------------------------------------------------


def uneven(n=1500, n_new=1500, rare=0.06, seed=0):
    """Rows of two overlapping classes, few of them 1: training, valid and new rows."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n + n_new) < rare).astype(np.float64)
    x = (rng.normal(size=(n + n_new, 6)) + 0.8 * y[:, None] * (np.arange(6) < 3)).astype(np.float32)
    parts = (slice(0, int(0.85 * n)), slice(int(0.85 * n), n), slice(n, None))
    return [Examples(Inputs(features=x[own]), y[own, None]) for own in parts]


@pytest.mark.parametrize(
    ("kind", "own"),
    [
        ("linear", {}),
        ("boosting", {"rounds": 30}),
        pytest.param(
            "lightgbm",
            {"rounds": 30},
            marks=pytest.mark.skipif(importlib.util.find_spec("lightgbm") is None, reason="needs the extra 'boost'"),
        ),
        ("mlp", {"hidden": [8]}),
    ],
)
def test_balanced_models_find_more_of_a_rare_class(kind, own):
    train, valid, new = uneven()
    found = {}
    for choice in ("none", "balanced"):
        job = Job(Dims("binary", 1, 1, 6), settings=settings(choice, epochs=8), classes=NAMES)
        p = fit_model(build("predictor", {"kind": kind, **own}), train, valid, job).predict(new.inputs)[:, 0]
        found[choice] = balanced_accuracy_score(new.y[:, 0], p >= 0.5)
    assert found["balanced"] > found["none"] + 0.08


def test_logistic_regression_is_that_of_scikit_learn_with_the_same_weights():
    train, _, new = uneven(600, 100)
    none = train.take(np.zeros(0, np.int64))
    for choice, reference in (("balanced", "balanced"), ({"yes": 4}, None)):
        job = Job(Dims("binary", 1, 1, 6), settings=settings(choice), classes=NAMES)
        p = fit_model(build("predictor", {"kind": "linear", "penalty": 1.0}), train, none, job).predict(new.inputs)
        x, y = train.inputs.features.astype(float), train.y[:, 0]
        by_class = {0: 1.0, 1: 4.0}
        total = np.mean([by_class[each] for each in y])
        weight = reference or {name: value / total for name, value in by_class.items()}
        model = LogisticRegression(class_weight=weight, tol=1e-8, max_iter=1000).fit(x, y)
        np.testing.assert_allclose(p[:, 0], model.predict_proba(new.inputs.features)[:, 1], atol=1e-2)


def test_boosting_is_that_of_scikit_learn_with_the_same_weights():
    train, _, new = uneven(600, 100)
    none = train.take(np.zeros(0, np.int64))
    job = Job(Dims("binary", 1, 1, 6), settings=settings("balanced"), classes=NAMES)
    p = fit_model(build("predictor", {"kind": "boosting", "rounds": 20}), train, none, job).predict(new.inputs)
    model = HistGradientBoostingClassifier(
        max_iter=20, min_samples_leaf=10, early_stopping=False, class_weight="balanced", random_state=0
    )
    model.fit(train.inputs.features, train.y[:, 0])
    np.testing.assert_allclose(p[:, 0], model.predict_proba(new.inputs.features)[:, 1], atol=1e-10)


@pytest.mark.parametrize(("task", "n_classes"), [("binary", 2), ("multiclass", 3), ("multilabel", 2)])
def test_losses_weigh_every_known_target(task, n_classes):
    rng = np.random.default_rng(0)
    n_columns = 2 if task == "multilabel" else 1
    y = rng.integers(0, n_classes, (40, n_columns)).astype(np.float64)
    own = rng.uniform(0.5, 2, y.shape)
    output = torch.tensor(rng.normal(size=(40, 3 if task == "multiclass" else n_columns)))
    dims = Dims(task, n_columns, output.shape[1])
    p = (output.softmax(1) if task == "multiclass" else output.sigmoid()).numpy()
    if task == "multiclass":
        reference = log_loss(y[:, 0], p, sample_weight=own[:, 0]) * own.mean()
    else:
        reference = np.mean(
            [log_loss(a, b, sample_weight=w) * w.mean() for a, b, w in zip(y.T, p.T, own.T, strict=True)]
        )
    assert default_loss(y, p, dims, weights=own) == pytest.approx(reference, rel=1e-5)
    loss = supervised_loss(output, torch.tensor(y), dims, weights=torch.tensor(own))
    assert loss.item() == pytest.approx(reference, rel=1e-5)
    y[::3] = np.nan
    known = ~np.isnan(y[:, 0])
    loss = supervised_loss(output, torch.tensor(y), dims, weights=torch.tensor(own))
    assert loss.item() == pytest.approx(default_loss(y[known], p[known], dims, weights=own[known]), rel=1e-5)


def test_no_row_is_repeated_whatever_its_weight():
    case = Case("mlp", "binary", settings={"class_weight": "balanced"})
    train, valid = case.examples["train"], case.examples["valid"]
    job = Job(case.dims, settings=case.variant.train, classes=case.target.classes)
    train, valid = weighed(train, valid, job)
    module = case.variant.predictor.module(case.dims)
    step = Supervised(module, train, valid, job, open_fabric("cpu"))
    for epoch in range(2):
        assert sorted(np.concatenate(list(step.batches(epoch))).tolist()) == list(range(len(train)))


def test_the_estimator_takes_weights():
    rng = np.random.default_rng(0)
    sequences = peptides(400, shortest=9, longest=9)
    greasy = np.array([sum(each in "LIVFM" for each in sequence) for sequence in sequences]) + rng.normal(0, 1, 400)
    labels = np.where(greasy > np.quantile(greasy, 0.9), "yes", "no")
    called = [
        (
            SequenceClassifier(settings={"train.class_weight": choice}).fit(sequences, labels).predict(sequences)
            == "yes"
        ).mean()
        for choice in ("none", "balanced")
    ]
    assert called[1] > 1.5 * called[0]


def test_a_comparison_varies_weights_and_remembers_them(tmp_path):
    sequences = peptides(200)
    greasy = np.array([sum(each in "LIVFM" for each in sequence) for sequence in sequences])
    data = pa.table({"sequence": sequences, "label": np.where(greasy > 3, "yes", "no")})
    sections = {
        "split": {"kind": "random", "folds": 1},
        "predictor": {"kind": "linear"},
        "vary": {"train.class_weight": ["none", "balanced", {"yes": 2.5}]},
        "report": {"draws": 100},
    }
    result = compare(sections, tmp_path / "run", data=data)
    names = [row["variant"] for row in result.leaderboard]
    assert "linear-class-weight-balanced" in names
    weighed_run = next(name for name in names if "2-5" in name)
    resolved = tomllib.loads((tmp_path / "run" / weighed_run / "resolved.toml").read_text())
    assert resolved["train"]["class_weight"] == {"yes": 2.5}
    again = compare(sections, tmp_path / "run", data=data)
    assert json.dumps(again.leaderboard[0]["metrics"]) == json.dumps(result.leaderboard[0]["metrics"])


# --- who refuses them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"yes": -1}, r"\[train\] class_weight = .*weights are numbers of 0 or more, and there is yes = -1"),
        ({"yes": float("nan")}, "yes = nan"),
        ({"yes": "many"}, "yes = 'many'"),
        ({"yes": True}, "yes = True"),
        ({}, "a table of weights by class"),
        ("balance", "it is none, balanced, or a table"),
        (3, "give none, balanced, or a table"),
    ],
)
def test_weights_that_are_none_are_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        settings(value)


def refused(tmp_path, sections, y=("no", "yes")):
    data = pa.table({"sequence": peptides(40), "label": [y[row % 2] for row in range(40)]})
    with pytest.raises(ConfigError) as caught:
        compare({"split": {"kind": "random"}, **sections}, tmp_path / "run", data=data)
    return str(caught.value)


def test_weights_that_nobody_takes_are_refused(tmp_path):
    balanced = {"class_weight": "balanced"}
    alone = refused(tmp_path, {"train": balanced, "predictor": {"kind": "knn"}})
    assert "[train] class_weight: used by none of knn; remove it, or add a model that takes it" in alone
    own = refused(
        tmp_path, {"variant": [{"predictor": "linear"}, {"name": "k", "predictor": "knn", "train": balanced}]}
    )
    assert "variant 'k': its own [train] class_weight is not used by 'knn'" in own
    rate = refused(tmp_path, {"variant": [{"predictor": "linear", "train": {**balanced, "lr": 0.1}}]})
    assert "its own [train] settings (lr) are used by nets only" in rate


def test_weights_of_classes_that_are_not_there_are_refused(tmp_path):
    message = refused(tmp_path, {"train": {"class_weight": {"Yes": 2}}, "predictor": {"kind": "linear"}})
    assert "[train] class_weight: no class 'Yes'; the target has 'no', 'yes'" in message
    sections = {
        "train": {"class_weight": "balanced"},
        "predictor": {"kind": "linear"},
        "target": {"task": "regression"},
    }
    assert "is for classes, and the task is regression" in refused(tmp_path, sections, y=(1.5, 3.25))


def test_kinds_that_weigh_classes_say_so():
    kinds = {
        kind for kind in available("predictor") if kind != "lightgbm" and recipe_class("predictor", kind).weighs_classes
    }
    assert {"linear", "boosting", "mlp", "cnn"} <= kinds
    assert not kinds & {"knn", "nearest", "constant"}

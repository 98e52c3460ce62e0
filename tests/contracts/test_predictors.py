"""What every predictor must do, whoever wrote it; all kinds are found by themselves."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from contracts.tables import TASKS, Case
from seqloom.encode.base import Inputs
from seqloom.errors import ConfigError
from seqloom.metrics import default_metrics, score
from seqloom.predict.base import Dims, prior
from seqloom.registry import available, build, describe, recipe_class

KINDS = [
    pytest.param(
        kind, marks=pytest.mark.skipif(importlib.util.find_spec("lightgbm") is None, reason="needs the extra 'boost'")
    )
    if kind == "lightgbm"
    else kind
    for kind in available("predictor")
]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_task = pytest.mark.parametrize("task", TASKS)


def case_of(kind, task, **settings) -> Case:
    """The predictor with examples of this task, skipped for a task that it says it has not."""
    if task not in recipe_class("predictor", kind).tasks:
        pytest.skip(f"{kind} is not for {task}")
    return Case(kind, task, **settings)


@every_kind
@every_task
def test_a_task_that_a_kind_is_not_for_is_refused_with_those_that_it_is_for(kind, task):
    tasks = recipe_class("predictor", kind).tasks
    if task in tasks:
        assert Case(kind, task, n=60).variant.predictor.kind == kind
        return
    with pytest.raises(ConfigError, match=rf"predictor '{kind}' is for {' and '.join(tasks)}, and the task is {task}"):
        Case(kind, task, n=60)


@every_kind
@every_task
def test_predictions_have_one_column_per_output_and_are_finite(kind, task):
    case = case_of(kind, task, n=60)
    outputs = case.fit().predict(case.examples["test"].inputs)
    assert outputs.shape == (20, case.dims.n_outputs)
    assert np.isfinite(outputs).all()
    if task != "regression":
        assert outputs.min() >= 0
        assert outputs.max() <= 1
    if task == "multiclass":
        np.testing.assert_allclose(outputs.sum(1), 1, atol=1e-6)


@every_kind
@every_task
def test_a_saved_and_restored_model_predicts_the_same(kind, task):
    case = case_of(kind, task, n=60)
    fitted = case.fit()
    state = {name: np.array(value) for name, value in fitted.state().items()}
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in state.values())
    restored = case.variant.predictor.restore(state, Dims(**case.dims.as_json()))
    inputs = case.examples["test"].inputs
    np.testing.assert_allclose(restored.predict(inputs), fitted.predict(inputs), rtol=0, atol=1e-12)


@every_kind
def test_the_same_seed_gives_bit_equal_predictions(kind):
    case = Case(kind, "regression")
    inputs = case.examples["test"].inputs
    assert np.array_equal(case.fit(3).predict(inputs), case.fit(3).predict(inputs))


@every_kind
def test_another_seed_changes_the_model_exactly_if_it_says_so(kind):
    case = Case(kind, "regression")
    inputs = case.examples["test"].inputs
    same = np.array_equal(case.fit(0).predict(inputs), case.fit(1).predict(inputs))
    assert same is not recipe_class("predictor", kind).stochastic


@every_kind
def test_one_row_at_a_time_predicts_as_all_rows_at_once(kind):
    case = Case(kind, "regression", n=60)
    fitted, inputs = case.fit(), case.examples["test"].inputs
    whole = fitted.predict(inputs)
    single = np.concatenate([fitted.predict(inputs.take(np.array([row]))) for row in range(len(inputs))])
    np.testing.assert_allclose(single, whole, atol=2e-5)


@every_kind
def test_no_rows_give_no_predictions(kind):
    case = Case(kind, "regression", n=60)
    none = case.examples["test"].inputs.take(np.zeros(0, np.int64))
    assert case.fit().predict(none).shape == (0, 1)


@every_kind
def test_a_shuffled_target_is_predicted_at_chance(kind):
    case = Case(kind, "regression", n=300, shuffled=True)
    outputs = case.fit().predict(case.examples["test"].inputs)
    reached = score("spearman", "regression", case.examples["test"].y, outputs)
    assert np.isnan(reached) or abs(reached) < 0.35  # three standard errors of a Spearman of 0 with 100 rows are 0.30


@every_kind
def test_outputs_that_calibrate_are_of_a_model_that_has_not_seen_their_targets(kind):
    case = case_of(kind, "binary", n=300, shuffled=True)
    fitted, valid = case.fit(), case.examples["valid"]
    outputs = fitted.predict(valid.inputs) if fitted.held_back is None else fitted.held_back
    assert outputs.shape == (len(valid), 1)
    assert score("auroc", "binary", valid.y, outputs) < 0.78  # of 50 rows: chance is 0.5, its standard error 0.08


@every_kind
def test_missing_targets_do_not_reach_the_model(kind):
    case = Case(kind, "regression", n=60)
    train = case.examples["train"]
    known = np.arange(len(train)) % 3 != 0
    holes = type(train)(train.inputs, np.where(known[:, None], train.y, np.nan))
    outputs = case.fit(train=holes).predict(case.examples["test"].inputs)
    assert np.isfinite(outputs).all()


@every_kind
def test_a_class_that_training_rows_lack_is_improbable_not_an_error(kind):
    case = case_of(kind, "multiclass", n=60)
    train = case.examples["train"]
    rows = np.flatnonzero(train.y[:, 0] != 1)
    outputs = case.fit(train=train.take(rows)).predict(case.examples["test"].inputs)
    assert outputs.shape[1] == 3
    assert outputs[:, 1].max() < 0.5


@every_kind
def test_a_model_learns_what_can_be_learnt(kind):
    if recipe_class("predictor", kind).baseline and kind != "linear":
        pytest.skip("a naive baseline")
    case = Case(kind, "regression", n=600, settings={"epochs": 30})
    outputs = case.fit().predict(case.examples["test"].inputs)
    assert score(default_metrics("regression")[0], "regression", case.examples["test"].y, outputs) > 0.3


@every_kind
def test_an_unknown_key_is_refused_by_name(kind):
    with pytest.raises(ConfigError, match=r"\[predictor\].*no setting 'sizee'"):
        build("predictor", {"kind": kind, "sizee": 3})


@every_kind
def test_every_kind_and_setting_is_documented(kind):
    found = describe("predictor", kind)
    assert len(found.title) > 20
    assert all(len(field.text) > 3 for field in found.fields)


@pytest.mark.parametrize(
    "kind", [kind for kind in available("predictor") if recipe_class("predictor", kind).takes == "tokens"]
)
def test_padding_changes_nothing(kind):
    case = Case(kind, "regression", n=60)
    fitted, inputs = case.fit(), case.examples["test"].inputs
    by_length = np.argsort(inputs.tokens.lengths)
    short, long = by_length[:1], by_length[-1:]
    alone = fitted.predict(inputs.take(short))
    beside = fitted.predict(inputs.take(np.concatenate([short, long])))[:1]
    np.testing.assert_allclose(alone, beside, atol=2e-5)


def test_the_constant_predicts_the_training_mean_and_class_shares():
    y = np.array([[0.0], [1.0], [1.0], [np.nan]])
    assert prior(y, Dims("binary", 1, 1)) == pytest.approx([2 / 3])
    assert prior(y, Dims("multiclass", 1, 3)).tolist() == pytest.approx([1 / 3, 2 / 3, 0])


def test_nearest_averages_equally_similar_sequences():
    case = Case("nearest", "regression", n=60)
    train = case.examples["train"]
    fitted = case.fit()
    own = fitted.predict(train.inputs)
    np.testing.assert_allclose(own, train.y, atol=1e-6)


def test_boosting_predicts_as_scikit_learn_does():
    from sklearn.ensemble import HistGradientBoostingClassifier

    case = Case("boosting", "multiclass", n=200)
    train, test = case.examples["train"], case.examples["test"]
    model = HistGradientBoostingClassifier(max_iter=100, min_samples_leaf=2, early_stopping=False, random_state=0).fit(
        train.inputs.features, train.y[:, 0]
    )
    from seqloom.predict.boosting import FittedTrees, _arrays

    ours = FittedTrees(_arrays(model, model.classes_.astype(int), case.dims), case.dims).predict(test.inputs)
    np.testing.assert_allclose(ours, model.predict_proba(test.inputs.features), atol=1e-12)


def test_every_predictor_has_a_file_of_its_own():
    folder = Path(importlib.util.find_spec("seqloom.predict").submodule_search_locations[0])
    registered = [path for path in folder.glob("*.py") if '@register("predictor"' in path.read_text()]
    plugins = {"pls"}
    assert len(registered) == len(set(available("predictor")) - plugins)


def test_features_and_tokens_can_be_taken_row_by_row():
    case = Case("cnn", "regression", n=60)
    inputs: Inputs = case.examples["test"].inputs
    rows = np.array([3, 1, 1])
    assert inputs.take(rows).tokens.lengths.tolist() == inputs.tokens.lengths[rows].tolist()

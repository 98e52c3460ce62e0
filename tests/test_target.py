"""What a target is found to be, and its three scales."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from contracts.tables import peptides
from seqloom.errors import ConfigError, DataError
from seqloom.plan import make_plan
from seqloom.registry import validated
from seqloom.table import DataSection, read_table
from seqloom.target import Target, TargetSection, find_target

SEQUENCES = peptides(200)


def table_with(**columns):
    n_rows = len(next(iter(columns.values())))
    data = pa.table({"sequence": SEQUENCES[:n_rows], **columns})
    return read_table(data, DataSection(sequence=("sequence",), alphabet="protein"), tuple(columns))


def found(values, **settings):
    """The target found in a column `y`, and its values on the score scale, (N,)."""
    table = table_with(y=values)
    target = find_target(table, validated(TargetSection, settings, "[target]"))
    return target, target.read(table)[:, 0].tolist()


def refused(values, **settings):
    with pytest.raises((DataError, ConfigError)) as caught:
        found(values, **settings)
    return str(caught.value)


# Which task


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0, 1, 1, 0], "binary"),
        ([0.0, 1.0, None, 0.0], "binary"),
        ([True, False, True], "binary"),
        ([-1, 1, 1], "binary"),
        ([1, 2, 2], "binary"),
        (["yes", "no", "yes"], "binary"),
        (["0", "1", "1"], "binary"),
        ([0, 1, 2] * 5, "multiclass"),
        ([0, 1, 2] * 4, "regression"),  # too few rows for each to be a code
        ([-1, 0, 1] * 5, "regression"),  # codes are not negative
        (list(range(40)) * 5, "regression"),  # too many to be codes
        ([0, 61, 7] * 5, "regression"),  # too large to be codes
        ([0.5, 1.5], "regression"),
        ([3, 7], "regression"),
        (["a", "b", "c"], "multiclass"),
        (["1", "2", "x"], "multiclass"),
        ([1e20, 2e20, 4e20], "regression"),
    ],
)
def test_the_task_is_seen_in_the_values(values, task):
    assert found(values)[0].task == task


def test_whole_numbers_are_measurements_when_the_user_says_so():
    target, scores = found([0, 1, 2] * 5, task="regression")
    assert target.task == "regression"
    assert scores[:3] == [0, 1, 2]


def test_several_columns_of_0_and_1_are_labels_and_may_have_holes():
    table = table_with(a=[0, 1, 1, None], b=[1.0, float("nan"), 0.0, 1.0])
    target = find_target(table, TargetSection(column=("a", "b")))
    assert (target.task, target.n_outputs, target.output_names) == ("multilabel", 2, ("a", "b"))
    np.testing.assert_array_equal(target.read(table), [[0, 1], [1, np.nan], [1, 0], [np.nan, 1]])


def test_several_columns_of_numbers_are_regressed_together():
    table = table_with(a=[0.5, 1.5, 2.5], b=[0, 1, 1])
    target = find_target(table, TargetSection(column=("a", "b")))
    assert (target.task, target.n_outputs) == ("regression", 2)


@pytest.mark.parametrize("other", [["x", "y", "x"], ["x", "y", "z"]])
def test_columns_of_different_kinds_are_refused(other):
    table = table_with(a=[0, 1, 1], b=other)
    with pytest.raises(DataError, match="several targets must all be numbers or all be 0/1"):
        find_target(table, TargetSection(column=("a", "b")))


def test_a_target_that_is_not_named_and_not_found_is_asked_for():
    table = read_table(pa.table({"sequence": ["ACDEFG", "ACDEFH"]}), DataSection(alphabet="protein"))
    with pytest.raises(DataError, match="no target column is known; name it with --target COLUMN"):
        find_target(table, TargetSection())


# Classes


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["neg", "pos", "neg"], ("neg", "pos")),
        (["positive", "negative", "negative"], ("negative", "positive")),
        (["Yes", "No", "No"], ("No", "Yes")),
        (["true", "false"], ("false", "true")),
        ([True, False], ("false", "true")),
        ([1.0, 0.0], ("0", "1")),
        ([-1, 1], ("-1", "1")),
        (["binder", "decoy"], ("binder", "decoy")),  # the last in sorted order
        (["b", "a"], ("a", "b")),
    ],
)
def test_the_positive_class_stands_last_under_its_own_name(values, classes):
    assert found(values)[0].classes == classes


def test_scores_of_classes_are_their_places():
    target, scores = found(["pos", "neg", None, "pos"])
    np.testing.assert_array_equal(scores, [1, 0, np.nan, 1])
    assert target.scale_name == "original units"


@pytest.mark.parametrize(("values", "positive"), [(["binder", "decoy"], "binder"), ([0, 1], 0), ([0, 1], "0")])
def test_the_positive_class_can_be_chosen(values, positive):
    target, scores = found(values, positive=positive)
    assert target.classes[1] == str(positive)
    assert scores[values.index(type(values[0])(positive))] == 1


def test_classes_keep_their_order_by_number_or_by_name():
    assert found([10, 9, 2] * 5)[0].classes == ("2", "9", "10")
    assert found(["b", "c", "a"])[0].classes == ("a", "b", "c")


def test_blank_and_missing_classes_are_unknown():
    target, scores = found(["a", "b", " ", None, "", "a"])
    assert target.classes == ("a", "b")
    np.testing.assert_array_equal(scores, [0, 1, np.nan, np.nan, np.nan, 0])


def test_a_class_that_a_later_table_brings_is_named_by_row():
    target, _ = found(["a", "b", "a"])
    later = table_with(y=["a", "q", None, "z"])
    with pytest.raises(DataError) as caught:
        target.read(later)
    assert "2 values are none of the classes 'a', 'b'; row 2: 'q', row 4: 'z'" in str(caught.value)
    codes, _ = found([0.0, 1.0, 1.0])
    assert codes.read(table_with(y=[1, 0, 1])).ravel().tolist() == [1, 0, 1]  # 1.0 and 1 are one class


# What cannot be learnt


def test_what_cannot_be_learnt_is_refused_with_the_reason():
    assert "column 'y' is constant (2) in all 3 rows that have it" in refused([2.0, 2.0, 2.0, None])
    assert "column 'y' is constant (1)" in refused([1, 1, 1])
    assert "holds one class only, 'a'" in refused(["a", "a", None])
    assert "holds one class only, '1'" in refused([1, 1, 1], task="binary")
    assert "holds no value at all in 3 rows" in refused([None, None, None])
    assert "holds no value at all in 2 rows" in refused([float("nan")] * 2)


@pytest.mark.parametrize("values", [[1.0, 2.0, np.inf], [1.5, -np.inf, 2.0], [0.0, 1.0, np.inf], ["1", "2", "inf"]])
def test_infinite_values_are_refused(values):
    assert "column 'y' holds infinite values; mend or remove those rows" in refused(values)


def test_values_that_do_not_fit_the_task_are_refused():
    assert "column 'y' holds 3 classes; use --set target.task=multiclass" in refused([0, 1, 2], task="binary")
    assert "are no numbers: row 2: 'x'" in refused(["1", "x", "2"], task="regression")
    assert "holds 0.5, and a multilabel target is 0 or 1" in refused([0, 0.5, 1], task="multilabel")


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_several_columns_of_classes_are_refused(task):
    table = table_with(a=[0, 1, 1], b=[1, 0, 0])
    with pytest.raises(ConfigError, match=f"task = '{task}' takes one column, and there are 2"):
        find_target(table, TargetSection(column=("a", "b"), task=task))


@pytest.mark.parametrize(
    ("values", "settings", "said"),
    [
        ([0, 1], {"positive_below": 1}, "positive_below and positive_above are for regression"),
        ([0, 1], {"transform": "log"}, "transform = 'log' is for regression, and the task is binary"),
        ([0.5, 1.5], {"positive": "1"}, "positive = '1' is for binary targets, and the task is regression"),
        ([0.5, 1.5], {"positive_below": 1, "positive_above": 1}, "both positive_below and positive_above"),
        (["a", "b"], {"positive": "c"}, "target.positive = 'c' is not one of 'a', 'b'"),
        ([0.5, 1.5], {"transform": "sqrt"}, "transform = 'sqrt'"),
    ],
)
def test_settings_that_do_not_fit_the_target_are_refused(values, settings, said):
    assert said in refused(values, **settings)


# Scales

numbers = arrays(np.float64, st.tuples(st.integers(2, 20), st.integers(1, 3)), elements=st.floats(-1e6, 1e6))
positive_numbers = arrays(np.float64, st.tuples(st.integers(2, 20), st.just(1)), elements=st.floats(1e-6, 1e9))


@given(numbers)
def test_standardised_values_have_mean_0_and_variance_1_and_come_back(values):
    columns = tuple(map(str, range(values.shape[1])))
    target = Target("regression", columns, transform="standardise").fitted(values)
    model = target.to_model(target.to_score(values))
    spread = values.std(0) > 1e-6
    np.testing.assert_allclose(model[:, spread].mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(model[:, spread].std(0), 1, atol=1e-6)
    np.testing.assert_allclose(target.to_original(target.from_model(model)), values, rtol=1e-9, atol=1e-6)


def test_the_scale_is_that_of_the_training_rows_and_leaves_missing_values_out():
    target = Target("regression", ("y",), transform="standardise").fitted(np.array([[1.0], [np.nan], [3.0]]))
    assert (target.mean, target.std) == ((2.0,), (1.0,))
    np.testing.assert_array_equal(target.to_model(np.array([[5.0], [np.nan]])), [[3.0], [np.nan]])


def test_training_rows_that_are_all_alike_keep_the_unit():
    assert Target("regression", ("y",), transform="standardise").fitted(np.full((3, 1), 7.0)).std == (1.0,)


def test_without_a_transform_values_stay_as_they_are():
    target = Target("regression", ("y",), transform="none").fitted(np.array([[1.0], [9.0]]))
    assert target.to_model(np.array([[5.0]])).tolist() == [[5.0]]
    assert target.from_model(np.array([[5.0]])).tolist() == [[5.0]]


@given(positive_numbers)
def test_logarithms_come_back(values):
    target = Target("regression", ("y",), transform="log")
    np.testing.assert_allclose(target.to_score(values), np.log(values))
    np.testing.assert_allclose(target.to_original(target.to_score(values)), values, rtol=1e-9)


@given(positive_numbers)
def test_log50k_comes_back_between_1_and_50000_nm_and_is_clipped_beyond(values):
    target = Target("regression", ("y",), transform="log50k")
    scores = target.to_score(values)
    assert scores.min() >= 0
    assert scores.max() <= 1
    np.testing.assert_allclose(target.to_original(scores), np.clip(values, 1, 50_000), rtol=1e-9)


def test_log50k_is_the_scale_of_the_field():
    scores = Target("regression", ("y",), transform="log50k").to_score(np.array([[1.0], [500.0], [50_000.0], [1e6]]))
    np.testing.assert_allclose(scores.ravel(), [1, 0.4256, 0, 0], atol=1e-4)  # 500 nM is the usual 0.426


def test_probabilities_are_not_rescaled():
    target = Target("binary", ("y",), classes=("0", "1")).fitted(np.array([[0.0], [1.0]]))
    assert target.from_model(np.array([[0.3]])).tolist() == [[0.3]]


@pytest.mark.parametrize("transform", ["log", "log50k"])
def test_values_a_logarithm_cannot_take_are_named_by_row(transform):
    message = refused([1.5, 0.0, None, -2.5, 3.5], transform=transform)
    assert "column 'y': 2 values are not above 0, first at row 2 (0)" in message
    assert '--where "y > 0"' in message


def test_rows_that_a_filter_left_keep_their_number_in_messages():
    data = pa.table({"sequence": SEQUENCES[:4], "y": [5.5, 1.5, -1.5, 3.5]})
    table = read_table(data, DataSection(sequence=("sequence",), alphabet="protein", where="y < 5"), ("y",))
    with pytest.raises(DataError, match=r"first at row 3 \(-1.5\)"):
        find_target(table, TargetSection(transform="log"))


# Thresholds


@pytest.mark.parametrize("transform", ["none", "standardise", "log", "log50k"])
def test_positives_lie_strictly_beyond_the_threshold_in_original_units(transform):
    values = np.concatenate([np.arange(1.0, 1000.0), [50_000.0]])[:, None]
    for cut in (5.0, 7.0, 100.0, 500.0, 999.0):
        below = Target("regression", ("y",), transform=transform, positive_below=cut)
        above = Target("regression", ("y",), transform=transform, positive_above=cut)
        scores = below.to_score(values)
        np.testing.assert_array_equal(below.positives(scores), values < cut)
        np.testing.assert_array_equal(above.positives(scores), values > cut)
    assert (below.threshold_sign, above.threshold_sign) == (-1, 1)
    assert Target("regression", ("y",)).threshold_sign == 0


def test_an_unknown_value_is_neither_positive_nor_negative():
    target = Target("regression", ("y",), transform="log50k", positive_below=500)
    assert np.isnan(target.positives(np.array([[np.nan]]))).all()


def test_a_threshold_beyond_the_cap_of_log50k_leaves_all_rows_on_one_side():
    target = Target("regression", ("y",), transform="log50k", positive_below=100_000)
    assert target.positives(target.to_score(np.array([[10.0], [60_000.0]]))).ravel().tolist() == [1, 1]


# Files


@pytest.mark.parametrize(
    "target",
    [
        Target("regression", ("a", "b"), transform="standardise", mean=(1.0, 2.0), std=(0.1, 1 / 3)),
        Target("regression", ("y",), transform="log50k", positive_below=500.0, mean=(0.5,), std=(0.2,)),
        Target("binary", ("y",), classes=("no", "yes")),
        Target("multiclass", ("y",), classes=("0", "1", "2")),
        Target("multilabel", ("a", "b")),
    ],
)
def test_a_target_comes_back_from_json_unchanged(target):
    assert Target.from_json(json.loads(json.dumps(target.as_json()))) == target


def test_outputs_are_one_per_column_or_one_per_class_of_many():
    assert Target("binary", ("y",), classes=("a", "b")).n_outputs == 1
    three = Target("multiclass", ("y",), classes=("a", "b", "c"))
    assert (three.n_outputs, three.output_names) == (3, ("a", "b", "c"))


def test_empty_target_columns_are_left_out_and_said_while_others_hold_values():
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 12)) for _ in range(60)]
    columns = {f"t{k}": pa.array([None] * 60 if k < 3 else rng.integers(0, 2, 60)) for k in range(8)}
    names = tuple(columns)
    plan = make_plan(
        {"target": {"column": names}, "predictor": {"kind": "constant"}}, pa.table({"sequence": sequences} | columns)
    )
    assert plan.target.columns == names[3:]
    assert any(
        "3 of 8 target columns are empty in all 60 rows and left out: t0, t1, t2" in f.message for f in plan.findings
    )


def test_classes_without_a_row_to_learn_from_are_said():
    rng = np.random.default_rng(0)
    sequences = ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 12)) for _ in range(60)]
    labels = ["abc"[k % 3] if k < 40 or k % 5 else "d" for k in range(60)]
    sets = ["train" if k < 40 else "test" for k in range(60)]
    table = pa.table({"sequence": sequences, "label": labels, "set": sets})
    plan = make_plan({"target": {"column": ("label",)}, "predictor": {"kind": "constant"}}, table)
    (said,) = [f for f in plan.findings if f.code == "unseen-classes"]
    assert "4 test rows are of 1 class without a row to learn from ('d')" in said.message
    assert said.rows == (41, 46, 51, 56)

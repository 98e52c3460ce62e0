"""SequenceRegressor and SequenceClassifier as scikit-learn's own tools see them."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks, get_tags

from contracts.tables import peptides
from seqloom import SequenceClassifier, SequenceRegressor
from seqloom.errors import ConfigError, DataError

PEPTIDES = peptides(120)
GREASY = np.array([sum(letter in "LIVFM" for letter in each) for each in PEPTIDES], float)
IS_GREASY = (GREASY > 2).astype(int)
WORDS = np.array(["low", "middle", "high"])[np.digitize(GREASY, [2, 4])]

both = pytest.mark.parametrize(
    "estimator", [SequenceRegressor(), SequenceClassifier()], ids=["regressor", "classifier"]
)


@pytest.fixture(scope="module")
def regressor():
    return SequenceRegressor().fit(PEPTIDES, GREASY)


@pytest.fixture(scope="module")
def classifier():
    return SequenceClassifier().fit(PEPTIDES, WORDS)


# scikit-learn's own checks; those that are left out feed numbers, which are no sequences


@both
@pytest.mark.parametrize(
    "check",
    [
        "cloneable",
        "tags_renamed",
        "repr",
        "valid_tag_types",
        "no_attributes_set_in_init",
        "do_not_raise_errors_in_init_or_set_params",
        "mixin_order",
        "parameters_default_constructible",
        "get_params_invariance",
        "set_params",
        "estimators_unfitted",
        "requires_y_none",
        "n_features_in_after_fitting",
        "non_transformer_estimators_n_iter",
        "estimators_partial_fit_n_features",
        "decision_proba_consistency",
    ],
)
def test_a_check_of_scikit_learn_that_needs_no_numbers_passes(estimator, check):
    named = [f"check_{check}", f"check_estimator_{check}"]
    run = next(getattr(estimator_checks, name) for name in named if hasattr(estimator_checks, name))
    run(type(estimator).__name__, clone(estimator))


@both
def test_scikit_learn_knows_that_it_takes_text_and_leaves_its_other_checks_out(estimator):
    tags = get_tags(estimator)
    assert tags.input_tags.string
    assert not tags.input_tags.two_d_array
    assert tags.target_tags.required
    with pytest.warns(SkipTestWarning, match="requires input"):
        estimator_checks.check_estimator(estimator)


def test_each_is_of_its_kind():
    assert is_regressor(SequenceRegressor())
    assert not is_classifier(SequenceRegressor())
    assert is_classifier(SequenceClassifier())


@both
def test_a_clone_has_the_same_parameters_and_nothing_learnt(estimator):
    settings = {"predictor.k": 3}
    fitted = clone(estimator).set_params(predictor="knn", settings=settings, seeds=2).fit(PEPTIDES, IS_GREASY)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert copy.get_params()["settings"] == settings
    with pytest.raises(NotFittedError):
        copy.predict(PEPTIDES)
    assert "predictor='knn'" in repr(copy)


@both
def test_fitting_returns_the_estimator_and_changes_neither_parameters_nor_inputs(estimator):
    estimator = clone(estimator)
    before, sequences, y = estimator.get_params(), list(PEPTIDES), IS_GREASY.copy()
    assert estimator.fit(sequences, y) is estimator
    assert estimator.get_params() == before
    assert sequences == PEPTIDES
    assert np.array_equal(y, IS_GREASY)
    learnt = set(vars(estimator)) - set(before)
    assert learnt
    assert all(name.endswith("_") for name in learnt)
    state = {name: id(value) for name, value in vars(estimator).items()}
    estimator.predict(PEPTIDES)
    assert {name: id(value) for name, value in vars(estimator).items()} == state


@both
@pytest.mark.parametrize("predictor", ["linear", "mlp"])
def test_a_fitted_estimator_survives_pickling(estimator, predictor):
    settings = {"train.epochs": 2, "train.device": "cpu"} if predictor == "mlp" else None
    fitted = clone(estimator).set_params(predictor=predictor, settings=settings).fit(PEPTIDES, IS_GREASY)
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict(PEPTIDES), fitted.predict(PEPTIDES))


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_predicting_before_fitting_says_so(method):
    with pytest.raises(NotFittedError, match="SequenceClassifier instance is not fitted yet"):
        getattr(SequenceClassifier(), method)(PEPTIDES)
    with pytest.raises(NotFittedError):
        SequenceRegressor().predict(PEPTIDES)


# In scikit-learn's tools


def test_cross_validation_finds_what_can_be_learnt():
    linear = SequenceRegressor("linear", "composition")
    assert cross_val_score(linear, PEPTIDES, GREASY, cv=3, error_score="raise").mean() > 0.7
    chance = cross_val_score(SequenceRegressor("constant"), PEPTIDES, GREASY, cv=3, error_score="raise")
    assert chance.max() < 0.1
    logistic, sequences = SequenceClassifier("linear", "composition"), np.array(PEPTIDES)
    assert cross_val_score(logistic, sequences, IS_GREASY, cv=3, scoring="roc_auc", error_score="raise").mean() > 0.85


def test_probabilities_can_be_cross_validated():
    shares = cross_val_predict(SequenceClassifier("knn"), np.array(PEPTIDES), WORDS, cv=3, method="predict_proba")
    assert shares.shape == (120, 3)
    np.testing.assert_allclose(shares.sum(1), 1)


def test_a_grid_search_chooses_among_predictors():
    search = GridSearchCV(SequenceRegressor(), {"predictor": ["constant", "linear"]}, cv=3, error_score="raise")
    search.fit(PEPTIDES, GREASY)
    assert search.best_params_ == {"predictor": "linear"}
    assert search.predict(PEPTIDES[:5]).shape == (5,)


def test_it_stands_at_the_end_of_a_pipeline():
    upper = FunctionTransformer(lambda rows: [each.upper() for each in rows])
    pipeline = Pipeline([("upper", upper), ("model", SequenceClassifier())])
    pipeline.set_params(model__predictor="knn", model__encoder="kmer")
    pipeline.fit([each.lower() for each in PEPTIDES], WORDS)
    assert set(pipeline.predict(PEPTIDES)) <= set(WORDS)
    assert pipeline.score(PEPTIDES, WORDS) > 0.5


# What is learnt


def test_the_nearest_neighbour_of_a_training_row_is_that_row():
    fitted = SequenceRegressor("knn", settings={"predictor.k": 1}).fit(PEPTIDES, GREASY)
    np.testing.assert_allclose(fitted.predict(PEPTIDES), GREASY, atol=1e-9)


def test_a_constant_is_the_mean_in_the_units_of_y():
    fitted = SequenceRegressor("constant").fit(PEPTIDES, np.full(120, 40.0) + np.arange(120) % 2)
    np.testing.assert_allclose(fitted.predict(PEPTIDES[:3]), 40.5, atol=0.1)


@pytest.mark.parametrize(
    "classes", [["low", "middle", "high"], [3, 1, 2], [0.0, 2.0, 5.0], ["b", "a"], [1, 0], [True, False]]
)
def test_classes_come_back_as_they_went_in_and_probabilities_stand_in_their_order(classes):
    y = np.array(classes)[np.arange(120) % len(classes)]
    fitted = SequenceClassifier("knn", settings={"predictor.k": 1}).fit(PEPTIDES, y)
    assert fitted.classes_.tolist() == sorted(classes)
    assert fitted.classes_.dtype == y.dtype
    shares = fitted.predict_proba(PEPTIDES)
    assert shares.shape == (120, len(classes))
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(1), 1)
    predicted = fitted.predict(PEPTIDES)
    assert predicted.dtype == y.dtype
    assert (predicted == fitted.classes_[shares.argmax(1)]).all()
    assert (predicted == y).mean() > 0.9


def test_members_of_several_seeds_are_averaged_and_the_same_seed_gives_the_same_bits():
    settings = {"train.epochs": 2, "train.device": "cpu", "predictor.hidden": [8]}

    def predicted(**parameters):
        fitted = SequenceRegressor("mlp", settings=settings, **parameters).fit(PEPTIDES, GREASY)
        return fitted, fitted.predict(PEPTIDES)

    one, first = predicted()
    two, averaged = predicted(seeds=2)
    assert (len(one.members_), len(two.members_)) == (1, 2)
    assert np.array_equal(first, predicted()[1])
    assert not np.array_equal(first, averaged)
    assert not np.array_equal(first, predicted(random_state=1)[1])


def test_rows_whose_number_is_unknown_are_left_out():
    y = np.where(np.arange(120) % 3 == 0, np.nan, GREASY)
    known = ~np.isnan(y)
    holes = SequenceRegressor().fit(PEPTIDES, y)
    alone = SequenceRegressor().fit([each for each, k in zip(PEPTIDES, known, strict=True) if k], y[known])
    assert np.array_equal(holes.predict(PEPTIDES), alone.predict(PEPTIDES))


def test_the_alphabet_seen_in_fitting_is_the_one_of_predicting():
    dna = ["".join(row) for row in np.random.default_rng(0).choice(list("ACGT"), (40, 12))]
    fitted = SequenceRegressor().fit(dna, [each.count("G") for each in dna])
    assert fitted.alphabet_ == "dna"
    with pytest.raises(DataError, match="dna alphabet"):
        fitted.predict(["EEEE"])
    assert SequenceRegressor(alphabet="protein").fit(dna, np.arange(40)).alphabet_ == "protein"


# What may stand in for X and y

COLUMNS = {
    "list": PEPTIDES,
    "tuple": tuple(PEPTIDES),
    "numpy": np.array(PEPTIDES),
    "numpy of objects": np.array(PEPTIDES, dtype=object),
    "numpy (N, 1)": np.array(PEPTIDES)[:, None],
    "pandas": pd.Series(PEPTIDES, index=range(7, 127)),
    "pandas of objects": pd.Series(PEPTIDES, dtype=object),
    "pandas categories": pd.Series(PEPTIDES, dtype="category"),
    "pandas frame": pd.DataFrame({"a": PEPTIDES}),
    "polars": pl.Series(PEPTIDES),
    "polars categories": pl.Series(PEPTIDES, dtype=pl.Categorical),
    "polars frame": pl.DataFrame({"a": PEPTIDES}),
    "arrow": pa.array(PEPTIDES),
    "arrow in chunks": pa.chunked_array([PEPTIDES[:7], PEPTIDES[7:]]),
    "arrow table": pa.table({"a": PEPTIDES}),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_any_column_of_text_is_a_column_of_sequences(regressor, name):
    assert np.array_equal(regressor.predict(COLUMNS[name]), regressor.predict(PEPTIDES))


@pytest.mark.parametrize(
    "y",
    [GREASY.tolist(), GREASY[:, None], pd.Series(GREASY), pl.Series(GREASY)],
    ids=["list", "numpy (N, 1)", "pandas", "polars"],
)
def test_any_column_of_numbers_is_a_target(regressor, y):
    fitted = SequenceRegressor().fit(PEPTIDES, y)
    assert np.array_equal(fitted.predict(PEPTIDES), regressor.predict(PEPTIDES))


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ("ACDEFG", TypeError, "one string was given; give a list of sequences"),
        (5, TypeError, "sequences must be strings, and 5 is int"),
        (None, TypeError, "sequences must be strings, and None is NoneType"),
        (["ACD", None], TypeError, "and None is NoneType"),
        (["ACD", 3.5], TypeError, "and 3.5 is float"),
        ([b"ACD"], TypeError, "is bytes"),
        (pd.Series([1, 2]), TypeError, "the column given holds int64"),
        (pl.Series([1.5]), TypeError, "the column given holds double"),
        (pa.array([1, 2]), TypeError, "the column given holds int64"),
        (np.array([["ACD", "EFG"]]), ValueError, r"sequences of shape \(1, 2\): give one column of strings"),
        (pd.DataFrame({"a": ["ACD"], "b": ["EFG"]}), ValueError, "a table of 2 columns was given"),
        (pl.DataFrame({"a": ["ACD"], "b": ["EFG"]}), ValueError, "a table of 2 columns was given"),
        (["ACD", ""], DataError, "1 of 2 sequences in 'sequence' are empty.*row 2"),
        (pd.Series(["ACD", None]), DataError, "1 of 2 sequences in 'sequence' are empty.*row 2"),
        (["ACD", "AC1"], DataError, "row 2 .*'1' in 'AC1'"),
        ([], DataError, "at least one row"),
    ],
)
def test_what_is_no_column_of_sequences_is_refused_by_name(regressor, wrong, error, said):
    with pytest.raises(error, match=said):
        regressor.predict(wrong)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (GREASY[:-1], "120 sequences and 119 targets: give one target for each sequence"),
        (None, "requires y to be passed"),
        (np.zeros((120, 2)), "y should be a 1d array"),
        (np.where(GREASY == 0, np.inf, GREASY), "infinite values"),
        (np.full(120, np.nan), "no sequence with a target"),
        (np.array(["a"] * 120), "could not convert string to float"),
    ],
)
def test_numbers_that_cannot_be_learnt_are_refused(y, said):
    with pytest.raises(ValueError, match=said):
        SequenceRegressor().fit(PEPTIDES, y)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["a"] * 120, "y holds 1 class; a classifier needs two or more"),
        (GREASY + 0.5, "continuous"),
        (np.where(GREASY > 2, np.nan, 1.0), "NaN, which is no class"),
        (None, "requires y to be passed"),
        (WORDS[:-1], "120 sequences and 119 targets"),
    ],
)
def test_classes_that_cannot_be_learnt_are_refused(y, said):
    with pytest.raises(ValueError, match=said):
        SequenceClassifier().fit(PEPTIDES, y)


def test_parameters_that_do_not_fit_are_refused_when_fitting():
    for parameters, said in (
        ({"predictor": "cnnn"}, "did you mean 'cnn'"),
        ({"encoder": "tokens"}, "takes features, and encoder 'tokens' gives tokens"),
        ({"settings": {"predictor.kk": 1}}, "no setting 'kk'"),
        ({"settings": {"predicto.k": 1}}, "no section 'predicto'"),
        ({"alphabet": "proteins"}, "alphabet"),
        ({"seeds": 0}, r"\[train\] seeds = 0"),
    ):
        with pytest.raises((ConfigError, DataError), match=said):
            SequenceRegressor(**parameters).fit(PEPTIDES, GREASY)


# Lengths


@pytest.mark.parametrize("predictor", ["linear", "knn", "nearest", "cnn"])
def test_sequences_of_one_and_of_ten_thousand_symbols_are_learnt_and_predicted(predictor):
    rng = np.random.default_rng(0)
    letters = list("ACDEFGHIKLMNPQRSTVWY")
    long = ["".join(rng.choice(letters, 10_000)) for _ in range(2)]
    settings = {"train.epochs": 1, "train.batch": 4, "train.device": "cpu", "predictor.width": 4, "predictor.layers": 1}
    fitted = SequenceRegressor(predictor, settings=settings if predictor == "cnn" else None)
    fitted.fit(["A", "W", *PEPTIDES[:20], long[0]], np.arange(23.0))
    assert np.isfinite(fitted.predict(["C", long[1], *PEPTIDES[:2]])).all()


def test_classes_of_the_fixture_are_predicted_better_than_chance(classifier):
    assert classifier.score(PEPTIDES, WORDS) > 0.8

"""Rows as bags of words of one length: the instances, what models learn from them, and predictions put together again."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import Ridge

import seqloom
from contracts.tables import TASKS, Case, peptides, table_of
from seqloom.alphabet import PROTEIN
from seqloom.encode.base import Inputs
from seqloom.encode.kmer9 import instances_of
from seqloom.errors import ConfigError
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor
from seqloom.predict.fitting import fit_model, fit_models
from seqloom.registry import build
from seqloom.table import DataSection, read_table

BOUNDED = ("linear", "boosting", "knn")


def slow_instances(sequence, length=9):
    """By slicing strings, as in MHCflurry 2016."""
    more = len(sequence) - length
    if more > 0:
        return [sequence[:cut] + sequence[cut + more :] for cut in range(length + 1)]
    if more < 0:
        return [sequence[:cut] + "X" * -more + sequence[cut:] for cut in range(len(sequence) + 1)]
    return [sequence]


def kmer9_case(kind, task="regression", n=90, encoder=None):
    """A predictor with its examples as bags."""
    case = Case(kind, task, n=n)
    encoder = build("encoder", encoder or {"kind": "kmer9"})
    parts = {"train": (0, n // 2), "valid": (n // 2, 2 * n // 3), "test": (2 * n // 3, n)}
    rows = {name: case.table.take(np.arange(*ends)) for name, ends in parts.items()}
    case.encoder = encoder.fit(rows["train"])
    case.examples = {name: Examples(case.encoder.transform(rows[name]), case.examples[name].y) for name in parts}
    case.dims = Dims.of(case.fitted_target, case.examples["train"].inputs, case.encoder, "protein")
    case.job = Job(case.dims, 0, case.variant.train)
    return case


@pytest.mark.parametrize("length", [9, 6])
def test_instances_are_those_of_slicing_strings(length):
    sequences = ["", *peptides(60, shortest=1, longest=15)]
    tokens, sizes = instances_of(PROTEIN.encode(sequences), length, int(PROTEIN.ids("X")[0]))
    slow = [slow_instances(each, length) for each in sequences]
    assert sizes.tolist() == [len(each) for each in slow]
    assert PROTEIN.decode(tokens) == [word for each in slow for word in each]


@pytest.mark.parametrize(("numbers", "width"), [("one-hot", 180), ("blosum62", 180), ("index", 9)])
def test_features_are_those_of_the_instances_by_position(numbers, width):
    rows = [*peptides(300, shortest=9, longest=11)]
    section = DataSection(sequence=("sequence",), alphabet="protein")
    table = read_table(pa.table({"sequence": rows}), section, for_prediction=True)
    words = [word for row in rows for word in slow_instances(row)]
    apart = read_table(pa.table({"sequence": words}), section, for_prediction=True)
    encoder = build("encoder", {"kind": "kmer9", "numbers": numbers})
    inputs = encoder.fit(table).transform(table)
    assert inputs.features.shape == (len(words), width)
    assert len(inputs) == len(rows)
    assert np.diff(inputs.bags).tolist() == [len(slow_instances(row)) for row in rows]
    if numbers == "index":
        np.testing.assert_array_equal(inputs.features, [PROTEIN.ids(word) for word in words])
    else:
        told = build("encoder", {"kind": numbers}).fit(apart).transform(apart)
        np.testing.assert_array_equal(inputs.features, told.features)


def test_two_columns_give_all_pairs_of_their_instances_and_covariates_are_repeated():
    data = pa.table({"a": ["ACDE", "ACD"], "b": ["WYV", "WYVTS"], "ph": [1.0, 3.0], "y": [0.0, 1.0]})
    table = read_table(data, DataSection(sequence=("a", "b"), covariates=("ph",), alphabet="protein"), ("y",))
    inputs = build("encoder", {"kind": "kmer9", "length": 3, "numbers": "index"}).fit(table).transform(table)
    first = [
        (*PROTEIN.ids(a), *PROTEIN.ids(b), -1) for a in slow_instances("ACDE", 3) for b in slow_instances("WYV", 3)
    ]
    second = [
        (*PROTEIN.ids(a), *PROTEIN.ids(b), 1) for a in slow_instances("ACD", 3) for b in slow_instances("WYVTS", 3)
    ]
    varying = [column for column in np.array(first + second).T.tolist() if len(set(column)) > 1]
    assert inputs.features.T.tolist() == varying
    assert inputs.bags.tolist() == [0, 4, 8]


def test_rows_are_taken_with_all_their_instances():
    inputs = Inputs(features=np.arange(6.0, dtype=np.float32)[:, None], bags=np.array([0, 1, 4, 6]))
    taken = inputs.take(np.array([2, 0, 2]))
    assert taken.features[:, 0].tolist() == [4, 5, 0, 4, 5]
    assert taken.bags.tolist() == [0, 2, 3, 5]
    assert inputs.averaged(inputs.features).ravel().tolist() == [0, 2, 4.5]
    none = inputs.take(np.zeros(0, np.int64))
    assert len(none) == 0
    assert none.averaged(none.features).shape == (0, 1)


def test_an_alphabet_without_an_unknown_symbol_is_refused():
    table = read_table(
        pa.table({"sequence": ["CCO", "CCN"]}),
        DataSection(sequence=("sequence",), alphabet="smiles"),
        for_prediction=True,
    )
    with pytest.raises(ConfigError, match="encoder 'kmer9' needs a symbol for any residue"):
        build("encoder", {"kind": "kmer9"}).fit(table)


@pytest.mark.parametrize("kind", ["linear", "boosting", "mlp", "knn", "constant"])
@pytest.mark.parametrize("task", TASKS)
def test_predictions_are_of_rows_and_are_the_means_over_their_instances(kind, task):
    case = kmer9_case(kind, task)
    train, valid, test = case.examples.values()
    fitted = fit_model(case.variant.predictor, train, valid, case.job)
    whole = fitted.predict(test.inputs)
    assert whole.shape == (len(test), case.dims.n_outputs)
    apart = fitted.predict(Inputs(features=test.inputs.features))
    bags = test.inputs.bags
    slow = [apart[start:end].mean(0) for start, end in pairwise(bags)]
    np.testing.assert_allclose(whole, slow, atol=1e-12)
    restored = case.variant.predictor.restore(dict(fitted.state()), case.dims)
    np.testing.assert_allclose(restored.predict(test.inputs), whole, atol=1e-12)
    single = np.concatenate([fitted.predict(test.inputs.take(np.array([row]))) for row in range(len(test))])
    np.testing.assert_allclose(single, whole, atol=2e-5)
    if fitted.held_back is not None:
        assert fitted.held_back.shape == (len(valid), case.dims.n_outputs)


@pytest.mark.parametrize("kind", ["rnn", "sigmoid", "nearest"])
def test_nets_that_read_symbols_read_the_same_instances(kind):
    case = kmer9_case(kind, "regression", encoder={"kind": "tokens", "length": 9})
    train, valid, test = case.examples.values()
    assert set(test.inputs.tokens.lengths) == {9}
    rows = case.table.sequences("sequence").to_pylist()[60:]
    assert PROTEIN.decode(test.inputs.tokens) == [word for row in rows for word in slow_instances(row)]
    fitted = fit_model(case.variant.predictor, train, valid, case.job)
    apart = fitted.predict(test.inputs.instances())
    bags = test.inputs.bags
    np.testing.assert_allclose(fitted.predict(test.inputs), [apart[a:b].mean(0) for a, b in pairwise(bags)], atol=1e-12)


class Telling(Predictor):
    """Keeps what it was fitted on."""

    weighs_classes = True
    censored = "loss"

    def fit(self, train, valid, job):
        told.append((train, valid, job))
        return FittedTelling()

    def restore(self, state, dims):
        return FittedTelling()


class FittedTelling(Fitted):
    held_back = None

    def predict(self, inputs):
        assert inputs.bags is None
        return inputs.features[:, :1].astype(float)

    def state(self):
        return {}


told: list[tuple[Examples, Examples, Job]] = []


def test_instances_share_the_weight_and_have_the_target_and_the_bound_of_their_row():
    case = kmer9_case("linear")
    train, valid = case.examples["train"], case.examples["valid"]
    bounds = np.where(train.y > 0, 1, 0).astype(np.int8)
    given = Examples(train.inputs, train.y, bounds)
    told.clear()
    fit_model(Telling(), given, valid, case.job)
    seen = told[0][0]
    sizes = np.diff(train.inputs.bags)
    rows = np.repeat(np.arange(len(train)), sizes)
    assert seen.inputs.bags is None
    np.testing.assert_array_equal(seen.y, train.y[rows])
    np.testing.assert_array_equal(seen.bounds, bounds[rows])
    totals = np.bincount(rows, seen.weights[:, 0])
    np.testing.assert_allclose(totals, totals[0])
    assert seen.weights.mean() == pytest.approx(1)


def test_curves_are_scored_by_row():
    case = kmer9_case("linear")
    train, valid, test = case.examples.values()
    asked = []

    def score(y, predicted, _bounds):
        asked.append((y, predicted))
        return 0.0

    told.clear()
    job = Job(case.dims, 0, case.variant.train, monitor={"test": test}, score=score)
    fit_model(Telling(), train, valid, job)
    _, instances, inside = told[0]
    for rows, own in ((valid, instances), (test, inside.monitor["test"])):
        predicted = FittedTelling().predict(own.inputs)
        inside.score(own.y, predicted, None)
        np.testing.assert_array_equal(asked[-1][0], rows.y)
        np.testing.assert_allclose(asked[-1][1], FittedTelling().predict(rows.inputs))


def test_large_monitored_sets_are_thinned_to_whole_rows():
    case = kmer9_case("linear", n=90)
    test = case.examples["test"].take(np.tile(np.arange(30), 20))
    told.clear()
    fit_model(Telling(), case.examples["train"], case.examples["valid"], Job(case.dims, monitor={"test": test}))
    kept = told[0][2].monitor["test"]
    assert 800 < len(kept) <= 1000


@pytest.mark.parametrize("kind", BOUNDED)
def test_bounds_are_replaced_by_row_as_if_rows_were_never_instances(kind):
    """Of rows of nine symbols only, bags of one, everything is as without bags."""
    sequences = peptides(90, shortest=9, longest=9)
    y = np.array([[each.count("L") + each.count("K") * 0.5] for each in sequences])
    bounds = (y > 1).astype(np.int8)
    y = np.minimum(y, 1.0)
    table = read_table(
        pa.table({"sequence": sequences}), DataSection(sequence=("sequence",), alphabet="protein"), for_prediction=True
    )
    bags = build("encoder", {"kind": "kmer9"}).fit(table).transform(table)
    plain = Inputs(features=bags.features)
    rows = np.arange(60), np.arange(60, 90)
    dims = Dims("regression", 1, 1, plain.features.shape[1])
    predicted = []
    for inputs in (bags, plain):
        train, valid = (Examples(inputs.take(own), y[own], bounds[own]) for own in rows)
        fitted = fit_model(build("predictor", {"kind": kind}), train, valid, Job(dims))
        predicted.append(fitted.predict(inputs))
    np.testing.assert_allclose(predicted[0], predicted[1], atol=1e-6)


def test_bounds_of_bags_are_replaced_without_parting_their_instances():
    case = kmer9_case("boosting")
    train, valid, test = case.examples.values()
    bounds = (train.y > 0).astype(np.int8)
    lines = []
    job = Job(case.dims, 0, case.variant.train, log=lines.append)
    fitted = fit_model(case.variant.predictor, Examples(train.inputs, np.minimum(train.y, 0), bounds), valid, job)
    assert fitted.predict(test.inputs).shape == (len(test), 1)
    assert sum("bounds were replaced" in line for line in lines) == 1
    assert str(int(bounds.sum())) in next(line for line in lines if "bounds were replaced" in line)


def test_members_side_by_side_are_those_fitted_one_by_one():
    case = kmer9_case("mlp")
    train, valid, test = case.examples.values()
    jobs = [Job(case.dims, seed, case.variant.train) for seed in (0, 1)]
    both = fit_models(case.variant.predictor, [(train, valid, job) for job in jobs])
    for job, fitted in zip(jobs, both, strict=True):
        alone = fit_model(case.variant.predictor, train, valid, job)
        np.testing.assert_allclose(fitted.predict(test.inputs), alone.predict(test.inputs), atol=1e-5)


def test_a_finished_run_and_an_estimator_predict_rows(tmp_path):
    table = table_of("binary", 90)
    data = table.data
    settings = {
        "predictor.kind": "mlp",
        "encoder.kind": "kmer9",
        "train.epochs": 2,
        "split.kind": "random",
        "report.draws": 100,
    }
    result = seqloom.train(data, out=tmp_path / "run", settings=settings)
    assert result.leaderboard[0]["metrics"]
    model = seqloom.load(tmp_path / "run")
    new = peptides(25, seed=5, shortest=6, longest=13)
    predicted = model.predict(model.read(pa.table({"sequence": new})))
    assert len(predicted.mean) == 25
    estimator = seqloom.SequenceRegressor("linear", encoder="kmer9", settings={"predictor.penalty": 1.0})
    assert estimator.fit(new, np.arange(25.0)).predict(new).shape == (25,)


def test_linear_models_of_bags_are_weighted_ridge_regression():
    case = kmer9_case("linear")
    train, _, test = case.examples.values()
    nothing = train.take(np.zeros(0, np.int64))
    fitted = fit_model(build("predictor", {"kind": "linear", "penalty": 1.0}), train, nothing, case.job)
    own = train.instances(weighs=True)
    ridge = Ridge(alpha=1.0).fit(own.inputs.features.astype(float), own.y[:, 0], own.weights[:, 0])
    expected = test.inputs.averaged(ridge.predict(test.inputs.features.astype(float))[:, None])
    np.testing.assert_allclose(fitted.predict(test.inputs), expected, atol=1e-6)


def test_the_constant_is_the_mean_of_rows_however_many_instances_they_have():
    case = kmer9_case("constant")
    train, valid, test = case.examples.values()
    fitted = fit_model(case.variant.predictor, train, valid, case.job)
    np.testing.assert_allclose(fitted.predict(test.inputs), train.y.mean())

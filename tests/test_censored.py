"""Targets that are bounds: where they are told, what models and metrics make of them, and that it pays."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats
from sklearn.metrics import mean_squared_error, r2_score

from contracts.tables import peptides
from seqloom.censored import as_written, symbols
from seqloom.division import divide
from seqloom.encode.base import Inputs
from seqloom.errors import ConfigError, DataError
from seqloom.experiment import compare
from seqloom.metrics import METRICS, find_metric, left_out, score, scores, within_groups
from seqloom.metrics.bounds import target_of
from seqloom.model import Model
from seqloom.predict.base import Dims, Examples, Job, default_loss
from seqloom.predict.bounds import expected_beyond, imputed
from seqloom.predict.fitting import fit_model
from seqloom.predict.net import supervised_loss
from seqloom.prediction import evaluate, predict
from seqloom.read.section import Censoring
from seqloom.registry import available, build, recipe_class, validated
from seqloom.stats import compare as compare_scores
from seqloom.table import DataSection, read_table
from seqloom.target import Target, TargetSection, find_target

SEQUENCES = peptides(400)
SECTION = DataSection(sequence=("sequence",), alphabet="protein")


def read(y, targets=("y",), section=SECTION, censoring=None, **columns):
    data = pa.table({"sequence": SEQUENCES[: len(y)], "y": y, **columns})
    return read_table(data, section, targets, censoring=censoring or Censoring())


def found(table, code):
    return next(each for each in table.findings if each.code == code)


def codes(table):
    return {each.code for each in table.findings}


def target_and_bounds(table, **settings):
    """Target, scores (N,) and bounds (N,) of a table's column `y`."""
    target = find_target(table, validated(TargetSection, settings, "[target]"))
    bounds = target.bounds(table)
    return target, target.read(table)[:, 0], None if bounds is None else bounds[:, 0].tolist()


# --- where bounds are told --------------------------------------------------------------------------------------------


def test_a_sign_before_a_number_makes_it_a_bound():
    table = read([">20000", " < 5", "7", ">=1e3", "≤ 2.5", "= 3", "~4", None, "NA", "-1.5"])
    assert table.data["y"].to_pylist() == [20000, 5, 7, 1000, 2.5, 3, 4, None, None, -1.5]
    assert table.bounds["y"].tolist() == [1, -1, 0, 1, -1, 0, 0, 0, 0, 0]
    assert table.take([3, 2]).bounds["y"].tolist() == [1, 0]
    assert "(2 '<', 2 '>')" in found(table, "inequality").message


def test_a_column_of_signs_is_found_by_its_name():
    table = read([1.5, 2.5, 3.5, 4.5, None], inequality=["=", ">", "<", None, ">"])
    assert table.bounds["y"].tolist() == [0, 1, -1, 0, 0]
    quoted = read([1.5, 2.5, 3.5], **{"Standard Relation": ["'='", "'>='", "'<'"]})
    assert quoted.bounds["y"].tolist() == [0, 1, -1]
    assert read([1.5, 2.5], inequality=["=", "="]).bounds == {}


def test_a_column_of_signs_can_be_named_and_must_be_there():
    named = read([1.5, 2.5, 3.5], censoring=Censoring("side"), side=["<", "", ">"])
    assert named.bounds["y"].tolist() == [-1, 0, 1]
    assert named.roles.inequality == "side"
    with pytest.raises(DataError, match=r"\[target\] inequality = 'sde'.*did you mean 'side'"):
        read([1.5, 2.5], censoring=Censoring("sde"), side=["<", ""])
    odd = read([1.5, 2.5], censoring=Censoring("side"), side=["<", "left"])
    assert found(odd, "not-a-sign").severity == "error"


def test_a_column_of_other_words_is_no_column_of_signs():
    table = read([1.5, 2.5, 3.5], censor=[0, 1, 0])
    assert "(such as 0)" in found(table, "inequality-ignored").message
    assert table.bounds == {}


def test_a_sign_before_the_value_counts_more_than_one_beside_it():
    table = read(["1.5", ">2.5", "3.5"], inequality=["<", "=", ">"])
    assert table.bounds["y"].tolist() == [-1, 1, 1]
    contrary = read(["1.5", ">2.5", "3.5"], inequality=["=", "<", "="])
    assert found(contrary, "contrary-signs").rows == (2,)


def test_values_at_a_limit_and_beyond_it_are_bounds_at_the_limit():
    table = read([0.5, 1.0, 5.0, 20.0, 30.0, None], censoring=Censoring(cap_above=20, cap_below=1))
    assert table.bounds["y"].tolist() == [-1, -1, 0, 1, 1, 0]
    assert table.data["y"].to_pylist() == [0.5, 1.0, 5.0, 20.0, 30.0, None]
    _, values, _ = target_and_bounds(table, cap_above=20, cap_below=1)
    np.testing.assert_array_equal(values, [1, 1, 5, 20, 20, np.nan])
    with pytest.raises(ConfigError, match="cap_below is the smaller"):
        read([1.5, 2.5], censoring=Censoring(cap_above=1, cap_below=2))


def test_a_sign_that_contradicts_a_limit_is_kept():
    table = read(["<30", ">5", "7", "21"], censoring=Censoring(cap_above=20))
    assert table.bounds["y"].tolist() == [-1, 1, 0, 1]


def test_a_suspected_limit_says_what_to_type():
    rng = np.random.default_rng(0)
    y = np.minimum(rng.lognormal(5, 1, 1000), 500).tolist()
    table = read_table(pa.table({"sequence": peptides(1000), "y": y}))
    message = found(table, "assay-limit").message
    assert "--set target.cap_above=500.0" in message
    told = read_table(pa.table({"sequence": peptides(1000), "y": y}), censoring=Censoring(cap_above=500.0))
    assert "assay-limit" not in codes(told)
    assert (told.bounds["y"] == (np.array(y) == 500)).all()


def test_classes_named_like_bounds_stay_classes():
    table = read(["<50", ">=50", "<50", ">=50"])
    assert table.data["y"].to_pylist() == ["<50", ">=50", "<50", ">=50"]
    assert find_target(table, TargetSection()).classes == ("<50", ">=50")
    assert read(["<5", "5", ">5", "5"]).bounds == {}
    labels = read([0, 1, 1, 0], inequality=["=", ">", "<", "="])
    assert labels.bounds == {}


def test_whole_numbers_with_bounds_are_measurements():
    y = [0, 1, 2] * 40
    assert find_target(read(y), TargetSection()).task == "multiclass"
    table = read(y, inequality=[">"] + ["="] * 119)
    assert find_target(table, TargetSection()).task == "regression"
    with pytest.raises(ConfigError, match=r"cap_above = 2.0: bounds are for regression, and the task is multiclass"):
        find_target(read(y), TargetSection(task="multiclass", cap_above=2.0))


def test_each_of_several_targets_has_its_own_bounds():
    table = read(["1.5", ">2.5", "3.5"], ("y", "z"), z=["<1", "2", None])
    assert {name: each.tolist() for name, each in table.bounds.items()} == {"y": [0, 1, 0], "z": [-1, 0, 0]}
    _, _, bounds = target_and_bounds(table, column=("y", "z"))
    assert bounds == [0, 1, 0]
    beside = read([1.5, 2.5, 3.5], ("y", "z"), z=[1.5, 2.5, 0.5], inequality=["=", ">", "="])
    assert beside.bounds == {}
    assert "treated as equal; write the signs before the values" in found(beside, "inequality").message
    with pytest.raises(ConfigError, match="is the column of signs of one target, and there are 2"):
        read([1.5, 2.5], ("y", "z"), z=[1.5, 2.5], censoring=Censoring("side"), side=[">", ""])


def test_replicates_are_merged_within_one_side():
    data = pa.table({"sequence": ["ACDEF"] * 4 + ["ACDEG"] * 2, "y": [">10", ">20", "4", "6", "<3", "9"]})
    section = SECTION.model_copy(update={"replicates": "mean"})
    table = read_table(data, section, ("y",))
    assert sorted(zip(table.bounds["y"].tolist(), table.data["y"].to_pylist(), strict=True)) == [
        (-1, 3.0), (0, 5.0), (0, 9.0), (1, 15.0),
    ]  # fmt: skip


def test_a_second_table_brings_its_bounds(tmp_path):
    paths = [tmp_path / "train.csv", tmp_path / "test.csv"]
    for path, values in zip(paths, (["1.5", ">2.5", "4.5"], ["3.5", "<0.5"]), strict=True):
        rows = [f"{SEQUENCES[len(values) * 10 + place]},{value}" for place, value in enumerate(values)]
        path.write_text("sequence,y\n" + "\n".join(rows) + "\n")
    from seqloom.joined import read_tables

    table = read_tables(DataSection(table=paths[0].as_posix(), test=paths[1].as_posix(), alphabet="protein"), ("y",))
    assert table.bounds["y"].tolist() == [0, 1, 0, 0, -1]


def test_signs_are_written_back_where_rows_are(tmp_path):
    table = read(["1.5", ">2.5", None, "<20000"])
    assert as_written(table)["y"].to_pylist() == ["1.5", ">2.5", None, "<20000"]
    assert symbols(np.array([-1, 0, 1])).to_pylist() == ["<", "", ">"]
    path = tmp_path / "t.csv"
    path.write_text(
        "sequence,y\n" + "".join(f"{each},{'>' * (row % 3 == 0)}{row}.5\n" for row, each in enumerate(SEQUENCES[:30]))
    )
    divide(
        {"data": {"table": path.as_posix()}, "target": {"column": "y"}, "split": {"kind": "random"}}, tmp_path / "o.csv"
    )
    assert (tmp_path / "o.csv").read_text().count(">") == 10


# --- the target -------------------------------------------------------------------------------------------------------


def test_log50k_turns_bounds_round():
    table = read([">20000", "<5", "300"])
    _, values, bounds = target_and_bounds(table, transform="log50k")
    assert bounds == [-1, 1, 0]
    assert values[0] == pytest.approx(1 - np.log(20000) / np.log(50000))
    assert target_and_bounds(table, transform="log")[2] == [1, -1, 0]
    assert target_and_bounds(read([1.5, 2.5]))[2] is None


@pytest.mark.parametrize("transform", ["log50k", "log", "standardise"])
def test_bounds_that_leave_the_side_of_the_threshold_open_are_no_positives_or_negatives(transform):
    table = read([">20000", ">100", "<100", "<5000", "<500", ">500", "499", "501", None])
    target, values, _ = target_and_bounds(table, transform=transform, positive_below=500)
    held = target.positives(values[:, None], target.bounds(table))[:, 0]
    np.testing.assert_array_equal(held, [0, np.nan, 1, np.nan, 1, 0, 1, 0, np.nan])
    above, values, _ = target_and_bounds(table, transform=transform, positive_above=500)
    held = above.positives(values[:, None], above.bounds(table))[:, 0]
    np.testing.assert_array_equal(held, [1, np.nan, 0, np.nan, 0, 1, 0, 1, np.nan])


def test_a_target_keeps_its_limits_in_its_file():
    target = Target("regression", ("y",), cap_above=5.0)
    assert Target.from_json(json.loads(json.dumps(target.as_json()))) == target


def test_targets_that_are_all_bounds_are_refused_with_counts():
    with pytest.raises(DataError, match=r"all known values of the rows are bounds \(1 '<' and 2 '>'\)"):
        find_target(read([1.5, 2.5, 3.5], inequality=["<", ">", ">"]), TargetSection())


# --- losses -----------------------------------------------------------------------------------------------------------

Y = np.array([[1.0], [1.0], [1.0], [1.0], [np.nan]])
P = np.array([[3.0], [3.0], [0.0], [0.0], [9.0]])
BOUNDS = np.array([[1], [-1], [1], [-1], [1]], np.int8)


def test_a_bound_costs_only_on_its_wrong_side():
    dims = Dims("regression", 1, 1)
    expected = (0 + 4 + 1 + 0) / 4
    assert default_loss(Y, P, dims, BOUNDS) == expected
    output = torch.tensor(P, requires_grad=True)
    loss = supervised_loss(output, torch.tensor(Y), dims, torch.tensor(BOUNDS))
    assert loss.item() == pytest.approx(expected)
    loss.backward()
    np.testing.assert_allclose(output.grad.numpy().ravel(), [0, 1, -0.5, 0, 0])


def test_the_value_expected_beyond_a_bound_is_that_of_a_normal_variable():
    mean, bound, spread = np.array([[0.5], [-3.0], [4.0]]), np.ones((3, 1)), np.array([0.7])
    above = expected_beyond(mean, bound, np.ones((3, 1), np.int8), spread)
    below = expected_beyond(mean, bound, -np.ones((3, 1), np.int8), spread)
    for row in range(3):
        at = (1.0 - mean[row, 0]) / 0.7
        assert above[row, 0] == pytest.approx(stats.truncnorm.mean(at, np.inf, mean[row, 0], 0.7), rel=1e-6)
        assert below[row, 0] == pytest.approx(stats.truncnorm.mean(-np.inf, at, mean[row, 0], 0.7), rel=1e-6)


def test_expected_values_are_never_before_their_bound_however_far_the_prediction_is():
    predicted = np.array([[-1e9], [0.0], [1e9], [-50.0]])
    for spread in (0.0, 1e-6, 1.0):
        above = expected_beyond(predicted, np.full((4, 1), 2.0), np.ones((4, 1), np.int8), np.array([spread]))
        assert np.isfinite(above).all()
        assert (above >= 2.0).all()
        assert above[2, 0] == 1e9


# --- models -----------------------------------------------------------------------------------------------------------


def capped_rows(share, n=1200, n_new=1200, seed=1):
    """One-hot peptides with a linear truth, measured with noise, the largest `share` cut off: examples, and new rows."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 20, (n + n_new, 9))
    effects = rng.normal(size=(9, 20)) * np.linspace(0, 1, 9)[:, None]
    true = effects[np.arange(9), ids].sum(1)
    true = (true - true.mean()) / true.std()
    seen = true + rng.normal(0, 0.5, len(true))
    cut = np.quantile(seen, 1 - share)
    features = np.eye(20, dtype=np.float32)[ids].reshape(len(ids), -1)
    y, bounds = np.minimum(seen, cut)[:, None], (seen >= cut).astype(np.int8)[:, None]

    def part(rows):
        return Examples(Inputs(features=features[rows]), y[rows], bounds[rows])

    parts = (part(np.arange(int(0.85 * n))), part(np.arange(int(0.85 * n), n)))
    new = np.arange(n, n + n_new)
    return (*parts, Inputs(features=features[new]), true[new], Job(Dims("regression", 1, 1, features.shape[1])))


@pytest.mark.parametrize(
    ("kind", "settings", "share", "at_most"),
    [
        ("linear", {}, 0.3, 0.6), ("linear", {}, 0.7, 0.65), ("knn", {"k": 10}, 0.7, 0.85), ("constant", {}, 0.7, 0.9),
        ("boosting", {"rounds": 30, "lr": 0.3, "patience": 5}, 0.5, 0.75),
    ],
)  # fmt: skip
def test_knowing_bounds_for_what_they_are_lowers_the_error_of_true_values(kind, settings, share, at_most):
    train, valid, new, true, job = capped_rows(share)
    predictor = build("predictor", {"kind": kind, **settings})
    plain = [Examples(each.inputs, each.y) for each in (train, valid)]
    equal, own = (
        model.predict(new)[:, 0] - true
        for model in (predictor.fit(*plain, job), fit_model(predictor, train, valid, job))
    )
    assert np.sqrt(np.mean(own**2)) < at_most * np.sqrt(np.mean(equal**2))
    assert abs(own.mean()) < 0.6 * abs(equal.mean())


def test_a_net_learns_from_bounds_on_their_wrong_side():
    train, valid, new, true, job = capped_rows(0.5, n=600, n_new=300)
    settings = job.settings.model_copy(update={"epochs": 30, "device": "cpu"})
    job = Job(job.dims, settings=settings)
    predictor = build("predictor", {"kind": "mlp", "hidden": [32], "dropout": 0.0})
    plain = [Examples(each.inputs, each.y) for each in (train, valid)]
    equal, own = (fit_model(predictor, *parts, job).predict(new)[:, 0] - true for parts in (plain, (train, valid)))
    assert abs(own.mean()) < abs(equal.mean())
    assert np.mean(own**2) < np.mean(equal**2)


def test_measured_values_are_never_replaced_and_few_of_them_leave_bounds_alone():
    train, valid, _, _, job = capped_rows(0.5, n=200, n_new=1)
    linear = build("predictor", {"kind": "linear"})
    filled, held = imputed(linear, train, valid, job)
    measured = train.bounds == 0
    np.testing.assert_array_equal(filled.y[measured], train.y[measured])
    assert (filled.y[~measured] >= train.y[~measured]).all()
    assert filled.bounds is None
    assert held.bounds is None
    nearly_all = np.ones_like(train.bounds)
    nearly_all[:9] = 0
    few = Examples(train.inputs, train.y, nearly_all)
    empty = valid.take(np.zeros(0, np.int64))
    np.testing.assert_array_equal(imputed(linear, few, empty, job)[0].y, train.y)


def test_a_target_that_is_hardly_known_takes_bounds_for_values():
    train, _, new, _, job = capped_rows(0.5, n=60, n_new=5)
    other = np.full(train.y.shape, np.nan)
    other[0] = 1.0
    both = Examples(train.inputs, np.hstack([train.y, other]), np.hstack([train.bounds, train.bounds]))
    said: list[str] = []
    job = Job(Dims("regression", 2, 2, job.dims.n_features), log=said.append)
    empty = both.take(np.zeros(0, np.int64))
    answers = fit_model(build("predictor", {"kind": "linear"}), both, empty, job).predict(new)
    assert answers.shape == (5, 2)
    assert any("bounds are taken for values" in line for line in said)


def test_several_targets_keep_their_holes_and_their_own_bounds():
    train, _, _, _, job = capped_rows(0.5, n=200, n_new=1)
    rng = np.random.default_rng(0)
    other = np.where(rng.random(train.y.shape) < 0.3, np.nan, rng.normal(size=train.y.shape))
    both = Examples(train.inputs, np.hstack([train.y, other]), np.hstack([train.bounds, np.zeros_like(train.bounds)]))
    job = Job(Dims("regression", 2, 2, job.dims.n_features))
    empty = both.take(np.zeros(0, np.int64))
    filled = imputed(build("predictor", {"kind": "linear"}), both, empty, job)[0].y
    np.testing.assert_array_equal(filled[:, 1], other[:, 0])
    assert (filled[:, 0] >= train.y[:, 0]).all()


def test_every_predictor_says_what_it_does_with_bounds():
    kinds = {kind: recipe_class("predictor", kind).censored for kind in available("predictor") if kind != "lightgbm"}
    assert set(kinds.values()) <= {"loss", "imputed", "equal"}
    assert (kinds["mlp"], kinds["linear"], kinds["boosting"], kinds["nearest"]) == (
        "loss",
        "imputed",
        "imputed",
        "equal",
    )


# --- metrics ----------------------------------------------------------------------------------------------------------


def some_scores(n=60, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 1))
    return y, y + rng.normal(size=(n, 1)), rng.integers(-1, 2, (n, 1)).astype(np.int8)


def test_errors_count_only_the_wrong_side_of_a_bound():
    y, p, bounds = np.array([[1.0]] * 4), np.array([[3.0], [3.0], [0.0], [0.0]]), np.array([[1], [-1], [1], [0]])
    assert score("mae", "regression", y, p, bounds) == (0 + 2 + 1 + 1) / 4
    assert score("rmse", "regression", y, p, bounds) == pytest.approx(np.sqrt((0 + 4 + 1 + 1) / 4))


@pytest.mark.parametrize("name", ["spearman", "pearson", "r2", "ndcg", "top_recall"])
def test_other_metrics_are_those_of_measured_rows(name):
    y, p, bounds = some_scores()
    own = bounds[:, 0] == 0
    assert score(name, "regression", y, p, bounds) == score(name, "regression", y[own], p[own])
    assert left_out(METRICS[name], y, bounds) == (~own).sum()
    reference = {"spearman": stats.spearmanr(y[own], p[own])[0], "r2": r2_score(y[own], p[own])}
    if name in reference:
        assert score(name, "regression", y, p, bounds) == pytest.approx(reference[name])


@pytest.mark.parametrize("name", ["spearman", "pearson", "r2", "rmse", "mae", "ndcg", "top_recall"])
def test_a_draw_of_rows_with_bounds_is_the_metric_of_the_rows_drawn(name):
    y, p, bounds = some_scores()
    y[:3] = np.nan
    counts = np.random.default_rng(1).integers(0, 3, (5, len(y)))
    drawn = scores(name, "regression", y, p, counts, bounds).value
    for own, value in zip(counts, drawn, strict=True):
        rows = np.repeat(np.arange(len(y)), own)
        assert value == pytest.approx(score(name, "regression", y[rows], p[rows], bounds[rows]))
        held = target_of(find_metric(name, "regression"), y, p, bounds)[rows]
        assert value == pytest.approx(score(name, "regression", held, p[rows]))


def test_no_bounds_change_no_score():
    y, p, bounds = some_scores()
    for name in ("spearman", "rmse"):
        assert score(name, "regression", y, p, 0 * bounds) == score(name, "regression", y, p)
    with pytest.raises(ValueError, match="binary: bounds"):
        score("auroc", "binary", (y > 0).astype(float), p, bounds)


def test_columns_of_targets_have_bounds_of_their_own():
    one, p, bounds = some_scores()
    other, q, _ = some_scores(seed=5)
    y, both, none = np.hstack([one, other]), np.hstack([p, q]), np.zeros_like(bounds)
    got = scores("rmse", "regression", y, both, bounds=np.hstack([bounds, none])).per_target[0]
    held = np.where(bounds * (p - one) > 0, p, one)
    np.testing.assert_allclose(got, [np.sqrt(mean_squared_error(held, p)), np.sqrt(mean_squared_error(other, q))])


def test_groups_are_scored_without_their_bounds():
    y, p, bounds = some_scores()
    groups = np.repeat(["a", "b"], 30)
    found = within_groups("spearman", "regression", y, p, groups, bounds=bounds)
    for place, own in enumerate((slice(0, 30), slice(30, 60))):
        assert found.values[place] == score("spearman", "regression", y[own], p[own], bounds[own])
        assert found.sizes[place] == (bounds[own] == 0).sum()


def test_a_comparison_counts_the_rows_each_metric_leaves_out():
    y, p, bounds = some_scores()
    got = compare_scores("regression", [y], {"a": [[p]]}, ["spearman", "rmse"], draws=100, bounds=[bounds])
    n = int((bounds != 0).sum())
    assert f"spearman: {n} of 60 test rows are left out, whose targets are bounds" in got.notes
    assert any(note.startswith("rmse: of targets that are bounds, only") for note in got.notes)
    assert got.interval("a", "spearman").value == score("spearman", "regression", y, p, bounds)
    low, high = got.interval("a", "rmse").low, got.interval("a", "rmse").high
    assert low < score("rmse", "regression", y, p, bounds) < high


# --- a whole comparison -----------------------------------------------------------------------------------------------

AFFINITIES = "mhc/bdata.2013.mhci.public.blind.1.txt"
WHERE = "mhc == 'HLA-A*02:03' and peptide_length == 9"


@pytest.fixture(scope="module")
def affinities(data, tmp_path_factory):
    """A comparison on measured affinities of which many are bounds."""
    folder = tmp_path_factory.mktemp("affinities") / "run"
    sections = {
        "data": {"table": (data / AFFINITIES).as_posix(), "where": WHERE},
        "target": {"transform": "log50k", "positive_below": 500},
        "split": {"kind": "random", "folds": 1},
        "train": {"epochs": 2, "device": "cpu"},
        "variant": [{"predictor": "linear"}, {"predictor": {"kind": "mlp", "hidden": [8]}}],
        "report": {"draws": 100},
    }
    return folder, compare(sections, folder)


def test_measured_affinities_are_compared_with_their_bounds(affinities, data):
    folder, result = affinities
    board = json.loads((folder / "leaderboard.json").read_text())
    table = read_table(data / AFFINITIES, DataSection(where=WHERE))
    signs, counts = np.unique(table.bounds["meas"], return_counts=True)
    assert (signs.tolist(), counts.sum()) == ([-1, 0, 1], table.n_rows)
    assert any(
        note.startswith("spearman, pearson, r2: ") and "whose targets are bounds" in note for note in board["notes"]
    )
    said = {each.code: each.message for each in result.findings}
    assert "are bounds of the true one" in said["inequality"]
    assert "taken for values by nearest" in said["bounds-as-values"]
    predicted = predictions_of(folder / "linear")
    signs = symbols(table.bounds["meas"]).to_pylist()
    own = {
        row: each for row, *each in zip(table.row_numbers.tolist(), table.data["meas"].to_pylist(), signs, strict=True)
    }
    assert [own[row] for row in predicted["row"].tolist()] == [
        [*each] for each in zip(predicted["target"].tolist(), predicted["target_bound"].tolist(), strict=True)
    ]
    measured = predicted["target_bound"] == ""
    assert 0 < measured.sum() < len(measured)
    linear = next(row for row in board["leaderboard"] if row["variant"] == "linear")
    reference = stats.spearmanr(-predicted["target"][measured], -predicted["pred"][measured])[0]
    assert linear["metrics"]["spearman"]["value"] == pytest.approx(reference, abs=1e-6)
    assert "bounds were replaced by what is expected beyond them" in (folder / "linear" / "log.txt").read_text()


def predictions_of(folder):
    """The columns of `predictions.parquet`."""
    table = pq.read_table(folder / "predictions.parquet")
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def test_the_search_for_binders_counts_the_bounds_that_decide(affinities):
    from sklearn.metrics import roc_auc_score

    folder, _ = affinities
    board = json.loads((folder / "leaderboard.json").read_text())
    predicted = predictions_of(folder / "linear")
    target, bound = predicted["target"], predicted["target_bound"]
    open_side = ((bound == ">") & (target < 500)) | ((bound == "<") & (target > 500))
    linear = next(row for row in board["leaderboard"] if row["variant"] == "linear")
    reference = roc_auc_score(target[~open_side] < 500, -predicted["pred"][~open_side])
    assert linear["metrics"]["auroc"]["value"] == pytest.approx(reference, abs=1e-6)


def test_a_finished_run_is_evaluated_with_bounds_and_predicts_tables_as_they_are(affinities, data, tmp_path):
    folder, _ = affinities
    facts = evaluate(folder / "linear", data / AFFINITIES, {"data": {"where": WHERE}})
    assert any("whose targets are bounds" in note for note in facts["notes"])
    table = pa.table({"sequence": SEQUENCES[:3], "meas": [">20000", "12", "<5"]})
    facts = predict(folder / "linear", table, tmp_path / "p.parquet")
    assert facts["failed"] == 0
    assert pq.read_table(tmp_path / "p.parquet")["meas"].to_pylist() == [">20000", "12", "<5"]
    only = pa.table({"sequence": SEQUENCES[:40], "meas": np.full(40, 20000.0), "inequality": [">"] * 40})
    with pytest.raises(DataError, match=r"all known values of the test rows are bounds \(0 '<' and 40 '>'\)"):
        evaluate(folder / "linear", only)
    assert Model(folder / "linear").target.transform == "log50k"


def test_test_rows_that_are_all_bounds_are_refused_before_anything_is_fitted(tmp_path):
    words = ["train"] * 30 + ["test"] * 10
    y = [f"{value}.5" for value in range(30)] + [f">{value}.5" for value in range(10)]
    data = pa.table({"sequence": SEQUENCES[:40], "y": y, "set": words})
    with pytest.raises(
        DataError, match=r"column 'y': all known values of the test rows are bounds \(0 '<' and 10 '>'\)"
    ):
        compare({"target": {"column": "y"}, "variant": [{"predictor": "constant"}]}, tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


def test_limits_belong_to_the_table_and_not_to_one_variant(tmp_path):
    sections = {
        "target": {"column": "y"},
        "split": {"kind": "random", "folds": 1},
        "variant": [
            {"predictor": "constant"},
            {"name": "capped", "predictor": "linear", "target": {"cap_above": 20.0}},
        ],
    }
    data = pa.table({"sequence": SEQUENCES[:60], "y": np.arange(60) + 0.5})
    with pytest.raises(ConfigError, match=r"variant 'capped'.*cannot differ between variants"):
        compare(sections, tmp_path / "run", data=data)

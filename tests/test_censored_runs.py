"""Targets that are bounds, in whole comparisons, evaluations and predictions."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from contracts.tables import peptides
from seqloom.censored import symbols
from seqloom.errors import ConfigError, DataError
from seqloom.experiment import compare
from seqloom.model import Model
from seqloom.prediction import evaluate, predict
from seqloom.table import DataSection, read_table

SEQUENCES = peptides(400)


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

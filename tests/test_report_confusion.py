"""Confusion matrices of a report: numbers divided at thresholds, classes called, and thresholds that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.metrics import confusion_matrix

from report_folders import Folder, predictions, report, text_of, write_experiment
from seqloom import api
from seqloom.cli import main
from seqloom.errors import ConfigError
from seqloom.files import read_json
from seqloom.report.build import write_report

VARIANTS = ("cnn", "constant")


def test_numbers_are_divided_at_thresholds_after_averaging_seeds(tmp_path: Path) -> None:
    plan = Folder(variants=VARIANTS)
    folder = write_experiment(tmp_path / "e", plan)
    arguments = ["report", str(folder), "--confusion", "50", "--confusion", "40,50,60", "--json"]
    facts = json.loads(CliRunner().invoke(main, arguments, catch_exceptions=False).stdout)
    assert facts["path"] == (folder / "report.html").as_posix()
    assert [each["variant"] for each in facts["confusion"]] == ["cnn", "constant"] * 2
    table = predictions(plan, 0).to_pandas().dropna()
    rows = table.groupby("row")[["target", "pred"]].mean()
    for found, edges in zip(facts["confusion"][::2], ([50], [40, 50, 60]), strict=True):
        truth, called = (np.digitize(rows[name], edges) for name in ("target", "pred"))
        expected = confusion_matrix(truth, called, labels=range(len(edges) + 1))
        assert found["thresholds"] == edges
        assert found["counts"] == expected.tolist()
        np.testing.assert_allclose(found["shares"], expected / expected.sum(1, keepdims=True))
    assert facts["confusion"][2]["classes"] == ["< 40", "40–50", "50–60", "≥ 60"]  # noqa: RUF001 - ranges have a dash
    text = text_of((folder / "report.html").read_text("utf-8"))
    assert "Confusion of tm, divided at 40 / 50 / 60: cnn, first of the leaderboard" in text
    assert "Predictions of up to 2 seeds are averaged here" in text


def test_thresholds_are_kept_until_they_are_forgotten(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(variants=VARIANTS))
    write_report(folder, ["50"])
    assert read_json(folder / "confusion.json")["thresholds"] == [[50.0]]
    assert "divided at 50" in text_of(report(folder))
    api.report(folder, confusion=[])
    assert not (folder / "confusion.json").exists()
    assert "divided at" not in text_of(report(folder))


def test_the_threshold_of_positives_is_there_unasked(tmp_path: Path) -> None:
    for side, classes in (("positive_below", ["< 50", "≥ 50"]), ("positive_above", ["≤ 50", "> 50"])):
        folder = write_experiment(tmp_path / side, Folder(variants=VARIANTS, target={side: 50.0}))
        found = api.report(folder)["confusion"]
        assert [each["classes"] for each in found] == [classes] * 2
        assert sum(map(sum, found[0]["counts"])) == 59


def test_seeds_of_a_target_learnt_as_a_logarithm_have_a_geometric_mean(tmp_path: Path) -> None:
    plan = Folder(variants=VARIANTS, target={"transform": "log"})
    folder = write_experiment(tmp_path / "e", plan)
    found = api.report(folder, confusion=[[1.0]])["confusion"][0]
    table = predictions(plan, 0).to_pandas().dropna()
    rows = np.log(table.set_index("row")[["target", "pred"]]).groupby("row").mean()
    assert found["counts"] == confusion_matrix(rows["target"] >= 0, rows["pred"] >= 0).tolist()


def test_a_bound_counts_where_all_it_allows_is_one_range(tmp_path: Path) -> None:
    plan = Folder(variants=VARIANTS)
    folder = write_experiment(tmp_path / "e", plan)
    for path in folder.glob("*/predictions.parquet"):
        table = pq.read_table(path)
        signs = [{0: "<", 1: ">"}.get(row % 4, "") for row in table["row"].to_pylist()]
        pq.write_table(table.append_column("target_bound", pa.array(signs)), path)
    found = api.report(folder, confusion=["45,55"])["confusion"][0]
    table = pq.read_table(folder / "cnn" / "predictions.parquet").to_pandas().dropna(subset=["target"])
    truth = table.groupby("row")[["target"]].mean().join(table.groupby("row")["target_bound"].first())
    beyond = truth.query("target_bound == '<' and target > 45 or target_bound == '>' and target < 55")
    assert found["left_out"] == len(beyond) > 0
    own = truth.drop(beyond.index)
    assert np.array(found["counts"]).sum(axis=1).tolist() == np.bincount(np.digitize(own["target"], [45, 55])).tolist()
    assert f"{len(beyond)} rows left out, whose bound does not tell the class." in text_of(report(folder))


def test_two_classes_are_called_at_one_half(tmp_path: Path) -> None:
    plan = Folder("binary", variants=VARIANTS)
    folder = write_experiment(tmp_path / "e", plan)
    found = api.report(folder)["confusion"][0]
    table = predictions(plan, 0).to_pandas().dropna()
    rows = table.groupby("row").agg(target=("target", "first"), yes=("pred_yes", "mean"))
    assert found["counts"] == confusion_matrix(rows["target"] == "yes", rows["yes"] >= 0.5).tolist()
    assert "yes is called at a probability of 0.5 or more." in text_of(report(folder))


@pytest.mark.parametrize("asked", ["55,45", "45,45", "weak", "", "1,inf"])
def test_what_divides_nothing_is_refused(asked: str, tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(variants=VARIANTS))
    with pytest.raises(ConfigError, match=f"--confusion {asked}: give rising numbers"):
        write_report(folder, [asked])
    assert not (folder / "confusion.json").exists()


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_classes_have_no_thresholds(task: str, tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(task, variants=VARIANTS))
    with pytest.raises(ConfigError, match=f"thresholds divide numbers, and .* is {task}"):
        write_report(folder, ["0.5"])

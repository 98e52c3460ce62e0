"""The report: its facts, its form, and what becomes of it when parts of a folder are missing."""

# ruff: noqa: RUF001  intervals are written with a dash
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import average_precision_score, confusion_matrix, roc_auc_score

from report_folders import LABELS, VERDICT, Folder, edit, predictions, report, text_of, write_experiment, write_lone_run
from seqloom.errors import RunError
from seqloom.report.build import write_report
from seqloom.report.members import read_predictions
from seqloom.report.plots import mean_precision, mean_roc

TASKS = ("regression", "binary", "multiclass", "multilabel")
THRESHOLD = {"positive_below": 50.0, "positive_above": None}


@pytest.fixture(scope="module", params=TASKS)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, str]:
    """A finished experiment of each task and the text of its report."""
    plan = Folder(request.param)
    return plan, report(write_experiment(tmp_path_factory.mktemp("finished") / plan.task, plan))


def test_the_facts_of_a_comparison_stand_on_the_page(finished: tuple[Folder, str]) -> None:
    plan, html = finished
    text = text_of(html)
    assert escape(VERDICT, quote=False) in html
    for name in plan.variants:
        assert name in text
    for shown in ("0.900 (0.880–0.921)", "0.600 (0.580–0.621)", "averaged: 0.934 (0.900–0.950)", "linear baseline"):
        assert shown in text
    for shown in (f"1,000 draws over {plan.n_rows} rows in 2 folds", "intervals are made up", "12 s", "4 members"):
        assert shown in text
    for shown in ("predictor.width : 64 → 32", "dropout = 0.2", "one-hot"):
        assert shown in text
    for shown in ("t.csv (delimited)", "length > 7", "a column called 'sequence'", "8 to 15, median 11.5"):
        assert shown in text
    for shown in ("row 5 contradicts row 6", "1 warning: see data below", "1,234", "no target 2 seq-901, seq-902"):
        assert shown in text
    for shown in ("no test row has the same inputs as a training row", "ab" * 32, "seqloom compare t.csv --target tm"):
        assert shown in text


def test_nets_show_their_epochs_and_call_the_test_curve_optimistic(finished: tuple[Folder, str]) -> None:
    text = text_of(finished[1])
    assert "Test curves are shown, never used to choose" in text
    assert "best on test (optimistic)" in text
    training = text.split("Training of the nets")[1].split("Reproducibility")[0]
    assert "cnn 4 6–7, mean 6.5 5–6, mean 5.5 0.710 0.720 0.770" in training
    assert "linear" not in training


def test_figures_suit_the_task(finished: tuple[Folder, str]) -> None:
    plan, html = finished
    text = text_of(html)
    for task, words in (
        ("regression", "Predicted against measured"),
        ("binary", "Search for positives: tm = yes"),
        ("multiclass", "Recall by class"),
        ("multilabel", "AUROC by label"),
    ):
        assert (words in text) == (plan.task == task)


def test_a_regression_with_a_threshold_is_also_shown_as_a_search(tmp_path: Path) -> None:
    plan = Folder(target={**THRESHOLD, "transform": "log"}, metrics=("spearman", "auroc"), variants=("knn", "linear"))
    html = report(write_experiment(tmp_path / "e", plan))
    assert "Search for positives: tm below 50" in text_of(html)
    assert "logarithmic axes" in html
    assert 'id="roc"' in html


def test_without_auroc_among_the_metrics_there_is_no_search(tmp_path: Path) -> None:
    html = report(write_experiment(tmp_path / "e", Folder(target=THRESHOLD, variants=("knn", "linear"))))
    assert 'id="roc"' not in html


def test_the_confusion_matrix_counts_the_seeds_mean_predictions(tmp_path: Path) -> None:
    plan = Folder("multiclass", variants=("cnn", "constant"))
    html = report(write_experiment(tmp_path / "e", plan))
    table = predictions(plan, 0).to_pandas().dropna()
    shares = [f"pred_{name}" for name in plan.class_names]
    averaged = table.groupby("row")[shares].mean()
    truth = table.groupby("row")["target"].first()
    called = np.array(plan.class_names)[averaged.to_numpy().argmax(1)]
    expected = confusion_matrix(truth, called, labels=list(plan.class_names))
    matrix = html[html.index('<table class="matrix">') :]
    cells = re.findall(r"<td[^>]*>([\d.·]+)<", matrix[: matrix.index("</table>")])
    shown = np.array([0 if cell == "·" else float(cell) for cell in cells]).reshape(3, 4)
    np.testing.assert_array_equal(shown[:, :3], expected)
    np.testing.assert_allclose(shown[:, 3], expected.diagonal() / expected.sum(1), rtol=0.005)


def test_auroc_by_label_agrees_with_scikit_learn(tmp_path: Path) -> None:
    plan = Folder("multilabel", variants=("cnn", "constant"))
    html = report(write_experiment(tmp_path / "e", plan))
    table = predictions(plan, 0).to_pandas().dropna()
    members = [own for _, own in table.groupby(["fold", "seed"])]
    for label in LABELS:
        expected = np.mean([roc_auc_score(own[f"target_{label}"] == "1", own[f"pred_{label}"]) for own in members])
        row = re.search(rf'<tr><th scope="row">{label}</th>((?:(?!</tr>).)*<svg.*?)</tr>', html, re.DOTALL)
        assert row
        numbers = re.findall(r'<td class="number">([\d.,]+)</td>', row[1])
        assert float(numbers[2]) == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize("ties", [False, True])
def test_the_areas_of_drawn_curves_are_the_scores(ties: bool) -> None:
    rng = np.random.default_rng(0)
    members = []
    for n in (400, 700):
        y = (rng.random(n) < 0.3).astype(float)
        score = y + rng.normal(size=n)
        members.append((y, np.round(score) if ties else score))
    roc, precision = mean_roc(members), mean_precision(members)
    assert roc is not None
    assert precision is not None
    area = np.trapezoid(roc[1], roc[0])
    assert area == pytest.approx(np.mean([roc_auc_score(y, p) for y, p in members]), abs=0.004)
    assert precision[1].mean() == pytest.approx(np.mean([average_precision_score(y, p) for y, p in members]), abs=0.004)


def test_a_member_with_one_class_only_is_left_out_of_curves() -> None:
    one_class = (np.zeros(5), np.arange(5.0))
    assert mean_roc([one_class]) is None
    assert mean_precision([one_class]) is None
    both = (np.array([0.0, 1.0]), np.array([0.1, 0.9]))
    drawn = mean_roc([one_class, both])
    assert drawn is not None
    assert drawn[1][1] == 1.0


def test_where_lower_is_better_an_advantage_is_still_positive(tmp_path: Path) -> None:
    plan = Folder("multilabel", metrics=("rmse",), variants=("knn", "linear"))
    folder = write_experiment(tmp_path / "e", plan)
    difference = {"value": -2.5, "low": -3.0, "high": -2.0}
    edit(folder / "leaderboard.json", lambda board: board["leaderboard"][0]["differences"].update(linear=difference))
    html = report(folder)
    assert "2.500 (2.000–3.000)" in text_of(html)
    assert '<td class="difference told">' in html


def test_a_difference_that_cannot_be_told_from_0_is_shaded_and_said(tmp_path: Path) -> None:
    html = report(write_experiment(tmp_path / "e", Folder("multiclass", variants=("knn", "boosting", "linear"))))
    assert html.count('<td class="difference nd">') == 2
    assert html.count('<td class="difference told">') == 1
    assert "0.100 (−0.050 to 0.250) no detectable difference" in text_of(html)


def test_undefined_scores_are_called_undefined(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder("binary", variants=("knn", "boosting", "linear", "constant")))
    nothing = {"value": None, "low": None, "high": None}

    def forget(board: dict[str, Any]) -> None:
        board["leaderboard"][3]["metrics"]["auroc"] = nothing
        for row in board["leaderboard"][:3]:
            row["differences"]["constant"] = nothing

    edit(folder / "leaderboard.json", forget)
    html = report(folder)
    assert "undefined" in text_of(html)
    assert html.count('<td class="difference undefined">') == 3


def test_names_of_the_users_cannot_break_the_page(tmp_path: Path) -> None:
    evil = "<script>alert('$x^2$ & \"y\"')</script>"
    plan = Folder("multiclass", column=evil, classes=(evil, "b", 'c"'), variants=("cnn", "constant"))
    folder = write_experiment(tmp_path / "e", plan)
    edit(folder / "data.json", lambda data: data["findings"][0].update(message=evil))
    edit(folder / "audit.json", lambda audit: audit["unused"].update({evil: 3}))
    html = report(folder)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 5
    for task in ("regression", "binary"):
        classes = (evil, "b") if task == "binary" else ()
        plan = Folder(task, column=evil, classes=classes, variants=("knn", "constant"))
        assert "<script" not in report(write_experiment(tmp_path / task, plan))


@pytest.mark.parametrize(
    "missing",
    ["leaderboard.json", "data.json", "audit.json", "environment.json", "partition.parquet", "config.toml",
     "resolved.toml", "*/predictions.parquet", "*/metrics.json", "*/fold-*/seed-*/curves.parquet", "*/resolved.toml",
     "*/fold-*/seed-*/done", "cnn/predictions.parquet", "cnn"],
)  # fmt: skip
def test_a_missing_part_leaves_the_rest(missing: str, tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder("multiclass", variants=("cnn", "constant")))
    for path in folder.glob(missing):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = text_of(report(folder))
    assert "cnn" in text
    assert "constant" in text


def test_an_interrupted_comparison_says_how_much_is_finished(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(n_folds=3))
    for name in ("leaderboard.json", "*/metrics.json", "*/predictions.parquet"):
        for path in folder.glob(name):
            path.unlink()
    for done in [*folder.glob("cnn/fold-[12]/seed-1/done"), *folder.glob("mlp/fold-*/seed-*/done")]:
        done.unlink()
    text = text_of(report(folder))
    assert "no verdict yet" in text
    assert "10 of at most 24 members (one fold, one seed) in 3 folds are done" in text
    assert "cnn 4 of at most 6 3 of 3 2 of at most 2" in text
    assert "mlp 0 of at most 6 0 of 3 0 of at most 2" in text
    assert "Training of the nets" in text


def test_a_lone_run_is_reported_with_its_baselines(tmp_path: Path) -> None:
    folder = write_lone_run(tmp_path / "r", Folder("binary", variants=("cnn", "linear", "constant")))
    html = report(folder)
    assert escape(VERDICT, quote=False) in html
    assert "linear baseline" in text_of(html)
    assert 'id="roc"' in html


def test_the_file_that_corrected_the_table_is_named(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder())
    assert "corrected by" not in text_of(report(folder))
    patch = {
        "name": "fixes.csv.gz",
        "path": "fixes.csv.gz",
        "sha256": "cd" * 32,
        "format": "delimited",
        "compression": "gzip",
    }
    edit(folder / "data.json", lambda facts: facts.update(patch_source=patch))
    assert "corrected by fixes.csv.gz (delimited, gzip)" in text_of(report(folder))


def test_one_variant_of_an_experiment_can_be_reported_alone(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder())
    text = text_of(report(folder / "mlp"))
    assert "mlp has spearman 0.800 (0.780–0.821); this folder holds no other variant" in text


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run or experiment folder"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["leaderboard.json", "resolved.toml", "cnn/predictions.parquet"])
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder())
    (folder / name).write_bytes(b"{ = not this")
    with pytest.raises(RunError, match=f"{Path(name).name}: damaged"):
        write_report(folder)


def test_the_same_folder_gives_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder("multiclass", variants=("cnn", "linear")))
    first = write_report(folder).read_bytes()
    code = (
        "import sys, pathlib; from seqloom.report.build import write_report; write_report(pathlib.Path(sys.argv[1])); "
    )
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    assert (folder / "report.html").read_bytes() == first
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(("task", "n_rows"), [("regression", 6_000), ("regression", 2_000), ("binary", 6_000)])
def test_seven_variants_of_many_rows_stay_small(task: str, n_rows: int, tmp_path: Path) -> None:
    variants = ("cnn", "mlp", "boosting", "knn", "linear", "nearest", "constant")
    folder = write_experiment(tmp_path / "e", Folder(task, variants=variants, n_rows=n_rows))
    assert len(report(folder).encode()) < 1_500_000


def test_predictions_are_averaged_over_seeds_row_by_row(tmp_path: Path) -> None:
    table = predictions(Folder(), 0)
    pq.write_table(table, tmp_path / "p.parquet")
    read = read_predictions(tmp_path / "p.parquet")
    assert read is not None
    target, pred = read.averaged()
    expected = table.to_pandas().groupby(["fold", "row"])[["target", "pred"]].mean()
    np.testing.assert_allclose(target[:, 0], expected["target"])
    np.testing.assert_allclose(pred[:, 0], expected["pred"])
    assert [len(y) for y, _ in read.members()] == [30] * 4


def test_many_variants_share_colours_but_not_their_looks(tmp_path: Path) -> None:
    variants = tuple(f"mlp-{k}" for k in range(14))
    html = report(write_experiment(tmp_path / "e", Folder("binary", variants=variants, n_seeds=1)))
    html = html[html.index('<section id="predictions">') :]
    legend = html[html.index('<ul class="legend">') :]
    looks = re.findall(r'class="swatch".*?<line([^>]*)>', legend[: legend.index("</ul>")])
    assert len(looks) == len(set(looks)) == 14

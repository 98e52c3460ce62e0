"""The report of many variants, many metrics, and targets that are bounds: what is drawn, and what is said instead."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from report_folders import Folder, edit, report, text_of, write_experiment
from seqloom.report.facts import Facts, read_facts
from seqloom.report.figures import pens_of
from seqloom.report.members import read_predictions
from seqloom.report.search import search_of

BASELINES = ("constant", "linear", "nearest", "composition", "group-mean", "length", "hydropathy")


def with_bounds(folder: Path) -> Facts:
    """The facts of the experiment, every fifth row of which is now a bound, in turn `<` and `>`."""
    for path in folder.glob("*/predictions.parquet"):
        table = pq.read_table(path)
        rows = table["row"].to_numpy()
        signs = np.where(rows % 5 == 0, np.where(rows % 2 == 0, "<", ">"), "")
        pq.write_table(table.append_column("target_bound", pa.array(signs.tolist())), path)
    return read_facts(folder)


def with_baselines(folder: Path, names: tuple[str, ...]) -> Path:
    """The folder, in which these variants are baselines."""

    def mark(board: dict[str, list[dict[str, object]]]) -> None:
        for row in board["leaderboard"]:
            row["baseline"] = row["variant"] in names

    edit(folder / "leaderboard.json", mark)
    return folder


def test_bounds_are_drawn_as_triangles_and_counted(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(variants=("knn", "linear")))
    assert "bound" not in text_of(report(folder)).replace("bounds are", "")
    with_bounds(folder)
    text = text_of(report(folder))
    assert "Triangles are rows whose target is a bound; they point to where the true value lies." in text
    assert text.count("48 measured rows; 11 bounds") == 2  # the twelfth has no target


def test_bounds_have_no_place_among_hexagons_and_the_caption_says_so(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(variants=("knn", "linear"), n_rows=3_000))
    with_bounds(folder)
    text = text_of(report(folder))
    assert "599 bounds, not drawn" in text
    assert "Triangles" not in text


@pytest.mark.parametrize("side", ["positive_below", "positive_above"])
def test_the_curves_of_a_search_count_the_bounds_that_decide(side: str, tmp_path: Path) -> None:
    plan = Folder(target={side: 50.0}, metrics=("spearman", "auroc"), variants=("knn", "linear"))
    facts = with_bounds(write_experiment(tmp_path / "e", plan))
    assert "those count that decide the side of the threshold" in text_of(report(facts.folder))
    predicted = read_predictions(facts.folder / "knn" / "predictions.parquet")
    assert predicted is not None
    found = search_of(facts, predicted)
    assert found is not None
    table = pq.read_table(facts.folder / "knn" / "predictions.parquet").to_pandas().dropna()
    undecided = ((table["target_bound"] == ">") & (table["target"] < 50)) | (
        (table["target_bound"] == "<") & (table["target"] > 50)
    )
    sign = -1 if side == "positive_below" else 1
    kept = table[~undecided]
    for (_, own), (y, p) in zip(kept.groupby(["fold", "seed"]), found, strict=True):
        expected = roc_auc_score(sign * own["target"] > sign * 50, sign * own["pred"])
        assert len(y) == len(own)
        assert roc_auc_score(y, p) == expected


def test_the_best_three_baselines_are_drawn_and_the_others_named(tmp_path: Path) -> None:
    folder = with_baselines(write_experiment(tmp_path / "e", Folder("binary", variants=("cnn", *BASELINES))), BASELINES)
    html = report(folder)
    drawn = html[html.index('<section id="predictions">') :]
    legend = drawn[drawn.index('<ul class="legend">') :]
    assert legend[: legend.index("</ul>")].count('class="swatch"') == 4
    assert "the best 3 are drawn, without composition, group-mean, length, hydropathy." in text_of(html)


def test_seven_baselines_have_marks_of_their_own(tmp_path: Path) -> None:
    folder = with_baselines(write_experiment(tmp_path / "e", Folder("binary", variants=("cnn", *BASELINES))), BASELINES)
    pens = pens_of(read_facts(folder).runs)
    assert len({pens[name].outline for name in BASELINES}) == len(BASELINES)


def test_the_leaderboard_shows_other_metrics_without_and_folds_their_intervals_away(tmp_path: Path) -> None:
    metrics = ("auroc", "average_precision", "mcc")
    html = report(write_experiment(tmp_path / "e", Folder("binary", metrics=metrics, variants=("knn", "linear"))))
    board = html[html.index('<table class="leaderboard">') :]
    board, rest = board[: board.index("</table>")], board[board.index("</table>") :]
    assert re.findall(r'<td class="number other" title="([^"]*)">([^<]*)</td>', board)[0] == (
        "0.900 (0.880–0.921)",  # noqa: RUF001 - intervals are written with a dash
        "0.900",
    )
    folded = rest[rest.index("<details>") : rest.index("</details>")]
    assert "Intervals of average_precision, mcc" in folded
    assert text_of(folded).count("(0.880–0.921)") == 2  # noqa: RUF001


def test_six_of_many_targets_are_drawn_and_all_have_their_score(tmp_path: Path) -> None:
    names = [f"t{k}" for k in range(8)]
    folder = write_experiment(tmp_path / "e", Folder(variants=("cnn", "constant")))
    for path in folder.glob("*/predictions.parquet"):
        table = pq.read_table(path)
        shared = {name: table[name] for name in ("row", "id", "fold", "seed")}
        target, pred = table["target"].to_pandas(), table["pred"].to_pandas()
        noise = np.random.default_rng(0).normal(0, 10, (len(table), len(names)))
        targets = {f"target_{name}": pa.array(target, from_pandas=True) for name in names}
        preds = {f"pred_{name}": pred + k * noise[:, k] for k, name in enumerate(names)}
        pq.write_table(pa.table(shared | targets | preds), path)
    html = report(folder)
    assert len(re.findall(r'id="fit-\d-0"', html)) == 6
    assert "The first 6 of 8 targets are drawn." in text_of(html)
    table = pq.read_table(folder / "cnn" / "predictions.parquet").to_pandas().dropna()
    for name in names:
        members = [own for _, own in table.groupby(["fold", "seed"])]
        expected = np.mean([spearmanr(own[f"target_{name}"], own[f"pred_{name}"]).statistic for own in members])
        row = re.search(rf'<tr><th scope="row">{name}</th>(.*?)</tr>', html, re.DOTALL)
        assert row
        assert float(re.findall(r'<td class="number">([\d.,]+)</td>', row[1])[1]) == pytest.approx(expected, rel=0.005)

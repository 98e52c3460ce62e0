"""Scores within bands of identity to the nearest training row, what intervals draw together, and what a report says of both."""

# ruff: noqa: RUF001  intervals are written with a dash
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from report_folders import Folder, edit, report, text_of, write_experiment
from seqloom.evaluation import evaluate
from seqloom.experiment import Result, compare
from seqloom.files import read_json
from seqloom.sections import ReportSection
from seqloom.slices import scores_by_identity
from seqloom.target import Target

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
REPORT = ReportSection(draws=200)
BINARY = Target("binary", ("active",), ("no", "yes"))


def scored(folds: list[tuple[np.ndarray, np.ndarray, np.ndarray]], **options: Any) -> dict[str, Any]:
    """What is said of folds of (identity, y, probability of yes), all (N,)."""
    tests = [y[:, None].astype(float) for _, y, _ in folds]
    predictions = {"model": [[p[:, None]] for _, _, p in folds]}
    evaluated = evaluate(BINARY, tests, predictions, REPORT)
    return scores_by_identity(evaluated, tests, [identity for identity, _, _ in folds], REPORT, **options)


def made_up(identity: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of these identities, half of them positive, with probabilities that know something of them."""
    rng = np.random.default_rng(seed)
    y = np.arange(len(identity)) % 2
    return identity, y, np.clip(0.5 + 0.2 * (y - 0.5) + 0.2 * rng.normal(size=len(y)), 0, 1)


def test_each_band_has_the_score_of_its_own_rows() -> None:
    identity, y, p = made_up(np.repeat([0.1, 0.6, 0.95], (60, 40, 50)))
    found = scored([(identity, y, p)])
    assert [(band["from"], band["to"], band["rows"]) for band in found["by_identity"]] == [
        (0.0, 0.3, 60), (0.5, 0.7, 40), (0.9, 1.0, 50),
    ]  # fmt: skip
    for band, value in zip(found["by_identity"], (0.1, 0.6, 0.95), strict=True):
        score = band["scores"]["model"]
        assert score["value"] == pytest.approx(roc_auc_score(y[identity == value], p[identity == value]))
        assert score["low"] < score["value"] < score["high"]
    assert (found["by_identity_left_out"], found["by_identity_note"]) == (0, "")


def test_the_interval_of_a_band_is_that_of_its_rows_alone() -> None:
    identity, y, p = made_up(np.repeat([0.1, 0.95], 50))
    near = identity == 0.95
    alone = evaluate(BINARY, [y[near, None].astype(float)], {"model": [[p[near, None]]]}, REPORT)
    assert scored([(identity, y, p)])["by_identity"][1]["scores"]["model"] == alone.main.interval("model").as_json()


def test_a_band_begins_at_its_lower_end_and_the_last_one_holds_its_upper_end() -> None:
    identity = np.repeat(np.array([0.29, 0.3, 0.8, 1.0], np.float32), 40)
    bands = scored([made_up(identity)])["by_identity"]
    assert [(band["from"], band["to"], band["rows"]) for band in bands] == [
        (0.0, 0.3, 40), (0.3, 0.5, 40), (0.8, 0.9, 40), (1.0, 1.0, 40),
    ]  # fmt: skip


def test_neighbouring_bands_of_few_rows_are_merged() -> None:
    identity = np.repeat([0.1, 0.4, 0.6, 0.75, 0.85, 0.95], (80, 5, 12, 20, 3, 100))
    bands = scored([made_up(identity)])["by_identity"]
    assert [(band["from"], band["to"], band["rows"]) for band in bands] == [
        (0.0, 0.3, 80), (0.3, 0.9, 40), (0.9, 1.0, 100),
    ]  # fmt: skip


def test_where_all_rows_lie_in_one_band_there_is_a_note_instead() -> None:
    found = scored([made_up(np.full(1234, 0.97))])
    assert found["by_identity"] == []
    assert (
        "all 1,234 test rows lie in one band of identity to the nearest training row (90% to 100%)"
        in found["by_identity_note"]
    )
    few = scored([made_up(np.repeat([0.1, 0.97], (20, 25)))], likeness="Tanimoto similarity")
    assert few["by_identity"] == []
    assert "too few test rows for scores by band of Tanimoto similarity" in few["by_identity_note"]


def test_a_band_of_one_class_has_no_score_rather_than_zero() -> None:
    identity, y, p = made_up(np.repeat([0.1, 0.95], 50))
    y[identity == 0.95] = 1
    assert scored([(identity, y, p)])["by_identity"][1]["scores"]["model"] == {"value": None, "low": None, "high": None}


def test_rows_that_were_not_looked_at_are_left_out_and_counted() -> None:
    identity, y, p = made_up(np.repeat([0.1, 0.95, np.nan], (50, 50, 7)))
    found = scored([(identity, y, p)])
    assert found["by_identity_left_out"] == 7
    assert sum(band["rows"] for band in found["by_identity"]) == 100
    nothing = scored([(np.full(107, np.nan), y, p)])
    assert (nothing["by_identity"], nothing["by_identity_left_out"]) == ([], 107)
    assert "no test row was compared" in nothing["by_identity_note"]


def test_a_band_is_scored_fold_by_fold() -> None:
    folds = [made_up(np.repeat([0.1, 0.95], (40, 20 + 20 * k)), seed=k) for k in range(2)]
    bands = scored(folds)["by_identity"]
    assert [band["rows"] for band in bands] == [80, 60]
    expected = np.mean([roc_auc_score(y[identity == 0.95], p[identity == 0.95]) for identity, y, p in folds])
    assert bands[1]["scores"]["model"]["value"] == pytest.approx(expected)


def test_a_fold_without_rows_in_a_band_does_not_count_there() -> None:
    folds = [made_up(np.repeat([0.1, 0.95], 40)), made_up(np.full(50, 0.1), seed=1)]
    identity, y, p = folds[0]
    band = scored(folds)["by_identity"][1]
    assert band["rows"] == 40
    assert band["scores"]["model"]["value"] == pytest.approx(roc_auc_score(y[identity == 0.95], p[identity == 0.95]))


def test_rows_that_inner_folds_repeat_are_counted_once() -> None:
    folds = [made_up(np.repeat([0.1, 0.95, np.nan], (40, 60, 3)), seed=k) for k in range(3)]
    found = scored(folds, inner=3)
    assert [band["rows"] for band in found["by_identity"]] == [40, 60]
    assert found["by_identity_left_out"] == 3


# --- through a whole comparison ---------------------------------------------------------------------------------------


def changed(sequence: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """The sequence with n of its letters replaced by others."""
    sites = rng.choice(len(sequence), n, replace=False)
    other = sequence.copy()
    other[sites] = LETTERS[(np.searchsorted(LETTERS, sequence[sites]) + rng.integers(1, 20, n)) % 20]
    return other


def write_table(path: Path, kinds: dict[int, int], *, family: int = 1) -> Path:
    """120 random sequences to train on, and for every n of `kinds` so many test rows with n letters changed.

    n = 60: strangers. `family` copies of every test row, two letters of 60 changed.
    """
    rng = np.random.default_rng(5)
    base = rng.choice(LETTERS, (120, 60))
    lines = [("".join(row), "train") for row in base]
    for n, rows in kinds.items():
        for row in range(rows):
            origin = rng.choice(LETTERS, 60) if n == 60 else changed(base[row % 120], n, rng)
            lines += [("".join(changed(origin, 2, rng) if copy else origin), "test") for copy in range(family)]
    values = [sequence.count("K") + sequence.count("R") + rng.normal() for sequence, _ in lines]
    text = "".join(f"{sequence},{value:.4f},{part}\n" for (sequence, part), value in zip(lines, values, strict=True))
    path.write_text(f"sequence,y,set\n{text}")
    return path


def run(table: Path, folder: Path, **split: Any) -> tuple[Result, dict[str, Any]]:
    """The comparison of linear with its baselines, and its leaderboard."""
    sections = {
        "data": {"table": str(table)}, "target": {"column": "y"}, "predictor": {"kind": "linear"},
        "report": {"draws": 200}, **({"split": split} if split else {}),
    }  # fmt: skip
    result = compare(sections, folder)
    return result, read_json(folder / "leaderboard.json")


@pytest.mark.parametrize("inner", [1, 2])
def test_bands_are_those_of_the_audit_row_by_row(inner: int, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", {3: 50, 20: 40, 60: 60})
    result, board = run(table, tmp_path / "e", kind="columns", inner=inner)
    nearest = pq.read_table(result.folder / "nearest.parquet").to_pandas()[["row", "identity"]]
    predicted = pq.read_table(result.folder / "linear" / "predictions.parquet").to_pandas()
    together = predicted.merge(nearest, on="row", validate="many_to_one")
    assert len(together) == 150 * inner
    assert len(board["by_identity"]) == 3
    for band in board["by_identity"]:
        last = band is board["by_identity"][-1]
        own = together[(together.identity >= band["from"]) & ((together.identity < band["to"]) | last)]
        assert band["rows"] == own.row.nunique() >= 30
        value = np.mean([spearmanr(each.target, each.pred)[0] for _, each in own.groupby("fold")])
        assert band["scores"]["linear"]["value"] == pytest.approx(value)
        assert band["scores"]["constant"] == {"value": None, "low": None, "high": None}
    page = result.report.read_text("utf-8")
    assert "Scores by identity to the nearest training row" in page


def test_intervals_draw_alike_rows_together_where_the_partition_is_by_similarity(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", {60: 40}, family=4)
    _, board = run(table, tmp_path / "e", kind="similarity", folds=2)
    assert board["resampled"] == "200 draws over 160 groups of 280 rows in 2 folds"
    assert board["notes"] == []


def test_of_too_few_units_rows_are_drawn_and_it_is_said(tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", {60: 3}, family=60)
    text = table.read_text().splitlines()
    table.write_text("\n".join([text[0], *text[-180:]]) + "\n")
    _, board = run(table, tmp_path / "e", kind="similarity", folds=2)
    assert board["resampled"] == "200 draws over 180 rows in 2 folds"
    assert any("180 test rows are 3 units of related rows, too few to draw from" in note for note in board["notes"])


# --- what a report says of it -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, str]:
    """A finished experiment and the text of its report."""
    plan = Folder()
    return plan, report(write_experiment(tmp_path_factory.mktemp("finished") / "e", plan))


LEAK = "37 of 117 test rows of fold {} (32%) are near duplicates of training rows: this partition leaks"


def leak(*folds: int) -> Callable[[dict[str, Any]], None]:
    """A change of `audit.json` that adds the warning for these folds."""
    found = [
        {"code": "leaks", "severity": "warning", "message": LEAK.format(k), "count": 37, "rows": [1]} for k in folds
    ]
    return lambda audit: audit.update(findings=[*audit["findings"], *found])


def test_a_leak_is_said_beside_the_verdict(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder())
    edit(folder / "audit.json", leak(0))
    html = report(folder)
    top = text_of(html[: html.index("<main>")])
    assert "warning 37 of 117 test rows of fold 0 (32%) are near duplicates" in top
    assert "in 1 of the 2 folds looked at" in top
    assert "1 warning: see data below" in top
    assert LEAK.format(0) in text_of(html[html.index('<section id="partition">') :])


def test_a_leak_in_every_fold_is_said_once_and_the_rest_folded_away(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(n_folds=3))
    edit(folder / "audit.json", leak(0, 1, 2))
    html = report(folder)
    section = html[html.index('<section id="partition">') :]
    assert section.index(LEAK.format(0)) < section.index("<summary>2 more</summary>") < section.index(LEAK.format(1))


def test_without_a_leak_nothing_of_it_stands_on_top(finished: tuple[Folder, str]) -> None:
    html = finished[1]
    assert "leak" not in text_of(html[: html.index("<main>")])


def test_nearness_to_training_rows_is_told_and_drawn(finished: tuple[Folder, str]) -> None:
    plan, html = finished
    text = text_of(html)
    assert "1 (12 %) 0.480" in text
    assert f"{8 * plan.n_folds} test rows of 2 folds" not in text, "fewer rows than are tested are called a sample"
    assert (
        f"A random sample of 16 of {plan.n_rows} test rows of 2 folds compared with the rows that models are fitted on"
        in text
    )
    assert "only pairs that share words were compared" in text
    assert "6 have no training row that is alike beyond chance, and count as 0" in text
    for row in ("0–30 % 6 38 %", "30–50 % 2 12 %", "50–70 % 6 38 %", "80–90 % 0 0 %", "90–100 % 2 12 %"):
        assert row in text
    assert 'id="nearest"' in html


def test_what_the_test_asks_for_is_told_in_words(finished: tuple[Folder, str]) -> None:
    text = text_of(finished[1])
    assert (
        "All test rows are variants of up to 1 wild type in a fold: they carry 4 mutations, training rows 0 to 3"
        in text
    )
    assert "100 % carry more mutations than any training row of their wild type" in text
    assert "0.4 % are mutated at a site that no training row has mutated" in text
    assert "25 % carry a mutation that no training row has" in text
    assert "are of a wild type without training rows" not in text
    assert "12 % of test targets lie beyond the range of training targets" in text


def test_scores_by_identity_are_drawn_and_listed(finished: tuple[Folder, str]) -> None:
    plan, html = finished
    section = html[html.index('<section id="partition">') : html.index('<section id="predictions">')]
    text = text_of(section)
    assert "Scores by identity to the nearest training row" in text
    assert f"The {plan.metric_names[0]} of the test rows of each band" in text
    assert "17 test rows without known identity are left out" in text
    assert "50–90 % 1,234 0.880 (0.860–0.901) 0.780 (0.760–0.801)" in text
    assert "90–100 % 42" in text
    assert text.count("undefined") == 1
    assert 'id="bands"' in section
    legend = section[section.index('<ul class="legend">') :]
    drawn = text_of(legend[: legend.index("</ul>")]).split()
    assert drawn == [name for name in plan.variants if name != "mlp"], "the best model and the baselines"


def test_few_bands_stand_in_a_table_only_and_one_band_in_a_sentence(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder())
    edit(folder / "leaderboard.json", lambda board: board.update(by_identity=board["by_identity"][:2]))
    html = report(folder)
    assert '<table class="bands">' in html
    assert 'id="bands"' not in html
    note = "all 60 test rows lie in one band"
    edit(folder / "leaderboard.json", lambda board: board.update(by_identity=[], by_identity_note=note))
    html = report(folder)
    assert '<table class="bands">' not in html
    assert "All 60 test rows lie in one band." in text_of(html)


def test_a_folder_of_before_the_audit_is_still_reported(tmp_path: Path) -> None:
    html = report(write_experiment(tmp_path / "e", Folder(audited=False)))
    text = text_of(html)
    assert "no test row has the same inputs as a training row" in text
    for absent in ("near duplicates", "nearest training row", "What the test asks for"):
        assert absent not in text


def test_molecules_are_told_by_their_similarity(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder("binary"))

    def molecules(audit: dict[str, Any]) -> None:
        for fold in audit["folds"]:
            fold["nearest"]["measure"] = "tanimoto"

    edit(folder / "audit.json", molecules)
    text = text_of(report(folder))
    assert "Scores by Tanimoto similarity to the nearest training row" in text
    assert "identity is the share" not in text

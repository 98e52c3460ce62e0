"""The report on training: curves of many variants, rates, unfinished experiments, choices by inner folds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from report_folders import Folder, edit, report, text_of, write_experiment
from seqloom.api import compare
from seqloom.files import read_json
from seqloom.report.facts import read_facts
from seqloom.report.members import Curves, read_curves


def curves_of(tests: list[list[float]], losses: list[list[float]]) -> Curves:
    """Members of these test scores and valid losses by epoch."""
    longest = max(map(len, tests))
    padded = {
        name: np.array([[*each, *[np.nan] * (longest - len(each))] for each in values])
        for name, values in (("test_score", tests), ("valid_loss", losses), ("train_loss", losses))
    }
    return Curves(np.arange(longest), padded)


def test_a_course_is_mean_and_deviation_as_far_as_half_of_the_members_went() -> None:
    curves = curves_of(
        [[0.1, 0.3, 0.5], [0.3, 0.5], [0.2, 0.1], [0.2]], [[1.0, 0.5, 0.7], [1.0, 2.0], [3.0, 1.0], [1.0]]
    )
    epoch, mean, spread = curves.course("test_score")
    assert epoch.tolist() == [0, 1]
    np.testing.assert_allclose(mean, [0.2, 0.3])
    np.testing.assert_allclose(spread, [np.std([0.1, 0.3, 0.2, 0.2], ddof=1), np.std([0.3, 0.5, 0.1], ddof=1)])
    assert curves.kept.tolist() == [1, 0, 1, 0]
    found = curves.test_scores(higher_is_better=True)
    assert found is not None
    assert found["last"] == pytest.approx(np.mean([0.5, 0.5, 0.1, 0.2]))
    assert found["early_stopped"] == pytest.approx(np.mean([0.3, 0.3, 0.1, 0.2]))
    assert found["best_on_test"] == pytest.approx(np.mean([0.5, 0.5, 0.2, 0.2]))


def test_one_member_has_no_deviation() -> None:
    curves = curves_of([[0.1, 0.3]], [[1.0, 0.5]])
    assert np.isnan(curves.course("test_score").spread).all()


def section(html: str) -> str:
    """The part on training."""
    html = html[html.index('<section id="curves">') :]
    return html[: html.index("</section>")]


def test_few_nets_share_a_figure_and_many_stand_side_by_side(tmp_path: Path) -> None:
    few = section(report(write_experiment(tmp_path / "few", Folder(variants=("cnn", "mlp", "constant")))))
    assert 'id="curves-valid_score"' in few
    assert 'id="score-0"' not in few
    names = tuple(f"mlp-{k}" for k in range(8))
    many = section(report(write_experiment(tmp_path / "many", Folder(variants=names, n_rows=12))))
    assert 'id="curves-valid_score"' not in many
    assert [f'id="score-{k}"' in many for k in range(9)] == [True] * 8 + [False]
    assert "on test rows, never used to choose" in many
    assert "<summary>Loss by epoch</summary>" in many


def test_rates_are_drawn_where_they_differ(tmp_path: Path) -> None:
    alike = section(report(write_experiment(tmp_path / "alike", Folder())))
    assert "Learning rate by epoch" not in alike
    assert "1 to 0.14" in text_of(alike)
    differ = section(report(write_experiment(tmp_path / "differ", Folder(rates={"mlp": 0.01}))))
    assert 'id="rates"' in differ
    assert "0.01 throughout" in text_of(differ)
    names = tuple(f"mlp-{k}" for k in range(8))
    rates = {name: 0.001 * (1 + k // 2) for k, name in enumerate(names)}
    plan = Folder(variants=names, rates=rates | {"mlp-7": 1.0, "mlp-6": 2.0, "mlp-5": 3.0, "mlp-4": 4.0}, n_rows=12)
    tiny = section(report(write_experiment(tmp_path / "many", plan)))
    assert len(re.findall(r'id="rate-\d"', tiny)) == 0, "six different rates still share a figure"
    assert "mlp-0, mlp-1" in text_of(tiny)


def test_an_unfinished_experiment_shows_the_curves_and_valid_scores_there_are(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(n_folds=3))
    for name in ("leaderboard.json", "*/metrics.json", "*/predictions.parquet"):
        for path in folder.glob(name):
            path.unlink()
    for name in ("done", "curves.parquet"):
        for path in [*folder.glob(f"cnn/fold-[12]/seed-*/{name}"), *folder.glob(f"mlp/fold-*/seed-*/{name}")]:
            path.unlink()
    for k, path in enumerate(sorted(folder.glob("cnn/fold-0/seed-*/done"))):
        path.write_text(f'{{"seconds": 1.0, "valid_score": {0.5 + 0.1 * k}}}')
    text = text_of(report(folder))
    assert "8 of at most 24 members (one fold, one seed) in 3 folds are done" in text
    assert "spearman on valid rows" in text
    assert "cnn 2 of at most 6 1 of 3 2 of at most 2 0.550" in text
    assert "cnn 2 6–7, mean 6.5" in text  # noqa: RUF001 - a range has a dash
    table = pq.read_table(folder / "cnn" / "fold-0" / "seed-0" / "curves.parquet")
    assert f"{table['test_score'].to_pylist()[-1]:.2f}"[:4] in text


def test_a_rate_that_never_changed_is_said_beside_the_verdict(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    table = pa.table(
        {"sequence": ["".join(letters[rng.integers(0, 20, 9)]) for _ in range(80)], "y": rng.normal(size=80)}
    )
    settings = {"predictor.kind": "mlp", "predictor.hidden": [4], "train.epochs": 2, "report.draws": 100}
    vary = {"train.schedule": ["t^0", "t^-1", "constant"]}
    compare(table, out=tmp_path / "run", settings=settings, vary=vary, split="random", target="y")
    board = read_json(tmp_path / "run" / "leaderboard.json")
    said = "the learning rate of mlp-schedule-t-0 never changed, although its schedule is t^0"
    assert board["notes"][0] == said
    assert [each["message"] for each in board["findings"] if each["code"] == "rate-never-changed"] == [said]
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert page.index(said) < page.index("<main>")
    (run,) = [run for run in read_facts(tmp_path / "run").runs if run.name == "mlp-schedule-t-0"]
    curves = read_curves(run.folder)
    assert curves is not None
    assert curves.test_scores(higher_is_better=True) == pytest.approx(run.curve)


def test_what_inner_folds_chose_is_told_fold_by_fold(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder())
    score = {"value": 0.61, "low": 0.5, "high": 0.7}
    chosen = [
        {"fold": 0, "variant": "cnn", "valid": {"cnn": 0.71, "mlp": 0.62}},
        {"fold": 1, "variant": "mlp", "valid": {"cnn": None, "mlp": 0.64}},
    ]
    nested = {
        "inner": 3,
        "metric": "spearman",
        "chosen": chosen,
        "metrics": {"spearman": score},
        "verdict": "cnn is chosen",
    }
    edit(folder / "leaderboard.json", lambda board: board.update(nested=nested))
    html = report(folder)
    text = text_of(html)
    assert "Choice by inner folds cnn is chosen." in text
    assert "the highest mean spearman on the valid rows of 3 inner folds" in text
    assert "cnn 0.710 chosen undefined 1 of 2" in text
    assert "mlp 0.620 0.640 chosen 1 of 2" in text
    assert "What the choice reaches on test rows: spearman 0.610 (0.500–0.700)." in text  # noqa: RUF001


def test_with_many_variants_parts_are_the_columns(tmp_path: Path) -> None:
    names = tuple(f"mlp-{k}" for k in range(8))
    folder = write_experiment(tmp_path / "e", Folder(variants=names, n_rows=12))
    score = {"value": 0.61, "low": 0.5, "high": 0.7}

    def parts(n: int) -> dict[str, object]:
        each = [
            {"name": f"len {k}", "rows": 40, "trained": True, "scores": dict.fromkeys(names, score)} for k in range(n)
        ]
        return {"by": "length", "slices": each, "too_small": [], "untested": [], "unknown": 0}

    edit(folder / "leaderboard.json", lambda board: board.update(slices=[parts(3), parts(9)]))
    html = report(folder)
    found = html[html.index('<section id="slices">') :]
    few, many = found[: found.index("</section>")].split("<h3>")[1:]
    assert text_of(few).count("0.610 (0.500–0.700)") == 24  # noqa: RUF001
    assert "len 0 40 rows len 1 40 rows" in text_of(few)
    assert "Intervals of these scores" not in few
    assert "Intervals of these scores" in many


def test_a_named_part_gives_its_table_its_heading(tmp_path: Path) -> None:
    folder = write_experiment(tmp_path / "e", Folder(variants=("cnn", "constant")))
    score = {"value": 0.61, "low": 0.5, "high": 0.7}
    each = [{"name": name, "rows": 40, "trained": True, "scores": {"cnn": score}} for name in ("nine-mers", "others")]
    found = {"by": "nine-mers: len(sequence) == 9", "slices": each, "too_small": [], "untested": [], "unknown": 0}
    edit(folder / "leaderboard.json", lambda board: board.update(slices=[found]))
    assert "Scores of nine-mers (len(sequence) == 9) and of the others" in text_of(report(folder))

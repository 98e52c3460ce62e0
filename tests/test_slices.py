"""Scores of parts of the test rows: which parts there are, and that each has the score of its own rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from seqloom.api import compare
from seqloom.errors import DataError
from seqloom.evaluation import evaluate
from seqloom.files import read_json
from seqloom.prediction import evaluate as evaluate_run
from seqloom.sections import ReportSection
from seqloom.slices import Slices, scores_by_slice, scores_within_groups, slices_of
from seqloom.table import Table, read_table
from seqloom.target import Target

REPORT = ReportSection(draws=200)
BINARY = Target("binary", ("active",), ("no", "yes"))


def peptides(n: int = 200, seed: int = 0) -> Table:
    """Peptides of 8 to 30 residues with a number, a text and a group beside them."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    return read_table(
        pa.table(
            {
                "sequence": ["".join(letters[rng.integers(0, 20, length)]) for length in rng.integers(8, 31, n)],
                "ph": rng.uniform(4, 9, n).round(2),
                "source": [["blood", "skin", None][k] for k in rng.integers(0, 3, n)],
                "cells": [f"line-{k}" for k in rng.integers(0, 20, n)],
                "copies": rng.integers(1, 4, n),
                "y": rng.normal(size=n),
            }
        )
    )


def test_numbers_give_quarters_and_few_numbers_their_values() -> None:
    table = peptides()
    by_ph = slices_of(table, "ph")
    assert len(by_ph.names) == 4
    sizes = np.bincount(by_ph.place)
    assert sizes.min() >= 48
    assert sizes.max() <= 52
    low, high = map(float, by_ph.names[1].split(" to "))
    own = table.numeric("ph")[by_ph.place == 1]
    assert (own.min(), own.max()) == (low, high)
    by_copies = slices_of(table, "copies")
    assert by_copies.names == ("1", "2", "3")
    np.testing.assert_array_equal(by_copies.place + 1, table.numeric("copies"))


def test_text_gives_its_values_and_the_rarest_together() -> None:
    table = peptides()
    by_source = slices_of(table, "source")
    assert set(by_source.names) == {"blood", "skin"}
    assert (by_source.place < 0).sum() == table.text("source").null_count
    by_cells = slices_of(table, "cells")
    assert by_cells.names[-1] == "other (8 values)"
    assert len(by_cells.names) == 13


def test_length_is_counted_and_an_expression_holds_or_does_not() -> None:
    table = peptides()
    lengths = np.array([len(each) for each in table.sequences().to_pylist()])
    by_length = slices_of(table, "length")
    for part in range(len(by_length.names)):
        low, high = by_length.names[part].split(" to ")
        assert lengths[by_length.place == part].min() == int(low)
        assert lengths[by_length.place == part].max() == int(high)
    nine = slices_of(table, "len(sequence) > 20")
    assert nine.names == ("len(sequence) > 20", "not (len(sequence) > 20)")
    np.testing.assert_array_equal(nine.place == 0, lengths > 20)


def test_an_expression_may_have_a_name() -> None:
    table = peptides()
    plain, named = slices_of(table, "len(sequence) == 9"), slices_of(table, "nine-mers: len(sequence) == 9")
    assert named.names == ("nine-mers", "others")
    np.testing.assert_array_equal(named.place, plain.place)
    quoted = slices_of(table, "source == 'a: b' or source == \"blood\"")
    assert quoted.names[0].startswith("source == 'a: b'")


@pytest.mark.parametrize("by", ["group", "no such column", "pH > 3", "short: pH > 3", "short:"])
def test_what_is_neither_column_nor_expression_is_refused(by: str) -> None:
    with pytest.raises(DataError):
        slices_of(peptides(), by)


def test_each_part_has_the_score_of_its_rows_and_small_ones_are_named() -> None:
    table = peptides()
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 200).astype(float)
    p = np.clip(0.4 * y + 0.6 * rng.random(200), 0, 1)
    rows = [np.arange(0, 100), np.arange(100, 200)]
    tests = [y[own, None] for own in rows]
    evaluated = evaluate(BINARY, tests, {"model": [[p[own, None]] for own in rows]}, REPORT)
    parts = slices_of(table, "source")
    found = scores_by_slice(evaluated, tests, parts, rows, REPORT, trained=rows[0])
    for part in found["slices"]:
        own = parts.place == parts.names.index(part["name"])
        wanted = np.mean([roc_auc_score(y[fold][own[fold]], p[fold][own[fold]]) for fold in rows])
        assert part["rows"] == own.sum()
        assert part["scores"]["model"]["value"] == pytest.approx(wanted)
    assert found["unknown"] == (parts.place < 0).sum()
    few = scores_by_slice(evaluated, tests, slices_of(table, "ph > 8.9"), rows, REPORT, trained=rows[0])
    assert [each["name"] for each in few["too_small"]] == ["ph > 8.9"]
    assert few["too_small"][0]["rows"] == (table.numeric("ph") > 8.9).sum()


def test_parts_that_are_only_trained_on_or_never_are_named() -> None:
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 60).astype(float)[:, None]
    p = rng.random((60, 1))
    place = np.repeat([0, 1, 2], (30, 20, 10))
    parts = Slices("length", ("9", "10", "11"), place)
    rows = [np.arange(0, 20), np.arange(50, 60)]  # no 10-mer is tested
    tests = [y[own] for own in rows]
    evaluated = evaluate(BINARY, tests, {"model": [[p[own]] for own in rows]}, REPORT)
    found = scores_by_slice(evaluated, tests, parts, rows, REPORT, trained=np.arange(20, 50))
    assert found["untested"] == [{"name": "10", "training_rows": 20}]
    assert [(each["name"], each["trained"]) for each in found["slices"]] == [("9", True), ("11", False)]


def test_scores_within_groups_are_means_over_groups_and_small_ones_are_said() -> None:
    rng = np.random.default_rng(2)
    groups = np.array(["a"] * 40 + ["b"] * 40 + ["c"] * 2, object)
    y = rng.normal(size=(82, 1)) + np.repeat([0.0, 5.0, 9.0], (40, 40, 2))[:, None]
    p = y + rng.normal(size=(82, 1))
    evaluated = evaluate(Target("regression", ("y",)), [y], {"model": [[p]]}, REPORT)
    found = scores_within_groups(evaluated, [y], [groups], 200)
    assert found is not None
    each = [spearmanr(y[groups == name, 0], p[groups == name, 0]).statistic for name in "ab"]
    assert found["scores"]["model"]["mean"]["value"] == pytest.approx(np.mean(each))
    assert found["groups"] == 2
    assert "1 with fewer than 5 known targets" in found["note"]


def test_few_groups_that_matter_most_widen_the_interval_of_a_mean_over_groups() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.array([f"g{k}" for k in range(30)], object), 20)
    y = rng.normal(size=(600, 1))
    even = y + 0.3 * rng.normal(size=(600, 1))
    one_fails = np.where((groups == "g0")[:, None], -y, even)
    evaluated = evaluate(Target("regression", ("y",)), [y], {"even": [[even]], "odd": [[one_fails]]}, REPORT)
    found = scores_within_groups(evaluated, [y], [groups], 2000)
    assert found is not None
    values = {
        name: np.array([spearmanr(y[groups == g, 0], p[groups == g, 0]).statistic for g in np.unique(groups)])
        for name, p in (("even", even), ("odd", one_fails))
    }
    for name, own in values.items():
        drawn = np.random.default_rng(0).choice(own, (20_000, len(own))).mean(axis=1)
        middle = np.diff(np.quantile(drawn, [0.025, 0.975]))[0]
        interval = found["scores"][name]["mean"]
        wider = (interval["high"] - interval["low"]) / middle
        assert (wider > 1.3) == (name == "odd"), (name, wider)


def test_a_comparison_scores_the_parts_that_are_asked_for(tmp_path: Path) -> None:
    table = peptides(300).data
    settings = {"report.by": ["length", "source", "ph > 6"], "report.draws": 100, "split.test": 0.5}
    vary = {"predictor.kind": ["linear"]}
    result = compare(
        table, out=tmp_path / "run", settings=settings, vary=vary, group="cells", split="random", target="y"
    )
    board = read_json(tmp_path / "run" / "leaderboard.json")
    assert [each["by"] for each in board["slices"]] == ["length", "source", "ph > 6"]
    assert board["within_groups"]["metric"] == "spearman"
    page = result.report.read_text("utf-8")
    for words in ("Parts of the test rows", "Scores by source", "Scores within groups", "blood"):
        assert words in page


def test_evaluate_draws_whole_groups_where_the_table_names_them(tmp_path: Path) -> None:
    table = peptides(300).data
    compare(table, out=tmp_path / "run", vary={"predictor.kind": ["linear"]}, split="random", target="y")
    found = evaluate_run(tmp_path / "run", table, {"data": {"group": "cells"}})
    assert "20 groups of 300 rows" in found["resampled"]
    assert "groups" not in evaluate_run(tmp_path / "run", table)["resampled"]


def test_an_ensemble_of_threshold_metrics_is_scored_by_its_mean_prediction():
    rng = np.random.default_rng(0)
    nm = np.exp(rng.uniform(0, np.log(50_000), (80, 1)))
    target = Target("regression", ("y",), "log50k", positive_below=500.0)
    scores = target.to_score(nm)
    seeds = [scores + rng.normal(0, 0.3, scores.shape) for _ in range(2)]
    report = ReportSection(metrics=("auroc", "mcc"), draws=100)
    both = evaluate(target, [scores], {"a": [seeds]}, report).scores("a")["ensemble"]
    mean = evaluate(target, [scores], {"a": [[np.mean(seeds, axis=0)]]}, report).scores("a")["metrics"]
    for metric in ("auroc", "mcc"):
        assert both[metric]["value"] == pytest.approx(mean[metric]["value"])

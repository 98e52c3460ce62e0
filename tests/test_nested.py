"""Nested selection: the choice is made on valid rows of inner folds, and scored on rows that had no part in it."""

import numpy as np
import pytest

import seqloom
from contracts.tables import table_of
from seqloom.errors import ConfigError
from seqloom.files import read_json

SETTINGS = {"split.kind": "random", "split.folds": 2}


def tuned(folder, **arguments):
    return seqloom.tune(
        table_of("regression", 150).data,
        inner=2,
        target="target",
        sequence="sequence",
        out=folder,
        settings=SETTINGS,
        **arguments,
    )


def test_each_outer_fold_takes_the_variant_with_the_best_mean_valid_score(tmp_path):
    result = tuned(tmp_path, vary={"predictor.kind": ["linear", "composition"]})
    board = read_json(tmp_path / "leaderboard.json")
    chosen = board["nested"]["chosen"]
    assert [each["fold"] for each in chosen] == [0, 1]
    for each in chosen:
        own = {}
        for name in ("linear", "composition"):
            done = [tmp_path / name / f"fold-{2 * each['fold'] + inner}" / "seed-0" / "done" for inner in range(2)]
            own[name] = np.mean([read_json(path)["valid_score"] for path in done])
            assert each["valid"][name] == pytest.approx(own[name])
        assert each["variant"] == max(own, key=own.get)
    assert result.nested == board["nested"]


def test_the_choice_is_scored_by_the_chosen_variants_test_predictions_alone(tmp_path):
    result = tuned(tmp_path, vary={"predictor.kind": ["linear", "composition"]})
    assert {each["variant"] for each in result.nested["chosen"]} == {"composition"}  # the target counts residues
    own = next(row for row in result.leaderboard if row["variant"] == "composition")
    assert result.nested["metrics"]["spearman"] == pytest.approx(own["metrics"]["spearman"])
    assert "composition is chosen in 2 of 2 folds among 2 variants by 2 inner folds" in result.nested["verdict"]


def test_baselines_are_not_chosen_where_there_are_models(tmp_path):
    result = tuned(tmp_path, vary={"predictor.kind": ["knn", "boosting"]})
    assert set(result.nested["chosen"][0]["valid"]) == {"knn", "boosting"}


def test_fewer_than_two_inner_folds_are_refused():
    with pytest.raises(ConfigError, match="two inner folds or more"):
        seqloom.tune("table.csv", inner=1)


def test_a_group_counts_once_however_many_inner_folds_test_it(tmp_path):
    table = table_of("regression", 150).data
    table = table.append_column("family", [[f"f{row % 10}" for row in range(150)]])
    settings = SETTINGS | {"split.kind": "group", "predictor.kind": "composition"}
    arguments = {
        "target": "target",
        "sequence": "sequence",
        "group": "family",
        "settings": settings | {"split.inner": 3},
    }
    seqloom.compare(table, out=tmp_path, **arguments)
    assert read_json(tmp_path / "leaderboard.json")["within_groups"]["groups"] == 10

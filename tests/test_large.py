"""Experiments on stores: what is compared, on which rows, what the folder holds, and that its runs predict tables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.metrics import average_precision_score

import seqloom
from libraries import NAMES, packed_library
from seqloom.cli import main
from seqloom.errors import ConfigError, DataError, RunError
from seqloom.large.baselines import PRIOR_ROWS
from seqloom.large.plan import make_plan
from seqloom.library import Library, LibrarySettings, write_library
from seqloom.store import open_store

QUICK = {"train.device": "cpu", "report.draws": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    packed_library(folder, rewrite=["[Dy]=C"])
    return folder


@pytest.fixture(scope="module")
def compared(folder):
    vary = {"predictor.kind": ["sigmoid", "cnn"]}
    return seqloom.compare(folder / "store", out=folder / "runs", vary=vary, settings=QUICK)


def plan_of(folder, **split):
    return make_plan({"data": {"table": str(folder / "store")}, "split": split, "predictor": {"kind": "sigmoid"}})


def lines(result):
    return {row["variant"]: row for row in result.leaderboard}


def test_nets_stand_beside_their_blends_and_baselines_on_two_kinds_of_rows(compared, folder):
    rows = lines(compared)
    blends = {"blend-mean", "blend-rank", "blend-logit"}
    assert set(rows) == {"sigmoid", "cnn", "ngrams", "constant", "blocks", *blends}
    assert {name for name, row in rows.items() if row["baseline"]} == {"ngrams", "constant", "blocks"}
    assert {name for name, row in rows.items() if row["blend"]} == blends
    values = [row["metrics"]["ap_nonshare"]["value"] for row in compared.leaderboard]
    assert values == sorted(values, reverse=True)
    for row in rows.values():
        for metric in ("ap_share", "micro_ap_nonshare", "ap_target2_share"):
            score = row["metrics"][metric]
            assert score["low"] <= score["value"] <= score["high"]
    assert "on molecules of new building blocks" in compared.verdict
    page = (folder / "runs" / "report.html").read_text("utf-8")
    assert "What blending adds" in page
    assert compared.verdict.split(";")[0] in page


def test_the_scores_are_those_of_the_predictions_that_are_kept(compared, folder):
    plan = plan_of(folder)
    store = open_store(folder / "store")
    kept = np.load(folder / "runs" / "cnn" / "fold-0" / "seed-0" / "test.npy")
    ends = np.cumsum([len(plan.test_rows[part]) for part in ("nonshare", "share")])
    assert len(kept) == ends[-1]
    for part, own in zip(("nonshare", "share"), np.split(kept, ends[:1]), strict=True):
        labels = store.labels(plan.test_rows[part])
        expected = np.mean([average_precision_score(labels[:, k], own[:, k]) for k in range(3)])
        assert lines(compared)["cnn"]["metrics"][f"ap_{part}"]["value"] == pytest.approx(expected, abs=1e-6)


def test_blocks_add_up_the_log_odds_of_training_rows(compared, folder):
    plan = plan_of(folder)
    store, train = plan.store, np.flatnonzero(plan.drawn.parts_of(np.arange(12_000)) == 0)
    rows = plan.test_rows["share"]
    ids = {name: np.asarray(store.components[name]) for name in plan.drawn.held}
    y = store.labels(train)[:, 0]
    share = (y.sum() + 0.5) / (len(y) + 1)

    def logit(p):
        return np.log(p / (1 - p))

    scores = []
    for row in rows:
        total = logit(share)
        for own in ids.values():
            same = y[own[train] == own[row]]
            total += logit((same.sum() + PRIOR_ROWS * share) / (len(same) + PRIOR_ROWS)) - logit(share)
        scores.append(total)
    expected = average_precision_score(store.labels(rows)[:, 0], scores)
    assert lines(compared)["blocks"]["metrics"]["ap_target1_share"]["value"] == pytest.approx(expected, abs=1e-9)


def test_the_same_command_finds_all_done_and_another_is_refused(compared, folder, monkeypatch):
    monkeypatch.setattr("seqloom.large.experiment.fit_and_save", None)
    vary = {"predictor.kind": ["sigmoid", "cnn"]}
    again = seqloom.compare(folder / "store", out=folder / "runs", vary=vary, settings=QUICK)
    assert again.leaderboard == compared.leaderboard
    with pytest.raises(RunError, match="already holds another run"):
        seqloom.compare(folder / "store", out=folder / "runs", vary=vary, settings={**QUICK, "train.lr": 0.1})


@pytest.mark.usefixtures("compared")
def test_a_run_predicts_tables_as_its_store_was_packed(folder):
    table = pq.read_table(folder / "t.parquet")
    plan, kept = plan_of(folder), np.load(folder / "runs" / "cnn" / "fold-0" / "seed-0" / "test.npy")
    rows = plan.test_rows["nonshare"][:50]
    own = table.take(pa.array(rows))
    assert any("[Dy]" in text for text in own["smiles"].to_pylist())
    model = seqloom.load(folder / "runs" / "cnn")
    found = model.predict(model.read(own)).mean
    calibrator = model.run.calibrator(model.members[0])
    np.testing.assert_allclose(found, calibrator.apply(kept[:50].astype(np.float64)), atol=1e-5)


def test_of_an_experiment_the_best_run_predicts_though_a_blend_is_better(compared, folder):
    best = next(row["variant"] for row in compared.leaderboard if row["run"])
    assert seqloom.load(folder / "runs").folder == folder / "runs" / best


def test_members_of_inner_folds_have_other_valid_rows_and_the_same_tested_ones(folder):
    plan = plan_of(folder, inner=3)
    parts = [plan.parts(fold).parts_of(np.arange(12_000)) for fold in range(3)]
    valid = [np.flatnonzero(each == 1) for each in parts]
    assert not set(valid[0]) & set(valid[1])
    assert not set(valid[1]) & set(valid[2])
    for each in parts[1:]:
        assert ((each >= 2) == (parts[0] >= 2)).all()
    assert len(plan.members(plan.variants[0])) == 3


def test_members_of_several_processes_are_those_of_one(folder):
    asked = {"settings": {**QUICK, "predictor.kind": "sigmoid", "split.inner": 2}}
    alone = seqloom.train(folder / "store", out=folder / "alone", **asked)
    shared = seqloom.train(folder / "store", out=folder / "shared", jobs=2, **asked)
    names = [row["variant"] for row in alone.leaderboard]
    assert [row["variant"] for row in shared.leaderboard] == names
    for name in ("fold-0/seed-0", "fold-1/seed-0"):
        before, after = (np.load(folder / each / name / "test.npy") for each in ("alone", "shared"))
        np.testing.assert_array_equal(before, after)


def test_a_store_without_components_is_tested_at_random_and_says_so(folder, tmp_path):
    seqloom.pack([folder / "t.parquet"], tmp_path / "plain", sequence="smiles", target="target1")
    result = seqloom.train(tmp_path / "plain", out=tmp_path / "run", settings={**QUICK, "predictor.kind": "sigmoid"})
    assert set(result.leaderboard[0]["metrics"]) == {"ap"}
    assert [each.code for each in result.findings] == ["no-components"]
    assert "blocks" not in lines(result)
    found = CliRunner().invoke(main, ["report", str(tmp_path / "run"), "--json"])
    assert json.loads(found.stdout)["verdict"] == result.verdict
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "drawn at random" in page
    assert "in other combinations" not in page


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target.column": "target1"}, "target.column: a store takes"),
        ({"split.folds": 3}, "folds: not for stores"),
        ({"split.scheme": "share"}, "a store is always tested on both"),
        ({"split.kind": "similarity"}, "by components, or random"),
        ({"split.columns": "block9"}, "no component 'block9'"),
        ({"predictor.kind": "linear"}, "cannot learn from a store"),
        ({"predictor.kind": "two-towers"}, "cannot learn from a store"),
        ({"predictor.kind": "cnn", "train.class_weight": "balanced"}, "class_weight is not for stores"),
        ({"encoder.kind": "kmer"}, "encoder"),
    ],
)
def test_settings_that_mean_nothing_here_are_refused(folder, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        seqloom.train(folder / "store", out=tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()


def test_a_store_without_targets_is_refused(folder, tmp_path):
    seqloom.pack([folder / "t.parquet"], tmp_path / "plain", sequence="smiles")
    with pytest.raises(DataError, match="packed without targets"):
        seqloom.compare(tmp_path / "plain", out=tmp_path / "run")


def test_a_store_that_was_packed_anew_is_refused_in_the_folder_of_the_old_one(tmp_path):
    for seed in (0, 1):
        write_library(Library.of(LibrarySettings(rows=3000, active=0.2, seed=seed)), tmp_path / "t.parquet")
        seqloom.pack([tmp_path / "t.parquet"], tmp_path / "store", sequence="smiles", overwrite=True, **NAMES)
        asked = {"out": tmp_path / "run", "settings": {**QUICK, "predictor.kind": "sigmoid"}}
        if seed:
            with pytest.raises(ConfigError, match="another store"):
                seqloom.train(tmp_path / "store", **asked)
        else:
            seqloom.train(tmp_path / "store", **asked)


def test_a_store_of_other_labels_is_refused_and_one_of_other_sequences_leaves_the_run_as_it_was(folder, tmp_path):
    table = pq.read_table(folder / "t.parquet").slice(0, 3000)
    texts = pc.binary_join_element_wise(table["smiles"], "C" * 40, "")
    tables = [
        table,
        table.set_column(table.schema.get_field_index("target1"), "target1", table["target2"]),
        table.set_column(table.schema.get_field_index("smiles"), "smiles", texts),
    ]
    asked = {"out": tmp_path / "run", "settings": {**QUICK, "predictor.kind": "sigmoid"}}
    for number, each in enumerate(tables):
        pq.write_table(each, tmp_path / "t.parquet")
        seqloom.pack([tmp_path / "t.parquet"], tmp_path / "store", sequence="smiles", overwrite=True, **NAMES)
        if number == 0:
            seqloom.train(tmp_path / "store", **asked)
            before = (tmp_path / "run" / "target.json").read_text()
            continue
        with pytest.raises(ConfigError, match=r"another store .* \(other: .*" + ("", "labels", "values")[number]):
            seqloom.train(tmp_path / "store", **asked)
        assert (tmp_path / "run" / "target.json").read_text() == before


@pytest.mark.parametrize("name", ["constant", "blocks", "blend-mean", "ngrams"])
def test_names_of_baselines_and_blends_are_not_given_to_nets(folder, tmp_path, name):
    (tmp_path / "e.toml").write_text(
        f'[data]\ntable = "{folder / "store"}"\n[[variant]]\nname = "{name}"\npredictor.kind = "sigmoid"\n'
    )
    with pytest.raises(ConfigError, match=f"variant name '{name}' is kept"):
        seqloom.compare(tmp_path / "e.toml", out=tmp_path / "run")


def test_targets_called_as_the_scores_over_all_are_refused_before_anything_is_fitted(folder, tmp_path):
    table = pq.read_table(folder / "t.parquet").slice(0, 2000)
    names = ["mean" if name == "target1" else name for name in table.schema.names]
    pq.write_table(table.rename_columns(names), tmp_path / "t.parquet")
    asked = {"sequence": "smiles", "target": "mean,target2", "component": NAMES["component"]}
    seqloom.pack([tmp_path / "t.parquet"], tmp_path / "store", **asked)
    with pytest.raises(ConfigError, match="called mean or micro"):
        seqloom.compare(tmp_path / "store", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_part_without_positives_is_left_out_of_the_verdict(folder, tmp_path):
    table, plan = pq.read_table(folder / "t.parquet"), plan_of(folder)
    labels = table["target1"].to_numpy().copy()
    labels[plan.test_rows["share"]] = 0
    pq.write_table(
        table.set_column(table.schema.get_field_index("target1"), "target1", pa.array(labels)), tmp_path / "t.parquet"
    )
    asked = {"sequence": "smiles", "target": "target1", "component": NAMES["component"]}
    seqloom.pack([tmp_path / "t.parquet"], tmp_path / "store", **asked)
    settings = {**QUICK, "predictor.kind": "sigmoid", "train.rows": 2000}
    result = seqloom.train(tmp_path / "store", out=tmp_path / "run", settings=settings)
    assert lines(result)["sigmoid"]["metrics"]["ap_share"]["value"] is None
    assert "on molecules of new building blocks" in result.verdict
    assert "nan" not in result.verdict


def test_rows_at_random_of_a_store_with_components_are_said_to_be_asked_for(folder):
    (found,) = plan_of(folder, kind="random").findings
    assert "no components" not in found.message
    assert "leave split.kind out" in found.message


@pytest.mark.slow
def test_processes_that_a_launcher_starts_train_each_member_together(folder, tmp_path):
    settings = [f"--set={key}={value}" for key, value in {**QUICK, "train.rows": 4000}.items()]
    asked = ["seqloom", "train", str(folder / "store"), "sigmoid", *settings, "-o"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--no-python"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in ([*asked, str(tmp_path / "alone")], [*launcher, *asked, str(tmp_path / "both")]):
        subprocess.run(command, check=True, capture_output=True, env=environment)
    alone, both = (np.load(tmp_path / name / "fold-0" / "seed-0" / "test.npy") for name in ("alone", "both"))
    np.testing.assert_allclose(both, alone, atol=1e-5)
    boards = [json.loads((tmp_path / name / "leaderboard.json").read_text()) for name in ("alone", "both")]
    assert boards[0]["parts"] == boards[1]["parts"]

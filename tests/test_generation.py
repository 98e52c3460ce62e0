"""Generators from a table to a verdict, and at work: fit, sample, score, evaluate, compare."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqloom.ancestry import FamilySettings
from seqloom.errors import ConfigError, DataError, RunError
from seqloom.generation.api import compare, evaluate, fit, sample, score
from seqloom.generation.conclude import combined
from seqloom.model import find_run

FAMILY = FamilySettings(rows=150, length=30, clades=50).table()
QUICK = {"judge.draws": 100, "sample.n": 60}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A fitted n-gram, with a profile beside it."""
    folder = tmp_path_factory.mktemp("ngram") / "run"
    decoys = folder.parent / "decoys.csv"
    pq_table = FamilySettings(rows=40, length=30, seed=9).table()
    decoys.write_text(
        "id,sequence,family\n"
        + "".join(f"{i},{each},other\n" for i, each in enumerate(pq_table["sequence"].to_pylist()))
    )
    fit(FAMILY, out=folder, model="ngram", settings={**QUICK, "judge.decoys": decoys.as_posix()})
    return folder


def test_a_fit_leaves_a_folder_with_samples_verdict_and_report(run):
    board = json.loads((run / "leaderboard.json").read_text())
    assert {row["variant"] for row in board["leaderboard"]} == {"ngram", "profile"}
    assert [row["variant"] for row in board["leaderboard"] if row["baseline"]] == ["profile"]
    assert {"train resample", "held-out", "noisy train", "collapse"} <= set(board["controls"])
    samples = pq.read_table(run / "seed-0" / "samples.parquet")
    assert samples.num_rows == 60
    assert (run / "seed-0" / "samples.fasta").read_text().count(">") == 60
    assert "<html" in (run / "report.html").read_text()
    assert board["verdict"].startswith("ngram: ")


def test_decoys_give_the_specificity_of_samples(run):
    board = json.loads((run / "leaderboard.json").read_text())
    metrics = {row["variant"]: row["metrics"] for row in board["leaderboard"]}
    assert metrics["profile"]["on_class"]["value"] > 0.8
    assert metrics["profile"]["off_class"]["value"] < 0.05


def test_the_same_command_goes_on_and_fits_nothing_again(run):
    weights = run / "seed-0" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    settings = {**QUICK, "judge.decoys": (run.parent / "decoys.csv").as_posix()}
    fit(FAMILY, out=run, model="ngram", settings=settings)
    assert weights.stat().st_mtime_ns == before


def test_a_folder_of_other_settings_or_sequences_is_refused(run):
    settings = {**QUICK, "judge.decoys": (run.parent / "decoys.csv").as_posix()}
    with pytest.raises(RunError, match=r"generator.order is 2 there and 3 here"):
        fit(FAMILY, out=run, model="ngram", settings={**settings, "generator.order": 3})
    with pytest.raises(ConfigError, match=r"made from other sequences"):
        fit(FAMILY.slice(0, 140), out=run, model="ngram", settings=settings)


def test_samples_are_the_same_for_a_seed_and_the_first_of_more_are_those_of_fewer(run):
    first, again, more, other = (sample(run, n, seed=seed)["sequences"] for n, seed in [(5, 1), (5, 1), (9, 1), (5, 2)])
    assert first == again == more[:5]
    assert first != other


def test_samples_are_written_as_fasta_or_as_a_table(run, tmp_path):
    facts = sample(run, 7, tmp_path / "new.fasta")
    assert (tmp_path / "new.fasta").read_text().count(">") == facts["rows"] == 7
    sample(run, 7, tmp_path / "new.parquet")
    assert pq.read_table(tmp_path / "new.parquet").column_names == ["id", "sequence"]


def test_what_a_generator_is_not_steered_by_is_refused(run):
    with pytest.raises(ConfigError, match=r"--truncation: this generator takes no truncation"):
        sample(run, 5, truncation=0.5)
    with pytest.raises(ConfigError, match=r"takes none, as it was fitted without"):
        sample(run, 5, conditions=["clade=x"])
    with pytest.raises(ConfigError, match=r"no member of seed 4; there are: 0|no member of seed 4"):
        _refused(lambda: sample(run, 5, member=4))


def _refused(call):
    try:
        call()
    except RunError as error:
        raise ConfigError(str(error)) from None


def test_scores_name_the_nearest_training_sequence_and_lose_no_row(run, tmp_path):
    known = pq.read_table(run / "naturals.parquet").filter(pa.compute.field("part") == "train")["sequence"][0].as_py()
    table = pa.table({"id": ["copy", "odd", "far"], "sequence": [known, "MXX", "WWWWWWWWWWWWWWWWWWWW"]})
    scored = score(run, table)["table"].to_pylist()
    assert [row["id"] for row in scored] == ["copy", "odd", "far"]
    assert scored[0]["identity"] == 1.0
    assert scored[0]["in_family"]
    assert scored[1]["log_likelihood"] is None
    assert scored[1]["reason"]
    assert scored[0]["log_likelihood_per_symbol"] > scored[2]["log_likelihood_per_symbol"]
    facts = score(run, table, tmp_path / "scores.csv")
    assert facts["rows"] == 3
    assert facts["findings"][0]["count"] == 1


def test_sequences_of_any_tool_are_judged_against_a_run(run, tmp_path):
    train = pq.read_table(run / "naturals.parquet").filter(pa.compute.field("part") == "train")
    copies = pa.table({"sequence": train["sequence"].slice(0, 50)})
    facts = evaluate(copies, run, out=tmp_path / "judged", settings={"judge.draws": 100})
    assert facts["verdict"]["word"] == "copying"
    assert facts["metrics"]["exact_copies"]["value"] == 1.0
    assert (tmp_path / "judged" / "report.html").exists()
    one = pa.table({"sequence": [train["sequence"][0].as_py()] * 50})
    assert evaluate(one, run, settings={"judge.draws": 100})["verdict"]["word"] == "collapsed"


def test_sequences_are_judged_against_natural_sequences_that_are_named(tmp_path):
    path = tmp_path / "family.fasta"
    path.write_text("".join(f">{i}\n{each}\n" for i, each in enumerate(FAMILY["sequence"].to_pylist())))
    held = FamilySettings(rows=60, length=30, clades=50, seed=5).table()
    facts = evaluate(held, path, settings={"judge.draws": 100})
    assert facts["verdict"]["word"] == "off the family"


def test_samples_with_gaps_are_refused_until_they_are_to_be_stripped(run):
    gapped = pa.table({"sequence": ["MK-LAA", "MKV-AA"] * 20})
    with pytest.raises(DataError, match=r"--set natural.gaps=strip"):
        evaluate(gapped, run)
    with pytest.raises(ConfigError, match=r"are those of the run"):
        evaluate(gapped, run, settings={"split.test": 0.2})


def test_several_variants_and_seeds_are_compared_with_intervals_over_seeds(tmp_path):
    result = compare(
        FAMILY,
        out=tmp_path / "fight",
        settings={
            **QUICK,
            "generator.kind": "autoregressive",
            "generator.width": 8,
            "train.sequences": 512,
            "train.every": 256,
        },
        vary={"sample.temperature": [0.5, 1.0]},
        seeds=2,
    )
    rows = {row["variant"]: row for row in result.leaderboard}
    assert set(rows) == {"autoregressive-temperature-0-5", "autoregressive-temperature-1-0", "profile"}
    assert rows["autoregressive-temperature-0-5"]["members"] == 2
    best = sample(tmp_path / "fight", 3)["sequences"]
    assert len(best) == 3


def test_a_conditioned_generator_is_told_what_to_write(tmp_path):
    settings = {
        **QUICK,
        "generator.width": 8,
        "train.sequences": 512,
        "train.every": 256,
        "natural.condition": ["charge"],
    }
    fit(FAMILY, out=tmp_path / "run", model="autoregressive", settings=settings)
    assert len(sample(tmp_path / "run", 4, conditions=["charge=3"])["sequences"]) == 4
    with pytest.raises(ConfigError, match=r"needs --condition charge=VALUE"):
        sample(tmp_path / "run", 4)
    with pytest.raises(ConfigError, match=r"'high' is no number"):
        sample(tmp_path / "run", 4, conditions=["charge=high"])
    scored = score(tmp_path / "run", FAMILY.slice(0, 4))["table"]
    assert np.isfinite(scored["log_likelihood"].to_numpy()).all()


def test_what_does_not_write_the_alphabet_is_refused():
    smiles = pa.table({"smiles": ["CCO" + "C" * n + "N" for n in range(30)]})
    with pytest.raises(ConfigError, match=r"profile does not write smiles; generators that do: "):
        fit(smiles, model="profile", settings={"data.alphabet": "smiles"})


def test_a_folder_of_predictors_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"not a run of a generator"):
        sample(tmp_path, 3)


def test_the_interval_over_seeds_is_students_and_no_narrower_than_that_of_samples():
    members = [{"value": each, "low": each - 0.1, "high": each + 0.1} for each in (0.5, 0.5, 0.5)]
    same = combined(members)
    assert same["high"] - same["value"] == pytest.approx(0.1 / np.sqrt(3))
    apart = combined([{**each, "value": value} for each, value in zip(members, (0.2, 0.5, 0.8), strict=True)])
    assert apart["high"] - apart["value"] == pytest.approx(4.303 * 0.3 / np.sqrt(3), rel=1e-3)


def test_a_generator_is_asked_for_no_predictions(run):
    with pytest.raises(RunError, match=r"holds generators, which predict nothing; use seqloom generate"):
        find_run(run)

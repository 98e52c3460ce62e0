"""What a run has learnt of residues, and which test rows it gets most wrong."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file, save_file
from scipy.stats import fisher_exact
from sklearn.decomposition import PCA

import seqloom
from seqloom.alphabet import PROTEIN
from seqloom.cli import main
from seqloom.encode.positional import blosum62_scores
from seqloom.errors import ConfigError, MissingExtra, RunError
from seqloom.explain import explain
from seqloom.explain.embedding_map import added_vectors, vectors_by_column
from seqloom.explain.maps import allowed_perplexity, flat_map, principal_components
from seqloom.explain.properties import blosum62_partners, residue_scale
from seqloom.explain.worst import read_amount
from seqloom.report.residues import residue_map

LETTERS = list("ACDEFGHIKLMNPQRSTVWY")
WRONG = "W"
"""Test rows with it at position 3 are made wrong."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A net that read peptides without C, whose embedding was moved by BLOSUM62 and whose errors are planted."""
    place = tmp_path_factory.mktemp("explained")
    random = np.random.default_rng(0)
    peptides = ["".join(random.choice(LETTERS[:1] + LETTERS[2:], 9)) for _ in range(600)]
    peptides[::5] = [f"{each[:2]}{WRONG}{each[3:]}" for each in peptides[::5]]
    values = random.standard_normal(len(peptides)).round(4)
    csv.write_csv(pa.table({"sequence": peptides, "y": values}), place / "t.csv")
    out = place / "runs"
    settings = {"predictor.kind": "sigmoid", "predictor.width": 20, "train.epochs": 1, "split.kind": "random"}
    seqloom.train(place / "t.csv", target="y", out=out, settings=settings)
    weights = out / "fold-0" / "seed-0" / "weights.safetensors"
    arrays = load_file(weights)
    ids = PROTEIN.ids("ADEFGHIKLMNPQRSTVWY")
    arrays["embedding.weight"][ids, :19] += blosum62_scores()[np.ix_(ids, ids)] / 4
    save_file(arrays, weights)
    _plant_errors(out / "predictions.parquet", peptides, random)
    return out


def _plant_errors(path: Path, peptides: list[str], random: np.random.Generator) -> None:
    table = pq.read_table(path)
    wrong = np.array([peptides[row - 1][2] == WRONG for row in table["row"].to_numpy()])
    noise = random.normal(0, 0.1, len(wrong)) - 3.0 * wrong * (random.random(len(wrong)) < 0.4)
    pred = pa.array(table["target"].to_numpy() + noise)
    pq.write_table(table.set_column(table.column_names.index("pred"), "pred", pred), path)


def rows_of(folder: Path) -> tuple[list[str], np.ndarray]:
    """Sequences and errors of the test rows."""
    table = csv.read_csv(folder.parent / "t.csv")
    predictions = pq.read_table(folder / "predictions.parquet")
    sequences = [table["sequence"][row - 1].as_py() for row in predictions["row"].to_pylist()]
    return sequences, predictions["pred"].to_numpy() - predictions["target"].to_numpy()


def test_an_embedding_moved_by_blosum62_agrees_with_it_beyond_chance(folder):
    (own,) = explain(folder, embedding="pca")["embedding"]["columns"]
    assert own["blosum62"]["agreeing"] >= 17
    assert own["blosum62"]["p"] < 0.001
    assert own["blosum62"]["by_chance"] == pytest.approx(_expected_by_chance(own["symbols"]), abs=0.1)
    assert own["blosum62"]["members"] == [{"fold": 0, "seed": 0, "agreeing": own["blosum62"]["agreeing"]}]


def _expected_by_chance(symbols: str) -> float:
    """A shuffled neighbour is any of the others."""
    return float(blosum62_partners(symbols).sum() / (len(symbols) - 1))


def test_what_training_added_is_told_from_the_start_which_weight_decay_has_shortened():
    random = np.random.default_rng(0)
    start, added = random.standard_normal((2, 6, 4))
    met = np.arange(6) < 4
    trained = 0.97 * start + added * met[:, None]
    assert added_vectors(trained, start, met) == pytest.approx(added * met[:, None])
    assert added_vectors(trained, random.standard_normal((6, 4)), met) is None
    assert added_vectors(trained, start, np.ones(6, bool)) is None


def test_vectors_are_drawn_whole_if_asked(folder):
    (own,) = explain(folder, embedding="pca", whole=True)["embedding"]["columns"]
    assert own["vectors"] == "whole"
    (added,) = explain(folder, embedding="pca")["embedding"]["columns"]
    assert added["vectors"] == "added by training"
    assert added["blosum62"]["agreeing_whole"] == own["blosum62"]["agreeing"] <= added["blosum62"]["agreeing"]


def test_a_random_embedding_whose_start_is_not_known_is_drawn_whole_and_agrees_as_chance_does(folder):
    weights = folder / "fold-0" / "seed-0" / "weights.safetensors"
    kept = weights.read_bytes()
    arrays = load_file(weights)
    shape = arrays["embedding.weight"].shape
    arrays["embedding.weight"] = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    try:
        save_file(arrays, weights)
        (own,) = explain(folder, embedding="pca")["embedding"]["columns"]
    finally:
        weights.write_bytes(kept)
    assert own["blosum62"]["by_chance_low"] <= own["blosum62"]["agreeing"] <= own["blosum62"]["by_chance_high"]
    assert own["blosum62"]["p"] > 0.05
    assert own["vectors"] == "whole"


def test_a_residue_that_no_training_sequence_has_is_not_drawn(folder):
    (own,) = explain(folder, embedding="pca")["embedding"]["columns"]
    assert own["never_in_training"] == "C"
    assert own["symbols"] == "ADEFGHIKLMNPQRSTVWY"


def test_several_columns_have_their_part_of_one_embedding_or_one_each():
    joint = np.arange(12.0).reshape(6, 2)  # padding, 2 symbols of one column, 2 of the other, a separator
    one, two = vectors_by_column([joint], [2, 2])
    assert (one.tolist(), two.tolist()) == ([[2, 3], [4, 5]], [[6, 7], [8, 9]])
    one, two = vectors_by_column([joint[:4], joint], [3, 5])
    assert (len(one), len(two)) == (3, 5)
    assert vectors_by_column([], [2]) is None
    assert vectors_by_column([joint], [8]) is None


def test_the_table_holds_places_property_and_nearest_of_every_residue(folder):
    explain(folder, embedding="pca,t-sne", colour="volume")
    table = csv.read_csv(folder / "explain" / "embedding.csv")
    assert table["symbol"].to_pylist() == list("ADEFGHIKLMNPQRSTVWY")
    assert table["volume"].to_pylist() == [residue_scale("volume")[each] for each in table["symbol"].to_pylist()]
    assert {"pca_1", "pca_2", "tsne_1", "tsne_2"} <= set(table.column_names)
    nearest = dict(zip(table["symbol"].to_pylist(), table["nearest"].to_pylist(), strict=True))
    assert (nearest["I"], nearest["K"]) == ("V", "R")
    sequences = pq.read_table(folder / "training.parquet")["sequence"].to_pylist()
    assert table["in_training"].to_pylist() == ["".join(sequences).count(each) for each in table["symbol"].to_pylist()]


def test_pages_are_whole_and_ask_for_nothing(folder):
    facts = explain(folder, embedding="pca,tsne", worst="2sd")
    for question in ("embedding", "worst"):
        page = Path(facts[question]["page"]).read_text()
        assert page.startswith("<!DOCTYPE html>")
        assert "http" not in page.replace("http-equiv", "")
        assert "<script" not in page
        assert "var(--c2)" in page


def test_letters_on_a_map_follow_the_dress_of_the_page():
    svg = residue_map("m", "a map", np.eye(4, 2), "ACDE", np.linspace(-1, 1, 4), ("", ""), ticks=False)
    assert "currentColor" in svg
    assert svg.count("<text") == 4


def test_principal_components_are_those_of_scikit_learn():
    vectors = np.random.default_rng(0).standard_normal((20, 8)) * np.arange(1, 9)
    places, shares = principal_components(vectors)
    theirs = PCA(2).fit(vectors)
    assert np.abs(places) == pytest.approx(np.abs(theirs.transform(vectors)), abs=1e-9)
    assert shares == pytest.approx(theirs.explained_variance_ratio_)


def test_vectors_of_one_number_have_a_map_too():
    drawn = flat_map("pca", np.arange(6.0)[:, None], None, 0)
    assert np.ptp(drawn.places[:, 0]) == pytest.approx(5)
    assert (drawn.places[:, 1] == 0).all()


def test_tsne_keeps_clusters_apart_and_comes_out_the_same_again():
    random = np.random.default_rng(0)
    vectors = np.concatenate([random.normal(at, 0.05, (10, 5)) for at in (0, 4)])
    drawn, again = (flat_map("tsne", vectors, None, 0) for _ in range(2))
    assert (drawn.places == again.places).all()
    distance = np.linalg.norm(drawn.places[:, None] - drawn.places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert ((distance.argmin(1) < 10) == (np.arange(20) < 10)).all()


def test_a_perplexity_that_makes_a_blob_is_refused_with_advice(folder):
    assert allowed_perplexity(20, None) == 5
    assert allowed_perplexity(1000, None) == 30
    with pytest.raises(ConfigError, match=r"1 to 6.6 .* leave it out for 5"):
        allowed_perplexity(20, 30.0)
    with pytest.raises(ConfigError, match="add it, as in --embedding pca,tsne"):
        explain(folder, embedding="pca", perplexity=3.0)


def test_umap_without_its_library_says_what_to_type(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"pip install 'seqloom\[explain\]'"):
        explain(folder, embedding="umap")


def test_a_model_of_features_says_which_kinds_have_an_embedding(folder):
    with pytest.raises(ConfigError, match=r"linear reads features.*cnn.*rnn"):
        explain(folder / "baselines" / "linear", embedding="pca")
    with pytest.raises(ConfigError, match="nearest holds no embedding of single symbols"):
        explain(folder / "baselines" / "nearest", embedding="pca")


def test_what_is_not_there_is_refused_with_what_is(folder):
    with pytest.raises(ConfigError, match="name a question"):
        explain(folder)
    with pytest.raises(ConfigError, match="available: pca, tsne, umap"):
        explain(folder, embedding="mds")
    with pytest.raises(ConfigError, match="did you mean 'volume'"):
        explain(folder, embedding="pca", colour="volum")
    with pytest.raises(RunError, match="no member of seed 7; there are: fold 0 seed 0"):
        explain(folder, embedding="pca", seed=7)
    with pytest.raises(ConfigError, match="--colour goes with --embedding"):
        explain(folder, worst="2sd", colour="volume")
    for text in ("sd", "-2sd", "0", "2.5"):
        with pytest.raises(ConfigError, match="write 2sd"):
            read_amount(text)


def test_the_worst_rows_are_those_beyond_the_mean_and_two_deviations(folder):
    facts = explain(folder, worst="2sd")["worst"]
    sequences, signed = rows_of(folder)
    errors = np.abs(signed)
    assert facts["threshold"] == pytest.approx(errors.mean() + 2 * errors.std())
    own = np.flatnonzero(errors > facts["threshold"])
    table = csv.read_csv(folder / "explain" / "worst.csv")
    assert sorted(table["sequence"].to_pylist()) == sorted(sequences[each] for each in own)
    assert table["error"].to_numpy() == pytest.approx(signed[np.argsort(-errors, kind="stable")][: len(own)])
    assert facts["too_low"] == (signed[own] < 0).sum()
    assert facts["test_rows"] == len(errors)


def test_a_residue_planted_in_wrong_rows_is_found_at_its_place(folder):
    facts = explain(folder, worst="2sd")["worst"]
    first = facts["residues"][0]
    assert (first["symbol"], first["position"]) == (WRONG, 3)
    assert first["q"] < 1e-4
    assert [each["symbol"] for each in facts["residues"] if each["q"] < 0.05 and each["position"] != 3] == []
    sequences, signed = rows_of(folder)
    worst = np.abs(signed) > facts["threshold"]
    has = np.array([each[2] == WRONG for each in sequences])
    table = [
        [int((worst & has).sum()), int((worst & ~has).sum())],
        [int((~worst & has).sum()), int((~worst & ~has).sum())],
    ]
    assert first["worst"] == [table[0][0], sum(table[0])]
    assert first["others"] == [table[1][0], sum(table[1])]
    assert first["p"] == pytest.approx(fisher_exact(table).pvalue)


def test_so_many_rows_are_listed_as_are_asked_for(folder):
    assert explain(folder, worst="20")["worst"]["rows"] == 20
    assert csv.read_csv(folder / "explain" / "worst.csv").num_rows == 20
    few = explain(folder, worst="2")["worst"]
    assert few["rows"] == 2
    assert few["residues"] == []


def test_a_table_that_has_changed_is_refused_and_one_that_has_moved_is_read(folder, tmp_path):
    moved = tmp_path / "moved.csv"
    moved.write_bytes((folder.parent / "t.csv").read_bytes())
    assert explain(folder, worst="20", table=str(moved))["worst"]["rows"] == 20
    (folder.parent / "t.csv").rename(tmp_path / "t.csv")
    try:
        with pytest.raises(RunError, match="name the table with --table FILE"):
            explain(folder, worst="20")
    finally:
        (tmp_path / "t.csv").rename(folder.parent / "t.csv")
    moved.write_text(moved.read_text().replace("W", "Y"))
    with pytest.raises(RunError, match="is not the table that the run was made of"):
        explain(folder, worst="20", table=str(moved))


def test_errors_of_classes_are_what_the_true_class_lacks(tmp_path):
    random = np.random.default_rng(1)
    peptides = ["".join(random.choice(LETTERS, 9)) for _ in range(80)]
    csv.write_csv(pa.table({"sequence": peptides, "y": ["ab"[each % 2] for each in range(80)]}), tmp_path / "t.csv")
    out = tmp_path / "run"
    settings = {"predictor.kind": "linear", "split.kind": "random"}
    seqloom.train(tmp_path / "t.csv", target="y", out=out, settings=settings)
    explain(out, worst="5")
    table = csv.read_csv(out / "explain" / "worst.csv")
    predictions = pq.read_table(out / "predictions.parquet").to_pylist()
    missing = {each["row"]: 1 - each[f"pred_{each['target']}"] for each in predictions}
    assert table["error"].to_pylist() == pytest.approx(sorted(missing.values(), reverse=True)[:5])
    assert table["true"].to_pylist() != table["predicted"].to_pylist()


def test_the_command_answers_on_the_terminal_and_as_json(folder):
    done = CliRunner().invoke(main, ["explain", str(folder), "--embedding", "pca", "--worst", "2sd"])
    assert done.exit_code == 0, done.output
    assert "BLOSUM62 partners; shuffled residues" in done.output
    assert f"{WRONG} at 3:" in done.output
    facts = json.loads(CliRunner().invoke(main, ["explain", str(folder), "--embedding", "pca", "--json"]).stdout)
    assert {"command", "path", "seconds", "findings", "embedding"} <= set(facts)
    assert len(facts["embedding"]["columns"][0]["maps"][0]["places"]) == 19

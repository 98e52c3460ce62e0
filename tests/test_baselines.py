"""The naive baselines: what each of them predicts, and in which comparisons they stand unasked."""

import itertools
import random

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

import seqloom
from contracts.tables import peptides
from mutants import OTHER, RESIDUES, WILD, mutated, singles
from seqloom.config import BASELINES, resolve
from seqloom.drafts import drafts
from seqloom.encode.base import Inputs
from seqloom.encode.positional import blosum62_scores
from seqloom.errors import ConfigError
from seqloom.plan import make_plan
from seqloom.predict.base import Dims, Examples, Job
from seqloom.prediction import predict
from seqloom.registry import build, recipe_class
from seqloom.simulate import Simulation
from seqloom.table import DataSection, read_table
from seqloom.target import TargetSection, find_target

FAST = {"predictor.kind": "knn", "split.kind": "random", "report.draws": 200}
ALWAYS = {"constant", "nearest", "linear", "composition"}
OF_VARIANTS = {"substitution", "hydropathy"}
HYDROPATHY = dict(zip("ARNDCQEGHILKMFPSTWYV", (
    1.8, -4.5, -3.5, -3.5, 2.5, -3.5, -3.5, -0.4, -3.2, 4.5, 3.8, -3.9, 1.9, 2.8, -1.6, -0.8, -0.7, -0.9, -1.3, 4.2,
), strict=True))  # fmt: skip


def table_of(sequences, **more):
    section = {key: more.pop(key) for key in ("group", "wild_type", "alphabet") if key in more}
    columns = {"sequence": sequences, "target": np.arange(len(sequences), dtype=float)} | more
    return read_table(pa.table(columns), DataSection(sequence=("sequence",), **section), ("target",))


def features(kind, training, rows=None):
    return build("encoder", {"kind": kind}).fit(training).transform(rows or training).features


def fitted(kind, inputs, y, task="regression", n_outputs=1):
    dims = Dims(task, 1, n_outputs, inputs.shape[1])
    examples = Examples(Inputs(features=inputs.astype(np.float32)), np.asarray(y, float).reshape(-1, 1))
    return build("predictor", {"kind": kind}).fit(examples, examples.take(np.zeros(0, int)), Job(dims))


def predicted(model, inputs):
    return model.predict(Inputs(features=np.asarray(inputs, np.float32)))


def standing(data, **settings):
    """The baselines of a comparison of `knn`, and how its split is called."""
    sections: dict = {
        "data": {"sequence": ("sequence",)},
        "target": {"column": ("target",)},
        "predictor": {"kind": "knn"},
    }
    for key, value in settings.items():
        section, _, name = key.partition("_")
        sections.setdefault(section, {})[name] = value
    plan = make_plan(sections, data)
    return {variant.name for variant in plan.variants} - {"knn"}


def variants(n=60, seed=0):
    """Single mutants of two proteins, with a target."""
    sequences = [WILD, *singles(WILD, n // 2 - 1, seed), OTHER, *singles(OTHER, n - n // 2 - 1, seed)]
    target = np.random.default_rng(seed).normal(0, 0.1, n) + np.repeat([1.0, -1.0], [n // 2, n - n // 2])
    return pa.table({"sequence": sequences, "target": target})


# What the mutations of a variant are in numbers


def test_the_changes_of_a_variant_are_summed_over_its_mutations():
    rows = [WILD, mutated(WILD, (1, "A")), mutated(WILD, (2, "D"), (3, "W")), WILD[:4] + WILD[5:], OTHER]
    table = table_of([*singles(WILD, 30), *rows], wild_type=WILD)
    got = features("substitutions", table)[-5:]
    # BLOSUM62: G/G 6, G/A 0; N/N 6, N/D 1; I/I 4, I/W -3; a deletion of I is -4 and the 4 of I/I less
    expected = [
        [1, 0, 0, 0],
        [1, 1, -6, 1.8 + 0.4],
        [1, 2, -5 - 7, -0.9 - 4.5],
        [1, 1, -8, -4.5],
        [0, 0, 0, 0],
    ]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_changes_equal_a_slow_sum_over_sites():
    from scoring_matrices import ScoringMatrix

    matrix = ScoringMatrix.from_name("BLOSUM62")
    chosen = random.Random(3)
    rows = [
        mutated(WILD, *((site, chosen.choice(RESIDUES)) for site in chosen.sample(range(1, 41), 3))) for _ in range(40)
    ]
    table = table_of(rows, wild_type=WILD)
    for row, got in zip(rows, features("substitutions", table), strict=True):
        pairs = [(a, b) for a, b in zip(WILD, row, strict=True) if a != b]
        assert got[1] == len(pairs)
        assert got[2] == pytest.approx(sum(matrix[a, b] - matrix[a, a] for a, b in pairs))
        assert got[3] == pytest.approx(sum(HYDROPATHY[b] - HYDROPATHY[a] for a, b in pairs), abs=1e-5)


def test_residues_beyond_the_twenty_score_as_what_they_may_be():
    ids = {symbol: index for index, symbol in enumerate("-" + "ACDEFGHIKLMNPQRSTVWYXBZUOJ*")}
    scores = blosum62_scores()
    assert scores[ids["U"], ids["W"]] == scores[ids["C"], ids["W"]] == -2
    assert scores[ids["J"], ids["V"]] == (3 + 1) / 2
    assert scores[ids["B"], ids["D"]] == 4
    assert scores[0, ids["W"]] == scores[ids["*"], ids["W"]] == -4
    assert scores[0, 0] == 0
    np.testing.assert_array_equal(scores, scores.T)


def test_rows_of_other_tables_are_told_from_the_wild_types_of_the_training_rows():
    training = table_of([*singles(WILD, 40, 1), *singles(OTHER, 40, 1)])
    new = table_of([mutated(WILD, (5, "W")), mutated(OTHER, (6, "C"), (7, "C")), RESIDUES * 2])
    got = features("substitutions", training, new)
    assert got[:, :2].tolist() == [[1, 1], [1, 2], [0, 0]]
    groups = features("groups", training, new)
    assert groups[:, 0].tolist() == [-1] * 3
    assert groups[2, 1] == -1
    assert set(groups[:2, 1]) == {0, 1}


def test_a_named_wild_type_has_variants_far_beyond_a_tenth_of_its_length():
    far = mutated(WILD, *((site, "W") for site in range(1, 16)))
    near = [*singles(WILD, 30), far]
    assert features("substitutions", table_of(near, wild_type=WILD))[-1, 1] == 15
    assert features("substitutions", table_of(near))[-1, 0] == 0


def test_variants_of_several_columns_are_mutated_in_either():
    left, right = [*singles(WILD, 30), WILD], [*[OTHER] * 30, mutated(OTHER, (3, "W"))]
    data = pa.table({"heavy": left, "light": right, "target": np.arange(31.0)})
    table = read_table(data, DataSection(sequence=("heavy", "light")), ("target",))
    assert features("substitutions", table)[:, 1].tolist() == [1] * 31


def test_only_proteins_have_substitutions():
    with pytest.raises(ConfigError, match="'substitutions' is for proteins, and the alphabet is dna"):
        features("substitutions", table_of(["ACGT" * 5, "ACGA" * 5], alphabet="dna"))


# What each baseline predicts


def test_substitution_is_least_squares_on_score_and_number_of_mutations():
    rng = np.random.default_rng(0)
    table = table_of([mutated(WILD, *((s, rng.choice(list("AWDK"))) for s in rng.choice(40, 2, replace=False) + 1)) for _ in range(50)],
                     wild_type=WILD)  # fmt: skip
    x = features("substitutions", table)
    y = rng.normal(size=50)
    for kind, columns in (("substitution", [2, 1]), ("hydropathy", [3])):
        design = np.concatenate([np.ones((50, 1)), x[:, columns]], axis=1)
        coef = np.linalg.lstsq(design, y, rcond=None)[0]
        np.testing.assert_allclose(predicted(fitted(kind, x, y), x)[:, 0], design @ coef, atol=1e-4)


def test_rows_that_are_no_variants_get_the_training_mean():
    x = np.array([[1, 1, -6, 2.0], [1, 1, -2, 0], [1, 2, -9, 1], [0, 0, 0, 0]])
    y = np.array([1.0, 5, 2, 8])
    assert predicted(fitted("substitution", x, y), x)[3, 0] == 4
    assert predicted(fitted("substitution", np.zeros((4, 4)), y), x)[:, 0].tolist() == [4] * 4
    held = fitted("substitution", x, [np.nan, np.nan, np.nan, 8])
    assert predicted(held, x)[:, 0].tolist() == [8] * 4


@pytest.mark.parametrize("kind", ["substitution", "hydropathy"])
def test_classes_told_apart_without_error_are_no_trouble(kind):
    x = np.array([[1, 1, -each, each] for each in range(1, 101)], float)
    probability = predicted(fitted(kind, x, x[:, 3] > 40, "binary"), x)[:, 0]
    assert (probability[:39] < 0.5).all()
    assert (probability[40:] > 0.5).all()
    several = predicted(fitted(kind, x, np.digitize(x[:, 3], [30, 60]), "multiclass", 3), x)
    assert several[[0, 45, 99]].argmax(1).tolist() == [0, 1, 2]


def test_variants_of_one_class_are_all_of_that_class():
    x = np.array([[1, 1, -6, 2.0], [1, 1, -2, 0], [0, 0, 0, 0]])
    outputs = predicted(fitted("substitution", x, [1, 1, 2], "multiclass", 3), x)
    np.testing.assert_allclose(outputs, [[0, 1, 0], [0, 1, 0], [0, 2 / 3, 1 / 3]], atol=1e-3)


def test_the_mean_of_a_group_is_drawn_towards_the_mean_of_all_rows_by_one_row():
    model = fitted("group-mean", np.array([[0, -1], [0, -1], [1, -1], [-1, -1]]), [1.0, 3, 5, np.nan])
    np.testing.assert_allclose(predicted(model, [[0, -1], [1, 7], [-1, -1]])[:, 0], [(1 + 3 + 3) / 3, (5 + 3) / 2, 3])


def test_the_mean_of_a_family_is_drawn_towards_that_of_its_group():
    model = fitted("group-mean", np.array([[0, 0], [0, 1], [1, 1], [-1, 1]]), [1.0, 3, 5, 7])
    first, second = (1 + 3 + 4) / 3, (5 + 4) / 2
    wanted = {(0, 0): (1 + first) / 2, (0, 1): (3 + first) / 2, (1, 1): (5 + second) / 2, (-1, 1): (7 + 4) / 2}
    wanted |= {(1, 0): second, (0, -1): first, (-1, 0): 4, (-1, -1): 4}
    np.testing.assert_allclose(predicted(model, list(wanted))[:, 0], list(wanted.values()))


def test_a_group_without_a_known_target_has_the_mean_of_all():
    model = fitted("group-mean", np.array([[0, -1], [1, -1]]), [2.0, np.nan])
    assert predicted(model, [[1, -1]])[0, 0] == 2


def test_classes_of_a_group_are_shares():
    model = fitted("group-mean", np.array([[0, -1], [0, -1], [1, -1]]), [0, 0, 2], "multiclass", 3)
    shares = np.array([2, 0, 1]) / 3
    expected = np.stack([(np.array([2, 0, 0]) + shares) / 3, (np.array([0, 0, 1]) + shares) / 2])
    np.testing.assert_allclose(predicted(model, [[0, -1], [1, -1]]), expected)


def test_groups_go_by_their_names_in_any_order_and_unknown_ones_are_none():
    training = table_of(peptides(4), group="clan", clan=["007", "b", "b", ""])
    new = table_of(peptides(4), group="clan", clan=["b", "007", "7", ""])
    assert features("groups", training).tolist() == [[0, -1], [1, -1], [1, -1], [-1, -1]]
    assert features("groups", training, new)[:, 0].tolist() == [1, 0, -1, -1]


def test_groups_of_smiles_need_a_column():
    with pytest.raises(ConfigError, match=r"needs a group column: name it with --group .* sequences are smiles"):
        features("groups", table_of(["CCO", "CCN", "CC"], alphabet="smiles"))


def test_composition_is_linear_on_composition():
    table = read_table(Simulation(rows=60, effect="soft").table(), DataSection(), ("target",))
    target = find_target(table, TargetSection())
    sections = {"encoder": {"kind": "composition"}}
    (plain,) = (resolve(draft, table, target) for draft in drafts(sections, ["linear"]))
    (named,) = (resolve(draft, table, target) for draft in drafts({}, ["composition"]))
    assert named.encoder == plain.encoder
    x, y = features("composition", table), np.arange(60.0)
    np.testing.assert_array_equal(predicted(fitted("composition", x, y), x), predicted(fitted("linear", x, y), x))


# Which encoder they read


def test_a_baseline_reads_its_own_encoder_whatever_the_others_share():
    table = read_table(Simulation(rows=60).table(), DataSection(), ("label",))
    target = find_target(table, TargetSection())
    shared = {"encoder": {"kind": "kmer", "k": 3}}
    kinds = [
        resolve(each, table, target).encoder.kind for each in drafts(shared, ["linear", "composition", "group-mean"])
    ]
    assert kinds == ["kmer", "composition", "groups"]
    own = {"variant": [{"predictor": "substitution", "encoder": "one-hot"}]}
    with pytest.raises(
        ConfigError, match="predictor 'substitution' reads encoder 'substitutions', and no other such as 'one-hot'"
    ):
        resolve(drafts(own, [])[0], table, target)


def test_numbers_of_groups_are_read_by_no_model_that_weighs_features():
    table = read_table(Simulation(rows=60).table(), DataSection(), ("label",))
    sections = {"predictor": {"kind": "linear"}, "encoder": {"kind": "groups"}}
    with pytest.raises(ConfigError, match="takes features, and encoder 'groups' gives groups"):
        resolve(drafts(sections, [])[0], table, find_target(table, TargetSection()))


# Where they stand unasked


def test_every_baseline_is_one():
    assert all(recipe_class("predictor", kind).baseline for kind in BASELINES)


def test_peptides_without_groups_are_compared_with_four_baselines():
    data = pa.table({"sequence": peptides(60), "target": np.arange(60.0)})
    assert standing(data) == ALWAYS


def test_variants_are_compared_with_all_baselines_where_tests_share_families():
    assert standing(variants(), split_kind="random") == ALWAYS | OF_VARIANTS | {"group-mean"}
    assert standing(variants(200), split_kind="position") >= OF_VARIANTS


def test_whole_families_are_not_predicted_by_their_means():
    sequences = [
        each
        for seed in range(8)
        for wild in ["".join(np.random.default_rng(seed).permutation(list(WILD)))]
        for each in [wild, *singles(wild, 9)]
    ]
    data = pa.table({"sequence": sequences, "target": np.arange(80.0)})
    assert standing(data, split_kind="family") == ALWAYS | OF_VARIANTS


def test_one_family_has_no_mean_but_that_of_all_rows():
    data = pa.table({"sequence": [WILD, *singles(WILD, 59)], "target": np.arange(60.0)})
    assert standing(data, split_kind="random") == ALWAYS | OF_VARIANTS


def test_groups_have_means_unless_they_are_held_out():
    clans = [f"clan {row % 12}" for row in range(60)]
    data = pa.table({"sequence": peptides(60), "target": np.arange(60.0), "clan": clans})
    assert standing(data, data_group="clan", split_kind="random") == ALWAYS | {"group-mean"}
    assert standing(data, data_group="clan", split_kind="group") == ALWAYS


def test_natural_relatives_in_small_families_are_not_compared_with_substitutions():
    rng = np.random.default_rng(0)
    wilds = ["".join(rng.choice(list(RESIDUES), 60)) for _ in range(24)]
    relatives = [each for wild in wilds for each in singles(wild, 5)]
    data = pa.table({"sequence": relatives, "target": np.arange(120.0)})
    assert not OF_VARIANTS & standing(data, split_kind="random")
    mutants = [each for wild in wilds[:6] for each in singles(wild, 20)]
    data = pa.table({"sequence": mutants, "target": np.arange(120.0)})
    assert standing(data, split_kind="random") >= OF_VARIANTS


def test_variants_of_nucleic_acids_have_families_and_no_substitution_matrix():
    rng = np.random.default_rng(0)
    wilds = ["".join(rng.choice(list("ACGT"), 60)) for _ in range(2)]
    sequences = [
        mutated(wild, (int(site) + 1, "ACGT"["ACGT".index(wild[site]) - 1])) for wild in wilds for site in range(40)
    ]
    data = pa.table({"sequence": sequences, "target": np.arange(80.0)})
    assert standing(data, split_kind="random", data_alphabet="dna") == ALWAYS | {"group-mean"}


def test_smiles_are_compared_by_the_symbols_they_hold():
    smiles = ["C" * n + tail for n, tail in itertools.product(range(1, 16), ("O", "N", "Cl", "=O"))]
    data = pa.table({"smiles": smiles, "target": np.arange(60.0)})
    assert standing(data, data_sequence=("smiles",), split_kind="random") == ALWAYS
    grouped = data.append_column("maker", pa.array([row % 3 for row in range(60)]))
    named = {"data_sequence": ("smiles",), "data_group": "maker", "split_kind": "random"}
    assert standing(grouped, **named) == ALWAYS | {"group-mean"}


def test_linear_on_composition_is_the_composition_baseline_already():
    data = pa.table({"sequence": peptides(60), "target": np.arange(60.0)})
    alike = {"predictor_kind": "linear", "encoder_kind": "composition"}
    assert standing(data, **alike) == ALWAYS - {"composition"}
    assert standing(data, **alike, predictor_penalty=3.0) == ALWAYS


# Whole comparisons


def test_a_simulated_table_is_compared_with_its_baselines_and_they_predict_again_what_they_did(tmp_path):
    table = Simulation(rows=120, rule="c-terminal", effect="soft").table()
    result = seqloom.compare(table, out=tmp_path / "run", settings=FAST)
    assert {row["variant"] for row in result.leaderboard if row["baseline"]} == ALWAYS
    assert_predicted_again(tmp_path / "run" / "composition", table, tmp_path)


@pytest.mark.parametrize("kind", ["group-mean", "substitution", "hydropathy"])
def test_real_variants_are_predicted_again_as_they_were(stability, tmp_path, kind):
    folder, table, result = stability
    assert {row["variant"] for row in result.leaderboard if row["baseline"]} == {*ALWAYS, *OF_VARIANTS, "group-mean"}
    assert_predicted_again(folder / kind, table, tmp_path)


def test_hydropathy_says_something_of_real_stabilities(stability):
    scores = {row["variant"]: row["metrics"]["spearman"]["value"] for row in stability[2].leaderboard}
    assert scores["hydropathy"] > 0.15
    assert scores["group-mean"] > 0.1


def test_a_model_that_is_no_better_than_a_baseline_hears_it_first(clans):
    assert clans[2].verdict.startswith("the baseline 'group-mean' is better than every model: than knn")


def test_predictions_without_the_group_column_are_the_mean_and_say_so(clans, tmp_path):
    folder, table, _ = clans
    assert_predicted_again(folder / "group-mean", table, tmp_path)
    facts = predict(folder / "group-mean", table.drop_columns(["clan"]), tmp_path / "bare.csv")
    assert [(each["code"], each["count"]) for each in facts["findings"]] == [("no-groups", 120)]
    bare = csv.read_csv(tmp_path / "bare.csv")["pred"].to_numpy()
    assert np.ptp(bare) == 0
    assert bare[0] == pytest.approx(2.5, abs=0.3)


@pytest.fixture(scope="module")
def clans(tmp_path_factory):
    """A comparison of peptides whose target follows from their group alone: folder, table and result."""
    target = np.arange(120) % 6 + np.random.default_rng(0).normal(0, 0.1, 120)
    table = pa.table({"sequence": peptides(120), "target": target, "clan": [f"clan {row % 6}" for row in range(120)]})
    folder = tmp_path_factory.mktemp("clans") / "run"
    return folder, table, seqloom.compare(table, out=folder, settings={**FAST, "data.group": "clan"})


@pytest.fixture(scope="module")
def stability(data, tmp_path_factory):
    """A comparison of single mutants of ten proteins with measured stabilities: folder, table and result."""
    columns = csv.read_csv(data / "stability" / "jin_v2_train.csv").select(["mut_seq", "ddG", "pdb"])
    counts = {each["values"]: each["counts"] for each in columns["pdb"].value_counts().to_pylist()}
    chosen = sorted(pdb for pdb in counts if 20 <= counts[pdb] <= 30)[:10]
    table = columns.filter(pa.compute.is_in(columns["pdb"], pa.array(chosen))).drop_columns(["pdb"])
    folder = tmp_path_factory.mktemp("stability") / "run"
    return folder, table, seqloom.compare(table, out=folder, target="ddG", settings=FAST)


def assert_predicted_again(folder, table, tmp_path):
    """Test rows are predicted by the saved run as they were when it was made."""
    stored = pq.read_table(folder / "predictions.parquet")
    predict(folder, table, tmp_path / "again.parquet")
    fresh = pq.read_table(tmp_path / "again.parquet")["pred"].to_numpy()
    np.testing.assert_allclose(fresh[stored["row"].to_numpy() - 1], stored["pred"].to_numpy(), rtol=0, atol=1e-9)

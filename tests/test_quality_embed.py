"""Clouds of sequences: distances agree with independent implementations, and order sets as a reader would."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from seqloom.alphabet import DNA, PROTEIN, SMILES
from seqloom.errors import DataError
from seqloom.quality.clouds import (
    NEIGHBOURS,
    Cloud,
    Clouds,
    frechet,
    frechet_to,
    kernel_mmd,
    mmd,
    spectrum_mmd,
    value_of,
)
from seqloom.quality.embed import Spectrum, drawn, external, places, vectors
from seqloom.table import read_table
from seqloom.tokens import Tokens

RNG = np.random.default_rng(0)


def points(n: int, n_dims: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng([n, n_dims]).normal(shift, 1, (n, n_dims))


def test_the_frechet_distance_is_that_of_scipy_s_matrix_root() -> None:
    a, b = points(200, 7), points(90, 7, 0.4) @ np.random.default_rng(2).normal(size=(7, 7))
    means, covariances = [each.mean(axis=0) for each in (a, b)], [np.cov(each, rowvar=False) for each in (a, b)]
    both = np.trace(sqrtm(covariances[0] @ covariances[1])).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * both
    assert frechet(means[0], covariances[0], means[1], covariances[1]) == pytest.approx(expected)
    assert frechet_to(a, b)(np.arange(200)) == pytest.approx(expected)
    assert frechet_to(a, b)(np.arange(0, 200, 2)) == pytest.approx(frechet_to(a[::2], b)(np.arange(100)))


def test_the_frechet_distance_of_numbers_is_known_by_hand_and_of_equal_sets_is_nothing() -> None:
    one = np.ones(1)
    assert frechet(one * 3, np.array([[4.0]]), one, np.array([[9.0]])) == pytest.approx(4 + (2 - 3) ** 2)
    flat = np.outer(np.arange(40.0), [1, 2, 3, 0, 0])  # one dimension of five is used
    assert frechet_to(flat, flat)(np.arange(40)) == pytest.approx(0, abs=1e-9)
    assert frechet_to(flat, flat + 2)(np.arange(40)) == pytest.approx(20)
    assert np.isnan(frechet_to(flat, flat[:1])(np.arange(40)))
    assert np.isnan(frechet_to(flat, flat)(np.array([1])))


def test_the_kernel_distance_is_the_mean_over_pairs_of_distinct_rows() -> None:
    a, b = points(9, 3), points(7, 3, 0.5)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x @ y / 3 + 1) ** 3)

    expected = (
        np.mean([kernel(a[i], a[j]) for i, j in itertools.permutations(range(9), 2)])
        + np.mean([kernel(b[i], b[j]) for i, j in itertools.permutations(range(7), 2)])
        - 2 * np.mean([kernel(x, y) for x in a for y in b])
    )
    of = kernel_mmd(a, b)
    assert of(np.arange(9)) == pytest.approx(expected)
    assert of(np.array([0, 3, 5])) == pytest.approx(kernel_mmd(a[[0, 3, 5]], b)(np.arange(3)))
    assert of(np.repeat(np.arange(9), 2)) == pytest.approx(expected)  # copies of a row say nothing new
    assert np.isnan(of(np.array([4, 4])))
    assert np.isnan(mmd(np.ones((3, 3)), np.ones((3, 1)), np.ones((1, 1)))(np.arange(3)))


def test_the_kernel_distance_of_two_draws_of_one_source_is_about_nothing() -> None:
    found = [
        kernel_mmd(*np.split(np.random.default_rng(seed).normal(size=(80, 4)), 2))(np.arange(40)) for seed in range(60)
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(60)


def test_the_spectrum_kernel_is_the_cosine_of_the_counts_of_words() -> None:
    # ACAC has AC twice and CA once; ACA has each once.
    of = spectrum_mmd(DNA.encode(["ACAC", "ACA"]), DNA.encode(["GGG", "TTT"]), DNA, k=2)
    assert of(np.arange(2)) == pytest.approx(3 / np.sqrt(5 * 2))


@pytest.mark.parametrize(("n", "m"), [(30, 40), (3, 4), (1, 50), (40, 1)])
def test_precision_recall_density_and_coverage_are_those_of_a_slow_loop(n: int, m: int) -> None:
    own, other = points(n, 2), points(m, 2, 0.3)
    found = Clouds(Cloud(own), Cloud(other), None).measures()

    def radii(x: np.ndarray) -> list[float]:
        k = min(NEIGHBOURS, len(x) - 1)
        return [sorted(row)[k] for row in cdist(x, x)]

    near = cdist(own, other) <= np.array(radii(other)) + 1e-12
    covers = cdist(own, other) <= np.array(radii(own))[:, None] + 1e-12
    np.testing.assert_array_equal(found["precision"], near.any(axis=1))
    np.testing.assert_allclose(found["density"], near.sum(axis=1) / max(min(NEIGHBOURS, m - 1), 1))
    assert value_of(found["coverage"], n) == near.any(axis=0).mean()
    assert value_of(found["recall"], n) == covers.any(axis=0).mean()
    assert value_of(found["coverage"], 0) != value_of(found["coverage"], n)  # NaN of no samples


def test_components_are_those_of_an_exact_decomposition() -> None:
    generator = np.random.default_rng(3)
    ancestors = generator.integers(1, 5, (6, 40))
    rows = ancestors[generator.integers(0, 6, 300)]
    change = generator.random(rows.shape) < 0.1
    rows[change] = generator.integers(1, 5, int(change.sum()))
    tokens = Tokens(rows.ravel().astype(np.uint8), np.arange(301) * 40)
    placed = Spectrum.of(tokens, DNA, dims=5)(tokens)
    counts = np.array([[overlapping(text, w) for w in words()] for text in DNA.decode(tokens)], float)
    unit = counts / np.linalg.norm(counts, axis=1, keepdims=True)
    unit -= unit.mean(axis=0)
    exact = np.linalg.svd(unit, full_matrices=False)
    expected = exact[0][:, :5] * exact[1][:5]
    expected /= np.sqrt((expected**2).mean())
    np.testing.assert_allclose(np.abs(placed), np.abs(expected), atol=1e-4)
    assert (placed**2).mean() == pytest.approx(1)


def test_few_and_equal_sequences_have_few_components() -> None:
    few = PROTEIN.encode(["MKVLAAGHTR", "MKVLSAGHTR", "MRVLAAGHTR"])
    assert Spectrum.of(few, PROTEIN)(few).shape == (3, 1)
    equal = PROTEIN.encode(["MKVLAAGHTR"] * 200)
    np.testing.assert_allclose(Spectrum.of(equal, PROTEIN)(equal), 0, atol=1e-9)
    short = PROTEIN.encode(["MK", "", "A"])
    assert Spectrum.of(short, PROTEIN)(few).shape == (3, 1)
    assert Spectrum.of(PROTEIN.encode([]), PROTEIN)(few).shape == (3, 1)
    molecules = SMILES.encode(["CCO", "CCN", "c1ccccc1"] * 60)
    assert Spectrum.of(molecules, SMILES)(molecules).shape == (180, 3)


def test_placing_is_the_same_for_a_seed() -> None:
    tokens = Tokens(RNG.integers(1, 21, 6000).astype(np.uint8), np.arange(201) * 30)
    np.testing.assert_array_equal(Spectrum.of(tokens, PROTEIN)(tokens), Spectrum.of(tokens, PROTEIN)(tokens))


def test_sets_are_ordered_as_a_reader_would(data: Path) -> None:
    tokens = read_table(data / "families" / "PF00072_response_regulator.fasta.gz").tokens()
    order = np.random.default_rng(0).permutation(len(tokens))
    held_out, train, fresh = (tokens.take(order[part]) for part in (slice(0, 400), slice(400, 2400), slice(2400, 2800)))
    embedder = Spectrum.of(train, PROTEIN)
    sets = {
        "fresh": fresh,
        "mutated": mutated(train.take(np.arange(400)), 0.3),
        "random": mutated(train.take(np.arange(400)), 1.0),
        "collapsed": train.take(np.zeros(400, int)),
    }
    found = {}
    for name, own in sets.items():
        clouds = Clouds.of(own, held_out, train, embedder)
        found[name] = {key: value_of(each, 400) for key, each in clouds.measures().items()}
    floors = clouds.floors()
    for key in ("frechet", "kernel_mmd", "spectrum_mmd"):
        assert found["fresh"][key] < found["mutated"][key] < found["random"][key] < found["collapsed"][key]
        assert found["fresh"][key] < floors[key] + 0.5 * found["mutated"][key]
    assert found["fresh"]["precision"] > 0.8 > 0.5 > found["mutated"]["precision"] > found["random"]["precision"]
    assert found["fresh"]["coverage"] > 0.8 > 0.5 > found["mutated"]["coverage"]
    assert found["collapsed"]["coverage"] < 0.05
    assert clouds.warning() == ""


def test_few_sequences_are_warned_of_and_nothing_held_out_has_no_floor() -> None:
    few = Clouds(Cloud(points(20, 8)), Cloud(points(60, 8)), None)
    assert few.warning().startswith("20 sequences in 8 dimensions: a Frechet distance needs 40")
    assert all(np.isnan(value) for value in few.floors().values())
    train = mutated(PROTEIN.encode(["MKVLAAGHTRSEWDFK"] * 60), 0.5)
    clouds = Clouds.of(train.take(np.arange(5)), PROTEIN.encode([]), train, Spectrum.of(train, PROTEIN))
    assert clouds.reference.n == 60
    assert clouds.resampled is None
    nothing = Clouds.of(PROTEIN.encode([]), train, train, Spectrum.of(train, PROTEIN))
    assert all(np.isnan(value_of(each, 0)) for each in nothing.measures().values())


def test_a_function_or_a_file_takes_the_place_of_the_spectrum(tmp_path: Path) -> None:
    tokens = PROTEIN.encode(["MKV", "AC", "L"] * 10)
    embedder = external(lambda texts: np.array([[len(each), each.count("K")] for each in texts]), PROTEIN)
    assert embedder(tokens)[:3].tolist() == [[3, 1], [2, 0], [1, 0]]
    assert "spectrum_mmd" not in Clouds.of(tokens, tokens, tokens, embedder).measures()
    with pytest.raises(DataError, match=r"got float64 \(30,\), and 30 sequences need numbers \(30, D\)"):
        external(lambda texts: np.zeros(len(texts)), PROTEIN)(tokens)
    with pytest.raises(DataError, match="1 of 30 vectors hold numbers that are not finite"):
        external(lambda texts: np.where(np.arange(len(texts)) == 4, np.nan, 0)[:, None], PROTEIN)(tokens)
    np.save(tmp_path / "v.npy", np.ones((30, 4), np.float32))
    np.savez(tmp_path / "v.npz", samples=np.ones((30, 4)))
    assert vectors(tmp_path / "v.npy", 30).shape == (30, 4)
    assert vectors(tmp_path / "v.npz", 30, "samples").dtype == np.float64
    with pytest.raises(DataError, match="no array 'train'; it has samples"):
        vectors(tmp_path / "v.npz", 30, "train")
    with pytest.raises(DataError, match="12 sequences need numbers"):
        vectors(tmp_path / "v.npy", 12)
    (tmp_path / "odd.npy").write_text("no array")
    with pytest.raises(DataError, match="no file of vectors"):
        vectors(tmp_path / "odd.npy", 1)
    with pytest.raises(DataError, match="no file of vectors"):
        vectors(tmp_path / "missing.npy", 1)


def test_a_map_lays_every_set_on_the_components_of_the_first() -> None:
    train = points(60, 5) * [3, 2, 0.1, 0.1, 0.1]
    drawn_there = places({"train": train, "samples": train[:7], "none": np.zeros((0, 5))})
    np.testing.assert_allclose(drawn_there["samples"], drawn_there["train"][:7])
    assert drawn_there["none"].shape == (0, 2)
    assert np.corrcoef(drawn_there["train"][:, 0], train[:, 0])[0, 1] > 0.99
    assert places({"one": np.ones((4, 1))})["one"].shape == (4, 2)
    near = places({"a": train[:20], "b": train[20:30] + 50}, "tsne")
    assert near["a"].shape == (20, 2)
    assert cdist(near["a"], near["a"]).mean() < cdist(near["a"], near["b"]).mean()


def test_a_draw_is_of_distinct_rows_and_the_same_for_a_seed() -> None:
    assert len(np.unique(drawn(500, 20, 0))) == 20
    assert drawn(500, 20, 0).tolist() == drawn(500, 20, 0).tolist() != drawn(500, 20, 1).tolist()
    assert drawn(5, 20, 0).tolist() == [0, 1, 2, 3, 4]


def words() -> list[str]:
    return ["".join(each) for each in itertools.product("ACGT", repeat=3)]


def overlapping(text: str, word: str) -> int:
    return sum(text[i : i + 3] == word for i in range(len(text) - 2))


def mutated(tokens: Tokens, share: float) -> Tokens:
    generator = np.random.default_rng(5)
    change = generator.random(len(tokens.values)) < share
    other = generator.integers(1, 21, len(tokens.values)).astype(np.uint8)
    return Tokens(np.where(change, other, tokens.values), tokens.offsets)

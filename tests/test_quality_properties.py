"""Physico-chemical numbers agree with Biopython's, and their distances with SciPy's."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from seqloom.alphabet import DNA, PROTEIN, SMILES
from seqloom.quality.properties import distances, properties, wasserstein
from seqloom.table import read_table
from seqloom.tokens import Tokens


def test_numbers_of_proteins_agree_with_biopython() -> None:
    protein_analysis = pytest.importorskip("Bio.SeqUtils.ProtParam").ProteinAnalysis
    generator = np.random.default_rng(0)
    # Biopython has other pK values for some residues at the ends; G and K have those of any residue.
    texts = ["G" + "".join(generator.choice(list(PROTEIN.standard), length)) + "K" for length in (8, 30, 90, 400)]
    found = properties(PROTEIN.encode(texts), PROTEIN)
    for row, text in enumerate(texts):
        peer = protein_analysis(text)
        assert found["weight"][row] == pytest.approx(peer.molecular_weight(), rel=2e-4)
        assert found["isoelectric_point"][row] == pytest.approx(peer.isoelectric_point(), abs=0.01)
        assert found["charge"][row] == pytest.approx(peer.charge_at_pH(7.0), abs=0.01)
        assert found["gravy"][row] == pytest.approx(peer.gravy())
        assert found["aromaticity"][row] == pytest.approx(peer.aromaticity())


def test_the_aliphatic_index_is_that_of_the_paper_s_formula() -> None:
    # 25 % each of A, V, I, L: 25 + 2.9 * 25 + 3.9 * 50 (Ikai 1980)
    assert properties(PROTEIN.encode(["AVIL"]), PROTEIN)["aliphatic_index"].tolist() == [pytest.approx(292.5)]


def test_unknown_residues_change_the_length_and_the_weight_only() -> None:
    found = properties(PROTEIN.encode(["MKVL", "MKVLXX"]), PROTEIN)
    for name in ("gravy", "isoelectric_point", "aliphatic_index", "charge", "aromaticity"):
        assert found[name][0] == found[name][1]
    assert found["weight"][1] - 18.02 == pytest.approx(1.5 * (found["weight"][0] - 18.02))


def test_sequences_without_a_residue_have_a_length_and_nothing_else() -> None:
    found = properties(PROTEIN.encode(["", "XX"]), PROTEIN)
    assert found["length"].tolist() == [0, 2]
    assert all(np.isnan(values).all() for name, values in found.items() if name != "length")


def test_nucleic_acids_have_their_share_of_g_and_c_and_smiles_their_length() -> None:
    assert properties(DNA.encode(["GGCA", "NNAC"]), DNA)["gc"].tolist() == [0.75, 0.5]
    assert list(properties(SMILES.encode(["CCO"]), SMILES)) == ["length"]


def test_no_sequences_have_numbers_of_no_rows() -> None:
    assert all(len(values) == 0 for values in properties(PROTEIN.encode([]), PROTEIN).values())


def test_the_distance_is_scipy_s_with_ties_and_unequal_numbers_of_rows() -> None:
    generator = np.random.default_rng(1)
    for n, m in ((1, 1), (5, 90), (300, 40)):
        left, right = generator.integers(0, 12, n).astype(float), generator.normal(5, 3, m).round(1)
        assert wasserstein(left, right) == pytest.approx(wasserstein_distance(left, right), abs=1e-12)


def test_a_distance_is_in_natural_standard_deviations_and_draws_are_distances_of_their_rows() -> None:
    train = {"length": np.array([10.0, 14.0]), "only_here": np.zeros(2)}
    found = distances({"length": np.array([20.0, 22.0, np.nan])}, {"length": np.array([13.0])}, train)
    assert list(found) == ["length"]
    assert found["length"].scale == 2
    assert found["length"].value == pytest.approx(4.0)
    assert found["length"].floor == pytest.approx(1.0)
    assert found["length"](np.array([0, 0, 2])) == pytest.approx(3.5)


def test_nothing_held_out_compares_with_training_and_has_no_floor() -> None:
    found = distances({"gc": np.array([0.5])}, {}, {"gc": np.array([0.5, 0.5])})["gc"]
    assert found.value == 0
    assert found.scale == 1
    assert np.isnan(found.floor)
    assert np.isnan(found(np.zeros(0, int)))


def test_held_out_proteins_are_near_those_of_training_and_shuffled_ones_differ_in_nothing_but_order(data: Path) -> None:
    tokens = read_table(data / "families" / "PF00708_acylphosphatase.fasta").tokens()
    order = np.random.default_rng(0).permutation(len(tokens))
    held_out, train = tokens.take(order[:100]), tokens.take(order[100:])
    found = distances(*(properties(each, PROTEIN) for each in (held_out, held_out, train)))
    assert all(each.value == 0 and each.floor < 0.3 for each in found.values())
    random = Tokens(np.random.default_rng(0).integers(1, 21, len(held_out.values)).astype(np.uint8), held_out.offsets)
    far = distances(*(properties(each, PROTEIN) for each in (random, held_out, train)))
    assert far["length"].value == 0
    assert far["aliphatic_index"].value > 0.5

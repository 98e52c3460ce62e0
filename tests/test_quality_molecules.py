"""Molecules: what can be read and why not, what is new, and how varied they are."""

import csv
from pathlib import Path

import numpy as np
import pytest

from seqloom.quality.molecules import PROPERTIES, Molecules

pytest.importorskip("rdkit")


def test_every_fault_has_its_reason() -> None:
    faults = {
        "CCO": "",
        "": "empty",
        "CC(": "syntax",
        "C1CC": "syntax",
        "CX": "syntax",
        "C(C)(C)(C)(C)C": "valence",
        "c1cccc1": "aromaticity",
    }
    own = Molecules.of(list(faults))
    assert own.reasons == list(faults.values())
    assert own.valid.tolist() == [not reason for reason in faults.values()]


def test_spellings_of_one_molecule_are_one_molecule_and_nonsense_is_neither_distinct_nor_new() -> None:
    own = Molecules.of(["CCO", "OCC", "c1ccccc1", "C1=CC=CC=C1", "nonsense", "CN"])
    assert own.distinct()(np.arange(6)) == 3 / 5
    assert own.distinct()(np.array([0, 2])) == 1.0
    assert np.isnan(own.distinct()(np.array([4])))
    np.testing.assert_array_equal(own.novel(Molecules.of(["OCC", "nonsense"])), [0, 0, 1, 1, np.nan, 1])


def test_the_nearest_is_rdkit_s_most_alike() -> None:
    from rdkit.Chem import MolFromSmiles
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.DataStructs import TanimotoSimilarity

    own, train = ["CCOC(=O)c1ccccc1", "nonsense", "CCN", "[He]"], ["CCOC(=O)c1ccncc1", "CCCN", "also nonsense"]
    prints = GetMorganGenerator(radius=2, fpSize=2048)
    read = {text: prints.GetFingerprint(MolFromSmiles(text)) for text in own + train if "nonsense" not in text}
    expected = [
        max(TanimotoSimilarity(read[text], read[other]) for other in train[:2]) if text in read else np.nan
        for text in own
    ]
    np.testing.assert_allclose(Molecules.of(own).nearest(Molecules.of(train)), expected, rtol=1e-6)
    assert np.isnan(Molecules.of(own).nearest(Molecules.of(["nonsense"]))).all()
    # Molecules without a bit in common with the training ones have a similarity of 0, not none.
    assert Molecules.of(["[He]"]).nearest(Molecules.of(["CCO"])).tolist() == [0.0]


def test_internal_diversity_is_one_less_the_mean_over_pairs() -> None:
    from rdkit.Chem import MolFromSmiles
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.DataStructs import TanimotoSimilarity

    texts = ["CCOC(=O)c1ccccc1", "CCOC(=O)c1ccncc1", "CCCN", "nonsense"]
    prints = [GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(MolFromSmiles(text)) for text in texts[:3]]
    pairs = [TanimotoSimilarity(prints[i], prints[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    of = Molecules.of(texts).internal_diversity()
    assert of(np.arange(4)) == pytest.approx(1 - np.mean(pairs), abs=1e-6)
    assert of(np.array([0, 2])) == pytest.approx(1 - pairs[1], abs=1e-6)
    assert np.isnan(of(np.array([0, 0, 3])))
    assert Molecules.of(["CCO"] * 50).internal_diversity()(np.arange(50)) == 0


def test_scaffolds_are_counted_among_molecules_with_a_ring() -> None:
    own = Molecules.of(["Cc1ccccc1", "CCc1ccccc1", "C1CCNCC1", "CCO", "nonsense"])
    assert own.scaffolds == ["c1ccccc1", "c1ccccc1", "C1CCNCC1", "", ""]
    assert own.distinct_scaffolds()(np.arange(5)) == 2 / 3
    assert np.isnan(own.distinct_scaffolds()(np.array([3, 4])))


def test_numbers_of_aspirin_are_those_of_its_data_sheet() -> None:
    found = Molecules.of(["CC(=O)Oc1ccccc1C(=O)O", "nonsense"]).properties
    assert list(found) == list(PROPERTIES)
    assert found["weight"][0] == pytest.approx(180.16, abs=0.01)
    assert found["tpsa"][0] == pytest.approx(63.6, abs=0.1)
    assert found["logp"][0] == pytest.approx(1.31, abs=0.05)
    assert found["qed"][0] == pytest.approx(0.55, abs=0.01)
    assert [found[name][0] for name in ("rings", "donors")] == [1, 1]
    assert all(np.isnan(values[1]) for values in found.values())


def test_nothing_and_only_nonsense_have_no_numbers() -> None:
    for texts in ([], ["nonsense", ""]):
        own = Molecules.of(texts)
        rows = np.arange(own.n)
        for measure in (own.distinct(), own.distinct_scaffolds(), own.internal_diversity()):
            assert np.isnan(measure(rows))
        assert np.isnan(own.nearest(Molecules.of(["CCO"]))).all()
        assert not own.valid.any()


def test_half_of_a_library_is_new_to_the_other_half_and_near_it(data: Path) -> None:
    with (data / "smallmol" / "delaney.csv").open() as file:
        texts = [row["smiles"] for row in csv.DictReader(file)]
    order = np.random.default_rng(0).permutation(len(texts))
    train, own = (Molecules.of([texts[row] for row in rows]) for rows in np.split(order, [len(order) // 2]))
    assert own.valid.all()
    assert np.nanmean(own.novel(train)) > 0.95
    assert 0.3 < np.nanmedian(own.nearest(train)) < 0.8
    assert 0.8 < own.internal_diversity()(np.arange(own.n)) < 1
    assert np.nanmean(own.novel(own)) == 0
    assert (own.nearest(own) == 1).all()

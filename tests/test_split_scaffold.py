"""The split of molecules by their ring systems, told again by RDKit."""

import numpy as np
import pytest

from seqloom.errors import DataError
from seqloom.split.base import TRAIN, VALID
from seqloom.table import DataSection, read_table
from split_tables import PLENTY, of, parted, sides, splitter_of, table_of


def ring_systems(smiles):
    """The scaffold of each SMILES, its canonical spelling where it has none, or itself where it cannot be read."""
    Chem = pytest.importorskip("rdkit.Chem", reason="needs rdkit")  # noqa: N806 - as RDKit writes it
    from rdkit import rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    found = []
    with rdBase.BlockLogs():
        for each in smiles:
            molecule = Chem.MolFromSmiles(each)
            scaffold = molecule and Chem.MolToSmiles(MurckoScaffold.GetScaffoldForMol(molecule), isomericSmiles=False)
            found.append(scaffold or (Chem.MolToSmiles(molecule) if molecule else each))
    return found


@pytest.mark.parametrize(
    ("name", "target", "folds"),
    [
        ("BBBP", "p_np", 1),
        ("bace", "Class", 5),
        ("delaney", "logp", 1),
        ("freesolv", "freesolv", 3),
    ],
)
def test_no_scaffold_of_a_published_table_stands_on_both_sides(data, name, target, folds):
    table = read_table(data / f"smallmol/{name}.csv", DataSection(alphabet="smiles"), (target,))
    rings = ring_systems(table.sequences().to_pylist())
    partition, audit = parted(table, "scaffold", folds=folds)
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert not of(rings, fitted) & of(rings, tested)
        assert not of(rings, partition.rows(fold, TRAIN)) & of(rings, partition.rows(fold, VALID))
        assert len(tested) == pytest.approx(table.n_rows * (0.2 if folds == 1 else 1 / folds), rel=0.1)
    assert "Murcko scaffold" in audit.facts["guarantee"]


def test_two_spellings_and_mirror_images_stay_together_and_other_rings_part():
    pytest.importorskip("rdkit", reason="needs rdkit")
    same = [
        "OCC",
        "C(O)C",
        "CCO",
        "Cc1ccccc1",
        "Oc1ccccc1",
        "CC1CCCO1",
        "C[C@H]1CCCO1",
        "C[C@@H]1CCCO1",
        "C1CC",
        "C1CC",
    ]
    table = table_of([*same, "CCN", "C1CCCCC1"], alphabet="smiles")
    units = splitter_of("scaffold").units(table).tolist()
    assert len(set(units[:3])) == len(set(units[3:5])) == len(set(units[5:8])) == len(set(units[8:10])) == 1
    assert len(set(units)) == 6


def test_smiles_that_cannot_be_read_are_dealt_by_their_text_and_named():
    pytest.importorskip("rdkit", reason="needs rdkit")
    table = table_of(["C1CC", "CCO", "C1CC", *(f"C{'C' * i}O" for i in range(1, 30))], alphabet="smiles")
    partition, _ = parted(table, "scaffold")
    assert partition.counts(0)["unused"] == 0
    assert partition.roles[0, 0] == partition.roles[0, 2]
    (found,) = splitter_of("scaffold").findings(table)
    assert "2 of 32 SMILES of column 'sequence' cannot be read by RDKit" in found.message


def test_a_table_without_smiles_has_no_scaffolds():
    with pytest.raises(
        DataError, match=r"kind = 'scaffold' is for SMILES, and 'sequence' is protein; name .* --sequence COLUMN"
    ):
        parted(table_of(PLENTY[:30]), "scaffold")


def test_beside_a_protein_the_molecule_alone_is_split_by_scaffold():
    smiles = [f"{'C' * n}c1ccccc1" for n in range(1, 11)] + [f"{'C' * n}C1CCCO1" for n in range(1, 11)]
    rings = ring_systems(smiles)
    both = {"sequence": ("sequence", "drug"), "alphabet": {"sequence": "protein", "drug": "smiles"}}
    table = table_of(PLENTY[:20], section=both, drug=smiles)
    fitted, tested = sides(parted(table, "scaffold")[0])
    assert not of(rings, fitted) & of(rings, tested)
    assert len(tested) == 10


def test_the_same_seed_gives_the_same_partition_and_another_seed_another():
    pytest.importorskip("rdkit", reason="needs rdkit")
    smiles = [f"{'C' * n}{ring}" for n in range(1, 13) for ring in ("c1ccccc1", "C1CCCO1", "N", "C(O)O", "OCS")]
    table = table_of(smiles, alphabet="smiles")
    first, again, other = (parted(table, "scaffold", seed=seed)[0].roles for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)

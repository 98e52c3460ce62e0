"""Molecules as RDKit reads them: one spelling, scaffolds, fingerprints, and what cannot be read."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from seqloom.chemistry import canonical, fingerprints, molecules, scaffolds, unread_smiles, unreadable
from seqloom.errors import MissingExtra
from seqloom.table import DataSection, read_table

Chem = pytest.importorskip("rdkit.Chem", reason="rdkit is not installed; pip install 'seqloom[chem]'")

DRUGS = ["CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CCO", "C"]
ODD = ["", "C1CC", "c1cccc", "CC(C)(C)(C)C", "O=CO[AlH3](OC=O)OC=O", "nonsense", "C>>C"]


def smiles_table(smiles, **columns):
    section = DataSection(sequence=("smiles",), alphabet="smiles", id="name" if "name" in columns else "")
    return read_table(pa.table({"smiles": smiles, "y": np.arange(len(smiles)) + 0.5, **columns}), section, ("y",))


def test_what_is_no_molecule_is_none_and_keeps_its_place():
    read = molecules(["CCO", *ODD, "C"])
    assert [each is None for each in read] == [False, *[True] * len(ODD), False]
    assert unreadable(["CCO", *ODD, "C"]).tolist() == [each is None for each in read]
    assert read[0].GetNumAtoms() == 3


def test_two_spellings_of_a_molecule_become_one_and_odd_ones_stay_as_they_are():
    assert len(set(canonical(["OCC", "C(O)C", "CCO", "[CH3][CH2][OH]"]))) == 1
    assert len(set(canonical(["Cc1ccccc1", "CC1=CC=CC=C1"]))) == 1
    assert canonical(ODD) == ODD


def test_mirror_images_are_two_molecules_with_one_scaffold():
    pair = ["C[C@H](N)C1CCCO1", "C[C@@H](N)C1CCCO1"]
    assert len(set(canonical(pair))) == 2
    assert len(set(scaffolds([*pair, "C[C@H](N)[C@H]1CCCO1"]))) == 1


def test_scaffolds_are_rings_and_what_links_them():
    assert scaffolds(["Cc1ccccc1O", "CCO", "c1ccc(cc1)CCCC1CC1C", "CCC(=O)C1CCC(=O)CC1"]) == [
        "c1ccccc1", "", "c1ccc(CCCC2CC2)cc1", "O=C1CCCCC1",
    ]  # fmt: skip
    assert scaffolds(ODD) == ODD


def test_scaffolds_of_salts_leave_out_fragments_without_a_ring():
    assert scaffolds(["Cl.Cc1ccncc1", "[Na+].[O-]C(=O)c1ccccc1"]) == ["c1ccncc1", "c1ccccc1"]


@pytest.mark.parametrize(("radius", "bits"), [(2, 2048), (3, 1024), (1, 64)])
def test_packed_bits_are_those_of_the_morgan_generator(radius, bits):
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    generator = GetMorganGenerator(radius=radius, fpSize=bits)
    packed, unread = fingerprints([*DRUGS, "nonsense", DRUGS[0]], radius, bits)
    assert packed.dtype == np.uint64
    assert packed.shape == (7, bits // 64)
    assert unread.tolist() == [False] * 5 + [True, False]
    for row, text in [*enumerate(DRUGS), (6, DRUGS[0])]:
        wanted = np.flatnonzero(generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(text)))
        got = [bit for bit in range(bits) if int(packed[row, bit // 64]) >> (bit % 64) & 1]
        assert got == wanted.tolist()
    assert not packed[5].any()


def test_tanimoto_of_packed_bits_is_that_of_rdkit():
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.DataStructs import TanimotoSimilarity

    packed, _ = fingerprints(DRUGS)
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(each)) for each in DRUGS]
    for i in range(len(DRUGS)):
        for j in range(len(DRUGS)):
            both = np.bitwise_count(packed[i] & packed[j]).sum() / np.bitwise_count(packed[i] | packed[j]).sum()
            assert both == pytest.approx(TanimotoSimilarity(prints[i], prints[j]))


def test_bits_that_do_not_fill_whole_numbers_are_refused():
    for wrong in (0, 100, -64):
        with pytest.raises(ValueError, match="a multiple of 64"):
            fingerprints(DRUGS, bits=wrong)


def test_no_molecules_give_no_rows():
    assert molecules([]) == canonical([]) == scaffolds([]) == []
    packed, unread = fingerprints([])
    assert packed.shape == (0, 32)
    assert unread.shape == unreadable([]).shape == (0,)


def test_rdkit_says_nothing_on_the_terminal(capfd):
    assert all(made is not None for made in (molecules(ODD), canonical(ODD), scaffolds(ODD), fingerprints(ODD)))
    assert capfd.readouterr() == ("", "")
    Chem.MolFromSmiles("nonsense")
    assert "nonsense" in capfd.readouterr().err  # and its log is as it was


def test_without_rdkit_the_message_says_what_to_type(monkeypatch):
    for name in [each for each in sys.modules if each.split(".")[0] == "rdkit"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rdkit", None)
    for function in (molecules, unreadable, canonical, scaffolds, fingerprints):
        with pytest.raises(MissingExtra, match=r"pip install 'seqloom\[chem\]'"):
            function(["C"])


def test_rows_that_cannot_be_read_are_counted_and_named():
    table = smiles_table(["CCO", "C1CC", "CCN", "c1cccc"], name=["a", "b", "c", "d"])
    found = unread_smiles(table, "smiles")
    assert (found.severity, found.count, found.rows) == ("warning", 2, (2, 4))
    assert found.message.endswith(
        "2 of 4 SMILES of column 'smiles' cannot be read by RDKit; kept, and compared as text: row 2 (b): 'C1CC'; row 4 (d): 'c1cccc'"
    )
    assert unread_smiles(smiles_table(["CCO", "CCN"]), "smiles") is None


@pytest.mark.parametrize(
    ("name", "target", "n_unread"), [("tox21", "NR-AR", 8), ("freesolv", "freesolv", 0), ("BBBP", "p_np", 0)]
)
def test_published_tables_hold_few_smiles_that_cannot_be_read(data, name, target, n_unread):
    table = read_table(data / f"smallmol/{name}.csv", DataSection(alphabet="smiles"), (target,))
    found = unread_smiles(table, table.roles.sequences[0])
    assert (found.count if found else 0) == n_unread
    if found:
        assert found.message.count("row ") == 5
        assert found.message.endswith("; ...")

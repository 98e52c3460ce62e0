"""Simulated libraries: products of building blocks, their planted activity, and blocks from a table of molecules."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.metrics import roc_auc_score

from seqloom.blocks import Blocks, own_blocks, read_blocks
from seqloom.cli import main
from seqloom.errors import ConfigError, DataError
from seqloom.library import Library, LibrarySettings


def table(**settings) -> pa.Table:
    return pa.concat_tables(Library.of(LibrarySettings(**settings)).batches())


def test_products_are_distinct_and_rdkit_reads_them_as_a_ring_with_three_blocks():
    chemistry = pytest.importorskip("rdkit.Chem")
    made = table(rows=400)
    ring = chemistry.MolFromSmarts("c1(N)nc(N)nc(N)n1")
    molecules = [chemistry.MolFromSmiles(each) for each in made["smiles"].to_pylist()]
    assert all(each is not None and each.HasSubstructMatch(ring) for each in molecules)
    assert len({chemistry.MolToSmiles(each) for each in molecules}) == 400


def test_every_number_is_another_triple_of_blocks():
    own = own_blocks()
    few = Blocks(own.acids[:5], own.acid_texts[:5], own.amines[:40], own.amine_texts[:40])
    for library in (Library(LibrarySettings(rows=2), few), Library.of(LibrarySettings(rows=2))):
        numbers = np.arange(library.n_products)[-5000:]
        acid, first, second = library.blocks_of(numbers)
        assert (second < first).all()
        n = len(library.blocks.amines)
        assert len(np.unique((acid * n + first) * n + second)) == len(numbers)
        assert (acid[-1], first[-1], second[-1]) == (len(library.blocks.acids) - 1, n - 1, n - 2)


def test_own_blocks_are_distinct_and_named():
    blocks = own_blocks()
    for names, texts in ((blocks.acids, blocks.acid_texts), (blocks.amines, blocks.amine_texts)):
        assert len(set(names)) == len(set(texts)) == len(names)
        assert all(text.startswith("N") for text in texts)


def test_a_longer_library_begins_with_the_shorter_one_and_another_seed_is_another():
    short, long, other = table(rows=500), table(rows=900), table(rows=500, seed=1)
    assert long.slice(0, 500).equals(short)
    assert set(other["smiles"].to_pylist()) != set(short["smiles"].to_pylist())


def test_the_share_of_actives_is_as_asked_and_activity_tells_them():
    made = table(rows=200_000, active=0.01, truth=True)
    for name in ("target1", "target2", "target3"):
        labels = made[name].to_numpy()
        assert labels.mean() == pytest.approx(0.01, rel=0.1)
        assert 0.97 < roc_auc_score(labels, made[f"{name}_activity"].to_numpy()) < 1
    quiet = table(rows=5000, active=0.01, truth=True, noise=0)
    assert roc_auc_score(quiet["target1"].to_numpy(), quiet["target1_activity"].to_numpy()) == 1


def test_what_blocks_add_is_told_in_part_by_their_words():
    library = Library.of(LibrarySettings(rows=2, pairs=0))
    rng = np.random.default_rng(0)
    acid, first, second = (rng.integers(0, n, 20_000) for n in (len(library.blocks.acids), 448, 448))
    activity = library.activities(acid, first, second)
    assert activity.std(1) == pytest.approx(1, abs=0.1)
    by_block = np.array([activity[0][first == block].mean() for block in range(448)])
    core = np.arange(448) // 28  # our own amines stand core by core
    between = np.var([by_block[core == each].mean() for each in range(16)])
    assert between > 2 * np.var(by_block) / 28  # blocks of one core are alike


def test_a_long_table_has_a_row_for_each_target():
    wide, long = table(rows=300), table(rows=300, long=True)
    assert long["smiles"].to_pylist()[::3] == wide["smiles"].to_pylist()
    for place in range(3):
        assert long["target"].to_pylist()[place] == f"target{place + 1}"
        assert long["binds"].to_numpy()[place::3].tolist() == wide[f"target{place + 1}"].to_numpy().tolist()


def test_blocks_of_a_table_react_by_their_nitrogen_and_salts_are_taken_off(tmp_path):
    chemistry = pytest.importorskip("rdkit.Chem")
    smiles = {
        "glycine": "O=C(O)CNC(=O)OCC1c2ccccc2-c2ccccc12",
        "salt": "Cl.NCc1ccccc1",
        "morpholine": "C1COCCN1",
        "two": "NCCN",
        "acid": "CC(=O)O",
        "odd": "C1(",
    }
    path = tmp_path / "blocks.csv"
    path.write_text("id,smiles\n" + "".join(f"{name},{each}\n" for name, each in smiles.items()))
    blocks = read_blocks(path)
    assert blocks.acids == ("glycine",)
    assert blocks.acid_texts == ("NCC(=O)N[Dy]",)
    assert blocks.amines == ("salt", "morpholine")
    assert [chemistry.CanonSmiles(each) for each in blocks.amine_texts] == ["NCc1ccccc1", "C1COCCN1"]


def test_a_table_without_blocks_says_what_is_missing(tmp_path):
    pytest.importorskip("rdkit")
    path = tmp_path / "blocks.csv"
    path.write_text("name,smiles\na,CC\n")
    with pytest.raises(DataError, match="no column 'id'"):
        read_blocks(path)
    path.write_text("id,smiles\na,CC\n")
    with pytest.raises(DataError, match="0 amino acids and 0 amines"):
        read_blocks(path)


def test_more_rows_than_products_are_refused():
    with pytest.raises(ConfigError, match=r"22,428,672 products"):
        Library.of(LibrarySettings(rows=23_000_000))


def test_the_command_writes_parquet_and_csv_alike(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("t.parquet", "t.csv"):
        result = CliRunner().invoke(main, ["simulate", "library", "--rows", "300", "-o", name, "--json"])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["rows"] == 300
    first, second = pq.read_table("t.parquet").to_pylist(), pcsv.read_csv("t.csv").to_pylist()
    assert first == second
    assert CliRunner().invoke(main, ["simulate", "library", "-o", "t.txt"]).exit_code == 1


def test_salts_charges_isotopes_and_other_spellings_are_one_block(tmp_path):
    pytest.importorskip("rdkit")
    smiles = {
        "a1": "OC(=O)CN",
        "a2": "NCC(=O)O",
        "a3": "[Na+].[O-]C(=O)C(C)N",
        "m1": "NCc1ccccc1",
        "m2": "c1ccccc1CN.Cl",
        "m3": "C[NH2+]C",
        "m4": "[15NH2]CC",
    }
    path = tmp_path / "blocks.csv"
    path.write_text("id,smiles\n" + "".join(f"{name},{each}\n" for name, each in smiles.items()))
    blocks = read_blocks(path)
    assert (blocks.acids, blocks.amines) == (("a1", "a3"), ("m1", "m3", "m4"))
    assert not [text for text in blocks.amine_texts if "[" in text]


@pytest.mark.parametrize(
    "text", ["", "id,id,smiles\na,b,NCC(=O)O\n", "name,smiles\na,NCC(=O)O\n", "id,smiles\na,1\nb,2\n"]
)
def test_a_file_that_is_no_table_of_blocks_is_refused(tmp_path, text):
    pytest.importorskip("rdkit", reason="RDKit is not installed")
    (tmp_path / "blocks.csv").write_text(text)
    with pytest.raises(DataError, match=r"blocks\.csv"):
        read_blocks(tmp_path / "blocks.csv")

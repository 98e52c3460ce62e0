"""Vectors computed elsewhere, found by id, by sequence, or by the hash of a sequence."""

import hashlib

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqloom.errors import ConfigError, DataError
from seqloom.registry import build
from seqloom.table import DataSection, read_table

IDS = ["p1", "p2", "p3", "p4"]
SEQUENCES = ["ACDEF", "GHIKL", "MNPQR", "STVWY"]
VECTORS = np.random.default_rng(0).normal(3, 2, (4, 6)).astype(np.float32)
STANDARD = (VECTORS - VECTORS.mean(0)) / VECTORS.std(0)


def table_of(ids=IDS, sequences=SEQUENCES, **section):
    columns = {
        "id": ids,
        "sequence": sequences,
        "ph": np.arange(len(sequences)) + 4.0,
        "y": np.arange(len(sequences)) + 0.5,
    }
    if ids is None:
        del columns["id"]
    return read_table(pa.table(columns), DataSection(sequence=("sequence",), alphabet="protein", **section), ("y",))


def encoder_of(path):
    return build("encoder", {"kind": "vectors", "path": str(path)})


def encoded(path, table=None):
    """Features of the table's rows, fitted on them, float32 (N, D)."""
    table = table_of() if table is None else table
    return encoder_of(path).fit(table).transform(table).features


def refused(path, table=None):
    with pytest.raises((DataError, ConfigError)) as caught:
        encoded(path, table)
    return str(caught.value)


def hashed(sequence):
    return hashlib.sha256(f"{sequence}_{len(sequence)}".encode()).hexdigest()


def hdf5(path, stored, attribute=None):
    with h5py.File(path, "w") as file:
        for name, vector in stored.items():
            file[name] = vector
            if attribute is not None:
                file[name].attrs["original_id"] = attribute[name]
    return path


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


def by_name(names, vectors=VECTORS):
    return dict(zip(names, vectors, strict=True))


def per_residue(vectors=VECTORS):
    """(L, D) for each row, whose mean is the row's vector, of different lengths."""
    return [
        np.concatenate([vector + (row + 1) * np.array([[shift], [-shift]]) for shift in range(1, row + 2)])
        for row, vector in enumerate(vectors)
    ]


# Where vectors are found


def test_hdf5_is_read_by_id(tmp_path):
    np.testing.assert_allclose(encoded(hdf5(tmp_path / "v.h5", by_name(IDS))), STANDARD, atol=1e-5)


def test_hdf5_is_read_by_the_hash_of_sequence_and_length(tmp_path):
    path = hdf5(tmp_path / "v.hdf5", by_name(map(hashed, SEQUENCES)))
    np.testing.assert_allclose(encoded(path), STANDARD, atol=1e-5)
    np.testing.assert_allclose(encoded(path, table_of(ids=None)), STANDARD, atol=1e-5)


@pytest.mark.parametrize("kind", [str, np.bytes_])
def test_hdf5_is_read_by_the_original_id_of_its_attributes(tmp_path, kind):
    names = [f"hash-{number}" for number in range(4)]
    path = hdf5(tmp_path / "v.h5", by_name(names), {name: kind(own) for name, own in zip(names, IDS, strict=True)})
    np.testing.assert_allclose(encoded(path), STANDARD, atol=1e-5)


def test_npz_is_read_with_an_array_for_each_id(tmp_path):
    np.testing.assert_allclose(encoded(npz(tmp_path / "v.npz", **by_name(IDS))), STANDARD, atol=1e-5)


def test_npz_is_read_with_ids_and_a_matrix(tmp_path):
    path = npz(tmp_path / "v.npz", ids=np.array(IDS[::-1]), vectors=VECTORS[::-1])
    np.testing.assert_allclose(encoded(path), STANDARD, atol=1e-5)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 6)])
@pytest.mark.parametrize(("column", "keys"), [("id", IDS), ("sequence", SEQUENCES), ("key", [*map(hashed, SEQUENCES)])])
def test_parquet_is_read_with_a_column_of_lists(tmp_path, kind, column, keys):
    vectors = pa.array(VECTORS[::-1].tolist(), kind)
    path = parquet(tmp_path / "v.parquet", **{column: keys[::-1], "embedding": vectors, "length": [5] * 4})
    np.testing.assert_allclose(encoded(path), STANDARD, atol=1e-5)


def test_vectors_per_residue_are_averaged(tmp_path):
    residues = per_residue()
    paths = [
        hdf5(tmp_path / "v.h5", by_name(IDS, residues)),
        npz(tmp_path / "v.npz", **by_name(IDS, residues)),
        parquet(tmp_path / "v.parquet", id=IDS, v=[each.tolist() for each in residues]),
    ]
    for path in paths:
        np.testing.assert_allclose(encoded(path), STANDARD, atol=1e-5)


def test_a_matrix_of_equal_lengths_in_npz_is_averaged_over_its_residues(tmp_path):
    stacked = np.stack([VECTORS - 1, VECTORS, VECTORS + 1], axis=1)
    np.testing.assert_allclose(encoded(npz(tmp_path / "v.npz", ids=IDS, vectors=stacked)), STANDARD, atol=1e-5)


def test_an_id_is_looked_for_before_the_sequence(tmp_path):
    stored = by_name(IDS) | {hashed(each): np.zeros(6) for each in SEQUENCES} | {each: np.ones(6) for each in SEQUENCES}
    np.testing.assert_allclose(encoded(npz(tmp_path / "v.npz", **stored)), STANDARD, atol=1e-5)


def test_vectors_that_no_row_asks_for_do_no_harm(tmp_path):
    stored = by_name(IDS) | {"other": np.full(99, np.nan), "text": np.array("x")}
    np.testing.assert_allclose(encoded(npz(tmp_path / "v.npz", **stored)), STANDARD, atol=1e-5)


def test_the_file_is_found_in_the_data_folder(tmp_path, monkeypatch):
    npz(tmp_path / "v.npz", **by_name(IDS))
    monkeypatch.setenv("SEQLOOM_DATA", str(tmp_path))
    np.testing.assert_allclose(encoded("data:v.npz"), STANDARD, atol=1e-5)


# What is learnt


def test_the_scale_is_that_of_the_training_rows(tmp_path):
    path = npz(tmp_path / "v.npz", **by_name(IDS))
    table = table_of()
    fitted = encoder_of(path).fit(table.take([0, 1]))
    scale = VECTORS[:2].std(0)
    expected = (VECTORS - VECTORS[:2].mean(0)) / scale
    np.testing.assert_allclose(fitted.transform(table).features, expected, rtol=1e-4, atol=1e-4)


def test_covariates_stand_behind_the_vectors(tmp_path):
    features = encoded(npz(tmp_path / "v.npz", **by_name(IDS)), table_of(covariates=("ph",)))
    assert features.shape == (4, 7)
    np.testing.assert_allclose(features[:, 6], np.array([-1.5, -0.5, 0.5, 1.5]) / np.sqrt(1.25), rtol=1e-6)


def test_a_component_that_never_varies_becomes_zero(tmp_path):
    vectors = VECTORS.copy()
    vectors[:, 2] = 7
    features = encoded(npz(tmp_path / "v.npz", **by_name(IDS, vectors)))
    assert np.isfinite(features).all()
    assert (features[:, 2] == 0).all()


def test_a_restored_encoder_encodes_the_same_and_takes_another_file(tmp_path):
    first = npz(tmp_path / "a.npz", **by_name(IDS))
    table = table_of()
    fitted = encoder_of(first).fit(table)
    other = npz(tmp_path / "b.npz", **by_name(["q1", "q2"], VECTORS[:2]))
    restored = encoder_of(other).restore(fitted.state())
    again = restored.transform(table_of(["q1", "q2"], ["AAAAAA", "CCCCCC"])).features
    np.testing.assert_array_equal(again, fitted.transform(table).features[:2])


def test_no_rows_have_no_vectors_and_need_no_file(tmp_path):
    fitted = encoder_of(npz(tmp_path / "v.npz", **by_name(IDS))).fit(table_of(covariates=("ph",)))
    assert fitted.transform(table_of(covariates=("ph",)).take([])).features.shape == (0, 7)


# What is refused


def test_rows_without_a_vector_are_named(tmp_path):
    message = refused(npz(tmp_path / "v.npz", p1=VECTORS[0], p3=VECTORS[2]))
    assert "2 of 4 rows" in message
    assert "have no vector, by id or by sequence: p2 (row 2), p4 (row 4); compute them" in message


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float32(), 6)])
def test_an_empty_cell_is_a_row_without_a_vector(tmp_path, kind):
    cells = pa.array([*VECTORS[:3].tolist(), None], kind)
    assert "p4 (row 4)" in refused(parquet(tmp_path / "v.parquet", id=IDS, v=cells))


def test_a_group_where_a_data_set_should_be_is_a_row_without_a_vector(tmp_path):
    path = hdf5(tmp_path / "v.h5", by_name(IDS[:3], VECTORS[:3]))
    with h5py.File(path, "a") as file:
        file.create_group("p4")
    assert "p4 (row 4)" in refused(path)


def test_vectors_of_different_lengths_are_refused(tmp_path):
    stored = by_name(IDS) | {"p2": np.zeros(3)}
    assert "vectors are of different lengths, [3, 6]" in refused(npz(tmp_path / "v.npz", **stored))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(tmp_path, value):
    vectors = VECTORS.copy()
    vectors[1, 1] = value
    assert "vectors hold NaN or infinite numbers" in refused(npz(tmp_path / "v.npz", **by_name(IDS, vectors)))


def test_a_missing_number_in_a_list_is_refused(tmp_path):
    cells = VECTORS.tolist()
    cells[2][3] = None
    assert "vectors hold NaN" in refused(parquet(tmp_path / "v.parquet", id=IDS, v=cells))


def test_vectors_of_another_model_are_refused(tmp_path):
    fitted = encoder_of(npz(tmp_path / "a.npz", **by_name(IDS))).fit(table_of())
    other = encoder_of(npz(tmp_path / "b.npz", **by_name(IDS, VECTORS[:, :4]))).restore(fitted.state())
    with pytest.raises(
        DataError, match="have 4 numbers, and the model was trained on 6; give the vectors of the same model"
    ):
        other.transform(table_of())


@pytest.mark.parametrize("stored", [np.float32(3), np.array("text"), np.array(["a", "b"])])
def test_what_is_no_vector_of_numbers_is_refused(tmp_path, stored):
    assert "where a vector of numbers should be" in refused(npz(tmp_path / "v.npz", **by_name(IDS) | {"p1": stored}))


def test_a_table_of_the_wrong_columns_is_refused(tmp_path):
    for columns in (
        {"id": IDS, "v": [1, 2, 3, 4]},
        {"label": IDS, "v": VECTORS.tolist()},
        {"id": IDS, "v": VECTORS.tolist(), "w": VECTORS.tolist()},
    ):
        assert "needs one column of lists" in refused(parquet(tmp_path / "v.parquet", **columns))


def test_a_missing_path_file_or_kind_of_file_is_refused_with_what_to_type(tmp_path):
    with pytest.raises(ConfigError, match=r"needs its file: --set encoder\.path=FILE"):
        build("encoder", {"kind": "vectors"}).fit(table_of())
    assert "no such file of vectors; name it with --set encoder.path=FILE" in refused(tmp_path / "nowhere.h5")
    (tmp_path / "v.txt").write_text("p1 1 2 3", "utf-8")
    assert "vectors are read from .h5, .hdf5, .npz or .parquet files, not '.txt'" in refused(tmp_path / "v.txt")


@pytest.mark.parametrize("name", ["v.h5", "v.npz", "v.parquet"])
def test_a_damaged_file_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"not what it says")
    assert f"{name}: cannot be read as a file of vectors" in refused(tmp_path / name)


def test_nothing_in_a_file_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    np.savez(tmp_path / "v.npz", p1=np.array([Trap()], dtype=object))
    assert "cannot be read as a file of vectors" in refused(tmp_path / "v.npz")
    assert not (tmp_path / "sprung").exists()

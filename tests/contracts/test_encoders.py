"""What every encoder must do."""

import numpy as np
import pyarrow as pa
import pytest

from contracts.tables import peptides, table_of
from seqloom.alphabet import PROTEIN
from seqloom.errors import ConfigError, DataError
from seqloom.registry import available, build, describe, recipe_class
from seqloom.table import DataSection, read_table

KINDS = [kind for kind in available("encoder") if kind != "vectors"]
every_kind = pytest.mark.parametrize("kind", KINDS)


def numbers(inputs):
    """Float (N, D): features, of bags the mean over their instances, or tokens and covariates."""
    if inputs.features is not None:
        return inputs.averaged(inputs.features)
    batch = inputs.tokens.padded(np.arange(len(inputs.tokens)), width=64)
    return np.concatenate([batch.ids, inputs.covariates], axis=1)


@every_kind
def test_a_row_is_encoded_alike_whatever_stands_beside_it(kind):
    table = table_of("regression", 40)
    fitted = build("encoder", {"kind": kind}).fit(table.take(np.arange(30)))
    whole = numbers(fitted.transform(table))
    alone = np.concatenate([numbers(fitted.transform(table.take(np.array([row])))) for row in range(40)])
    np.testing.assert_array_equal(whole, alone)


@every_kind
def test_encoding_depends_on_training_rows_alone(kind):
    table = table_of("regression", 40)
    encoder = build("encoder", {"kind": kind})
    fitted = encoder.fit(table.take(np.arange(30)))
    again = encoder.fit(table.take(np.arange(30)))
    fitted.transform(table)
    np.testing.assert_array_equal(numbers(fitted.transform(table)), numbers(again.transform(table)))


@every_kind
def test_a_saved_and_restored_encoder_encodes_the_same(kind):
    table = table_of("regression", 40)
    encoder = build("encoder", {"kind": kind})
    fitted = encoder.fit(table)
    restored = encoder.restore({name: np.array(value) for name, value in fitted.state().items()})
    np.testing.assert_array_equal(numbers(restored.transform(table)), numbers(fitted.transform(table)))


@every_kind
@pytest.mark.parametrize("sequence", ["A", "X", "AXBZUOJ*-", "W" * 10_000])
def test_odd_sequences_are_encoded_as_finite_numbers(kind, sequence):
    fitted = build("encoder", {"kind": kind}).fit(table_of("regression", 40))
    odd = read_table(
        pa.table({"sequence": [sequence]}), DataSection(sequence=("sequence",), alphabet="protein"), for_prediction=True
    )
    encoded = fitted.transform(odd)
    if encoded.features is not None:
        assert np.isfinite(encoded.features).all()
    else:
        assert 1 <= encoded.tokens.lengths[0] <= 4096


@pytest.mark.parametrize("kind", [kind for kind in KINDS if recipe_class("encoder", kind).gives != "groups"])
def test_several_sequence_columns_and_covariates_are_encoded_side_by_side(kind):
    left, right = peptides(30, 0), peptides(30, 1)
    data = pa.table({"left": left, "right": right, "ph": np.linspace(4, 9, 30), "y": np.arange(30.0)})
    section = DataSection(sequence=("left", "right"), covariates=("ph",))
    table = read_table(data, section, ("y",))
    encoded = numbers(build("encoder", {"kind": kind}).fit(table).transform(table))
    swapped = read_table(data.rename_columns(["right", "left", "ph", "y"]), section, ("y",))
    other = numbers(build("encoder", {"kind": kind}).fit(table).transform(swapped))
    if kind != "substitutions":  # these rows are variants of nothing
        assert not np.array_equal(encoded, other)
    ph = encoded[:, -1]
    assert ph.mean() == pytest.approx(0, abs=1e-5)
    assert ph.std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", available("encoder"))
def test_every_kind_and_setting_is_documented(kind):
    found = describe("encoder", kind)
    assert len(found.title) > 20
    assert all(len(field.text) > 3 for field in found.fields)


def test_one_hot_marks_the_symbol_at_each_varying_position_even_one_new_to_it():
    data = pa.table({"sequence": ["ACA", "ADA", "AEA"], "y": [1.0, 2, 3]})
    table = read_table(data, DataSection(sequence=("sequence",), alphabet="protein"), ("y",))
    fitted = build("encoder", {"kind": "one-hot"}).fit(table.take([0, 1]))
    features = fitted.transform(table).features
    np.testing.assert_array_equal(features, np.eye(20)[1:4])


def test_one_hot_of_unequal_lengths_sees_both_ends():
    data = pa.table({"sequence": ["AK", "AAK", "AAR", "AR"], "y": [1.0, 1, 0, 0]})
    table = read_table(data, DataSection(sequence=("sequence",), alphabet="protein"), ("y",))
    features = build("encoder", {"kind": "one-hot"}).fit(table).transform(table).features
    ends_in_k = np.array([1, 1, 0, 0])
    assert any(np.array_equal(column, ends_in_k) for column in features.T)


def test_blosum62_is_the_matrix_of_henikoff():
    encoder = build("encoder", {"kind": "blosum62"})
    rows = encoder.vectors(PROTEIN) * 4
    w = PROTEIN.symbols.index("W") + 1
    assert rows[w, PROTEIN.standard.index("W")] == 11
    assert rows[w, PROTEIN.standard.index("P")] == -4
    np.testing.assert_array_equal(rows[1:21], rows[1:21].T)


def test_kmer_counts_equal_a_slow_count():
    table = table_of("regression", 25)
    encoder = build("encoder", {"kind": "kmer", "k": 2, "words": 10_000})
    learnt = encoder.learn(table.tokens("sequence"), PROTEIN)
    counts = np.expm1(encoder.encode(table.tokens("sequence"), PROTEIN, learnt))
    assert counts.shape[1] == len(learnt["codes"]) + 1
    for row, sequence in enumerate(table.sequences("sequence").to_pylist()):
        assert counts[row, :-1].sum() == pytest.approx(len(sequence) + len(sequence) - 1, abs=1e-3)
    aa = np.flatnonzero((learnt["sizes"] == 2) & (learnt["codes"] == 1 * PROTEIN.size + 1))
    slow = [sum(s[i : i + 2] == "AA" for i in range(len(s) - 1)) for s in table.sequences("sequence").to_pylist()]
    if len(aa):
        np.testing.assert_allclose(counts[:, aa[0]], slow, atol=1e-5)


def test_isoelectric_points_lie_where_the_field_expects_them():
    from seqloom.encode.descriptors import _ORDER, isoelectric_point

    def counts(sequence):
        return np.array([[sequence.count(letter) for letter in _ORDER]])

    assert isoelectric_point(counts("KKKK"))[0] > 10
    assert isoelectric_point(counts("DDDD"))[0] < 4
    assert 5 < isoelectric_point(counts("GGGG"))[0] < 6.5


def test_protein_encoders_refuse_other_alphabets():
    data = pa.table({"sequence": ["ACGT", "ACGA", "AGGT"], "y": [1.0, 2, 3]})
    table = read_table(data, DataSection(sequence=("sequence",), alphabet="dna"), ("y",))
    for kind in ("blosum62", "descriptors"):
        with pytest.raises(ConfigError, match="for proteins"):
            build("encoder", {"kind": kind}).fit(table)


def test_a_matrix_that_would_fill_the_memory_is_refused_with_advice(monkeypatch):
    monkeypatch.setattr("seqloom.encode.base.MOST_FEATURE_BYTES", 1000)
    with pytest.raises(DataError, match="use encoder kmer"):
        build("encoder", {"kind": "one-hot"}).fit(table_of("regression", 40))

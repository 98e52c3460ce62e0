"""Strings to ids and back, against a look-up letter by letter."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.alphabet import ALPHABETS, DNA, PROTEIN, RNA, SMILES, UNKNOWN
from seqloom.errors import DataError
from seqloom.tokens import Tokens

every_alphabet = pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)


def slow_ids(alphabet, strings):
    return [[alphabet.symbols.index(symbol) + 1 for symbol in each] for each in strings]


def ids(tokens):
    return [tokens.values[start:end].tolist() for start, end in zip(tokens.offsets, tokens.offsets[1:], strict=False)]


@every_alphabet
@given(data=st.data())
def test_encoding_numbers_symbols_from_one_and_decoding_gives_the_strings_back(alphabet, data):
    strings = data.draw(st.lists(st.text(alphabet.symbols)))
    tokens = alphabet.encode(strings)
    assert tokens.values.dtype == np.uint8
    assert tokens.offsets.dtype == np.int64
    assert ids(tokens) == slow_ids(alphabet, strings)
    assert alphabet.decode(tokens) == strings


@every_alphabet
def test_symbols_are_distinct_ascii_and_all_standard_ones_are_known(alphabet):
    assert len(set(alphabet.symbols)) == len(alphabet.symbols)
    assert alphabet.symbols.isascii()
    assert set(alphabet.standard) <= set(alphabet.symbols)
    assert alphabet.size == len(alphabet.symbols) + 1 <= UNKNOWN
    assert 0 not in alphabet.ids(alphabet.symbols)


def test_lower_case_means_the_same_except_in_smiles():
    assert PROTEIN.decode(PROTEIN.encode(["mkV"])) == ["MKV"]
    assert DNA.decode(DNA.encode(["acgtn"])) == ["ACGTN"]
    assert SMILES.decode(SMILES.encode(["c1ccccC1Cl"])) == ["c1ccccC1Cl"]
    assert ids(SMILES.encode(["c"])) != ids(SMILES.encode(["C"]))


def test_t_and_u_are_different_symbols_of_both_nucleic_alphabets():
    for alphabet in (DNA, RNA):
        assert alphabet.decode(alphabet.encode(["ACGTU"])) == ["ACGTU"]
    assert "T" in DNA.standard
    assert "T" not in RNA.standard


@pytest.mark.parametrize(
    "strings",
    [
        ["MKV", None, "", "A"],
        pa.array(["MKV", None, "", "A"]),
        pa.array(["MKV", None, "", "A"], pa.large_string()),
        pa.array(["MKV", None, "", "A"], pa.string_view()),
        pa.array(["MKV", None, "", "A"]).dictionary_encode(),
        pa.chunked_array([["MKV", None], [], ["", "A"]]),
        np.array(["MKV", "", "", "A"]),
        np.array(["MKV", None, "", "A"], dtype=object),
    ],
    ids=lambda strings: str(getattr(strings, "type", type(strings).__name__)),
)
def test_strings_of_any_container_encode_alike_and_a_null_is_an_empty_sequence(strings):
    tokens = PROTEIN.encode(strings)
    assert tokens.lengths.tolist() == [3, 0, 0, 1]
    assert PROTEIN.decode(tokens) == ["MKV", "", "", "A"]


@given(st.lists(st.none() | st.text("ACDEW", max_size=4), max_size=12), st.data())
def test_a_slice_of_an_array_encodes_its_own_rows_only(strings, data):
    start = data.draw(st.integers(0, len(strings)))
    length = data.draw(st.integers(0, len(strings) - start))
    part = [each or "" for each in strings[start : start + length]]
    for array in (pa.array(strings, pa.string()), pa.chunked_array([strings, strings], pa.large_string())):
        tokens = PROTEIN.encode(array.slice(start, length))
        assert PROTEIN.decode(tokens) == part
        assert tokens.offsets[0] == 0
        assert tokens.offsets[-1] == len(tokens.values)


@pytest.mark.parametrize("none", [[], pa.array([], pa.string()), pa.array([]), pa.chunked_array([], pa.string())])
def test_no_strings_are_no_tokens(none):
    tokens = PROTEIN.encode(none)
    assert len(tokens) == 0
    assert tokens.values.shape == (0,)
    assert PROTEIN.decode(tokens) == []


def test_unknown_symbols_are_named_with_their_rows():
    with pytest.raises(DataError) as caught:
        PROTEIN.encode(["MKV", "M1K2", "", "A A"])
    message = str(caught.value)
    assert "2 of 4 sequences hold symbols that the protein alphabet does not know" in message
    assert "row 2: '1' '2' in 'M1K2'" in message
    assert "row 4: ' ' in 'A A'" in message
    assert "row 1:" not in message


def test_rows_of_unknown_symbols_are_counted_and_five_are_named():
    with pytest.raises(DataError) as caught:
        DNA.encode(["ACGT"] * 3 + ["ACGJ"] * 9)
    assert "9 of 12 sequences" in str(caught.value)
    assert [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        f"row {row}" for row in range(4, 9)
    ]


def test_a_symbol_at_the_start_of_a_row_belongs_to_that_row():
    with pytest.raises(DataError, match=r"^1 of 4 .*\n  row 3: '1' in '1MK'$"):
        PROTEIN.encode(["MK", "", "1MK", "MK"])


def test_a_letter_outside_ascii_is_named_whole():
    with pytest.raises(DataError, match="row 1: 'é' '中' in 'MéK中'"):
        PROTEIN.encode(["MéK中"])


def test_rows_of_a_slice_are_counted_from_its_start():
    with pytest.raises(DataError, match="row 1: '1'"):
        PROTEIN.encode(pa.array(["M2", "M1"]).slice(1))


def test_decoding_leaves_padding_out():
    assert PROTEIN.decode(Tokens(np.array([1, 0, 2, 0, 0], np.uint8), np.array([0, 3, 5]))) == ["AC", ""]


def test_an_alphabet_does_not_change():
    with pytest.raises(ValueError, match="read-only"):
        PROTEIN.look_up[65] = 3
    with pytest.raises(AttributeError):
        PROTEIN.symbols = "AC"


def test_ids_of_single_symbols_are_those_of_encoding():
    assert PROTEIN.ids("WYa").tolist() == ids(PROTEIN.encode(["WYA"]))[0]

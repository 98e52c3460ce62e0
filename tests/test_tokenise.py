"""Bytes to tokens in both forms, against a look-up byte by byte."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqloom.alphabet import ALPHABETS, SMILES, UNKNOWN
from seqloom.errors import DataError, MissingExtra
from seqloom.store import native as forms
from seqloom.store.tokenise import encode
from stores import BOTH_FORMS

PAIRS_FROM = 2**16  # bytes from which the compiled form looks up two at a time
tables = st.one_of(
    st.sampled_from([each.look_up for each in ALPHABETS.values()]),
    st.binary(min_size=256, max_size=256).map(lambda raw: np.frombuffer(raw, np.uint8)),
)


@BOTH_FORMS
@given(st.binary(max_size=300), tables)
def test_every_byte_is_looked_up_and_unknown_ones_counted(native, raw, look_up):
    tokens, n_unknown = encode(np.frombuffer(raw, np.uint8), look_up, native=native)
    expected = [int(look_up[byte]) for byte in raw]
    assert tokens.dtype == np.uint8
    assert tokens.tolist() == expected
    assert n_unknown == expected.count(UNKNOWN)


@BOTH_FORMS
@pytest.mark.parametrize("size", [PAIRS_FROM - 1, PAIRS_FROM, PAIRS_FROM + 1, 3 * PAIRS_FROM + 5])
def test_a_long_text_is_looked_up_to_its_last_byte(native, size):
    text = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    tokens, n_unknown = encode(text, SMILES.look_up, native=native)
    assert np.array_equal(tokens, SMILES.look_up[text])
    assert n_unknown == np.count_nonzero(SMILES.look_up[text] == UNKNOWN)


@BOTH_FORMS
def test_one_unknown_byte_in_a_million_is_counted_wherever_it_is(native):
    for place in (0, 1, 65_535, 65_536, 999_999):
        text = np.full(1_000_000, ord("C"), np.uint8)
        text[place] = ord("?")
        assert encode(text, SMILES.look_up, native=native)[1] == 1


@BOTH_FORMS
def test_text_may_be_a_part_of_a_buffer_that_begins_anywhere(native):
    buffer = np.frombuffer(b"x" + b"CNO()=" * 20_000, np.uint8)
    for text in (buffer[1:], buffer[3:100_002], buffer[1::2]):
        assert np.array_equal(encode(text, SMILES.look_up, native=native)[0], SMILES.look_up[text])


def test_tokens_may_be_written_to():
    tokens, _ = encode(np.frombuffer(b"CC", np.uint8), SMILES.look_up, native=False)
    tokens[0] = 0
    assert tokens[1] == SMILES.look_up[ord("C")]


def test_an_alphabet_names_rows_with_symbols_it_does_not_know():
    with pytest.raises(DataError, match=r"1 of 3 sequences .*\n  row 2: '\?' in 'C\?'"):
        SMILES.encode(["CC", "C?", "N"])


def test_without_numba_the_compiled_form_says_what_to_install_and_numpy_serves(monkeypatch):
    monkeypatch.setattr(forms, "has_numba", lambda: False)
    assert forms.loops() is None
    with pytest.raises(MissingExtra, match=r"pip install 'seqloom\[fast\]'"):
        forms.loops(True)


def test_reading_a_table_does_not_load_numba():
    code = "import sys; from seqloom.alphabet import SMILES; SMILES.encode(['CC'] * 9); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

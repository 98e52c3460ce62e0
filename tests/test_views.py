"""Views of sequences and layouts by position, against slow loops over strings."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqloom
from contracts.tables import peptides, table_of
from seqloom.alphabet import DNA, PROTEIN, SMILES
from seqloom.encode.views import View, viewed
from seqloom.errors import ConfigError
from seqloom.folds import Folds
from seqloom.plan import make_plan
from seqloom.predict.base import Job
from seqloom.predict.fitting import fit_model
from seqloom.registry import build
from seqloom.split.base import TRAIN, VALID
from seqloom.table import DataSection, read_table

SEQUENCES = st.lists(st.text("ACDEFGHIKLMNPQRSTVWYX", max_size=14), max_size=12)


def table(sequences, alphabet="protein"):
    return read_table(
        pa.table({"sequence": sequences}), DataSection(sequence=("sequence",), alphabet=alphabet), for_prediction=True
    )


def slow_view(sequence, first, last, masks):
    if len(sequence) <= first + last:
        return sequence
    end = sequence[len(sequence) - last :]
    return sequence[:first] + "X" * (len(sequence) - first - last) * masks + end


@given(SEQUENCES, st.integers(0, 6), st.integers(0, 6), st.booleans())
def test_a_view_leaves_what_slicing_strings_leaves(sequences, first, last, masks):
    masks = masks and bool(first and last)
    parts = [f"first{first}"] * bool(first) + ["mask"] * masks + [f"last{last}"] * bool(last)
    text = "+".join(parts)
    expected = [slow_view(each, first, last, masks) for each in sequences] if text else sequences
    assert PROTEIN.decode(viewed(PROTEIN.encode(sequences), PROTEIN, text)) == expected


def test_a_row_shorter_than_both_ends_is_kept_whole_with_each_symbol_once():
    shown = viewed(PROTEIN.encode(["ACDEF", "ACDEFG", "ACDEFGH", ""]), PROTEIN, "first3+last3")
    assert PROTEIN.decode(shown) == ["ACDEF", "ACDEFG", "ACDFGH", ""]


def test_the_middle_of_nucleic_acids_is_masked_by_n():
    assert DNA.decode(viewed(DNA.encode(["ACGTACGT"]), DNA, "first2+mask+last1")) == ["ACNNNNNT"]


def test_a_mask_is_refused_where_the_alphabet_has_no_unknown_symbol():
    with pytest.raises(ConfigError, match=r"view = 'first1\+mask\+last1'.*smiles has none"):
        viewed(SMILES.encode(["CCO"]), SMILES, "first1+mask+last1")
    for kind in ("one-hot", "tokens"):
        with pytest.raises(ConfigError, match="smiles has none"):
            build("encoder", {"kind": kind, "view": "first1+mask+last1"}).fit(table(["CCO", "CCN"], "smiles"))


@pytest.mark.parametrize(
    "wrong", ["first", "first0", "last3+first3", "first3last3", "mask", "first3+mask", "frist3", "first3+last3+", "3"]
)
def test_a_view_that_is_none_says_what_is_allowed(wrong):
    with pytest.raises(ConfigError, match=r"\[encoder\] view = .*firstK\+mask\+lastK.*first3\+last3"):
        build("encoder", {"kind": "one-hot", "view": wrong})
    with pytest.raises(ValueError, match="no such view"):
        View.of(wrong)


@pytest.mark.parametrize("kind", ["one-hot", "blosum62", "kmer", "composition", "descriptors", "tokens", "kmer9"])
def test_an_encoder_with_a_view_encodes_what_it_leaves(kind):
    whole = peptides(40, shortest=5, longest=12)
    ends = [slow_view(each, 3, 3, masks=False) for each in whole]
    seen = build("encoder", {"kind": kind, "view": "first3+last3"}).fit(table(whole)).transform(table(whole))
    told = build("encoder", {"kind": kind}).fit(table(ends)).transform(table(ends))
    if kind == "tokens":
        assert PROTEIN.decode(seen.tokens) == ends
    else:
        np.testing.assert_array_equal(seen.features, told.features)


@pytest.mark.parametrize("predictor", ["linear", "sigmoid"])
def test_views_can_be_varied_for_features_and_tokens(predictor):
    data = seqloom.Simulation(rows=60, effect="soft").table()
    views = ["first3+last3", "first4+last4"]
    sections = {
        "split": {"kind": "random"},
        "predictor": {"kind": predictor},
        "train": {"epochs": 2} if predictor == "sigmoid" else {},
        "vary": {"encoder.view": views},
    }
    plan = make_plan(sections, data)
    varied = [variant for variant in plan.variants if getattr(variant.encoder, "view", "")]
    assert [variant.encoder.view for variant in varied] == views
    for variant, ends in zip(varied, (3, 4), strict=True):
        prepared = Folds(plan).prepared(variant, 0)
        fitted = fit_model(
            variant.predictor, prepared.examples[TRAIN], prepared.examples[VALID], Job(prepared.dims, 0, variant.train)
        )
        sequences = peptides(10, shortest=12, longest=12)
        changed = [each[:ends] + each[ends:-ends][::-1] + each[-ends:] for each in sequences]
        assert sequences != changed
        inputs = [prepared.encoder.transform(table(each)) for each in (sequences, changed)]
        np.testing.assert_allclose(*(fitted.predict(each) for each in inputs), atol=1e-6)


def slow_layouts(sequence, longest):
    """Left, centred and right, each of `longest` positions, '.' where empty; longer rows are cut from the far end."""
    empty = longest - len(sequence)
    before = empty // 2
    centred = "." * before + sequence + "." * (empty - before) if empty >= 0 else sequence[-before:][:longest]
    return sequence[:longest].ljust(longest, "."), centred, sequence[-longest:].rjust(longest, ".")


@pytest.mark.parametrize(("align", "which"), [("left", [0]), ("centre", [1]), ("right", [2]), ("all", [0, 1, 2])])
def test_one_hot_lays_rows_out_as_padding_strings_does(align, which):
    training = peptides(60, shortest=4, longest=9)
    longer = [*training, "ACDEFGHIKLMN", "WYVTS"]
    fitted = build("encoder", {"kind": "one-hot", "align": align}).fit(table(training))
    features = fitted.transform(table(longer)).features
    columns = {
        tuple(float(laid[layout][position] == letter) for laid in (slow_layouts(each, 9) for each in longer))
        for layout in which
        for position in range(9)
        for letter in PROTEIN.standard
    }
    assert {tuple(column) for column in features.T.tolist()} == columns


def test_blosum62_in_all_three_layouts_is_the_encoding_of_mhcflurry():
    """SIINFEKL among 15 positions: three empty ones before it where it is centred, four behind (O'Donnell et al. 2020)."""
    rows = ["SIINFEKL", *peptides(400, shortest=15, longest=15)]
    fitted = build("encoder", {"kind": "blosum62", "align": "all"}).fit(table(rows))
    encoded = fitted.transform(table(rows)).features[0].reshape(45, 20)
    filled = "".join("X" if row.any() else "." for row in encoded)
    left, centre, right = filled[:15], filled[15:30], filled[30:][::-1]  # from the last position backwards
    assert (left, centre, right) == ("X" * 8 + "." * 7, "...XXXXXXXX....", "." * 7 + "X" * 8)


def test_a_centred_layout_is_restored_with_its_width():
    whole = table_of("regression", 30)
    encoder = build("encoder", {"kind": "one-hot", "align": "centre"})
    fitted = encoder.fit(whole)
    restored = encoder.restore(fitted.state())
    np.testing.assert_array_equal(restored.transform(whole).features, fitted.transform(whole).features)

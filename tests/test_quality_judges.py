"""More metrics stand beside those of `standard`, for any alphabet and whatever little there is to judge."""

import math

import numpy as np
import pytest

from seqloom.alphabet import DNA, PROTEIN, SMILES, Alphabet
from seqloom.errors import DataError
from seqloom.quality.intervals import measured
from seqloom.quality.judges import FAMILY, judges
from seqloom.quality.reference import Reference
from seqloom.quality.standard import standard
from seqloom.tokens import Tokens

pytest.importorskip("pyhmmer")
pytest.importorskip("pyfamsa")


def relatives(n: int, seed: int, alphabet: Alphabet = PROTEIN, length: int = 50) -> Tokens:
    """Sequences that share four of five residues with one that depends on the alphabet and the length alone."""
    n_letters = len(alphabet.standard)
    rows = np.tile(np.random.default_rng(length).integers(1, n_letters + 1, length), (n, 1))
    generator = np.random.default_rng([seed, n])
    change = generator.random(rows.shape) < 0.2
    rows[change] = generator.integers(1, n_letters + 1, int(change.sum()))
    return Tokens(rows.ravel().astype(np.uint8), np.arange(n + 1) * length)


def numbers(reference: Reference, samples: Tokens, **settings: dict[str, str]) -> dict[str, float]:
    found = {}
    for judge in judges(reference, **settings):  # type: ignore[arg-type]
        for name, part in judge(reference.bank(samples), reference).items():
            found[name] = measured(part, seed=0).value
    return found


def test_the_metrics_of_every_judge_stand_in_the_evaluation_and_in_its_controls() -> None:
    decoys = {"other": relatives(30, 0, length=40)}
    reference = Reference.of(relatives(120, 1), relatives(40, 2), PROTEIN, decoys=decoys)
    evaluation = standard(relatives(60, 3), reference, draws=50, judges=judges(reference, {"no-cys": "^[^C]*$"}))
    for name in ("on_class", "off_class", "rule:length", "rule:no-cys", "distance:gravy", "frechet", "coverage"):
        own = evaluation.metrics[name]
        assert own.low <= own.value <= own.high
        assert name in evaluation.held_out
    assert evaluation.metrics["on_class"].value == 1.0
    assert evaluation.controls["shuffled"]["hit_rate"] == 0.0
    assert evaluation.controls["shuffled"]["distance:gravy"] < 0.5


def test_without_decoys_nothing_is_off_class_and_without_held_out_sequences_training_is_the_measure() -> None:
    reference = Reference.of(relatives(40, 1), PROTEIN.encode([]), PROTEIN)
    found = numbers(reference, relatives(20, 3))
    assert "off_class" not in found
    assert found["hit_rate"] == found["on_class"] == 1.0
    assert found["distance:length"] == 0.0


def test_a_decoy_may_not_be_called_as_the_family_is() -> None:
    with pytest.raises(DataError, match="call it otherwise"):
        judges(Reference.of(relatives(20, 1), relatives(5, 2), PROTEIN, decoys={FAMILY: relatives(5, 4)}))


def test_molecules_are_judged_as_molecules() -> None:
    pytest.importorskip("rdkit")
    train = SMILES.encode(["CCO", "CCN", "c1ccccc1C"] * 10)
    found = numbers(
        Reference.of(train, SMILES.encode(["CCC", "CCCO"]), SMILES), SMILES.encode(["OCC", "CC(", "CCCl", ""])
    )
    assert found["novel"] == 0.5
    assert "hit_rate" not in found
    assert math.isfinite(found["distance:qed"])


@pytest.mark.parametrize(
    ("alphabet", "train", "samples"),
    [
        (PROTEIN, ["MKVLAAGHTRSEWDFK"] * 20, ["MKVLAAGHTRSEWDFK"] * 20),
        (PROTEIN, ["MKVLA", "MKVLG", "MRVLA"], ["MKVLA"]),
        (PROTEIN, ["MKVLAAGHTRSEWDFK"] * 20, []),
        (PROTEIN, ["MKVLAAGHTRSEWDFK" * 4] * 20, ["XXXX", "MK-V*L", "*", "", "-", "MKXBZJUO"]),
        (DNA, ["ACGTTGCATTGACCA", "ACGTTGCATTGACCC"] * 20, ["ACGTTGCATTGACCA", "NNNN"]),
        (SMILES, ["CCO", "CCN"] * 10, []),
    ],
)
def test_little_and_odd_sequences_are_judged_without_a_word(
    alphabet: Alphabet, train: list[str], samples: list[str]
) -> None:
    reference = Reference.of(alphabet.encode(train), alphabet.encode(train[:1]), alphabet)
    found = numbers(reference, alphabet.encode(samples))
    assert len(found) >= 8
    assert all(math.isnan(value) for value in found.values()) == (not samples)

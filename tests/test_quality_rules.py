"""Rules hold for natural sequences, fail for what breaks them, and say when a training learnt them."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from seqloom.alphabet import DNA, PROTEIN, SMILES
from seqloom.errors import ConfigError
from seqloom.quality.rules import (
    LONGEST_REPEAT,
    WINDOW,
    Acquired,
    Conserved,
    Pack,
    acquired,
    least_entropy,
    longest_repeat,
    longest_run,
    own_rules,
)
from seqloom.table import read_table
from seqloom.tokens import Tokens

NATURAL = PROTEIN.encode(["MKVLAAGHTRSEWDFK", "MKVLSAGHTREEWDFKN", "MRVLAAGHTRDEWEFKNP"] * 20)


def test_natural_sequences_keep_the_rules_and_each_fault_breaks_its_own() -> None:
    pack = Pack.of(NATURAL, PROTEIN)
    assert all(kept.all() for kept in pack.judge(NATURAL).values())
    assert set(pack.natural.values()) == {1.0}
    broken = {
        "canonical": "MKVLAAGHTRSEWDXK",
        "no-inner-stop-or-gap": "MKVLAAG*HTRSEWDFK",
        "length": "MKVLAAGHTRSEWDFKMKVLAAGH",
        "runs": "MKVLAAAAAATRSEWDFK",
        "repeats": "MKVLAAMKVLAAGHTR",
        "complexity": "MKVLKVLKVLKVLKVL",
        "charge": "MKKKKKKKHTRSEWDFK",
        "isoelectric-point": "MKVLAAGHTRKKWKFK",
        "hydropathy": "MIVLIVLIVLVILVIV",
        "starts-with-m": "KMVLAAGHTRSEWDFK",
        "even-cysteines": "MKVLACGHTRSEWDFK",
    }
    judged = pack.judge(PROTEIN.encode(list(broken.values())))
    assert list(judged) == list(broken)
    for row, name in enumerate(broken):
        assert not judged[name][row], name


def test_a_stop_at_the_end_is_no_inner_one_and_a_gap_is() -> None:
    pack = Pack.of(NATURAL, PROTEIN)
    tokens = PROTEIN.encode(["MKV*", "M-KV", "M.KV", "MKV", "*MKV", ""])
    assert pack.judge(tokens)["no-inner-stop-or-gap"].tolist() == [True, False, False, True, False, True]
    padded = Tokens(np.array([1, 0, 1], np.uint8), np.array([0, 3]))
    assert pack.judge(padded)["no-inner-stop-or-gap"].tolist() == [False]
    assert pack.judge(PROTEIN.encode(["", "MKV"]))["canonical"].tolist() == [False, True]


def test_habits_are_judged_where_nearly_all_training_sequences_have_them() -> None:
    assert "starts-with-m" not in Pack.of(PROTEIN.encode(["MKV", "AKV"] * 5), PROTEIN).natural
    assert "starts-with-m" in Pack.of(PROTEIN.encode(["MKV"] * 9 + ["AKV"]), PROTEIN).natural
    assert "even-cysteines" not in Pack.of(PROTEIN.encode(["MCV"] * 9), PROTEIN).natural


def test_runs_repeats_and_entropies_are_those_of_a_slow_loop() -> None:
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list("ACD"), generator.integers(0, 40))) for _ in range(60)] + ["", "A" * 50]
    tokens = PROTEIN.encode(texts)
    assert longest_run(tokens).tolist() == [
        max((slow_run(text, i) for i in range(len(text))), default=0) for text in texts
    ]
    assert longest_repeat(tokens).tolist() == [slow_repeat(text) for text in texts]
    np.testing.assert_allclose(least_entropy(tokens), [slow_entropy(text) for text in texts], atol=1e-12)


def test_a_run_across_two_sequences_is_none() -> None:
    tokens = PROTEIN.encode(["KAA", "", "AAK"])
    assert longest_run(tokens).tolist() == [2, 0, 2]
    assert longest_repeat(tokens).tolist() == [1, 0, 1]


def test_conserved_sites_are_columns_with_one_residue_and_one_may_be_lost() -> None:
    aligned = np.tile(np.array([3, 5, 20, 7, 2], np.uint8), (40, 1))  # 20 is the gap
    aligned[:20, 4] = 1
    conserved = Conserved.of(aligned, 20)
    assert conserved.columns.tolist() == [0, 1, 3]
    rows = np.array([[3, 5, 20, 7, 2], [3, 5, 9, 0, 1], [3, 20, 9, 0, 1]], np.uint8)
    np.testing.assert_allclose(conserved.kept(rows), [1, 2 / 3, 1 / 3])
    assert conserved.nearly_all(rows).tolist() == [True, True, False]
    nothing = Conserved.of(np.zeros((0, 5), np.uint8), 20)
    assert nothing.kept(np.zeros((2, 5), np.uint8)).tolist() == [1.0, 1.0]


def test_conserved_sites_are_judged_in_the_columns_that_are_handed_in() -> None:
    def aligned(tokens: Tokens) -> np.ndarray:
        return tokens.padded(np.arange(len(tokens)), 4).ids - 1

    pack = Pack.of(PROTEIN.encode(["MKVL"] * 30), PROTEIN, aligned=aligned)
    assert pack.judge(PROTEIN.encode(["MKVL", "MKVA", "MKAA"]))["conserved-sites"].tolist() == [True, True, False]
    single = Pack.of(
        PROTEIN.encode(["MA", "MC", "MD"] * 9), PROTEIN, aligned=lambda own: own.padded(np.arange(len(own)), 2).ids - 1
    )
    assert "conserved-sites" not in single.natural  # the one site may be lost


def test_users_add_regular_expressions_and_rules_of_our_language() -> None:
    own = {"no-cys": "^[^C]*$", "m-first": "P1=M and not has(CC)", "glyco": "N[^P][ST]", "many": "count(K)>=2"}
    judged = Pack.of(NATURAL, PROTEIN, own).judge(PROTEIN.encode(["MKNASK", "ACNPS", ""]))
    assert judged["no-cys"].tolist() == [True, False, True]
    assert judged["m-first"].tolist() == [True, False, False]
    assert judged["glyco"].tolist() == [True, False, False]
    assert judged["many"].tolist() == [True, False, False]
    bond = own_rules({"phosphorus": "P1=C"}, SMILES)[0]  # a ring bond of molecules, not a site
    assert bond.keeps(SMILES.encode(["CP1=CC1", "CCO"])).tolist() == [True, False]


def test_all_rules_that_cannot_be_read_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        Pack.of(NATURAL, PROTEIN, {"good": "^M", "bad": "[A", "worse": "P0=M", "length": "^M"})
    message = str(error.value)
    assert "[rules] bad = '[A': no regular expression" in message
    assert "[rules] worse = 'P0=M'" in message
    assert "[rules] length = '^M': is the name of a rule that is always judged" in message
    assert "good" not in message


def test_a_rule_is_acquired_at_the_first_share_and_stable_where_it_stays() -> None:
    assert acquired([0.1, 0.95, 1.0, 0.94, 0.99], [64, 128, 256, 512, 1024]) == Acquired(128, 0.99, 2 / 3)
    never = acquired([0.1, 0.2], [64, 128])
    assert never.first is None
    assert never.final == 0.2
    assert math.isnan(never.stability)
    assert math.isnan(acquired([0.99], [64]).stability)
    assert math.isnan(acquired([], []).final)
    assert acquired([0.5, 0.6], [1, 2], at=0.5) == Acquired(1, 0.6, 1.0)
    with pytest.raises(ValueError, match="1 shares of 2"):
        acquired([0.1], [1, 2])


def test_nucleic_acids_and_molecules_have_the_rules_that_mean_something_to_them() -> None:
    dna = Pack.of(DNA.encode(["ACGTACGTTGCA"] * 20), DNA)
    assert list(dna.natural) == ["canonical", "no-inner-stop-or-gap", "length", "runs", "repeats", "complexity"]
    assert dna.judge(DNA.encode(["ACGTNCGTTGCA"]))["canonical"].tolist() == [False]
    assert list(Pack.of(SMILES.encode(["CCO"] * 20), SMILES).natural) == ["canonical", "length"]


def test_packs_of_nothing_one_and_equal_sequences_can_be_made() -> None:
    for texts in ([], ["M"], ["MKV"] * 30, ["M" * 3000, "MKVLA"]):
        pack = Pack.of(PROTEIN.encode(texts), PROTEIN)
        for kept in pack.judge(PROTEIN.encode(["MKV", ""])).values():
            assert kept.shape == (2,)
        assert all(len(kept) == 0 for kept in pack.judge(PROTEIN.encode([])).values())


def test_held_out_proteins_keep_every_rule_as_often_as_those_of_training(data: Path) -> None:
    tokens = read_table(data / "families" / "PF00708_acylphosphatase.fasta").tokens()
    order = np.random.default_rng(0).permutation(len(tokens))
    pack = Pack.of(tokens.take(order[150:]), PROTEIN)
    for name, kept in pack.judge(tokens.take(order[:150])).items():
        assert kept.mean() >= pack.natural[name] - 0.06, name
        assert pack.natural[name] >= 0.9


def slow_run(text: str, start: int) -> int:
    return next((n for n in range(1, len(text) - start) if text[start + n] != text[start]), len(text) - start)


def slow_repeat(text: str) -> int:
    for k in range(min(len(text), LONGEST_REPEAT), 0, -1):
        words = [text[i : i + k] for i in range(len(text) - k + 1)]
        if len(set(words)) < len(words):
            return k
    return 0


def slow_entropy(text: str) -> float:
    windows = [text[i : i + WINDOW] for i in range(len(text) - WINDOW + 1)]
    return min(
        (-sum(n / WINDOW * math.log2(n / WINDOW) for n in Counter(each).values()) for each in windows), default=math.inf
    )

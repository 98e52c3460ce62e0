"""Rules hold as a slow reading of them says, and simulated tables are what they claim to be."""

import re
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from seqloom.errors import ConfigError
from seqloom.registry import fields_of, validated
from seqloom.rule import AMINO_ACIDS, PRESETS, parse_rule, rule_holds
from seqloom.simulate import FREQUENCIES, Simulation

BY_HAND: dict[str, Callable[[str], bool]] = {
    "position": lambda s: s[1:2] == "L",
    "c-terminal": lambda s: s.endswith("V"),
    "count": lambda s: s.count("L") >= 3,
    "pair": lambda s: s[1:2] == "L" and s[7:8] == "L",
    "P2=L": lambda s: len(s) >= 2 and s[1] == "L",
    "P-3=AG": lambda s: len(s) >= 3 and s[-3] in "AG",
    "P2=LIVM and P-1=V": lambda s: len(s) >= 2 and s[1] in "LIVM" and s[-1] == "V",
    "count(LIV)>=3": lambda s: sum(c in "LIV" for c in s) >= 3,
    "count(A)==1": lambda s: s.count("A") == 1,
    "count(A)<=1": lambda s: s.count("A") <= 1,
    "count(A)>1": lambda s: s.count("A") > 1,
    "count(A)<1": lambda s: s.count("A") < 1,
    "has(KRK)": lambda s: "KRK" in s,
    "has(AA)": lambda s: "AA" in s,
    "has(L)": lambda s: "L" in s,
    "not has(AL)": lambda s: "AL" not in s,
    "P1=A or P1=L and P2=L": lambda s: s[:1] == "A" or (s[:1] == "L" and s[1:2] == "L"),
    "(P1=A or P1=L) and P2=L": lambda s: s[:1] in ("A", "L") and s[1:2] == "L",
    "not P1=A and P2=L": lambda s: s[:1] != "A" and s[1:2] == "L",
    "not (P1=A and P2=L)": lambda s: not (s[:1] == "A" and s[1:2] == "L"),
    "(P1=A and not P2=L) or (not P1=A and P2=L)": lambda s: (s[:1] == "A") != (s[1:2] == "L"),
}


@pytest.mark.parametrize("rule", BY_HAND)
@given(sequences=st.lists(st.text("AGIKLMRV", max_size=12), max_size=30))
def test_a_rule_holds_where_a_slow_reading_of_each_string_says_so(rule: str, sequences: list[str]) -> None:
    expected = [BY_HAND[rule](sequence) for sequence in sequences]
    assert rule_holds(rule, sequences).tolist() == expected


def test_rules_read_arrow_columns_in_chunks_and_slices() -> None:
    chunks = pa.chunked_array([["KRK", None], ["AKR", "KAA"], []], pa.string())
    assert rule_holds("has(KRK)", chunks).tolist() == [True, False, False, False]
    assert rule_holds("has(KRK)", chunks.slice(1)).tolist() == [False, False, False]
    assert rule_holds("P2=L", pa.array([], pa.string())).tolist() == []


@pytest.mark.parametrize(
    ("rule", "character", "message"),
    [
        ("P2=", 4, r"got the end, expected amino acids \(ACDEFGHIKLMNPQRSTVWY\)"),
        ("P2=LJ", 4, "got 'LJ', expected amino acids"),
        ("P0=L", 1, "got 'P0', expected a site such as P2 or P-1"),
        ("P2==L", 3, "got '==', expected '='"),
        ("P2=L adn P8=L", 6, "got 'adn', expected 'and', 'or' or the end"),
        ("P2=L P8=L", 6, "got 'P8', expected 'and', 'or' or the end"),
        ("count(L)=3", 9, "got '=', expected one of >= > == <= <"),
        ("count(L)>=many", 11, "got 'many', expected a number"),
        ("has()", 5, r"got '\)', expected amino acids"),
        ("(P2=L", 6, r"got the end, expected '\)'"),
        ("", 1, "got the end, expected a site"),
        ("not", 4, "got the end, expected a site"),
        ("not " * 60 + "P2=L", 201, "expected at most 50 parts inside one another"),
        ("pairs", 1, "got 'pairs'.*(?s:.)*it is a name: position, c-terminal, count, pair"),
    ],
)
def test_a_rule_that_cannot_be_read_is_pointed_at(rule: str, character: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Simulation(rule=rule)
    first, line, caret, _ = str(caught.value).split("\n")
    assert f"character {character}: " in first
    assert line.strip() == rule.strip()
    assert caret == " " * (2 + character - 1) + "^"


def test_spaces_do_not_matter_and_repeated_symbols_count_once() -> None:
    assert parse_rule(" P2 = LL\nand count( L )>= 3 ") == parse_rule("P2=L and count(L)>=3")
    assert {parse_rule(name) for name in PRESETS} == {parse_rule(rule) for rule in PRESETS.values()}


@pytest.mark.parametrize("rule", [*BY_HAND, Simulation().rule])
@pytest.mark.parametrize("positives", [0.5, 0.1])
def test_labels_follow_the_rule_in_the_share_asked_for(rule: str, positives: float) -> None:
    table = Simulation(rows=400, rule=rule, positives=positives, seed=3).table()
    assert table.column_names == ["id", "sequence", "label"]
    assert table["label"].to_numpy().tolist() == rule_holds(rule, table["sequence"]).astype(int).tolist()
    assert sum(table["label"].to_pylist()) == 400 * positives
    assert len(set(table["sequence"].to_pylist())) == len(set(table["id"].to_pylist())) == 400


def test_peptides_look_like_proteins_of_the_lengths_asked_for() -> None:
    sequences = Simulation(rows=20_000, rule="P1=M", positives=0.01).table()["sequence"].to_pylist()
    lengths = Counter(map(len, sequences))
    assert sorted(lengths) == [8, 9, 10, 11]
    assert 0.57 < lengths[9] / 20_000 < 0.63
    letters = Counter("".join(sequence[1:] for sequence in sequences))
    share = np.array([letters[symbol] for symbol in AMINO_ACIDS]) / letters.total()
    assert np.abs(share - FREQUENCIES).max() < 0.003
    assert FREQUENCIES.sum() == pytest.approx(1, abs=1e-6)
    assert {len(each) for each in Simulation(lengths=(15, 20)).table()["sequence"].to_pylist()} == {15, 20}


def test_the_seed_alone_decides_the_table() -> None:
    first = Simulation(seed=1).table()
    assert first.equals(Simulation(seed=1).table())
    assert not first["sequence"].equals(Simulation(seed=2).table()["sequence"])
    soft = Simulation(seed=1, effect="soft", noise=0.5).table()
    assert soft["sequence"].equals(first["sequence"])
    assert soft.equals(Simulation(seed=1, effect="soft", noise=0.5).table())


def test_no_single_part_of_a_pair_solves_it() -> None:
    table = Simulation(rule="pair").table()
    label = table["label"].to_numpy() == 1
    for part in ("P2=L", "P8=L", "has(L)"):
        guess = rule_holds(part, table["sequence"])
        assert guess[label].all()
        assert guess[~label].mean() > 0.2, f"{part} alone is right too often"


def test_composition_alone_does_not_solve_a_motif_or_a_site_from_the_end() -> None:
    for rule in ("has(KRK)", "c-terminal"):
        train, test = (Simulation(rule=rule, seed=seed).table() for seed in (0, 1))
        model = LogisticRegression(max_iter=1000).fit(composition(train), train["label"].to_numpy())
        assert 0.5 < model.score(composition(test), test["label"].to_numpy()) < 0.9


def composition(table: pa.Table) -> np.ndarray:
    """Counts of amino acids, float64 (N, 20)."""
    return np.array([[s.count(symbol) for symbol in AMINO_ACIDS] for s in table["sequence"].to_pylist()], float)


def test_a_soft_target_is_a_background_plus_the_effect_where_the_rule_holds() -> None:
    none, some = (Simulation(effect="soft", effect_size=size).table() for size in (0.0, 1.5))
    background, target = none["target"].to_numpy(), some["target"].to_numpy()
    holds = rule_holds(Simulation().rule, some["sequence"])
    np.testing.assert_allclose(target - background, np.where(holds, 1.5, 0.0), atol=1e-12)
    assert (background.mean(), background.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))


def test_the_background_of_a_soft_target_is_additive_over_residues_at_sites() -> None:
    table = Simulation(rows=3000, effect="soft", effect_size=0.0, lengths=(6,)).table()
    one_hot = np.array(
        [[s[site] == symbol for site in range(6) for symbol in AMINO_ACIDS] for s in table["sequence"].to_pylist()],
        float,
    )
    target = table["target"].to_numpy()
    fitted = one_hot @ np.linalg.lstsq(one_hot, target)[0]
    np.testing.assert_allclose(fitted, target, atol=1e-8)


def test_noise_flips_that_share_of_labels_and_widens_soft_targets() -> None:
    clean, noisy = (Simulation(rows=5000, noise=noise).table()["label"].to_numpy() for noise in (0.0, 0.1))
    assert 0.085 < (clean != noisy).mean() < 0.115
    clean, noisy = (
        Simulation(rows=5000, effect="soft", noise=noise).table()["target"].to_numpy() for noise in (0.0, 0.7)
    )
    assert (noisy - clean).std() == pytest.approx(0.7, rel=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "P20=L"}, "1000 different peptides of length 8 to 11 that obey it, 0 could be made"),
        ({"rule": "P2=L and P2=V"}, "that obey it, 0 could be made"),
        ({"rule": "count(L)>=0"}, "that break it, 0 could be made"),
        ({"rule": "P1=L", "lengths": (1,)}, "that obey it, 1 could be made; lower rows"),
        ({"noise": 0.7}, "it is a share of labels, 0 to 0.5"),
        ({"effect_size": 1.0}, "type effect = 'soft'"),
        ({"rows": 1}, "rows"),
        ({"lengths": ()}, "lengths"),
        ({"ruel": "P2=L"}, "rule"),
    ],
)
def test_what_cannot_be_simulated_is_refused_with_a_reason(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        validated(Simulation, settings, "simulate").table()


def test_every_setting_is_documented() -> None:
    assert all(len(field.text) > 10 for field in fields_of(Simulation))


@pytest.mark.slow
def test_a_million_peptides_take_seconds() -> None:
    start = time.perf_counter()
    table = Simulation(rows=1_000_000).table()
    assert time.perf_counter() - start < 30  # about 3 s on one core; a loop over rows would take minutes
    assert len(table["sequence"].unique()) == 1_000_000

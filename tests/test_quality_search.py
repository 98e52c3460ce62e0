"""Searches find the family and nothing else, and e-values mean what they say, whichever engine is asked."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from seqloom.alphabet import DNA, PROTEIN, SMILES
from seqloom.errors import ConfigError, DataError
from seqloom.quality.search import (
    ENGINES,
    EVALUE,
    N_SEQUENCES,
    PROGRAMS,
    SEARCH_SPACE,
    Database,
    Engine,
    available,
    hits,
    strays,
)
from seqloom.table import read_table
from seqloom.tokens import Tokens

pytest.importorskip("pyhmmer")
pytest.importorskip("pyfamsa")

FAMILY = "family"


@pytest.fixture(scope="module")
def decoys(data: Path) -> dict[str, Tokens]:
    with (data / "families" / "decoy_families.csv").open() as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["family_name"] for row in rows})
    return {name: PROTEIN.encode([row["sequence"] for row in rows if row["family_name"] == name]) for name in names}


@pytest.fixture(scope="module")
def acylphosphatases(data: Path, decoys: dict[str, Tokens]) -> tuple[Database, Tokens]:
    """A database of a training part and the decoys, and what was held out."""
    train, held_out = parted(read_table(data / "families" / "PF00708_acylphosphatase.fasta").tokens(), 110)
    return Database({FAMILY: train} | decoys, PROTEIN), held_out


def test_held_out_acylphosphatases_are_on_class_and_no_decoy_is(acylphosphatases: tuple[Database, Tokens]) -> None:
    database, held_out = acylphosphatases
    found = hits(held_out, database)
    assert found.measures(FAMILY)["on_class"].mean() >= 0.99
    assert len(found.rows) == len(held_out)
    assert max(strays(database, FAMILY).values()) <= 0.01
    for name in ("SH3_1", "RRM_1"):  # a decoy's best hit is in its own family
        assert hits(database.sequences[name], database).on(name).mean() >= 0.99


def test_held_out_response_regulators_are_on_class(
    data: Path, acylphosphatases: tuple[Database, Tokens], decoys: dict[str, Tokens]
) -> None:
    other, _ = acylphosphatases
    tokens = read_table(data / "families" / "PF00072_response_regulator.fasta.gz").tokens()
    train, held_out = parted(tokens, 500)
    made = dict(zip(other.labels[1:], other.profiles[1:], strict=True))
    database = Database({FAMILY: train} | decoys, PROTEIN, made)
    measured = hits(held_out, database).measures(FAMILY)
    assert measured["on_class"].mean() >= 0.99
    assert measured["off_class"].mean() <= 0.01
    assert max(strays(database, FAMILY).values()) <= 0.01


def test_of_a_thousand_shuffled_and_random_sequences_one_is_a_hit_at_most(
    acylphosphatases: tuple[Database, Tokens],
) -> None:
    database, _ = acylphosphatases
    for queries in (shuffled(database.sequences[FAMILY], 500), random_proteins(500)):
        assert hits(queries, database).any.sum() <= 1


def test_e_values_are_the_numbers_of_hits_to_expect_by_chance(acylphosphatases: tuple[Database, Tokens]) -> None:
    database, _ = acylphosphatases
    few = Database({name: database.sequences[name] for name in database.labels[:4]}, PROTEIN)
    queries, evalue = random_proteins(700), 30.0
    expected = len(queries) * len(few.labels) * evalue / N_SEQUENCES
    n = hits(queries, few, evalue=evalue, coverage=0.0).any.sum()
    assert expected / 2.5 <= n <= 2.5 * expected


@pytest.mark.parametrize("engine", [each for each in ENGINES if each != "hmm"])
def test_every_engine_that_is_here_finds_the_family_and_orders_it_alike(
    engine: Engine, acylphosphatases: tuple[Database, Tokens]
) -> None:
    if engine not in available():
        pytest.skip(f"the program {engine} is not on the PATH")
    database, held_out = acylphosphatases
    small = Database({name: each.take(np.arange(80)) for name, each in list(database.sequences.items())[:3]}, PROTEIN)
    n, strangers = 24, random_proteins(20)
    related = mutated(held_out.take(np.arange(n)), np.linspace(0, 0.6, n))
    offsets = np.concatenate([related.offsets, related.offsets[-1] + strangers.offsets[1:]])
    queries = Tokens(np.concatenate([related.values, strangers.values]), offsets)
    found, peer = hits(queries, small, engine), hits(queries, small, "phmmer")
    if engine == "phmmer":  # compared with the profile
        peer = hits(queries, small, "hmm")
    assert found.on(FAMILY)[:12].all()
    both = found.any & peer.any
    least = 0.4 if engine == "phmmer" else 0.9
    assert spearmanr(found.evalue[both], peer.evalue[both])[0] >= least
    if engine != "phmmer":
        np.testing.assert_allclose(found.identity[both], peer.identity[both], atol=0.12)
    assert not found.any[n:].any()
    assert (found.evalue[found.any] <= EVALUE).all()
    assert (found.coverage[found.any] >= 0.7).all()


@pytest.mark.parametrize("engine", [each for each in PROGRAMS if each != "mmseqs"])  # four seconds a call
def test_e_values_of_programs_do_not_depend_on_what_else_is_in_the_database(
    engine: Engine, acylphosphatases: tuple[Database, Tokens]
) -> None:
    if engine not in available():
        pytest.skip(f"the program {engine} is not on the PATH")
    database, held_out = acylphosphatases
    own = {FAMILY: database.sequences[FAMILY].take(np.arange(60))}
    queries = held_out.take(np.arange(10))
    alone, beside = (
        hits(queries, Database(own | more, PROTEIN), engine) for more in ({}, {"PH": database.sequences["PH"]})
    )
    assert alone.any.all()
    np.testing.assert_allclose(alone.evalue, beside.evalue)
    np.testing.assert_allclose(alone.evalue, held_out.lengths[:10] * SEARCH_SPACE * 2.0**-alone.bits)


def test_phmmer_finds_the_identity_and_the_coverage_of_a_sequence_that_is_known(
    acylphosphatases: tuple[Database, Tokens],
) -> None:
    database, _ = acylphosphatases
    text = PROTEIN.decode(database.sequences[FAMILY].take(np.array([0])))[0]
    other = text[:40] + "".join("A" if each != "A" else "G" for each in text[40:50]) + text[50:]
    small = Database({FAMILY: PROTEIN.encode([text])}, PROTEIN)
    found = hits(PROTEIN.encode([text, other, text[:30] + "G" * 200, ""]), small, "phmmer")
    assert found.identity[0] == 1.0
    assert found.coverage[0] == 1.0
    assert found.identity[1] == pytest.approx(1 - 10 / len(text), abs=0.011)
    assert found.any.tolist() == [True, True, False, False]  # a third of the query is aligned: no hit
    assert np.isnan(found.bits[3])


def test_without_decoys_there_is_no_share_off_class(acylphosphatases: tuple[Database, Tokens]) -> None:
    database, held_out = acylphosphatases
    alone = Database({FAMILY: database.sequences[FAMILY]}, PROTEIN, {FAMILY: database.profiles[0]})
    measured = hits(held_out, alone).measures(FAMILY)
    assert sorted(measured) == ["hit_rate", "on_class"]
    assert (measured["hit_rate"] == measured["on_class"]).all()
    assert strays(alone, FAMILY) == {}


def test_a_hit_is_found_with_gaps_stops_and_unknown_residues_in_it(acylphosphatases: tuple[Database, Tokens]) -> None:
    database, held_out = acylphosphatases
    text = PROTEIN.decode(held_out.take(np.array([0])))[0]
    odd = [text[:20] + "-" + text[20:], text[:20] + "*" + text[21:], text[:20] + "XBJ" + text[23:], "", "M"]
    assert hits(PROTEIN.encode(odd), database).on(FAMILY).tolist() == [True, True, True, False, False]


def test_nucleic_acids_are_searched_by_profiles() -> None:
    generator = np.random.default_rng(0)
    ancestor = generator.integers(1, 5, 120).astype(np.uint8)
    rows = np.tile(ancestor, (40, 1))
    change = generator.random(rows.shape) < 0.1
    rows[change] = generator.integers(1, 5, int(change.sum()))
    tokens = Tokens(rows.ravel(), np.arange(41) * 120)
    database = Database({FAMILY: tokens.take(np.arange(30))}, DNA)
    assert hits(tokens.take(np.arange(30, 40)), database).any.all()
    assert not hits(Tokens(generator.integers(1, 5, 1200).astype(np.uint8), np.arange(11) * 120), database).any.any()


def test_what_cannot_be_searched_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    protein = Database({FAMILY: PROTEIN.encode(["MKVLAA"])}, PROTEIN)
    with pytest.raises(ConfigError, match="no homologues"):
        hits(SMILES.encode(["CCO"]), Database({FAMILY: SMILES.encode(["CCO"])}, SMILES))
    with pytest.raises(ConfigError, match="take 'hmm'"):
        hits(DNA.encode(["ACGT"]), Database({FAMILY: DNA.encode(["ACGT"])}, DNA), "blastp")
    with pytest.raises(ConfigError, match="no such engine"):
        hits(PROTEIN.encode(["M"]), protein, "hmmer")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="families without a sequence: empty"):
        hits(PROTEIN.encode(["M"]), Database({"empty": PROTEIN.encode(["", ""])}, PROTEIN))
    monkeypatch.setenv("PATH", "")
    assert "blastp" not in available()
    with pytest.raises(ConfigError, match="on the PATH; 'hmm' needs none"):
        hits(PROTEIN.encode(["M"]), protein, "blastp")


def parted(tokens: Tokens, n_held_out: int) -> tuple[Tokens, Tokens]:
    order = np.random.default_rng(0).permutation(len(tokens))
    return tokens.take(order[n_held_out:]), tokens.take(order[:n_held_out])


def random_proteins(n: int, length: int = 90) -> Tokens:
    values = np.random.default_rng(7).integers(1, 21, n * length).astype(np.uint8)
    return Tokens(values, np.arange(n + 1) * length)


def shuffled(tokens: Tokens, n: int) -> Tokens:
    generator = np.random.default_rng(3)
    own = tokens.take(generator.integers(0, len(tokens), n))
    row = np.repeat(np.arange(n), own.lengths)
    return Tokens(own.values[np.lexsort((generator.random(len(row)), row))], own.offsets)


def mutated(tokens: Tokens, shares: np.ndarray) -> Tokens:
    generator = np.random.default_rng(5)
    change = generator.random(len(tokens.values)) < np.repeat(shares, tokens.lengths)
    other = generator.integers(1, 21, len(tokens.values)).astype(np.uint8)
    return Tokens(np.where(change, other, tokens.values), tokens.offsets)

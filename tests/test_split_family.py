"""The split by families of variants: no tested row is a mutant of a wild type of training rows."""

import numpy as np
import pytest

from contracts.tables import peptides
from mutants import OTHER, WILD, mutated, rows_of, scan
from seqloom.errors import DataError
from seqloom.mutation.variants import families_of
from seqloom.split.base import TEST, TRAIN, VALID
from split_tables import assigned, parted, sides, table_of, told

SINGLES = scan(WILD, range(1, 41, 2))


@pytest.mark.parametrize("folds", [1, 3])
def test_families_and_kin_and_equal_rows_stand_on_one_side(folds):
    proteins = [each * 3 for each in peptides(12)]
    proteins = [protein[:30] + OTHER[:10] for protein in proteins if len(protein) >= 20]
    texts, family = [], []
    for number, protein in enumerate(proteins):
        own = scan(protein, range(1, 9))
        texts += own
        family += [number] * len(own)
    kin = mutated(WILD, (30, "W"))
    texts += [*scan(WILD, range(1, 15)), *scan(kin, range(1, 12)), *scan(WILD, (3, 4)), WILD[:9] + WILD[10:]]
    family += [-1] * (len(texts) - len(family))
    strangers = peptides(40)[20:]
    table = table_of([*texts, *strangers, *strangers[:5]])
    partition, audit = parted(table, "family", folds=folds)
    family = np.array(family)
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        assert not set(family[fitted[fitted < len(family)]]) & set(family[tested[tested < len(family)]])
        assert audit.facts["folds"][fold]["shared_inputs"] == 0
    assert folds == 1 or ((partition.roles == TEST).sum(0) == 1).all()


def test_valid_rows_are_of_other_families_as_well():
    texts = [
        each for number in range(12) for each in scan(mutated((WILD[number:] + WILD[:number]), (1, "W")), range(5, 12))
    ]
    table = table_of(texts)
    label = families_of(table).label
    partition, _ = parted(table, "family")
    train, valid, test = (set(label[partition.rows(0, role)].tolist()) for role in (TRAIN, VALID, TEST))
    assert valid
    assert not train & valid
    assert not train & test


@pytest.mark.parametrize("folds", [1, 5])
def test_no_real_mutant_is_tested_whose_wild_type_was_trained_on(data, folds):
    rows = rows_of(data / "stability" / "jin_v2_train.csv")
    table = table_of([row["mut_seq"] for row in rows], [float(row["ddG"]) for row in rows])
    truth = np.array([row["wt_seq"] for row in rows])
    n_rows = {wild: int((truth == wild).sum()) for wild in set(truth)}
    partition = assigned(table, "family", folds=folds)
    for fold in range(folds):
        fitted, tested = sides(partition, fold)
        shared = set(truth[fitted]) & set(truth[tested])
        assert not shared, [n_rows[wild] for wild in shared]
        assert 0.1 < len(tested) / len(truth) < 0.3


def test_a_table_of_one_family_cannot_be_divided():
    with pytest.raises(DataError, match=r"1 distinct families of variants cannot make 2 parts"):
        parted(table_of(SINGLES), "family")


def test_rows_of_no_family_are_units_of_their_own():
    table = table_of(peptides(60))
    partition, _ = parted(table, "family")
    assert len(sides(partition)[1]) == 12
    assert told(table, "family")["families"].message == "no row is a variant of another"


def test_the_findings_name_the_families():
    table = table_of([*SINGLES, *scan(OTHER, range(1, 11)), *peptides(5)])
    found = told(table, "family")["families"]
    assert found.message.startswith("2 families of variants, with the wild types GNIFIKNLHPDI...DENGKS (")
    assert "5 rows are in none" in found.message

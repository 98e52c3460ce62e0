"""Combinatorial libraries by building block: new combinations of known blocks, or blocks that no training row holds.

A row of a library is put together from blocks, one of each column. Some blocks are held out; rows are then of three kinds:
*share* (none of their blocks is held out), *nonshare* (all of them are) and *mixed*, which can stand on neither side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding
from seqloom.registry import nearest, register
from seqloom.split.base import TEST, TRAIN, VALID, Partition, Splitter
from seqloom.split.deal import deal, inner_split
from seqloom.split.inputs import joined, seen_groups
from seqloom.split.measured import measured
from seqloom.table import Table

SHARE, NONSHARE, MIXED, BLANK = range(4)
REASONS = {
    SHARE: "tested in another fold",
    NONSHARE: "all its building blocks are held out",
    MIXED: "some of its building blocks are held out and some are not",
    BLANK: "a building block is missing",
}


class Vocabulary(NamedTuple):
    """The blocks of one column, or of several columns that have any in common."""

    columns: tuple[str, ...]
    n_blocks: int
    codes: np.ndarray  # int64 (columns, N): the block of each row, in the order of their texts; -1 where it is missing


@register("splitter", "components")
class ComponentSplit(Splitter):
    """Building blocks of a combinatorial library, held out whole.

    `columns` name the blocks of each row. Columns with any block in common draw from one vocabulary; blocks are compared as
    they are written. Rows with some blocks held out and some not are unused, and so are rows that lack a block.
    """

    columns: tuple[str, ...] = ()
    """Columns of the building blocks, such as buildingblock1_smiles,buildingblock2_smiles."""
    scheme: Literal["nonshare", "share", "both"] = "nonshare"
    """Test rows: all blocks held out (nonshare), new combinations of training blocks (share), or a fold for each kind (both)."""
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the blocks of each vocabulary that are held out when there is one fold."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the rows without held-out blocks that are tested by the schemes share and both."""
    folds: Annotated[int, Field(ge=1)] = 1
    """k > 1 holds out each block once, one k-th of them at a time; `both` makes two folds of each holding-out."""

    def assign(self, table: Table, strata: np.ndarray | None) -> Partition:
        """Roles by the kinds of the rows; DataError where blocks are too few, or no row is of a kind that is needed."""
        vocabularies = self._vocabularies(table)
        units = self.units(table)
        known = measured(table)
        kinds, drafts = [], []
        for number, out in enumerate(self._held_out(vocabularies, table)):
            kinds.append(_kinds(vocabularies, out, units))
            self._refuse_lack(np.bincount(kinds[-1][known], minlength=4), vocabularies, table)
            draft = self._draft(kinds[-1], vocabularies, units, known, self.seed + number)
            drafts.append(_with_valid(draft, (kinds[-1] == SHARE) & known, units, strata, self.seed + number))
        tested = {"nonshare": (NONSHARE,), "share": (SHARE,), "both": (SHARE, NONSHARE)}[self.scheme]
        folds = [(own, draft, kind) for own, draft in zip(kinds, drafts, strict=True) for kind in tested]
        roles = [np.where(own == NONSHARE, TEST, draft) for own, draft, _ in folds]
        partition = Partition(np.stack(roles).astype(np.int8))
        for fold, (own, draft, kind) in enumerate(folds):
            aside = {each: own == each for each in (MIXED, BLANK)}
            aside |= {NONSHARE: own == NONSHARE} if kind == SHARE else {SHARE: draft == TEST}
            for each, rows in aside.items():
                partition = partition.without(np.flatnonzero(rows), REASONS[each], np.array([fold]))
        return partition

    def units(self, table: Table) -> np.ndarray:
        """Rows of one combination of blocks, joined with those of equal inputs."""
        combination = np.zeros(table.n_rows, np.int64)
        for vocabulary in self._vocabularies(table):
            for codes in vocabulary.codes:
                paired = combination * (vocabulary.n_blocks + 1) + codes + 1
                combination = np.unique(paired, return_inverse=True)[1]
        return joined(combination, seen_groups(table))

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """Which columns share a vocabulary, how many blocks it has, and which fold tests what."""
        parts = [f"{' and '.join(each.columns)}: {each.n_blocks:,}" for each in self._vocabularies(table)]
        message = f"building blocks, by vocabulary: {'; '.join(parts)}"
        if self.scheme == "both":
            message += "; even folds (from 0) test new combinations (share), odd ones held-out blocks (nonshare)"
        return (Finding("building-blocks", "info", message, len(parts)),)

    @property
    def guarantee(self) -> str:
        """What holds for every test row."""
        share = "every building block of a test row also stands in training, in other combinations only"
        nonshare = "no test row shares any building block with a training row"
        both = f"in folds 0, 2, ... {share}; in folds 1, 3, ... {nonshare}; each two train on the same rows"
        return {"share": share, "nonshare": nonshare, "both": both}[self.scheme]

    def _vocabularies(self, table: Table) -> list[Vocabulary]:
        """Vocabularies in the order of their first columns; ConfigError for columns that are not there."""
        self._refuse_columns(table)
        texts = pa.concat_arrays([table.text(name) for name in self.columns]).dictionary_encode()
        # By text, so that neither the order of rows nor a new row changes which blocks are held out.
        place = np.append(np.argsort(np.argsort(np.array(texts.dictionary.to_pylist(), object))), -1).astype(np.int64)
        codes = place[texts.indices.fill_null(-1).to_numpy(zero_copy_only=False)].reshape(len(self.columns), -1)
        present = np.zeros((len(codes), len(place)), bool)
        for own, column in zip(present, codes, strict=True):
            own[column] = True
        columns, blocks = np.nonzero(present[:, :-1])  # the last place is that of missing blocks
        labels = np.arange(len(codes)) + len(codes)  # a column without any block stays alone
        labels[columns] = joined(columns, blocks)
        found = []
        for label in dict.fromkeys(labels.tolist()):
            own = np.flatnonzero(labels == label)
            distinct, dense = np.unique(codes[own], return_inverse=True)
            dense = dense.reshape(len(own), -1) - int((distinct < 0).any())
            n_blocks = int((distinct >= 0).sum())
            found.append(Vocabulary(tuple(self.columns[each] for each in own), n_blocks, dense))
        return found

    def _refuse_columns(self, table: Table) -> None:
        names = table.data.column_names
        absent = [name for name in self.columns if name not in names]
        if self.columns and not absent:
            return
        what = (
            "; ".join(f"no column {name!r}{nearest(name, names)}" for name in absent)
            or "needs the columns of building blocks"
        )
        raise ConfigError(
            f"[split] kind = 'components': {table.source.name}: {what}; name them with --set split.columns=COLUMN,COLUMN; "
            f"columns: {', '.join(names[:30])}"
        )

    def _held_out(self, vocabularies: Sequence[Vocabulary], table: Table) -> Iterator[list[np.ndarray]]:
        """For each holding-out, which blocks of each vocabulary, bool (blocks,)."""
        for each in vocabularies:
            if each.n_blocks < max(self.folds, 2):
                raise DataError(
                    f"{table.source.name}: {each.n_blocks} distinct building blocks in {_quoted(each.columns)} cannot make "
                    f"{max(self.folds, 2)} parts; use fewer folds (--folds), or leave the column out of split.columns"
                )
        rng = np.random.default_rng([self.seed, 0xB10C])
        orders = [rng.permutation(each.n_blocks) for each in vocabularies]
        for fold in range(self.folds):
            out = []
            for order in orders:
                n_out = int(np.clip(round(self.held_out * len(order)), 1, len(order) - 1))
                own = order[:n_out] if self.folds == 1 else np.array_split(order, self.folds)[fold]
                out.append(np.isin(np.arange(len(order)), own))
            yield out

    def _refuse_lack(self, counts: np.ndarray, vocabularies: Sequence[Vocabulary], table: Table) -> None:
        """DataError when no row can be trained on, or none tested; `counts` of measured rows by kind."""
        lacks_test = self.scheme != "share" and not counts[NONSHARE]
        if counts[SHARE] and not lacks_test:
            return
        what = "all of its building blocks held out" if counts[SHARE] else "no building block held out"
        columns = _quoted([name for each in vocabularies for name in each.columns])
        move = "--set split.held_out" if self.folds == 1 else "the number of folds"
        raise DataError(
            f"{table.source.name}: no row with a target has {what} (blocks of {columns}; share {counts[SHARE]:,}, nonshare "
            f"{counts[NONSHARE]:,}, mixed {counts[MIXED]:,}, a block missing {counts[BLANK]:,} rows); change {move}, or name "
            f"fewer columns"
        )

    def _draft(
        self, kinds: np.ndarray, vocabularies: Sequence[Vocabulary], units: np.ndarray, known: np.ndarray, seed: int
    ) -> np.ndarray:
        """int8 (N,): TEST for share rows that are tested, TRAIN for all others."""
        roles = np.full(len(kinds), TRAIN, np.int8)
        if self.scheme == "nonshare":
            return roles
        share = np.flatnonzero(kinds == SHARE)
        roles[share[deal(units[share], None, [1 - self.test, self.test], seed) == 1]] = TEST
        train = np.flatnonzero((kinds == SHARE) & (roles == TRAIN) & known)
        tested = np.flatnonzero(roles == TEST)
        strange = units[tested[_unseen(vocabularies, train, tested)]]
        roles[tested[np.isin(units[tested], strange)]] = TRAIN
        return roles


def _kinds(vocabularies: Sequence[Vocabulary], out: Sequence[np.ndarray], units: np.ndarray) -> np.ndarray:
    """SHARE, NONSHARE, MIXED or BLANK of each row, int64 (N,); a unit whose rows are of two kinds is MIXED."""
    codes = np.concatenate([each.codes for each in vocabularies])
    is_out = np.concatenate([own[each.codes] for each, own in zip(vocabularies, out, strict=True)])
    kinds = np.where(is_out.all(axis=0), NONSHARE, np.where(is_out.any(axis=0), MIXED, SHARE))
    blank = (codes < 0).any(axis=0)
    low, high = np.full(int(units.max(initial=0)) + 1, MIXED), np.full(int(units.max(initial=0)) + 1, SHARE)
    np.minimum.at(low, units[~blank], kinds[~blank])
    np.maximum.at(high, units[~blank], kinds[~blank])
    return np.where(blank, BLANK, np.where(low[units] < high[units], MIXED, kinds))


def _with_valid(
    roles: np.ndarray, fitted: np.ndarray, units: np.ndarray, strata: np.ndarray | None, seed: int
) -> np.ndarray:
    """`roles` with some `fitted` (bool (N,)) training rows VALID: here, so that two folds can train on the very same rows."""
    train = np.flatnonzero(fitted & (roles == TRAIN))
    own = None if strata is None else strata[train]
    roles = roles.copy()
    roles[train[inner_split(units[train], own, seed)]] = VALID
    return roles


def _unseen(vocabularies: Sequence[Vocabulary], train: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Which of `rows` hold a block that no row of `train` holds, bool (rows,)."""
    unseen = np.zeros(len(rows), bool)
    for each in vocabularies:
        seen = np.zeros(each.n_blocks, bool)
        seen[each.codes[:, train]] = True
        unseen |= (~seen[each.codes[:, rows]]).any(axis=0)
    return unseen


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(map(repr, columns))

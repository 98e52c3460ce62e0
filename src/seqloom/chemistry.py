"""Molecules: all that is asked of RDKit, in one place.

SMILES are read, brought to one spelling, and reduced to Murcko scaffolds or Morgan fingerprints. What RDKit cannot read is
never dropped: it stands for itself as text, and `unread_smiles` says which rows those are. RDKit is imported inside the
functions only, its log is silenced, and equal SMILES are read once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from seqloom.errors import MissingExtra
from seqloom.findings import N_NAMED_ROWS, Finding

if TYPE_CHECKING:
    from rdkit.Chem import Mol

    from seqloom.table import Table

Made = TypeVar("Made")

WORD = 64
"""Bits of one number of a packed fingerprint."""
CHUNK = 4096
"""Molecules held at once: they are some kilobytes each, a thousand times their fingerprints in all."""
N_SHOWN = 40


def molecules(smiles: Sequence[str]) -> list[Mol | None]:
    """RDKit's molecule of each SMILES, None where it reads none; MissingExtra without RDKit."""
    return list(_read(smiles))


def unreadable(smiles: Sequence[str]) -> np.ndarray:
    """Which SMILES RDKit cannot read, bool (N,); an empty one cannot be read."""
    return np.array(_of_each(smiles, lambda _: False, lambda _: True), bool)


def canonical(smiles: Sequence[str]) -> list[str]:
    """One spelling for all spellings of a molecule: RDKit's canonical SMILES, stereo included; unreadable ones as they are.

    >>> canonical(["C(O)C", "OCC", "nonsense"])
    ['CCO', 'CCO', 'nonsense']
    """
    _require_rdkit()
    from rdkit import Chem

    return _of_each(smiles, Chem.MolToSmiles, str)


def canonical_or_none(smiles: Sequence[str]) -> list[str | None]:
    """RDKit's canonical SMILES of each molecule, stereo included; None where RDKit reads none."""
    _require_rdkit()
    from rdkit import Chem

    return _of_each(smiles, Chem.MolToSmiles, lambda _: None)


def scaffolds(smiles: Sequence[str]) -> list[str]:
    """The Murcko scaffold of each molecule as SMILES: its rings and what links them, without stereo.

    Atoms double-bonded to the scaffold stay, as RDKit has it. '' for molecules without a ring; the text itself where a
    SMILES cannot be read. Bemis and Murcko, J. Med. Chem. 1996, 39, 2887.

    >>> scaffolds(["Cc1ccccc1", "CCO", "nonsense"])
    ['c1ccccc1', '', 'nonsense']
    """
    _require_rdkit()
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    def scaffold(molecule: Mol) -> str:
        return str(MurckoScaffoldSmiles(mol=molecule))  # type: ignore[no-untyped-call]

    return _of_each(smiles, scaffold, str)


def fingerprints(smiles: Sequence[str], radius: int = 2, bits: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """Morgan fingerprints, uint64 (N, bits / 64), and which SMILES cannot be read, bool (N,), whose bits are all 0.

    Bit b is bit b % 64 of number b // 64. `bits` is a multiple of 64. Radius 2 is what is called ECFP4. Rogers and Hahn,
    J. Chem. Inf. Model. 2010, 50, 742.
    """
    if bits < WORD or bits % WORD:
        raise ValueError(f"bits = {bits}: a fingerprint has a multiple of {WORD} bits")
    _require_rdkit()
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.DataStructs import BitVectToBinaryText

    generator = GetMorganGenerator(radius=radius, fpSize=bits)
    distinct = {text: index for index, text in enumerate(dict.fromkeys(smiles))}
    packed = np.zeros((len(distinct), bits // WORD), np.uint64)
    unread = np.zeros(len(distinct), bool)
    for index, molecule in enumerate(_read(distinct)):
        if molecule is None:
            unread[index] = True
        else:
            packed[index] = np.frombuffer(BitVectToBinaryText(generator.GetFingerprint(molecule)), "<u8")
    rows = np.fromiter((distinct[text] for text in smiles), np.int64, len(smiles))
    return packed[rows], unread[rows]


def unread_smiles(table: Table, column: str) -> Finding | None:
    """The finding that names rows of a SMILES column that RDKit cannot read, or None if it reads all."""
    texts = table.sequences(column).to_pylist()
    rows = np.flatnonzero(unreadable(texts))
    if not len(rows):
        return None
    first = rows[:N_NAMED_ROWS]
    ids = table.ids.take(pa.array(first)).to_pylist()
    named = [
        f"row {table.row_numbers[row]}{f' ({name})' if table.roles.id else ''}: {_shortened(texts[row])!r}"
        for row, name in zip(first.tolist(), ids, strict=True)
    ]
    message = (
        f"{table.source.name}: {len(rows):,} of {table.n_rows:,} SMILES of column {column!r} cannot be read by RDKit; kept, and "
        f"compared as text: {'; '.join(named)}{'; ...' if len(rows) > len(first) else ''}"
    )
    numbers = tuple(int(number) for number in table.row_numbers[first])
    return Finding("unread-smiles", "warning", message, len(rows), numbers)


def _require_rdkit() -> None:
    """MissingExtra where RDKit is not installed."""
    try:
        import rdkit  # noqa: F401
    except ImportError:
        raise MissingExtra("reading SMILES as molecules", "chem") from None


def _of_each(smiles: Sequence[str], make: Callable[[Mol], Made], otherwise: Callable[[str], Made]) -> list[Made]:
    """`make` of each molecule, `otherwise` of each text that is none, or from which RDKit cannot make it."""
    _require_rdkit()
    from rdkit import rdBase
    from rdkit.Chem import MolSanitizeException

    made: dict[str, Made] = {}
    distinct = dict.fromkeys(smiles)
    with rdBase.BlockLogs():
        for text, molecule in zip(distinct, _read(distinct), strict=True):
            try:
                made[text] = otherwise(text) if molecule is None else make(molecule)
            except MolSanitizeException:  # a scaffold may hold an atom of a valence it had only in the molecule
                made[text] = otherwise(text)
    return [made[text] for text in smiles]


def _read(smiles: Iterable[str]) -> Iterator[Mol | None]:
    _require_rdkit()
    from rdkit import Chem, rdBase

    texts = iter(smiles)
    while chunk := list(islice(texts, CHUNK)):
        with rdBase.BlockLogs():
            read = [Chem.MolFromSmiles(text) if text else None for text in chunk]
        yield from read


def _shortened(text: str) -> str:
    return text if len(text) <= N_SHOWN else f"{text[: N_SHOWN - 3]}..."

"""SMILES as molecules: which can be read and why others cannot, which are new, how varied they are, and what they are like.

All numbers but the share that can be read are of the readable ones: a generator of nonsense is not novel. Copies are compared as
canonical SMILES, likeness by the Tanimoto similarity of Morgan fingerprints. How a number varies from draw to draw is said
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from seqloom.chemistry import canonical_or_none, fingerprints, molecules, scaffolds
from seqloom.similarity.fingerprints import nearest_prints, pair_tanimoto

if TYPE_CHECKING:
    from rdkit.Chem import Mol

Measure = Callable[[np.ndarray], float]
"""A number of the samples `rows`, int (R,)."""

REASONS = ("empty", "syntax", "valence", "aromaticity", "other")
"""Why a SMILES is no molecule: nothing is written; brackets, rings or symbols do not fit; an atom has too many bonds; a ring
that is written as aromatic has no alternating bonds; anything else."""
MOST_PAIRED = 1000
"""Molecules of which all pairs are compared."""
PROPERTIES = ("weight", "logp", "tpsa", "qed", "rings", "acceptors", "donors")


@dataclass(frozen=True, eq=False)
class Molecules:
    """N SMILES, and what RDKit makes of them; each is worked out when it is first asked for."""

    smiles: tuple[str, ...]

    @classmethod
    def of(cls, smiles: Sequence[str]) -> Molecules:
        """MissingExtra without RDKit, when anything is asked of it."""
        return cls(tuple(smiles))

    @property
    def n(self) -> int:
        """N."""
        return len(self.smiles)

    @cached_property
    def canonical(self) -> list[str | None]:
        """One spelling of each molecule, stereo included; None where it cannot be read."""
        return canonical_or_none(self.smiles)

    @cached_property
    def valid(self) -> np.ndarray:
        """Which can be read, bool (N,)."""
        return np.array([each is not None for each in self.canonical], bool)

    @cached_property
    def reasons(self) -> list[str]:
        """Why each cannot be read, one of `REASONS`; '' where it can."""
        found = [""] * self.n
        for row in np.flatnonzero(~self.valid):
            found[row] = _reason(self.smiles[row])
        return found

    @cached_property
    def prints(self) -> np.ndarray:
        """Morgan fingerprints, uint64 (N, W)."""
        return fingerprints(self.smiles)[0]

    @cached_property
    def scaffolds(self) -> list[str]:
        """Murcko scaffolds; '' of molecules without a ring, and of what cannot be read."""
        found = scaffolds(self.smiles)
        return [each if valid else "" for each, valid in zip(found, self.valid, strict=True)]

    @cached_property
    def properties(self) -> dict[str, np.ndarray]:
        """Numbers of each molecule by name, float64 (N,), NaN where it cannot be read.

        `weight` in dalton; `logp`, Crippen's (Wildman and Crippen 1999); `tpsa` in square angstrom (Ertl et al. 2000); `qed`,
        drug-likeness of 0 to 1 (Bickerton et al. 2012); `rings`, and hydrogen-bond `acceptors` and `donors`.
        """
        return _properties(self.smiles)

    def nearest(self, others: Molecules) -> np.ndarray:
        """Tanimoto similarity to the most alike of `others`, float64 (N,); NaN where it cannot be read, or nothing is there."""
        found = np.full(self.n, np.nan)
        natural = others.prints[others.valid]
        if len(natural) and self.valid.any():
            found[self.valid] = nearest_prints(self.prints[self.valid], natural).best()[1]
        return found

    def novel(self, train: Molecules) -> np.ndarray:
        """Whether each is none of the training molecules, float64 (N,) of 0 and 1; NaN where it cannot be read."""
        known = set(train.canonical)
        return np.array([np.nan if each is None else float(each not in known) for each in self.canonical])

    def distinct(self) -> Measure:
        """The share of distinct molecules among those that can be read; NaN of none."""
        return self._distinct_share(np.array([each or "" for each in self.canonical], object))

    def distinct_scaffolds(self) -> Measure:
        """Distinct scaffolds over the molecules that have a ring; NaN where none has."""
        return self._distinct_share(np.array(self.scaffolds, object))

    def internal_diversity(self, seed: int = 0) -> Measure:
        """One less the mean Tanimoto similarity of all pairs of molecules, of `MOST_PAIRED` at most; NaN of fewer than two.

        Pairs of a molecule with itself are left out, unlike in Benhenda 2017 (arXiv:1708.08227), so that it does not depend on
        the number of molecules.
        """
        rows = np.flatnonzero(self.valid)
        if len(rows) > MOST_PAIRED:
            rows = np.sort(np.random.default_rng([seed, 0x31]).choice(rows, MOST_PAIRED, replace=False))
        left, right = np.triu_indices(len(rows), 1)
        alike = np.zeros((len(rows), len(rows)))
        alike[left, right] = alike[right, left] = pair_tanimoto(self.prints[rows], left, right)

        def of(chosen: np.ndarray) -> float:
            counts = np.bincount(chosen, minlength=self.n)[rows].astype(float)
            pairs = counts.sum() ** 2 - (counts**2).sum()
            return float(1 - counts @ alike @ counts / pairs) if pairs > 0 else float("nan")

        return of

    def _distinct_share(self, names: np.ndarray) -> Measure:
        """Of rows with a name (object (N,)), the share of distinct names."""
        codes = np.unique(names.astype(str), return_inverse=True)[1] if self.n else np.zeros(0, np.int64)
        named = names != ""

        def of(rows: np.ndarray) -> float:
            own = codes[rows[named[rows]]]
            return len(np.unique(own)) / len(own) if len(own) else float("nan")

        return of


def _reason(smiles: str) -> str:
    from rdkit import Chem, rdBase

    if not smiles:
        return "empty"
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles, sanitize=False)
        if molecule is None:
            return "syntax"
        problems = {problem.GetType() for problem in Chem.DetectChemistryProblems(molecule)}
    if "AtomValenceException" in problems:
        return "valence"
    return "aromaticity" if problems & {"KekulizeException", "AtomKekulizeException"} else "other"


def _properties(smiles: Sequence[str]) -> dict[str, np.ndarray]:
    found = {name: np.full(len(smiles), np.nan) for name in PROPERTIES}
    of_text: dict[str, tuple[float, ...]] = {}
    distinct = list(dict.fromkeys(smiles))
    for text, molecule in zip(distinct, molecules(distinct), strict=True):
        if molecule is not None:
            of_text[text] = _numbers(molecule)
    for row, text in enumerate(smiles):
        for name, value in zip(PROPERTIES, of_text.get(text, ()), strict=False):
            found[name][row] = value
    return found


def _numbers(molecule: Mol) -> tuple[float, ...]:
    """Numbers of one molecule in the order of `PROPERTIES`."""
    from rdkit import rdBase
    from rdkit.Chem import QED, rdMolDescriptors

    with rdBase.BlockLogs():
        logp, _ = rdMolDescriptors.CalcCrippenDescriptors(molecule)
        return (
            float(rdMolDescriptors._CalcMolWt(molecule)),
            float(logp),
            float(rdMolDescriptors.CalcTPSA(molecule)),
            float(QED.qed(molecule)),  # type: ignore[no-untyped-call]
            float(rdMolDescriptors.CalcNumRings(molecule)),
            float(rdMolDescriptors.CalcNumHBA(molecule)),
            float(rdMolDescriptors.CalcNumHBD(molecule)),
        )

"""Samples of a member, or of any other tool, judged: which metrics are asked for, and the files that keep what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqloom.errors import RunError
from seqloom.files import read_json, write_json, write_parquet, write_text
from seqloom.generation.run import GeneratorRun, fasta
from seqloom.generation.settings import JudgeSection
from seqloom.quality.copies import Bank, alignments
from seqloom.quality.intervals import Joint, Numbers
from seqloom.quality.properties import distances, properties
from seqloom.quality.reference import Reference
from seqloom.quality.rules import Pack
from seqloom.quality.search import Database, hits
from seqloom.quality.standard import Evaluation, Judge, standard
from seqloom.tokens import Tokens

EVALUATION = "evaluation.json"
SAMPLES = "samples.parquet"
OWN = "family"
"""Label of the family itself among the decoys."""


@dataclass(frozen=True)
class Judges:
    """The metrics beside those of `seqloom.quality.standard`: rules, search and properties."""

    pack: Pack
    database: Database | None

    @staticmethod
    def of(reference: Reference, pack: Pack) -> Judges:
        """Judges of one family; without one nothing is searched."""
        if reference.family is None:
            return Judges(pack, None)
        sequences = {OWN: reference.train, **reference.decoys}
        return Judges(pack, Database(sequences, reference.alphabet, {OWN: reference.family}, reference.seed))

    def all(self) -> tuple[Judge, ...]:
        """For `standard`."""
        return (self._rules, self._search, self._properties)

    def _rules(self, own: Bank, reference: Reference) -> Mapping[str, Numbers | Joint]:
        kept = self.pack.judge(own.tokens)
        return {f"rule {name}": Numbers(keeps.astype(np.float64)) for name, keeps in kept.items()}

    def _search(self, own: Bank, reference: Reference) -> Mapping[str, Numbers | Joint]:
        if self.database is None:
            return {}
        found = hits(own.tokens, self.database, seed=reference.seed)
        shares = {name: Numbers(values.astype(np.float64)) for name, values in found.measures(OWN).items()}
        return {**shares, "evalue_log10": Numbers(np.log10(np.maximum(found.evalue, 1e-300)), "median")}

    def _properties(self, own: Bank, reference: Reference) -> Mapping[str, Numbers | Joint]:
        if reference.alphabet.name != "protein":
            return {}
        parts = (own.tokens, reference.held_out, reference.train)
        apart = distances(*(properties(each, reference.alphabet) for each in parts))
        return {f"distance {name}": Joint(each, len(own)) for name, each in apart.items()}


def judge_member(run: GeneratorRun, seed: int, *, controls: bool) -> bool:
    """Judge samples of a member and keep them with what was found; False where that was done before.

    `controls`: the same of every control, which is needed once.
    """
    folder = run.member_folder(seed)
    if (folder / EVALUATION).exists():
        return False
    asked = run.variant.sample
    conditions = run.naturals("train").conditions
    if conditions is not None:
        conditions = conditions[np.random.default_rng(seed).integers(len(conditions), size=asked.n)]
    tokens = run.sampler(seed).sample(
        asked.n,
        seed,
        temperature=asked.temperature,
        truncation=asked.truncation,
        prefix=asked.prefix,
        conditions=conditions,
    )
    ids = run.part("train")[0]["id"].to_pylist()
    judge = run.variant.judge
    evaluation = judged(tokens, run.reference, run.pack, judge, controls=controls)
    keep(
        folder,
        tokens,
        evaluation,
        run.reference,
        ids,
        [f"{run.variant.name}-{seed}-{i}" for i in range(1, asked.n + 1)],
    )
    return True


def judged(
    tokens: Tokens, reference: Reference, pack: Pack, section: JudgeSection, *, controls: bool, seed: int = 0
) -> Evaluation:
    """The whole judgement of samples."""
    judges = Judges.of(reference, pack)
    return standard(tokens, reference, seed, section.draws, all_controls=controls, judges=judges.all())


def keep(
    folder: Path, tokens: Tokens, evaluation: Evaluation, reference: Reference, ids: Sequence[str], names: Sequence[str]
) -> None:
    """Samples as FASTA and, with scores and nearest natural sequences, as a table; and the evaluation, which is written last."""
    texts = reference.alphabet.decode(tokens)
    found = evaluation.samples
    over = alignments(reference.bank(tokens), reference.natural, found.train)
    columns = {
        "id": names,
        "sequence": texts,
        "valid": found.valid,
        "bits": found.bits,
        "in_family": found.member,
        "nearest": [ids[row] if row >= 0 else None for row in found.train.rows.tolist()],
        "identity": found.train.identity,
        "identity_held_out": found.held_out.identity,
        "copy": found.copy,
        "alignment": [None if each is None else "\n".join(each) for each in over],
    }
    write_text(folder / "samples.fasta", fasta(names, texts))
    write_parquet(folder / SAMPLES, pa.table(columns))
    write_json(folder / EVALUATION, evaluation.as_json())


def read_evaluation(folder: Path) -> dict[str, Any]:
    """What `keep` wrote; RunError where nothing is."""
    if not (folder / EVALUATION).exists():
        raise RunError(f"{folder}: its samples are not judged yet; type the command again that began the run")
    facts: dict[str, Any] = read_json(folder / EVALUATION)
    return facts

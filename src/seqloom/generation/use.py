"""A fitted generator at work: new sequences, and how likely it finds sequences that anybody brings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seqloom.errors import ConfigError, RunError
from seqloom.files import read_json, write_text
from seqloom.findings import Finding, finding
from seqloom.generate.base import Score
from seqloom.generation.conditions import asked_for, coded_columns
from seqloom.generation.run import GeneratorRun, fasta
from seqloom.prediction import write_table
from seqloom.quality.copies import nearest
from seqloom.run import NATURALS
from seqloom.table import DataSection, Table, read_table
from seqloom.tokens import Tokens

FASTA = (".fasta", ".fa", ".faa", ".fna")
BOARD = "leaderboard.json"


def find_generator(folder: Path) -> GeneratorRun:
    """The run in a folder; of an experiment the first on its leaderboard that is no baseline."""
    if (folder / "resolved.toml").exists() and (folder / NATURALS).exists() and not (folder / BOARD).exists():
        return GeneratorRun(folder)
    if not (folder / BOARD).exists():
        raise RunError(
            f"{folder}: not a run of a generator, nor a finished comparison of some; see: seqloom generate fit --help"
        )
    board = read_json(folder / BOARD)
    if "generators" not in board:
        raise RunError(f"{folder}: it holds models that predict, and none that writes sequences; use seqloom predict")
    best = next((row for row in board["leaderboard"] if not row["baseline"]), board["leaderboard"][0])
    return GeneratorRun(folder / best["folder"])


def sample(
    folder: str | Path,
    n: int = 1000,
    out: str | Path | None = None,
    *,
    seed: int = 0,
    member: int | None = None,
    temperature: float | None = None,
    truncation: float | None = None,
    prefix: str | None = None,
    conditions: Sequence[str] = (),
) -> dict[str, Any]:
    """Write `n` sequences of a run to `out`, FASTA or a table by its suffix; the keys of `generate sample --json`.

    Without `out` they are under `sequences`. What is not given is as in the run's `[sample]` section; `member`: of which seed,
    the first by default; `conditions`: `column=value`, one for each column that the run is conditioned on.
    """
    started = time.monotonic()
    if n < 1:
        raise ConfigError(f"generate sample -n {n}: ask for one sequence at least")
    run = find_generator(Path(folder))
    asked = run.variant.sample
    tokens = run.sampler(member).sample(
        n,
        seed,
        temperature=asked.temperature if temperature is None else temperature,
        truncation=asked.truncation if truncation is None else truncation,
        prefix=asked.prefix if prefix is None else prefix,
        conditions=asked_for(run.conditions, conditions),
    )
    sequences = run.alphabet.decode(tokens)
    names = [f"{run.folder.name or run.folder.resolve().name}-{seed}-{number}" for number in range(1, n + 1)]
    facts: dict[str, Any] = {"command": "generate sample", "rows": n, "distinct": len(set(sequences)), "findings": []}
    if out is None:
        return {**facts, "path": "", "seconds": round(time.monotonic() - started, 3), "sequences": sequences}
    path = Path(out)
    if path.name.lower().endswith(FASTA):
        write_text(path, fasta(names, sequences))
    else:
        write_table(pa.table({"id": names, "sequence": sequences}), path)
    return {**facts, "path": path.as_posix(), "seconds": round(time.monotonic() - started, 3)}


def score(
    folder: str | Path, source: Any, out: str | Path | None = None, *, member: int | None = None
) -> dict[str, Any]:
    """How likely a run finds the sequences of a table, and how close each is to those it was fitted on.

    A row for each sequence, those that cannot be scored with a reason; written to `out`, a table by its suffix. The keys of
    `generate score --json`; `table` without `out`.
    """
    started = time.monotonic()
    run = find_generator(Path(folder))
    table = read_table(source, DataSection(alphabet=run.alphabet.name), for_prediction=True)
    scored, findings = scored_table(run, table, member)
    facts = {
        "command": "generate score",
        "rows": table.n_rows,
        "findings": [each.as_json() for each in findings],
        "seconds": round(time.monotonic() - started, 3),
    }
    if out is None:
        return {**facts, "path": "", "table": scored}
    write_table(scored, Path(out))
    return {**facts, "path": Path(out).as_posix()}


def scored_table(run: GeneratorRun, table: Table, member: int | None = None) -> tuple[pa.Table, list[Finding]]:
    """Columns id, score (nats, or of a critic) and per symbol, bits and membership of the family, nearest training sequence."""
    tokens = table.tokens()
    usual = _writable(tokens, run) & ~_unconditioned(run, table)
    rows = np.flatnonzero(usual)
    own = tokens.take(rows)
    conditions = coded_columns(run.conditions, table.data.take(pa.array(rows)))
    found = run.sampler(member).score(own, conditions)
    columns: dict[str, Any] = {"id": table.ids.cast(pa.large_string()), **_scores(found, own, rows, len(tokens))}
    if run.family is not None:
        bits = run.family.bits(own)
        columns["bits"] = _spread(bits, rows, len(tokens))
        columns["in_family"] = _spread(run.family.is_member(bits), rows, len(tokens))
    natural, _ = run.part("train")
    near = nearest(run.reference.bank(own), run.reference.natural)
    ids = natural["id"].to_pylist()
    named = [ids[row] if row >= 0 else None for row in near.rows.tolist()]
    columns["nearest"] = _spread(np.array(named, object), rows, len(tokens))
    columns["identity"] = _spread(near.identity, rows, len(tokens))
    reasons = [
        None if each else f"not made of {run.dims.symbols} alone, empty, or without a condition" for each in usual
    ]
    columns["reason"] = pa.array(reasons, pa.large_string())
    lacking = table.row_numbers[~usual]
    said = [finding("not-scored", "warning", f"{len(lacking):,} of {len(tokens):,} sequences have no score", lacking)]
    return pa.table(columns), said if len(lacking) else []


def _scores(found: Score, tokens: Tokens, rows: np.ndarray, n: int) -> dict[str, pa.Array]:
    name = {"log-likelihood": "log_likelihood", "bound": "likelihood_bound", "critic": "critic"}[found.kind]
    columns = {name: _spread(found.values, rows, n)}
    if found.kind != "critic":
        columns[f"{name}_per_symbol"] = _spread(found.values / np.maximum(tokens.lengths, 1), rows, n)
    return columns


def _spread(values: np.ndarray, rows: np.ndarray, n: int) -> pa.Array:
    """`values` of `rows` among N rows, null elsewhere."""
    place = np.full(n, -1)
    place[rows] = np.arange(len(rows))
    return pa.array(values.tolist()).take(pa.array(place, mask=place < 0))


def _writable(tokens: Tokens, run: GeneratorRun) -> np.ndarray:
    total = np.concatenate([[0], np.cumsum(tokens.values >= run.dims.vocabulary)])
    known: np.ndarray = (np.diff(total[tokens.offsets]) == 0) & (tokens.lengths > 0)
    return known


def _unconditioned(run: GeneratorRun, table: Table) -> np.ndarray:
    lacking = [each.column for each in run.conditions if each.column not in table.data.column_names]
    if lacking:
        raise ConfigError(
            f"{table.source.name} has no column {', '.join(lacking)}, and the run's likelihood depends on it; add it to the table"
        )
    missing = np.zeros(table.n_rows, bool)
    for each in run.conditions:
        missing |= each.missing(table)
    return missing

"""Alike pairs by programs that are not ours: parasail, Biopython and mmseqs2, by the same definition of identity."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from meter import Meter

COVERAGE, MAX_EVALUE = 0.8, 1e-3
GAP_FIRST, GAP_NEXT = 12, 1
DECAY, CONSTANT = 0.267, 0.041
"""lambda and K of BLOSUM62 with gaps 11/1 (Altschul and Gish 1996)."""
SCALE = 10_000
"""Scores are multiplied by this and one is added for each identical residue: of the best alignments the one with most."""


def pairs_above(
    sequences: np.ndarray, tasks: list[tuple[int, np.ndarray]], threshold: float
) -> list[tuple[int, int, float, float]]:
    """Pairs that count at the threshold, by Smith-Waterman of every row of `tasks` with each of the others named with it.

    Row, other, and the lowest and highest identity of equally good alignments. parasail aligns all pairs; Biopython traces
    those with enough identical residues.
    """
    run = partial(_above, sequences, threshold)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return [each for part in pool.map(run, tasks, chunksize=4) for each in part]


def _above(
    sequences: np.ndarray, threshold: float, task: tuple[int, np.ndarray]
) -> list[tuple[int, int, float, float]]:
    import parasail

    row, others = task
    one = sequences[row]
    if not one:
        return []
    profile = parasail.profile_create_32(one, _packed())
    found = []
    for other in others.tolist():
        two = sequences[other]
        shorter = min(len(one), len(two))
        if not shorter:
            continue
        best = parasail.sw_striped_profile_32(profile, two, GAP_FIRST * SCALE, GAP_NEXT * SCALE).score
        if best % SCALE < (threshold - 1e-6) * shorter:
            continue
        high, low = (_identity(_aligner(bonus), one, two, len(sequences)) for bonus in (1, -1))
        if high >= threshold - 1e-6:
            found.append((row, other, low, high))
    return found


@cache
def _packed() -> Any:
    """BLOSUM62 times `SCALE`, and one for an identical residue, for parasail."""
    import parasail
    from Bio.Align import substitution_matrices

    scores = substitution_matrices.load("BLOSUM62")
    letters = scores.alphabet.replace("*", "")
    packed = parasail.matrix_create(letters, 0, 0)
    for i, j in np.ndindex(len(letters), len(letters)):
        packed.set_value(i, j, int(scores[i, j]) * SCALE + (i == j))
    return packed


def _identity(aligner: Any, one: str, two: str, n_rows: int) -> float:
    """Identity by the definition, of Biopython's alignment."""
    alignment = next(iter(aligner.align(one, two)))
    starts, ends = alignment.coordinates[:, 0], alignment.coordinates[:, -1]
    covered = (ends - starts) >= COVERAGE * np.array([len(one), len(two)])
    score = np.floor(alignment.score / SCALE + 0.5)
    if not covered.all() and evalue(score, len(one), len(two), n_rows) > MAX_EVALUE:
        return 0.0
    matches = abs(round(alignment.score - score * SCALE))
    return float(matches / min(len(one), len(two)))


@cache
def _aligner(bonus: int) -> Any:
    """Smith-Waterman with BLOSUM62 and gaps of 11 + n, and `bonus` for an identical residue among equally good alignments."""
    from Bio.Align import PairwiseAligner, substitution_matrices

    matrix = substitution_matrices.load("BLOSUM62")
    aligner = PairwiseAligner(mode="local")
    aligner.substitution_matrix = matrix * SCALE + bonus * np.eye(len(matrix.alphabet))
    aligner.open_gap_score, aligner.extend_gap_score = -GAP_FIRST * SCALE, -GAP_NEXT * SCALE
    return aligner


def evalue(score: Any, left: Any, right: Any, n_rows: int) -> Any:
    """Alignments this good that chance would give one sequence among `n_rows` others (Karlin and Altschul 1990)."""
    return n_rows * CONSTANT * left * right * np.exp(-DECAY * score)


def verdict(found: list[tuple[int, int, float, float]], threshold: float) -> dict[str, Any]:
    """Rows with a fitted row above whichever of equally good alignments is taken; and those where it depends on that."""
    sure = {row for row, _, low, _ in found if low >= threshold - 1e-6}
    ties = [each for each in found if each[0] not in sure]
    return {
        "above": len(sure),
        "above_by_ties_only": len({row for row, *_ in ties}),
        "highest": round(max((low for row, _, low, _ in found), default=0.0), 4),
        "highest_by_ties": round(max((high for *_, high in found), default=0.0), 4),
        "examples": [[row, other, round(low, 4), round(high, 4)] for row, other, low, high in found[:5]],
    }


def by_mmseqs(sequences: np.ndarray, tested: np.ndarray, fitted: np.ndarray, threshold: float) -> dict[str, Any]:
    """The verdict on the pairs that mmseqs2 finds at the threshold: by its own alignments, and by others of the same."""
    if shutil.which("mmseqs") is None:
        return {"skipped": "mmseqs is not installed"}
    meter = Meter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, rows in (("tested", tested), ("fitted", fitted)):
            write_fasta(folder / f"{part}.fasta", sequences, rows)
        options = {
            "-s": 7.5, "-e": 1000, "--seq-id-mode": 1, "--min-seq-id": threshold, "--comp-bias-corr": 0, "--mask": 0,
            "--gap-open": GAP_FIRST, "--gap-extend": GAP_NEXT, "--alignment-mode": 3, "--max-seqs": len(fitted) + 1, "-v": 1,
            "--threads": len(os.sched_getaffinity(0)),
            "--format-output": "query,target,nident,qstart,qend,tstart,tend,qlen,tlen,raw",
        }  # fmt: skip
        files = [str(folder / each) for each in ("tested.fasta", "fitted.fasta", "found", "work")]
        mmseqs("easy-search", files, "-a", options=options)
        lines = (folder / "found").read_text().splitlines()
    spent = meter.read()
    hits = np.array([line.split("\t") for line in lines], float).reshape(-1, 10)
    matches, (start, end, first, last), (own, other), score = hits[:, 2], hits[:, 3:7].T, hits[:, 7:9].T, hits[:, 9]
    counts = (end - start + 1 >= COVERAGE * own) & (last - first + 1 >= COVERAGE * other)
    counts |= evalue(score, own, other, len(sequences)) <= MAX_EVALUE
    above = counts & (matches >= (threshold - 1e-6) * np.minimum(own, other))
    pairs = hits[above, :2].astype(int)
    by_row = [(int(row), pairs[pairs[:, 0] == row, 1]) for row in np.unique(pairs[:, 0])]
    found = verdict(pairs_above(sequences, by_row, threshold), threshold)
    return {
        "checked": len(tested),
        "hits": len(hits),
        "above_by_its_alignment": len(by_row),
        "highest_by_its_alignment": round(float((matches / np.minimum(own, other))[above].max(initial=0)), 4),
        **found,
        **spent,
    }


def mmseqs(verb: str, files: list[str], *flags: str, options: Mapping[str, Any]) -> None:
    """Run mmseqs2; what it says is shown only when it fails."""
    words = [str(word) for option in options.items() for word in option]
    done = subprocess.run(["mmseqs", verb, *files, *flags, *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"mmseqs {verb}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def write_fasta(path: Path, sequences: Any, rows: Any) -> None:
    path.write_text("".join(f">{row}\n{sequences[row]}\n" for row in rows))

"""What a fitted run has learnt, and where it fails: one file per question, and the folder `explain` of the run for answers.

Every answer is a page (`.html`, no network) and a table (`.csv`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqloom.errors import ConfigError


def explain(
    folder: str | Path,
    *,
    embedding: str = "",
    colour: str = "",
    perplexity: float | None = None,
    fold: int | None = None,
    seed: int | None = None,
    whole: bool = False,
    worst: str = "",
    target: str = "",
    table: Any = None,
) -> dict[str, Any]:
    """Answers for a run, or for the best run of an experiment, written to its folder `explain`; the keys of `explain --json`.

    `embedding`: maps to draw (`pca,tsne,umap`) of what a member (`fold`, `seed`) has learnt of residues (`whole`: with the random
    start), by `colour` and, for t-SNE, `perplexity`. `worst`: which test rows to list (`2sd` or `20`), of one `target`, from a
    `table` that has moved.
    ConfigError if nothing is asked.
    """
    from seqloom.explain.pages import answer_embedding, answer_worst
    from seqloom.model import find_run

    started = time.monotonic()
    if not embedding and not worst:
        raise ConfigError("explain: name a question, such as --embedding pca,tsne or --worst 2sd")
    run = find_run(Path(folder))
    of_maps = {"colour": colour, "perplexity": perplexity, "fold": fold, "seed": seed, "whole": whole or None}
    _refuse_unused("embedding", embedding, of_maps)
    _refuse_unused("worst", worst, {"target": target, "table": table})
    if perplexity is not None and "tsne" not in embedding.replace("-", "").lower():
        raise ConfigError("explain --perplexity is of t-SNE; add it, as in --embedding pca,tsne")
    facts: dict[str, Any] = {"command": "explain", "path": run.as_posix(), "seconds": 0.0, "findings": []}
    if embedding:
        facts["embedding"] = answer_embedding(run, embedding, colour, perplexity, fold, seed, whole=whole)
    if worst:
        facts["worst"] = answer_worst(run, worst, target, table)
    facts["seconds"] = round(time.monotonic() - started, 3)
    return facts


def _refuse_unused(question: str, asked: str, flags: Mapping[str, Any]) -> None:
    """ConfigError for flags of a question that is not asked."""
    given = [name for name, value in flags.items() if value is not None and value != ""]
    if given and not asked:
        raise ConfigError(f"explain --{given[0]} goes with --{question}; add it, or leave --{given[0]} out")

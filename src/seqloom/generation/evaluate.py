"""Sequences that any tool has written, judged against a family: of a run, or of natural sequences that are named."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.alphabet import Alphabet
from seqloom.errors import ConfigError
from seqloom.files import write_json, write_text
from seqloom.findings import Finding
from seqloom.generation.collection import read_collection, ungapped
from seqloom.generation.decoys import read_decoys
from seqloom.generation.judging import judged, keep
from seqloom.generation.run import decoys_of
from seqloom.generation.settings import GENERATORS, JudgeSection, NaturalSection
from seqloom.generation.use import find_generator
from seqloom.quality.embed import Embedder
from seqloom.quality.reference import Reference
from seqloom.registry import validated
from seqloom.sections import Sections, override, refuse_others
from seqloom.split.base import TEST, TRAIN
from seqloom.table import DataSection, Table, read_table


def evaluate(
    samples: Any,
    family: str | Path,
    *,
    out: str | Path | None = None,
    decoys: str | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    embedder: Embedder | None = None,
) -> dict[str, Any]:
    """Judge the sequences of a table against a family; the keys of `generate evaluate --json`.

    `samples`: FASTA, a table or a DataFrame. `family`: the folder of a run, whose training and held-out sequences are taken, or a
    table of natural sequences, which is divided as for `fit`. `settings`: of [natural], [split] and [judge]; with `out` the
    samples, each with its scores, and a report are written there. `embedder`: gives vectors (N, D) of N sequences, for
    Frechet and kernel distances; counts of words of three symbols without one.
    """
    from seqloom.generation.page import evaluation_html

    started = time.monotonic()
    asked = {**(settings or {}), **({} if decoys is None else {"judge.decoys": decoys})}
    sections = override({}, asked, GENERATORS)
    refuse_others(sections, ("natural", "split", "judge"), "generate evaluate")
    judge = validated(JudgeSection, sections.get("judge", {}), "[judge]")
    reference, rules, ids, said = _reference(Path(family), sections, judge)
    table, gaps = _samples(samples, reference.alphabet, sections)
    tokens = table.tokens()
    judge = judge.model_copy(update={"rules": rules})
    evaluation = judged(tokens, reference, judge, controls=True, seed=seed, embedder=embedder)
    facts = {
        "command": "generate evaluate",
        "path": "" if out is None else Path(out).as_posix(),
        "samples": table.source.name,
        "family": Path(family).as_posix(),
        "rows": table.n_rows,
        **evaluation.as_json(),
        "draws": judge.draws,
        "rules": dict(judge.rules),
        "findings": [each.as_json() for each in (*said, *gaps)],
        "report": "",
    }
    if out is not None:
        folder = Path(out)
        keep(folder, tokens, evaluation, reference, ids, names=table.ids.to_pylist())
        facts["report"] = (folder / "report.html").as_posix()
    facts["seconds"] = round(time.monotonic() - started, 3)
    if out is not None:
        write_json(Path(out) / "facts.json", facts)
        write_text(Path(out) / "report.html", evaluation_html(Path(out), reference))
    return facts


def _reference(
    path: Path, sections: Sections, judge: JudgeSection
) -> tuple[Reference, dict[str, str], list[str], tuple[Finding, ...]]:
    """What samples are held against, rules, ids of training sequences, and what was noticed."""
    if path.is_dir():
        run = find_generator(path)
        if "natural" in sections or "split" in sections:
            raise ConfigError(f"[natural] and [split] are those of the run {path}; leave them out")
        found = run.reference
        if judge.decoys:
            found = replace(found, decoys=decoys_of(read_decoys(judge, run.alphabet), run.alphabet))
        rules = {**run.variant.judge.rules, **judge.rules}
        return found, rules, run.part("train")[0]["id"].to_pylist(), ()
    collection = read_collection({**sections, "data": {"table": str(path)}})
    parts = [collection.tokens.take(collection.rows(role)) for role in (TRAIN, TEST)]
    decoys = decoys_of(read_decoys(judge, collection.alphabet), collection.alphabet)
    found = Reference.of(parts[0], parts[1], collection.alphabet, decoys=decoys)
    ids = np.array(collection.table.ids.to_pylist(), object)[collection.rows(TRAIN)].tolist()
    return found, judge.rules, ids, collection.findings


def _samples(source: Any, alphabet: Alphabet, sections: Sections) -> tuple[Table, list[Finding]]:
    """The table of samples, without gaps."""
    table = read_table(source, DataSection(alphabet=alphabet.name), for_prediction=True)
    if len(table.roles.sequences) != 1:
        raise ConfigError(
            f"{table.source.name}: {len(table.roles.sequences)} columns of sequences; a table of samples has one"
        )
    if alphabet.name == "smiles":
        return table, []
    return ungapped(
        table, validated(NaturalSection, sections.get("natural", {}), "[natural]"), table.roles.sequences[0]
    )

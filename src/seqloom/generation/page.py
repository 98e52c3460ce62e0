"""The reports of generators: of a finished experiment or fit, and of samples that any tool has written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqloom.files import read_json
from seqloom.generation.courses import training
from seqloom.generation.exhibits import BOARD, Exhibition, of_board, of_evaluation
from seqloom.generation.parts import MOST_DRAWN, columns, copying, family, molecules, pairs, sequence_map
from seqloom.generation.tables import distances, leaderboard, rules, samples
from seqloom.quality.intervals import BLOCKS
from seqloom.quality.reference import Reference
from seqloom.report.page import Page, Part, page_html
from seqloom.report.words import count, duration, plural


def board_html(folder: Path, reference: Reference | None = None) -> str:
    """The report of a finished experiment, or of one generator beside its baseline; self-contained.

    `reference`: that of one of its runs, if it is at hand with all that was found out about it; else it is found out again.
    """
    board = read_json(folder / BOARD)
    shown = of_board(folder, board, reference)
    parts = board["sequences"]
    facts = (
        ("sequences", f"{board['table']}: {count(board['read'])} read, {board['alphabet']}"),
        (
            "parts",
            f"{count(parts['train'])} learnt from, {count(parts['valid'])} to stop by, {count(parts['test'])} held out",
        ),
        ("held out by", f"{board['split']['kind']}: {board['split']['guarantee']}"),
        ("took", duration(board["seconds"])),
    )
    first = next((each for each in shown.exhibits if not each.baseline), shown.exhibits[0])
    what = first.name if board["command"].endswith("fit") else plural(len(shown.exhibits), "generator")
    return page_html(
        Page(
            eyebrow=f"seqloom {board['command']}",
            title=f"{what} of {Path(board['table']).name}",
            verdict=board["verdict"],
            facts=facts,
            parts=(*_parts(shown), _notes(board, shown)),
            footer="The numbers of this page are in leaderboard.json beside it; every run has a folder with its settings, "
            "weights, samples and what was seen of its training.",
        )
    )


def evaluation_html(folder: Path, reference: Reference) -> str:
    """The report of judged samples of any tool, from the files beside which it is written; self-contained."""
    facts, shown = read_json(folder / "facts.json"), of_evaluation(folder, reference)
    told = (
        ("samples", f"{facts['samples']}: {count(facts['n'])}"),
        ("family", facts["family"]),
        ("parts", f"{count(facts['n_train'])} training sequences, {count(facts['n_held_out'])} held out"),
        ("took", duration(facts["seconds"])),
    )
    return page_html(
        Page(
            eyebrow="seqloom generate evaluate",
            title=f"{facts['samples']} judged against {Path(facts['family']).name}",
            verdict=facts["verdict"]["text"],
            facts=told,
            parts=(*_parts(shown), _notes(facts, shown)),
            footer="The numbers of this page are in facts.json beside it, the samples with their scores in samples.parquet.",
        )
    )


def _parts(shown: Exhibition) -> tuple[Part, ...]:
    if not any(len(each.samples) for each in shown.exhibits):
        return (leaderboard(shown),)
    return (
        leaderboard(shown),
        copying(shown),
        *molecules(shown),
        *family(shown),
        *columns(shown),
        *pairs(shown),
        *sequence_map(shown),
        *training(shown),
        samples(shown),
        *distances(shown),
        *rules(shown),
    )


def _notes(board: Mapping[str, Any], shown: Exhibition) -> Part:
    """How intervals were made, and what was noticed."""
    times = "and again" if shown.draws is None else f"{shown.draws:,} times"
    texts = [
        f"Intervals are of 95 %. Shares and medians: the samples drawn again {times} (bootstrap). "
        f"What is computed of all samples at once, such as distinct ones, clusters, entropies and covariances: without "
        f"each of {BLOCKS} random blocks of them (jackknife). Training sequences are not drawn again."
    ]
    if any(len(each.seeds) > 1 for each in shown.exhibits):
        texts.append(
            "Of several seeds the mean is given, with Student's t interval over seeds, which is never narrower than samples "
            "alone make it. Logos, entropies, covariances and maps are of the first seed."
        )
    if len(shown.exhibits) > MOST_DRAWN:
        texts.append(f"{len(shown.exhibits)} sets were judged; the best {MOST_DRAWN} are drawn, all are in the tables.")
    texts += [_sentence(each) for each in board["notes"]]
    texts += [_sentence(each["message"]) for each in board["findings"]]
    return Part("What to know", tuple(texts))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."

"""The report of an experiment on a store, from the files of its folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from seqloom.files import read_json, write_text
from seqloom.report.page import Figure, Listing, Page, Part, page_html
from seqloom.report.svg import COLOURS, Line, Pen, as_svg, draw, new_figure
from seqloom.report.words import duration, plain

BOARD = "leaderboard.json"

TITLES = {
    "nonshare": "Molecules of new building blocks",
    "share": "New combinations of known building blocks",
    "": "Test rows at random",
}
LOSS = ("valid_loss", "Loss of valid rows", "log loss")
PRECISION = ("valid_score", "Average precision of valid rows", "average precision")
"""Columns of curves, what they are called, and their axis."""
MEANS = {
    "train": "learnt from",
    "valid": "decide when training stops, and calibrate",
    "share": "tested: every block also stands in training rows, in other combinations",
    "nonshare": "tested: no block stands in any training row",
    "mixed": "used for nothing: some blocks are held out, some are not",
}


def is_finished(folder: Path) -> bool:
    """Whether there is a finished experiment on a store in the folder."""
    board = folder / BOARD
    return board.exists() and "store" in read_json(board)


def report(folder: Path) -> dict[str, Any]:
    """Write the report of a finished experiment again; what `seqloom report --json` says."""
    started = time.monotonic()
    board = read_json(folder / BOARD)
    path = folder / "report.html"
    write_text(path, store_html(folder))
    return {
        "command": "report",
        "path": path.as_posix(),
        "seconds": round(time.monotonic() - started, 3),
        "findings": board["findings"],
        "verdict": board["verdict"],
    }


def store_html(folder: Path) -> str:
    """The page, self-contained; RunError for a folder whose `leaderboard.json` is damaged."""
    board = read_json(folder / BOARD)
    by_component = bool(board["held_out"])
    parts = ("nonshare", "share") if by_component else ("",)
    held = ", ".join(f"{n} of {of} {name}" for name, (n, of) in board["held_out"].items())
    facts = [
        ("store", f"{board['store']}, {board['rows']:,} rows"),
        ("targets", ", ".join(board["targets"])),
        ("partition", f"{board['split']['kind']}" + (f"; held out {held}" if held else "")),
        ("intervals", f"95 %, from {board['resampled']}"),
        ("took", duration(board["seconds"])),
    ]
    return page_html(
        Page(
            eyebrow=f"seqloom {board['command']}",
            title=f"{len(board['targets'])} target{'s' * (len(board['targets']) > 1)} of {Path(board['store']).name}",
            verdict=board["verdict"],
            facts=tuple(facts),
            parts=(
                _overview(board, parts),
                *(_scores(board, part) for part in parts),
                *_blending(board),
                *_training(folder, board),
                _rows(board),
                *_notes(board),
            ),
            footer="The numbers of this page are in leaderboard.json beside it; every run has a folder with its settings, "
            "weights, curves and predictions.",
        )
    )


def _overview(board: Mapping[str, Any], parts: Sequence[str]) -> Part:
    """Every model's mean score, part beside part."""
    figures = tuple(
        Figure(_chart(board, part), TITLES[part], "Average precision in the mean of the targets, with 95 % intervals.")
        for part in parts
    )
    text = (
        "Average precision is the share of actives among those called first, averaged over all that are found; a model that "
        "knows nothing reaches the share of actives there are (constant). Nets are blue, blends orange, baselines grey."
    )
    return Part("How well each model ranks", (text,), figures, "small")


def _chart(board: Mapping[str, Any], part: str) -> str:
    rows = [row for row in board["leaderboard"] if row["metrics"][_name("ap", part)]["value"] is not None]
    figure, axes = new_figure(460, 60 + 26 * len(rows))
    for place, row in enumerate(reversed(rows)):
        score = row["metrics"][_name("ap", part)]
        colour = COLOURS["c2" if row["blend"] else "muted" if row["baseline"] else "c1"]
        if score["low"] is not None:
            axes.plot([score["low"], score["high"]], [place, place], color=colour, linewidth=2.4)
        axes.plot([score["value"]], [place], "o", color=colour, markersize=5)
    axes.set_yticks(np.arange(len(rows)), [row["variant"] for row in reversed(rows)])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(left=0)
    axes.set_xlabel("average precision")
    return as_svg(figure, f"scores-{part or 'test'}", f"average precision of every model: {TITLES[part].lower()}")


def _scores(board: Mapping[str, Any], part: str) -> Part:
    names = ["ap", "micro_ap", *(f"ap_{each}" for each in board["targets"])] if len(board["targets"]) > 1 else ["ap"]
    heads = ["mean", "all pooled", *board["targets"]] if len(names) > 1 else ["average precision"]
    rows = tuple(
        (_label(row), *(_interval(row["metrics"][_name(name, part)]) for name in names)) for row in board["leaderboard"]
    )
    counts = board["parts"][part or "share"]
    positives = ", ".join(f"{counts['positives'][each]:,} of {each}" for each in board["targets"])
    caption = f"{counts['rows']:,} rows; positives: {positives}."
    return Part(TITLES[part], tables=(Listing(caption, ("model", *heads), rows, frozenset(heads)),))


def _blending(board: Mapping[str, Any]) -> tuple[Part, ...]:
    """What each net adds to the blend, part by part."""
    columns = ("net added", "blend so far", "gain", "over the best net alone")
    tables = []
    for part in dict.fromkeys(each["part"] for each in board["additions"]):
        own = [each for each in board["additions"] if each["part"] == part]
        rows = tuple(
            (each["members"][-1], _interval(each), _signed(each["gain"]), _signed(each["over_best"])) for each in own
        )
        title = TITLES[part if board["held_out"] else ""]
        tables.append(Listing(f"{title}: nets added one by one.", columns, rows, frozenset(columns[1:])))
    text = (
        "The mean of the probabilities of the first nets, in the order of their scores on valid rows, which also name the best. "
        "Intervals are of differences on the same rows."
    )
    return (Part("What blending adds", (text,), tables=tuple(tables)),) if tables else ()


def _training(folder: Path, board: Mapping[str, Any]) -> tuple[Part, ...]:
    """What was learnt from, for how long, and how the loss of valid rows fell."""
    columns = ("net", "members", "rows learnt from", "a member took", "settings")
    rows, lines = [], []
    for row in board["leaderboard"]:
        if row["run"]:
            own, settings = folder / row["folder"], row["settings"]
            words = ", ".join(f"{key} {plain(value)}" for key, value in settings.items())
            took = duration(row["seconds"] / max(row["members"], 1))
            rows.append((row["variant"], str(row["members"]), f"{row['rows']:,}", took, words))
            lines += [(row["variant"], path) for path in sorted(own.glob("fold-*/seed-*/curves.parquet"))]
    names = list(dict.fromkeys(name for name, _ in lines))
    figures = tuple(Figure(_course(lines, names, *each), each[1]) for each in (LOSS, PRECISION) if lines)
    table = Listing("Settings, those that are not the defaults.", columns, tuple(rows), frozenset(columns[1:4]))
    colours = [(_colour(place), name) for place, name in enumerate(names)]
    return (Part("How the nets were trained", (), figures, "small", colours, (table,)),) if rows else ()


def _course(lines: Sequence[tuple[str, Path]], names: Sequence[str], key: str, title: str, axis: str) -> str:
    """A column of every member's curve against the share of its training that is done."""
    figure, axes = new_figure(460, 240)
    for name, path in lines:
        values = pq.read_table(path, columns=[key])[key].to_numpy()
        draw(axes, Line(np.arange(1, len(values) + 1) / len(values), values, Pen(_colour(names.index(name)))))
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("share of the training")
    axes.set_ylabel(axis)
    return as_svg(figure, key.replace("_", "-"), f"{title.lower()} while the nets were trained")


def _colour(place: int) -> str:
    return f"c{place % (len(COLOURS) - 1) + 1}"


def _rows(board: Mapping[str, Any]) -> Part:
    means = MEANS if board["held_out"] else {**MEANS, "share": "tested: drawn at random"}
    rows = tuple((part, f"{facts['rows']:,}", means[part]) for part, facts in board["parts"].items() if facts["rows"])
    return Part(
        "Which rows did what", tables=(Listing("Rows by part.", ("part", "rows", "are"), rows, frozenset({"rows"})),)
    )


def _notes(board: Mapping[str, Any]) -> tuple[Part, ...]:
    texts = [each["message"] for each in board["findings"]] + list(board["notes"])
    return (Part("What to know", tuple(texts)),) if texts else ()


def _name(metric: str, part: str) -> str:
    return f"{metric}_{part}" if part else metric


def _label(row: Mapping[str, Any]) -> str:
    if row.get("blend"):
        return f"{row['variant']} (blend)"
    if row["baseline"]:
        return f"{row['variant']} (baseline)"
    return f"{row['variant']}, {row['members']} members" if row["members"] > 1 else row["variant"]


def _interval(score: Mapping[str, float | None]) -> str:
    if score["value"] is None:
        return "undefined"
    return f"{score['value']:.3f}" + ("" if score["low"] is None else f" ({score['low']:.3f}..{score['high']:.3f})")


def _signed(score: Mapping[str, float | None] | None) -> str:
    if score is None or score["value"] is None:
        return ""
    return f"{score['value']:+.3f} ({score['low']:+.3f}..{score['high']:+.3f})"

"""What people see on the terminal: progress, leaderboard, findings, descriptions."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from seqloom.experiment import Result, Watcher
from seqloom.files import plain
from seqloom.findings import Finding
from seqloom.registry import FOLDERS, available, describe

MARKS = {"info": "·", "warning": "!", "error": "✗"}
MOST_METRICS_SHOWN = 4


class Lines:
    """Lines and, on a terminal, progress bars of these columns; all of it on stderr."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.progress = Progress(*columns, console=self.console, transient=True, disable=not sys.stderr.isatty())

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def say(self, text: str) -> None:
        """A line, as it is."""
        self.console.print(text, markup=False, soft_wrap=True)


class Bars(Lines, Watcher):
    """Members that are done, and epochs of the one in hand."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
        )
        self.members = self.progress.add_task("members", total=None, visible=False)
        self.epochs = self.progress.add_task("epochs", total=None, visible=False)
        self.n_members, self.n_done, self.started = 0, 0, time.monotonic()

    def start(self, n_members: int) -> None:
        """The bar of members."""
        self.n_members, self.started = n_members, time.monotonic()
        self.progress.update(self.members, total=n_members, visible=n_members > 0)

    def member(self, label: str) -> None:
        """A bar of epochs for this member."""
        self.progress.update(self.members, description=label)
        self.progress.reset(self.epochs, visible=False)

    def epoch(self, done: int, at_most: int) -> None:
        """Epochs of this member."""
        self.progress.update(self.epochs, description="epochs", total=at_most, completed=done, visible=True)

    def done(self) -> None:
        """One member more."""
        self.n_done += 1
        self.progress.update(self.members, completed=self.n_done)


def echo_json(facts: Mapping[str, Any]) -> None:
    """The facts on stdout."""
    click.echo(json.dumps(plain(facts), ensure_ascii=False))


def compared(result: Result) -> None:
    """Leaderboard, verdict and the report's path on stdout."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(leaderboard(result.leaderboard, result.headlines))
    if result.nested is not None:
        console.print(f"nested: {result.nested['verdict']}", markup=False, soft_wrap=True)
    console.print(result.verdict, markup=False, soft_wrap=True)
    if leak := _leak(result.findings):
        console.print(leak, markup=False, soft_wrap=True)
    console.print(f"report: {result.report.as_posix()}", markup=False, soft_wrap=True)


def _leak(findings: Sequence[Finding]) -> str:
    """The warning that the partition leaks, which changes what the scores mean, as one line; empty if it does not."""
    found = [each for each in findings if each.code == "leaks"]
    if not found:
        return ""
    others = f" (and {len(found) - 1} more fold{'s' * (len(found) > 2)} like it)" if len(found) > 1 else ""
    return f"{MARKS['warning']} warning{others}: {found[0].message}"


def leaderboard(rows: list[dict[str, Any]], headlines: int = 1) -> Grid:
    """One line per variant, best first; the first scores, as many as `headlines` says, with their intervals."""
    names = list(rows[0]["metrics"]) if rows else []
    shown = names[:MOST_METRICS_SHOWN]
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("variant")
    for index, name in enumerate(shown):
        grid.add_column(f"{name} (95 % CI)" if index < headlines else name, justify="right")
    grid.add_column("members", justify="right")
    grid.add_column("seconds", justify="right")
    for row in rows:
        cells = [
            interval(row["metrics"][name]) if index < headlines else number(row["metrics"][name]["value"])
            for index, name in enumerate(shown)
        ]
        kind = "blend" if row.get("blend") else "baseline" if row.get("baseline") else ""
        label = f"{row['variant']} ({kind})" if kind else row["variant"]
        grid.add_row(label, *cells, str(row["members"]), f"{row['seconds']:.1f}")
    return grid


def interval(score: Mapping[str, Any]) -> str:
    """`0.755 (0.742..0.767)`."""
    if score["value"] is None:
        return "undefined"
    if score["low"] is None:
        return number(score["value"])
    return f"{number(score['value'])} ({number(score['low'])}..{number(score['high'])})"


def number(value: float | None) -> str:
    """Three decimals, or three significant digits for numbers of 10 and more."""
    if value is None:
        return "undefined"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def inspected(facts: Mapping[str, Any]) -> str:
    """A table's facts as text."""
    lines = [f"{facts['source']['name']}: {facts['rows']:,} rows, {facts['source']['format']}"]
    lines += [f"  {column}: {why}" for column, why in facts["roles"]["reasons"].items()]
    for column, lengths in facts["lengths"].items():
        lines.append(
            f"  {column}: {facts['alphabets'][column]}, length {lengths['min']} to {lengths['max']}, median {lengths['median']:g}"
        )
    if facts["target"] is not None:
        lines.append(f"target: {facts['target']['task']}")
        lines += [f"  {column}: {_summary(values)}" for column, values in facts["target"]["summary"].items()]
    lines += findings_text(facts["findings"])
    split = facts["recommended_split"]
    lines.append(f"split: {split['kind']} ({split['reason']})")
    if "positions" in facts:
        from seqloom.show_explain import positions_text

        lines += positions_text(facts["positions"])
    return "\n".join(lines)


def _summary(values: Mapping[str, Any]) -> str:
    missing = f", {values['n_missing']:,} missing" if values["n_missing"] else ""
    if "counts" in values:
        counts = sorted(values["counts"].items(), key=lambda item: -item[1])
        more = f" and {len(counts) - 12} more" if len(counts) > 12 else ""
        return ", ".join(f"{name}: {count:,}" for name, count in counts[:12]) + more + missing
    return f"{values['n']:,} values, {values['min']:.4g} to {values['max']:.4g}, median {values['median']:.4g}{missing}"


def findings_text(findings: list[dict[str, Any]]) -> list[str]:
    """One line per finding."""
    return [f"{MARKS[each['severity']]} {each['severity']}: {each['message']}" for each in findings]


def divided(facts: Mapping[str, Any]) -> str:
    """A partition in words."""
    splitter = facts["splitter"]
    lines = [f"{facts['rows']:,} rows divided by {splitter['kind']} ({facts['reason']})", f"  {facts['guarantee']}"]
    for fold, counts in enumerate(facts["folds"]):
        label = f"  fold {fold}: " if len(facts["folds"]) > 1 else "  "
        lines.append(label + ", ".join(f"{counts[role]:,} {role}" for role in ("train", "valid", "test", "unused")))
    lines += findings_text(facts["findings"])
    return "\n".join(lines)


def predicted(facts: Mapping[str, Any]) -> str:
    """What came of a prediction."""
    text = f"{facts['rows'] - facts['failed']:,} predictions"
    if facts["output"] != "-":
        text += f" in {facts['output']}"
    if facts["outside"]:
        text += f"; {facts['outside']:,} outside the domain of the model, see column domain"
    if facts["failed"]:
        text += f"; {facts['failed']:,} rows could not be predicted, see column pred_error"
    return "\n".join([text, *findings_text(facts["findings"])])


def evaluated(facts: Mapping[str, Any]) -> str:
    """Scores as text."""
    lines = [f"{facts['rows']:,} rows, {facts['members']} member(s), {facts['resampled']}"]
    lines += [f"  {name}: {interval(score)}" for name, score in facts["metrics"].items()]
    if "unseen" in facts:
        lines.append(f"{facts['unseen']['rows']:,} of them not seen in training")
        lines += [f"  {name}: {interval(score)}" for name, score in facts["unseen"]["metrics"].items()]
    if facts["by_identity"]:
        lines += _held_against(facts["by_identity"])
    return "\n".join([*lines, *findings_text(facts["findings"])])


def _held_against(facts: Mapping[str, Any]) -> list[str]:
    """Stated and measured errors by nearness to training rows, as text."""
    lines = [f"{facts['error']} by {facts['likeness']} to the nearest training row, stated and measured here"]
    for band in facts["bands"]:
        if band["rows"]:
            stated = f"stated {interval(band['stated'])}, " if band["holds"] is not None else ""
            measured = f"measured {interval(band['measured'])} on {band['rows']:,} rows"
            lines.append(f"  {band['from']:.0%} to {band['to']:.0%}: {stated}{measured}, {_holds(band)}")
    return lines


def _holds(band: Mapping[str, Any]) -> str:
    if band["holds"] is None:
        return "of which nothing was stated"
    if band["holds"]:
        return "which agrees"
    return f"which is {'more' if band['measured']['value'] > band['stated']['value'] else 'less'} than stated"


def family_facts(family: str | None, kind: str | None) -> dict[str, Any]:
    """What `describe` shows, as plain facts."""
    if family is None:
        return {"command": "describe", "families": {name: list(available(name)) for name in FOLDERS}, "findings": []}
    if kind is None:
        kinds = {name: describe(family, name).title for name in available(family)}
        return {"command": "describe", "family": family, "kinds": kinds, "findings": []}
    found = describe(family, kind)
    return {
        "command": "describe", "family": family, "kind": kind, "title": found.title, "text": found.text,
        "fields": [each._asdict() for each in found.fields], "findings": [],
    }  # fmt: skip


def swept(facts: Mapping[str, Any]) -> str:
    """What the range test says of every net, and the rates to try."""
    lines = []
    for each in facts["rates"]:
        lines.append(f"{each['variant']}: {each['text']}")
        if each["try"]:
            rates = ",".join(f"{rate:g}" for rate in each["try"])
            lines.append(f"  try --vary train.lr={rates} (rough: a factor of three to ten either way)")
    if facts["no_nets"]:
        lines.append(f"no nets, passed over: {', '.join(facts['no_nets'])}")
    return "\n".join([*lines, f"page: {facts['page']}", f"table: {facts['table']}"])


def described(facts: Mapping[str, Any]) -> str:
    """A family, a kind, or all of them as text."""
    if "families" in facts:
        return "\n".join(f"{family}: {', '.join(kinds)}" for family, kinds in facts["families"].items())
    if "kinds" in facts:
        width = max(map(len, facts["kinds"]))
        return "\n".join(f"{name:<{width}}  {title}" for name, title in facts["kinds"].items())
    lines = [f"[{facts['family']}] kind = {facts['kind']!r}", facts["title"]]
    lines += ["", facts["text"]] if facts["text"] else []
    for each in facts["fields"]:
        lines += ["", f"{each['name']} = {each['default']!r}   ({each['type']})", f"    {each['text']}"]
    return "\n".join(lines)

"""What people see of large tables: progress by rows, what came of packing and predicting them, stores, plans."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from seqloom.show import Lines, findings_text
from seqloom.store.pack import Watcher

SIZES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
FIGURES = {
    "rows": "rows of the tables",
    "store_bytes": "disk", "packing_bytes": "disk while it is packed", "packing_seconds": "to pack it",
    "canonical_seconds": "canonical SMILES", "train_rows": "training rows", "rows_per_second": "training",
    "pass_seconds": "a pass", "learnt_rows": "rows learnt from", "member_seconds": "a member", "members": "members",
    "total_seconds": "all of it", "predicted_per_second": "predicting", "predicting_seconds": "to predict all rows",
    "read_per_second": "read from disk", "memory_bytes": "memory", "device_bytes": "memory of the device",
    "checkpoint_bytes": "a checkpoint", "prediction_bytes": "predictions", "efficiency": "efficiency",
    "bandwidth": "between devices",
}  # fmt: skip


class RowsBar(Lines, Watcher):
    """Rows that are done."""

    def __init__(self) -> None:
        super().__init__(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.bar = self.progress.add_task("rows", total=None, visible=False)

    def rows(self, done: int, total: int) -> None:
        """Rows of the tables."""
        self.progress.update(self.bar, completed=done, total=max(total, done), visible=True)


def packed(facts: Mapping[str, Any]) -> str:
    """What came of packing."""
    seconds = facts["seconds"]
    rate = f", {facts['written'] / seconds / 1e6:.2f} million a second" if facts["written"] and seconds > 1 else ""
    lines = [
        f"{facts['rows']:,} rows in {facts['path']}: {facts['alphabet']}, {facts['bytes'] / 1e9:,.3g} GB, "
        f"{facts['bytes'] / max(facts['rows'], 1):.1f} bytes a row{rate}"
    ]
    return "\n".join([*lines, *_columns(facts), *findings_text(facts["findings"])])


def predicted_shards(facts: Mapping[str, Any]) -> str:
    """What came of predicting many tables."""
    rate = facts["new_rows"] / max(facts["seconds"], 1e-3)
    new = (
        f", {facts['new_rows']:,} rows of them now ({rate:,.0f} a second)" if facts["new_rows"] else ", all from before"
    )
    lines = [
        f"{facts['rows'] - facts['failed']:,} predictions for {facts['rows']:,} rows of {facts['tables']:,} tables in "
        f"{facts['output']}{new}"
    ]
    if facts["outside"]:
        lines.append(f"{facts['outside']:,} outside the domain of the model, see column domain")
    if facts["unread"]:
        lines.append(f"{len(facts['unread']):,} tables were left out; mend them, and run the same command again")
    return "\n".join([*lines, *findings_text(facts["findings"])])


def store_text(facts: Mapping[str, Any]) -> str:
    """A store's facts as text."""
    lengths = facts["lengths"]
    lines = [
        f"{facts['path']}: a store of {facts['rows']:,} rows, {facts['bytes'] / 1e9:,.3g} GB, {facts['bytes_per_row']} bytes "
        "a row",
        f"  {facts['sequence']}: {facts['alphabet']}, length {lengths['min']} to {lengths['max']}, median {lengths['median']:g}, "
        f"99 % up to {lengths['p99']}",
        *_columns(facts),
    ]
    if facts["rewrites"]:
        lines.append("  rewritten: " + ", ".join(f"{old!r} to {new!r}" for old, new in facts["rewrites"]))
    if facts["canonical"]:
        lines.append(f"  canonical: {facts['canonical']}")
    if facts["left_out"]:
        lines.append("  left out: " + ", ".join(f"{count:,} {reason}" for reason, count in facts["left_out"].items()))
    if facts["repeats"]:
        lines.append(f"  repeats: {facts['repeats']:,} rows of a molecule that an earlier row is of")
    names = [each["name"] for each in facts["sources"]]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    lines.append(f"  from: {', '.join(names[:5])}{more}")
    return "\n".join(lines)


def planned(facts: Mapping[str, Any]) -> str:
    """What an experiment will cost."""
    there = "" if facts["rows"] == facts["rows_there"] else f" (there are {facts['rows_there']:,})"
    where = (
        f"{facts['device']}, {facts['threads']} thread{'s' * (facts['threads'] != 1)}" if facts["device"] else "nothing"
    )
    together = f", {facts['devices']} such devices together" if facts["devices"] > 1 else ""
    lines = [f"{facts['path']}: a library of {facts['rows']:,} rows{there}, probed on {where}{together}"]
    lines += _figures(facts["library"])
    for net in facts["nets"]:
        lines += [
            "",
            f"{net['name']}: {net['weights']:,} weights, {net['batch']:,} rows a step; the limit is {net['limit']}",
        ]
        lines += _figures(net["figures"])
    return "\n".join([*lines, *([""] if facts["findings"] else []), *findings_text(facts["findings"])])


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line each: name, value, where it comes from."""
    return [
        f"  {FIGURES.get(name, name):<24}{amount(each['value'], each['unit']):>18}  {each['source']:<9} {each['how']}"
        for name, each in figures.items()
    ]


def amount(value: float, unit: str) -> str:
    """A figure of a plan in words, such as `2 h 15 min`, `8.01 GB` or `12,300 rows/s`."""
    if unit == "s":
        return duration(value)
    if unit.startswith("bytes"):
        number = next((f"{value / size:.3g} {name}" for size, name in SIZES if value >= size), f"{value:.0f} B")
        return number + unit.removeprefix("bytes")
    if unit == "share":
        return f"{value:.0%}".replace("%", " %")
    return f"{value:,.0f}" + {"rows/s": " rows/s"}.get(unit, "")


def duration(seconds: float) -> str:
    """Two units of time, such as `1 d 3 h` or `2 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    left = round(seconds)
    parts: list[str] = []
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, size)
        if number or parts:
            parts.append(f"{number:,} {name}")
    return " ".join(parts[:2])


def _columns(facts: Mapping[str, Any]) -> list[str]:
    lines = []
    for each in facts["targets"]:
        share = each["positive"] / max(each["known"], 1)
        missing = facts["rows"] - each["known"]
        lines.append(
            f"  target {each['name']}: {each['positive']:,} positive ({share:.2%})"
            + (f", {missing:,} missing" * bool(missing))
        )
    return lines + [f"  component {each['name']}: {each['levels']:,} levels" for each in facts["components"]]

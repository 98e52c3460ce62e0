"""Targets: what is predicted, on which scale a model sees it, and how its output becomes an answer again.

Three scales. *Original*: what the table holds. *Score* scale: where metrics are taken (natural logarithm or `log50k` when
asked for, else original). *Model* scale: score scale, standardised on training rows for regression.

A regression value may be a bound of the true one: which rows these are is told by the table (`seqloom.censored`), on which side
the true score lies by the target, as `log50k` turns the scale round.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.censored import all_bounds
from seqloom.check.classes import n_classes
from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding, finding
from seqloom.metrics import Task
from seqloom.read.section import Censoring
from seqloom.registry import Recipe
from seqloom.table import Table

LARGEST_CODE = 2.0**53
"""Whole numbers from here on are not told apart by float64, so they are no class codes."""
IC50_CAP_NM = 50_000.0  # the weakest affinity of the log50k scale (Nielsen et al. 2003, Protein Science 12:1007)


class TargetSection(Recipe):
    """The `[target]` section: the columns to predict."""

    column: tuple[str, ...] = ()
    """Target column, or several of them; found by the table's conventions when left out."""
    task: Literal["auto", "regression", "binary", "multiclass", "multilabel"] = "auto"
    """What kind of target it is; `auto` decides by the values and says so."""
    transform: Literal["standardise", "log", "log50k", "none"] = "standardise"
    """Regression only. `standardise`: mean 0, variance 1 on training rows; `log`: natural logarithm, then standardised;
    `log50k`: 1 - ln(nM) / ln(50000), clipped to 0..1, then standardised; `none`: as it is."""
    positive: str = ""
    """Binary only: the class whose probability is predicted; by default 1, true, yes, or the last in sorted order."""
    positive_below: float | None = None
    """Regression: values below this (original units) count as positives, so that AUROC is reported as well."""
    positive_above: float | None = None
    """Regression: values above this (original units) count as positives."""
    inequality: str = ""
    """Regression: column of signs: `>` means that the true value is at least the target's, `<` at most, `=` or nothing that it is
    just that. Found by name when left out; a sign before the value (`>20000`) needs no column."""
    cap_above: float | None = None
    """Regression: limit of the assay (original units); values of this and more are taken as `>` of it."""
    cap_below: float | None = None
    """Regression: limit of the assay; values of this and less are taken as `<` of it."""

    @property
    def censoring(self) -> Censoring:
        """What is said of bounds, for the reading of the table."""
        return Censoring(self.inequality, self.cap_above, self.cap_below)


@dataclass(frozen=True)
class Target:
    """What is known of a target from the table alone; `fitted` adds what training rows tell.

    The model's outputs T are: regression one per column; binary one; multiclass one per class; multilabel one per column.
    """

    task: Task
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ()
    transform: str = "none"
    positive_below: float | None = None
    positive_above: float | None = None
    cap_above: float | None = None
    cap_below: float | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def n_outputs(self) -> int:
        """T."""
        return len(self.classes) if self.task == "multiclass" else len(self.columns)

    @property
    def output_names(self) -> tuple[str, ...]:
        """One name per output: the class or the column it belongs to."""
        return self.classes if self.task == "multiclass" else self.columns

    @property
    def scale_name(self) -> str:
        """The scale metrics are taken on, in words."""
        return {"log": "ln", "log50k": "1 - ln(nM)/ln(50000)"}.get(self.transform, "original units")

    @property
    def threshold_sign(self) -> int:
        """+1 if large original values are positives, -1 if small ones are, 0 without a threshold."""
        return -1 if self.positive_below is not None else 1 if self.positive_above is not None else 0

    @property
    def rises(self) -> bool:
        """Whether larger values have larger scores."""
        return self.transform != "log50k"

    def read(self, table: Table) -> np.ndarray:
        """Score-scale targets, float64 (N, columns), NaN where missing; classes are their index.

        Raises DataError for a class the target does not know, or for values its transform cannot take.
        """
        if self.task in ("binary", "multiclass"):
            return self._class_indices(table)
        values = np.stack([table.numeric(column) for column in self.columns], axis=1)
        if self.task == "multilabel":
            return values
        return self.to_score(self._capped(values, table), table)

    def bounds(self, table: Table) -> np.ndarray | None:
        """Where true scores lie, int8 (N, columns): at most the score (-1), at it (0) or at least it (1); None if all are at it.

        Missing scores are at 0. Only regression targets have bounds.
        """
        if self.task != "regression" or not any(column in table.bounds for column in self.columns):
            return None
        nothing = np.zeros(table.n_rows, np.int8)
        own = np.stack([table.bounds.get(column, nothing) for column in self.columns], axis=1)
        missing = np.stack([np.isnan(table.numeric(column)) for column in self.columns], axis=1)
        own = np.where(missing, 0, own if self.rises else -own).astype(np.int8)
        return own if own.any() else None

    def positives(self, scores: np.ndarray, bounds: np.ndarray | None = None) -> np.ndarray:
        """0/1/NaN (N, columns) by the threshold, for regression targets that have one.

        Of `bounds` int8 (N, columns), those that leave open on which side of the threshold the true score is are NaN.
        """
        cut, sought_above = self.cut, self._sought_above
        found = np.where(np.isnan(scores), np.nan, self.beyond(scores) > 0)
        if bounds is None:
            return found
        # True scores at a bound and at the threshold at once are too few to ask for.
        above, below = (bounds > 0) & (scores >= cut), (bounds < 0) & (scores <= cut)
        decided = np.where(above, sought_above, np.where(below, not sought_above, np.nan))
        return np.where(bounds != 0, decided, found)

    @property
    def cut(self) -> float:
        """The score of the threshold, for regression targets that have one.

        Scores are held against it: on the way back to original units 500 may become 499.9999.
        """
        threshold = self.positive_above if self.positive_below is None else self.positive_below
        assert threshold is not None
        return float(self._score_of(np.array(threshold)))

    def beyond(self, scores: np.ndarray) -> np.ndarray:
        """How far scores (N, columns) lie beyond the threshold, on the side that is sought; negative on the other."""
        return scores - self.cut if self._sought_above else self.cut - scores

    @property
    def _sought_above(self) -> bool:
        """Whether scores above the threshold's are sought."""
        return self.rises == (self.positive_below is None)

    def fitted(self, scores: np.ndarray) -> Target:
        """This target with mean and standard deviation of training rows `scores` (N, columns)."""
        if self.task != "regression" or self.transform == "none":
            return self
        known = ~np.isnan(scores)
        n_known = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, scores, 0).sum(axis=0) / n_known
        std = np.sqrt(np.where(known, (scores - mean) ** 2, 0).sum(axis=0) / n_known)
        return replace(self, mean=tuple(mean.tolist()), std=tuple(np.where(std > 0, std, 1.0).tolist()))

    def to_model(self, scores: np.ndarray) -> np.ndarray:
        """Score scale to model scale, float64 (N, columns)."""
        return (scores - np.array(self.mean)) / np.array(self.std) if self.mean else scores

    def from_model(self, outputs: np.ndarray) -> np.ndarray:
        """A model's outputs (N, T) on the score scale; probabilities stay as they are."""
        return outputs * np.array(self.std) + np.array(self.mean) if self.mean else outputs

    def to_score(self, values: np.ndarray, table: Table | None = None) -> np.ndarray:
        """Original values to the score scale; DataError names rows that a logarithm cannot take."""
        if self.transform not in ("log", "log50k"):
            return values
        rows, columns = np.nonzero(values <= 0)
        if len(rows):
            where = f"{table.source.name}: " if table is not None else ""
            number = table.row_numbers[rows[0]] if table is not None else rows[0] + 1
            raise DataError(
                f"{where}column {self.columns[columns[0]]!r}: {len(rows)} values are not above 0, first at row {number} "
                f"({values[rows[0], columns[0]]:g}); transform {self.transform!r} needs positive values: mend them, filter them "
                f'with --where "{self.columns[columns[0]]} > 0", or use --set target.transform=standardise'
            )
        scores = self._score_of(values)
        return scores if self.transform == "log" else np.clip(scores, 0, 1)

    def _score_of(self, values: np.ndarray) -> np.ndarray:
        """Original values to the score scale, unclipped."""
        if self.transform == "log":
            return np.asarray(np.log(values))
        return np.asarray(1 - np.log(values) / np.log(IC50_CAP_NM)) if self.transform == "log50k" else values

    def _capped(self, values: np.ndarray, table: Table) -> np.ndarray:
        """Values (N, columns) of which those beyond a limit of the assay, as far as they are bounds, stand at it."""
        if self.cap_above is None and self.cap_below is None:
            return values
        nothing = np.zeros(table.n_rows, np.int8)
        own = np.stack([table.bounds.get(column, nothing) for column in self.columns], axis=1)
        above = np.inf if self.cap_above is None else self.cap_above
        below = -np.inf if self.cap_below is None else self.cap_below
        return np.where(own > 0, np.minimum(values, above), np.where(own < 0, np.maximum(values, below), values))

    def to_original(self, scores: np.ndarray) -> np.ndarray:
        """Score scale to original units, (N, columns)."""
        if self.transform == "log":
            return np.exp(scores)
        return np.exp((1 - scores) * np.log(IC50_CAP_NM)) if self.transform == "log50k" else scores

    def as_json(self) -> dict[str, Any]:
        """Everything, for `target.json`."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}

    @staticmethod
    def from_json(facts: Mapping[str, Any]) -> Target:
        """The target that `as_json` wrote."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()
        }
        return Target(**fields)

    def _class_indices(self, table: Table) -> np.ndarray:
        text = class_names(table, self.columns[0])
        if set(self.classes) <= {"0", "1"} or {each.lower() for each in self.classes} <= {"true", "false"}:
            text = _as_written(text, self.classes)
        indices = pc.index_in(text, pa.array(self.classes, pa.large_string()))
        unknown = np.flatnonzero(pc.and_(text.is_valid(), pc.is_null(indices)).to_numpy(zero_copy_only=False))
        if len(unknown):
            named = ", ".join(f"row {table.row_numbers[row]}: {text[int(row)].as_py()!r}" for row in unknown[:5])
            raise DataError(
                f"{table.source.name}: column {self.columns[0]!r}: {len(unknown)} values are none of the classes "
                f"{', '.join(map(repr, self.classes[:12]))}; {named}"
            )
        return indices.cast(pa.float64()).to_numpy(zero_copy_only=False).reshape(-1, 1)


def find_target(table: Table, section: TargetSection) -> Target:
    """The target of a table: columns, task, classes.

    Raises DataError when all targets are missing, a target is constant or has one class only.
    """
    columns = section.column or table.roles.targets
    if not columns:
        raise DataError(f"{table.source.name}: no target column is known; name it with --target COLUMN")
    task = section.task if section.task != "auto" else _task(table, columns)
    _refuse_misfits(section, task, columns)
    target = Target(
        task=task,
        columns=tuple(columns),
        transform=section.transform if task == "regression" else "none",
        positive_below=section.positive_below,
        positive_above=section.positive_above,
        cap_above=section.cap_above,
        cap_below=section.cap_below,
    )
    if task in ("binary", "multiclass"):
        target = replace(target, classes=_classes(table, columns[0], task, section.positive))
    _refuse_empty(table, target)
    return target


def class_names(table: Table, column: str) -> pa.Array:
    """A classification column as text (`1.0` reads `1`), null where missing or blank."""
    values = table.data[column].combine_chunks()
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), None, values)
        whole = pc.and_(pc.equal(values, pc.round(values)), pc.less(pc.abs(values), LARGEST_CODE))
        if pc.all(whole, min_count=0).as_py():
            values = values.cast(pa.int64())
    text = pc.utf8_trim_whitespace(values.cast(pa.large_string()))
    return pc.if_else(pc.equal(text, ""), None, text)


def task_findings(table: Table, target: Target, section: TargetSection) -> list[Finding]:
    """What was decided about the task that a reader might want otherwise: whole numbers, or bounds, taken as classes."""
    if target.task != "regression" and (names := [name for name in target.columns if name in table.bounds]):
        message = (
            f"{table.source.name}: the task is {target.task}, so bounds among the values of {', '.join(map(repr, names))} are "
            "taken for values; if they are measurements, type: --set target.task=regression"
        )
        return [finding("bounds-as-values", "warning", message)]
    if section.task != "auto" or target.task != "multiclass" or _numbers(pa.array(target.classes)) is None:
        return []
    message = (
        f"{table.source.name}: the {len(target.classes)} whole numbers of column {target.columns[0]!r} are taken as classes; "
        "if they are measurements or counts, type: --set target.task=regression"
    )
    return [finding("coded-classes", "info", message)]


def _as_written(text: pa.Array, classes: tuple[str, ...]) -> pa.Array:
    """0/1 and true/false in the spelling of `classes`: another table may write the same truth otherwise."""
    spelling = {"0": "false", "1": "true", "false": "false", "true": "true"}
    wanted = {spelling[each.lower()]: each for each in classes}
    words = pc.utf8_lower(text).to_pylist()
    return pa.array(
        [
            wanted.get(spelling.get(word, ""), old) if word else None
            for word, old in zip(words, text.to_pylist(), strict=True)
        ],
        pa.large_string(),
    )


def _task(table: Table, columns: tuple[str, ...]) -> Task:
    kinds = {_column_task(table, column) for column in columns}
    if len(columns) == 1:
        return kinds.pop()
    if kinds == {"binary"} and all(_is_coded(table, column) for column in columns):
        return "multilabel"
    if "regression" in kinds or kinds == {"multiclass"}:
        return "regression"
    raise DataError(
        f"{table.source.name}: target columns {', '.join(map(repr, columns))} are of different kinds "
        f"({', '.join(sorted(kinds))}); several targets must all be numbers or all be 0/1"
    )


def _column_task(table: Table, column: str) -> Task:
    n = 0 if column in table.bounds else n_classes(table.data[column])
    return "regression" if not n else "binary" if n == 2 else "multiclass"


def _numbers(distinct: pa.Array) -> np.ndarray | None:
    try:
        values: np.ndarray = pc.cast(distinct, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    return values


def _is_coded(table: Table, column: str) -> bool:
    return set(pc.unique(class_names(table, column).drop_null()).to_pylist()) <= {"0", "1"}


def _classes(table: Table, column: str, task: Task, positive: str) -> tuple[str, ...]:
    distinct = pc.unique(class_names(table, column).drop_null())
    numeric = _numbers(distinct)
    order = np.argsort(numeric, kind="stable") if numeric is not None else pc.sort_indices(distinct).to_numpy()
    classes: list[str] = distinct.take(pa.array(order)).to_pylist()
    where = f"{table.source.name}: column {column!r}"
    if len(classes) == 1:
        raise DataError(
            f"{where} holds one class only, {classes[0]!r}: there is nothing to learn; name another --target"
        )
    if task == "binary" and len(classes) > 2:
        raise DataError(f"{where} holds {len(classes)} classes; use --set target.task=multiclass")
    if task == "binary":
        lowered = {each.lower(): each for each in classes}
        if positive and positive not in classes and positive.lower() not in lowered:
            raise DataError(f"{where}: target.positive = {positive!r} is not one of {', '.join(map(repr, classes))}")
        named = positive if positive in classes else lowered.get(positive.lower())
        chosen = named or next(
            (lowered[word] for word in ("1", "true", "yes", "positive", "pos") if word in lowered), classes[-1]
        )
        classes = sorted(classes, key=lambda each: each == chosen)
    return tuple(classes)


def _refuse_misfits(section: TargetSection, task: Task, columns: tuple[str, ...]) -> None:
    if task in ("binary", "multiclass") and len(columns) > 1:
        raise ConfigError(
            f"[target] task = {task!r} takes one column, and there are {len(columns)} ({', '.join(columns)}); "
            "name one, or use --set target.task=multilabel for columns of 0 and 1"
        )
    if task != "regression":
        if section.positive_below is not None or section.positive_above is not None:
            raise ConfigError(f"[target] positive_below and positive_above are for regression, and the task is {task}")
        if section.censoring.settings:
            raise ConfigError(
                f"[target] {section.censoring.settings}: bounds are for regression, and the task is {task}"
            )
        if section.transform in ("log", "log50k"):
            raise ConfigError(f"[target] transform = {section.transform!r} is for regression, and the task is {task}")
    if section.positive and task != "binary":
        raise ConfigError(f"[target] positive = {section.positive!r} is for binary targets, and the task is {task}")
    if section.positive_below is not None and section.positive_above is not None:
        raise ConfigError("[target] has both positive_below and positive_above; keep one")


def _refuse_empty(table: Table, target: Target) -> None:
    values, bounds = target.read(table), target.bounds(table)
    for index, column in enumerate(target.columns):
        known = values[:, index][~np.isnan(values[:, index])]
        where = f"{table.source.name}: column {column!r}"
        if np.isinf(known).any():
            raise DataError(f"{where} holds infinite values; mend or remove those rows")
        if not len(known):
            raise DataError(f"{where} holds no value at all in {table.n_rows} rows; name another --target")
        if bounds is not None and (bounds[:, index] != 0)[~np.isnan(values[:, index])].all():
            raise DataError(all_bounds(where, table.bounds[column], "rows"))
        if target.task == "multilabel" and not np.isin(known, (0, 1)).all():
            odd = known[~np.isin(known, (0, 1))]
            raise DataError(
                f"{where} holds {odd[0]:g}, and a multilabel target is 0 or 1; mend it, or use target.task=regression"
            )
        if (known == known[0]).all():
            raise DataError(
                f"{where} is constant ({known[0]:g}) in all {len(known)} rows that have it: there is nothing to learn"
            )

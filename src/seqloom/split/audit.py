"""The audit of a partition, whoever made it: what test rows have in common with the rows a model is fitted on.

Equal inputs on both sides are a hard leak, which stops the run unless it is allowed by name. All else is measured and said:
near duplicates by identity, shared groups, the same sequence under another covariate or context, and, where rows are variants
of one protein, whether the test asks for anything that training does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from seqloom.errors import DataError, LeakError, MissingExtra
from seqloom.findings import Finding, Severity, finding
from seqloom.mutation.variants import families_of
from seqloom.similarity.rows import nearest_rows
from seqloom.split.base import TEST, TRAIN, VALID, Partition, Splitter
from seqloom.split.inputs import input_groups, sequence_groups
from seqloom.split.near import NEAR, near_finding
from seqloom.split.similarity import SimilaritySplit
from seqloom.table import Table

BANDS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
"""Lower bounds of the bands in which the identity of test rows to their nearest training row is counted."""
MOST_AUDITED = 50_000
"""Test rows of a fold whose nearest training row is looked for; of more, a random sample."""
MOST_FOLDS = 20
HISTOGRAM_BINS = 50


@dataclass(frozen=True)
class Audit:
    """What was found when a partition was checked against its table."""

    facts: Mapping[str, Any]
    findings: tuple[Finding, ...]
    nearest: pa.Table
    """`nearest.parquet`: row, id, fold, identity, nearest_row, nearest_id of every test row looked at; identity 0 and no
    nearest row where none is alike."""

    def as_json(self) -> dict[str, Any]:
        """`audit.json`."""
        return {**self.facts, "findings": [each.as_json() for each in self.findings]}


def refuse_shared(partition: Partition, splitter: Splitter, table: Table, keys: np.ndarray) -> None:
    """LeakError when test inputs stand in training and the user did not allow it; `keys` (N,) are equal for equal inputs."""
    if splitter.shared == "allow":
        return
    messages = []
    for fold in range(partition.n_folds):
        shared = _shared(partition, fold, keys)
        if len(shared):
            messages.append(_shared_finding(shared, fold, splitter, table).message)
    if messages:
        raise LeakError("\n".join(messages))


def audit(
    partition: Partition, splitter: Splitter, table: Table, targets: np.ndarray, keys: np.ndarray | None = None
) -> Audit:
    """Everything known about leaks of the partition. `targets`: score scale (N, columns), NaN where missing."""
    keys = input_groups(table) if keys is None else keys
    folds: list[dict[str, Any]] = []
    findings: list[Finding] = list(splitter.findings(table))
    looked_at: list[pa.Table] = []
    for fold in range(partition.n_folds):
        facts: dict[str, Any] = {"fold": fold, "counts": partition.counts(fold)}
        shared = _shared(partition, fold, keys)
        facts["shared_inputs"] = len(shared)
        facts["named_rows"] = table.row_numbers[shared[:5]].tolist()
        if len(shared):
            findings.append(_shared_finding(shared, fold, splitter, table))
        if not partition.counts(fold)["valid"]:
            message = f"fold {fold} is too small for valid rows; training rows stand in"
            findings.append(finding("no-inner-split", "warning", message))
        # Folds of nested cross-validation that differ in their valid rows only are looked at once.
        if fold < MOST_FOLDS and fold % splitter.inner == 0:
            fitted = np.isin(partition.roles[fold], (TRAIN, VALID))
            test = partition.roles[fold] == TEST
            facts |= _same_groups(table, fitted, test, fold, findings)
            facts |= _other_covariates(table, keys, fitted, test, fold, findings)
            facts |= _targets(targets, fitted, test)
            families = _variants(table, fitted, test)
            facts["families"] = families
            facts["nearest"], rows = _nearest(table, fitted, test, fold, findings)
            if facts["nearest"].get("near_duplicates"):
                alike = rows["row"].to_numpy()[rows["identity"].to_numpy() >= NEAR - 1e-6]
                findings.append(near_finding(splitter, table, facts, alike))
            findings += _above_threshold(splitter, rows, fold)
            looked_at.append(rows)
        folds.append(facts)
    unused = {}
    for code, why in enumerate(partition.reasons):
        rows = np.flatnonzero((partition.reason == code).any(axis=0))
        unused[why] = len(rows)
        if len(rows):
            message = f"{len(rows):,} rows are unused: {why}"
            findings.append(finding("unused-rows", "info", message, table.row_numbers[rows]))
    facts = {
        "splitter": {"kind": splitter.kind, **splitter.model_dump(mode="json")},
        "guarantee": splitter.guarantee,
        "near": NEAR,
        "folds": folds,
        "unused": unused,
    }
    return Audit(facts, tuple(findings), pa.concat_tables(looked_at) if looked_at else _no_rows())


# --- equal inputs -----------------------------------------------------------------------------------------------------


def _shared(partition: Partition, fold: int, keys: np.ndarray) -> np.ndarray:
    roles = partition.roles[fold]
    fitted = np.unique(keys[(roles == TRAIN) | (roles == VALID)])
    return np.flatnonzero((roles == TEST) & np.isin(keys, fitted))


def _shared_finding(shared: np.ndarray, fold: int, splitter: Splitter, table: Table) -> Finding:
    columns = [*table.roles.context, *table.roles.sequences, *table.roles.covariates]
    what = "pairs" if len(columns) == 2 else "inputs"
    few = table.take(shared[:3])
    cells = [few.text(name).to_pylist() for name in columns]
    named = "; ".join(" ".join(_shortened(str(cell)) for cell in row) for row in zip(*cells, strict=True))
    molecules = any(table.alphabets[column].name == "smiles" for column in table.roles.sequences)
    spelt = " (molecules in whatever spelling)" if molecules else ""
    message = (
        f"{len(shared):,} shared {what} ({', '.join(columns)}): test rows of fold {fold} whose {what} also stand in "
        f"training{spelt}, for instance {named}"
    )
    allowed = splitter.shared == "allow"
    advice = (
        "; leave those training rows out with --set split.shared=unused, or keep them with --set split.shared=allow"
    )
    severity: Severity = "warning" if allowed else "error"
    return finding("shared-inputs", severity, message + ("" if allowed else advice), table.row_numbers[shared])


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


# --- what is related though not equal -----------------------------------------------------------------------------------


def _same_groups(
    table: Table, fitted: np.ndarray, test: np.ndarray, fold: int, findings: list[Finding]
) -> dict[str, Any]:
    if table.roles.group is None:
        return {}
    codes = table.text(table.roles.group).dictionary_encode().indices.fill_null(-1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(test & (codes >= 0) & np.isin(codes, np.unique(codes[fitted])))
    if len(rows):
        message = (
            f"{len(rows):,} of {int(test.sum()):,} test rows of fold {fold} share their group ({table.roles.group}) with a "
            "training row; keep groups whole with --split group"
        )
        findings.append(finding("shared-groups", "warning", message, table.row_numbers[rows]))
    return {"shared_groups": len(rows)}


def _other_covariates(
    table: Table, keys: np.ndarray, fitted: np.ndarray, test: np.ndarray, fold: int, findings: list[Finding]
) -> dict[str, Any]:
    """Test rows whose sequences stand in training with another covariate or context."""
    others = (*table.roles.covariates, *table.roles.context)
    if not others:
        return {}
    sequences = sequence_groups(table)
    equal = np.isin(keys, np.unique(keys[fitted]))
    rows = np.flatnonzero(test & ~equal & np.isin(sequences, np.unique(sequences[fitted])))
    if len(rows):
        message = (
            f"{len(rows):,} of {int(test.sum()):,} test rows of fold {fold} have the sequence of a training row with another "
            f"{' or '.join(others)}; their sequences are not new to the model"
        )
        findings.append(finding("other-covariate", "warning", message, table.row_numbers[rows]))
    return {"other_covariates": len(rows)}


def _targets(targets: np.ndarray, fitted: np.ndarray, test: np.ndarray) -> dict[str, Any]:
    """Share of test values beyond the range of training values; of one target column with more than two values."""
    if targets.shape[1] != 1 or not np.isfinite(targets[fitted]).any() or not np.isfinite(targets[test]).any():
        return {}
    low, high = np.nanmin(targets[fitted]), np.nanmax(targets[fitted])
    values = targets[test][np.isfinite(targets[test])]
    return {"targets_beyond_training": round(float(((values < low) | (values > high)).mean()), 4)}


def _variants(table: Table, fitted: np.ndarray, test: np.ndarray) -> dict[str, Any] | None:
    """What test rows that are variants ask for beyond training; None where few of them are variants."""
    try:
        found = families_of(table)
    except DataError:  # SMILES, or several alphabets: no variants are told
        return None
    label = found.label
    own = test & (label >= 0)
    if not test.any() or 2 * own.sum() < test.sum():
        return None
    n_families = len(found)
    most = np.full(n_families, -1)
    known = fitted & (label >= 0)
    np.maximum.at(most, label[known], found.edits[known])
    mutations = found.mutations
    width = int(mutations.sites.max(initial=0)) + 1
    site = label[mutations.rows] * width + mutations.sites
    exact = site * 256 + mutations.mutant
    new_site, new_mutation = (_rows_with_new(code, mutations.rows, fitted, table.n_rows) for code in (site, exact))
    old_family = most[label] >= 0

    def share(rows: np.ndarray) -> float:
        return round(float(rows[own].mean()), 4)

    return {
        "rows": round(float(own.sum() / test.sum()), 4),
        "n_families": len(np.unique(label[own])),
        "new_family": share(~old_family),
        "more_mutations": share(old_family & (found.edits > most[label])),
        "new_site": share(old_family & new_site),
        "new_mutation": share(old_family & new_mutation),
        "train_mutations": _spread(found.edits[known]),
        "test_mutations": _spread(found.edits[own]),
    }


def _rows_with_new(codes: np.ndarray, rows: np.ndarray, fitted: np.ndarray, n_rows: int) -> np.ndarray:
    """Rows with a code that no fitted row has, bool (N,)."""
    new = ~np.isin(codes, np.unique(codes[fitted[rows]]))
    found = np.zeros(n_rows, bool)
    found[rows[new]] = True
    return found


def _spread(counts: np.ndarray) -> dict[str, float]:
    if not len(counts):
        return {}
    return {"min": int(counts.min()), "median": float(np.median(counts)), "max": int(counts.max())}


# --- the nearest training row -------------------------------------------------------------------------------------------


def _nearest(
    table: Table,
    fitted: np.ndarray,
    test: np.ndarray,
    fold: int,
    findings: list[Finding],
) -> tuple[dict[str, Any], pa.Table]:
    references, rows = np.flatnonzero(fitted), np.flatnonzero(test)
    if len(rows) > MOST_AUDITED:
        rows = np.sort(np.random.default_rng([fold, 0xA0D17]).choice(rows, MOST_AUDITED, replace=False))
    try:
        found = nearest_rows(table, rows, references)
    except MissingExtra as error:
        findings.append(finding("not-compared", "warning", f"near duplicates were not looked for: {error}"))
        return {"measure": None, "rows": 0}, _no_rows()
    best, identity = found.best()
    known = best >= 0
    nearest = np.where(known, references[best], 0)
    bands = np.searchsorted(np.array(BANDS) - 1e-6, identity, side="right") - 1
    counts = np.bincount(bands, minlength=len(BANDS))
    near = int((identity >= NEAR - 1e-6).sum())
    histogram, edges = np.histogram(identity, HISTOGRAM_BINS, (0.0, 1.0))
    facts = {
        "measure": found.measure,
        "rows": len(rows),
        "exact": found.exact,
        "bands": [{"from": low, "rows": int(n)} for low, n in zip(BANDS, counts, strict=True)],
        "near_duplicates": near,
        "near_duplicate_share": round(near / max(len(rows), 1), 4),
        "median": round(float(np.median(identity)), 4) if len(rows) else None,
        "none_alike": int((~known).sum()),
        "histogram": {"edges": edges.tolist(), "counts": histogram.tolist()},
    }
    ids = table.ids.cast(pa.large_string())
    looked_at = pa.table(
        {
            "row": table.row_numbers[rows],
            "id": ids.take(pa.array(rows)),
            "fold": np.full(len(rows), fold, np.int32),
            "identity": identity,
            "nearest_row": pa.array(table.row_numbers[nearest], mask=~known),
            "nearest_id": pa.array(ids.take(pa.array(nearest)).to_pylist(), pa.large_string(), mask=~known),
        }
    )
    return facts, looked_at


def alike_tested(splitter: Splitter, nearest: pa.Table) -> pa.Table:
    """The rows of `Audit.nearest` that have a training row as near as the split was to keep apart: pairs it did not compare."""
    if not isinstance(splitter, SimilaritySplit):
        return nearest.slice(0, 0)
    return nearest.filter(pa.array(nearest["identity"].to_numpy() >= splitter.identity - 1e-6))


def _above_threshold(splitter: Splitter, rows: pa.Table, fold: int) -> list[Finding]:
    """That test rows are alike to training rows, of a split that was to keep such rows together."""
    above = alike_tested(splitter, rows)["row"].to_numpy()
    if not len(above):
        return []
    message = (
        f"{len(above):,} of {rows.num_rows:,} test rows of fold {fold} have a training row as alike as those that were kept "
        "together, in pairs that the split did not compare; compare all pairs with --set split.search=exact"
    )
    return [finding("above-threshold", "warning", message, above)]


def _no_rows() -> pa.Table:
    kinds = {
        "row": pa.int64(),
        "id": pa.large_string(),
        "fold": pa.int32(),
        "identity": pa.float32(),
        "nearest_row": pa.int64(),
        "nearest_id": pa.large_string(),
    }
    return pa.table({name: pa.array([], kind) for name, kind in kinds.items()})

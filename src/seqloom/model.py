"""A finished run, loaded to predict: its members, what calibrates them, and what is known of their errors.

Loading reads numbers and settings only and never executes anything from the folder. What is shown of an answer is in
`seqloom.answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.answers import Prediction
from seqloom.calibrate import Calibrator
from seqloom.config import Variant
from seqloom.encode.base import FittedEncoder
from seqloom.errors import ConfigError, DataError, MissingExtra, RunError
from seqloom.files import read_arrays, read_json
from seqloom.findings import Finding
from seqloom.lookup import kept_lookups
from seqloom.predict.base import Dims, Fitted
from seqloom.run import NATURALS, Member, Run, read_resolved
from seqloom.split.inputs import input_hashes
from seqloom.store.molecules import Molecules
from seqloom.table import DataSection, Table, read_table
from seqloom.target import Target
from seqloom.training_rows import FILE as TRAINING_ROWS
from seqloom.training_rows import TrainingRows, read_training_rows
from seqloom.uncertainty import FILE as UNCERTAINTY
from seqloom.uncertainty import Uncertainty

if TYPE_CHECKING:
    from seqloom.compress.quantize import Form


PRECISIONS: Mapping[str, Form] = {"32": "float32", "bf16": "bf16", "int8": "int8", "auto": "auto"}
"""Forms in which nets predict: in 32 bits, products in 16 or 8 bits, or whichever this CPU is fastest with."""


class Model:
    """A finished run, loaded to predict."""

    def __init__(self, folder: Path, encoder: Mapping[str, Any] | None = None, precision: str = "") -> None:
        """Read the run of `folder`; `encoder` replaces encoder settings (a file of vectors for other rows).

        `precision`: in which form nets predict, one of `PRECISIONS` and on the CPU where it is named; ConfigError for others,
        and for a run that is no net.
        """
        self.folder = find_run(folder)
        self.run = Run(self.folder, load_variant(self.folder, encoder))
        self.precision = precision
        if precision not in ("", *PRECISIONS):
            raise ConfigError(f"precision {precision!r}: it is {', '.join(PRECISIONS)}")
        if precision and not self.run.variant.predictor.stochastic:
            raise ConfigError(
                f"precision {precision!r}: {self.folder} is {self.run.variant.predictor.kind!r}, which is no net; leave it out"
            )
        self.data = read_json(self.folder / "data.json")
        folds = read_json(self.folder / "target.json")["folds"]
        self.members = self.run.members()
        if not self.members:
            raise RunError(f"{folder}: no finished member yet; run the same compare or train command again to go on")
        self._folds = {int(fold): facts for fold, facts in folds.items()}
        self._fitted: dict[Member, Fitted] = {}
        self._calibrators: dict[Member, Calibrator | None] = {}
        self._encoders: dict[int, FittedEncoder] = {}

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self._target(self.members[0].fold)

    @property
    def n_features(self) -> int:
        """Features of the widest member; 0 where all of them read tokens."""
        return max(int(facts["dims"]["n_features"]) for facts in self._folds.values())

    def read(self, source: Any, section: DataSection | None = None, targets: tuple[str, ...] = ()) -> Table:
        """A table to predict or (with `targets`) to evaluate, with the roles and alphabets the run was trained with.

        Sequence columns of other names are found as in training, if there are as many of them.
        """
        given = section or DataSection()
        if not given.group and self.run.variant.encoder.gives == "groups":
            given = given.model_copy(update={"group": self.data["roles"]["group"] or ""})
        names = given.sequence or tuple(self.data["roles"]["sequences"])
        own = self.run.variant.data
        signs = self.run.variant.target.censoring._replace(needed=False) if targets else None
        given = given.model_copy(update={"lookup": {**kept_lookups(self.folder, own), **given.lookup}})
        told = {} if given.wild_type else {"wild_type": own.wild_type, "first_site": own.first_site}
        read = partial(read_table, source, renames=own.rename)
        try:
            section = self._section(given.model_copy(update=told), names)
            return read(section, targets, for_prediction=not targets, censoring=signs)
        except DataError:
            if given.sequence:
                raise
            found = read(given, for_prediction=True)
            if all(name in found.data.column_names for name in names):
                raise
            section = self._section(given, found.roles.sequences)
            return read(section, targets, for_prediction=not targets, censoring=signs)

    def findings(self, table: Table) -> tuple[Finding, ...]:
        """What to know before predictions of this table are believed, as far as its columns tell."""
        return self._encoder(self.members[0].fold).findings(table)

    @cached_property
    def uncertainty(self) -> Uncertainty | None:
        """What is known of the run's errors; None as long as it is not finished, or if it was made before that was measured."""
        path = self.folder / UNCERTAINTY
        if not path.exists():
            return None
        try:
            return Uncertainty.from_json(read_json(path))
        except (KeyError, TypeError) as error:
            raise RunError(f"{path}: damaged ({error!r}); run the same compare or train command again") from None

    def predict(self, table: Table, *, fast: bool = False) -> Prediction:
        """Predictions of every row, averaged over the members, classes with calibrated probabilities.

        `fast`: without a search for the nearest training row, and so without domain and expected error.
        """
        packed = self._as_packed(table)
        inputs = {
            fold: self._encoder(fold).transform(packed) for fold in sorted({member.fold for member in self.members})
        }
        parts = []
        for member in self.members:
            outputs = self._target(member.fold).from_model(self._predictor(member).predict(inputs[member.fold]))
            calibrator = self._calibrator(member)
            parts.append(outputs if calibrator is None else calibrator.apply(outputs))
        stacked = np.stack(parts)  # (S, N, T)
        spread = self.target.to_original(stacked).std(0, ddof=1) if len(parts) > 1 else None
        identity, note = (None, "") if fast else self._identity(table)
        return Prediction(self.target, stacked.mean(0), spread, self.uncertainty, identity, note)

    def no_prediction(self, *, fast: bool = False) -> Prediction:
        """Predictions of no row: the same columns as of any."""
        nothing = np.zeros((0, self.target.n_outputs))
        identity = None if fast or not self._knows_distances else np.zeros(0)
        spread = nothing if len(self.members) > 1 else None
        return Prediction(self.target, nothing, spread, self.uncertainty, identity)

    def has_seen(self, table: Table) -> np.ndarray:
        """Which rows have inputs that some member was trained on, bool (N,); none is known of a run on a store."""
        import pyarrow.parquet as pq

        if self.is_of_store:
            return np.zeros(table.n_rows, bool)
        partition = pq.read_table(self.folder / "partition.parquet", columns=["role", "inputs"])
        used = pc.is_in(partition["role"], pa.array(["train", "valid"]))
        return np.isin(input_hashes(table), partition["inputs"].filter(used).to_numpy())

    @property
    def is_of_store(self) -> bool:
        """Whether the run learnt from a store, which has no list of its training rows."""
        return bool(self.data["source"]["format"] == "store")

    def _as_packed(self, table: Table) -> Table:
        """The table with what was done to the sequences of a store before a run learnt from it."""
        rewrites, canonical = self.data.get("rewrites", ()), self.data.get("canonical", "")
        if not rewrites and not canonical:
            return table
        column = table.roles.sequences[0]
        strings = table.sequences(column)
        for old, new in rewrites:
            strings = pc.replace_substring(strings, old, new)
        if canonical:
            strings, _ = Molecules().canonical(strings)
        return table.with_column(column, strings)

    @property
    def _knows_distances(self) -> bool:
        known = self.uncertainty is not None and self.uncertainty.domain is not None
        return known and (self.folder / TRAINING_ROWS).exists()

    def _identity(self, table: Table) -> tuple[np.ndarray | None, str]:
        """Identity of each row to its nearest training row, None if the run cannot tell; and what to know of it."""
        if not self._knows_distances:
            return None, ""
        kept = self._training_rows
        assert kept is not None
        try:
            return kept.identity(table), kept.note
        except MissingExtra as error:
            return None, f"distances to training rows were not looked for: {error}"

    @cached_property
    def _training_rows(self) -> TrainingRows | None:
        return read_training_rows(self.folder / TRAINING_ROWS)

    def _calibrator(self, member: Member) -> Calibrator | None:
        if member not in self._calibrators:
            self._calibrators[member] = self.run.calibrator(member)
        return self._calibrators[member]

    def _target(self, fold: int) -> Target:
        return Target.from_json(self._folds[fold]["target"])

    def _encoder(self, fold: int) -> FittedEncoder:
        if fold not in self._encoders:
            state = read_arrays(self.folder / "encoder" / f"fold-{fold}.safetensors")
            self._encoders[fold] = self.run.variant.encoder.restore(state)
        return self._encoders[fold]

    def _predictor(self, member: Member) -> Fitted:
        if member not in self._fitted:
            state = read_arrays(self.run.member_folder(member) / "weights.safetensors")
            dims = Dims(**self._folds[member.fold]["dims"])
            fitted = self.run.variant.predictor.restore(state, dims)
            self._fitted[member] = in_precision(fitted, self.precision) if self.precision else fitted
        return self._fitted[member]

    def _section(self, given: DataSection, columns: tuple[str, ...]) -> DataSection:
        names = tuple(self.data["roles"]["sequences"])
        if len(columns) != len(names):
            raise RunError(
                f"the run reads {len(names)} sequence column(s), {', '.join(names)}; the table seems to have {len(columns)} "
                f"({', '.join(columns)}); name them in that order with --sequence COLUMN,COLUMN"
            )
        alphabets = {column: self.data["alphabets"][name] for column, name in zip(columns, names, strict=True)}
        covariates = tuple(self.data["roles"]["covariates"])
        return given.model_copy(update={"sequence": columns, "alphabet": alphabets, "covariates": covariates})


def in_precision(fitted: Fitted, precision: str) -> Fitted:
    """A fitted net in the form of `seqloom.compress`, on the CPU; ConfigError for nets that have no such form."""
    import torch

    from seqloom.compress.quantize import fast_form
    from seqloom.predict.net import FittedNet

    if not isinstance(fitted, FittedNet):
        raise ConfigError(f"precision {precision!r}: this kind of net has no such form; leave it out")
    return replace(fitted, module=fast_form(fitted.module, PRECISIONS[precision]), device=torch.device("cpu"))


def load_variant(folder: Path, encoder: Mapping[str, Any] | None = None) -> Variant:
    """The resolved variant of a run folder, with `encoder` settings put in place of its own."""
    resolved = read_resolved(folder / "resolved.toml")
    return Variant.from_resolved(
        folder.resolve().name.lower(), {**resolved, "encoder": {**resolved["encoder"], **(encoder or {})}}
    )


def find_run(folder: Path) -> Path:
    """The run folder meant: `folder` itself, or the first of its leaderboard if it is an experiment."""
    if (folder / "target.json").exists():
        return folder
    board = folder / "leaderboard.json"
    if (folder / NATURALS).exists() or (board.exists() and "generators" in read_json(board)):
        raise RunError(
            f"{folder}: it holds generators, which predict nothing; use seqloom generate sample, score or evaluate"
        )
    if board.exists():
        best = next(row["variant"] for row in read_json(board)["leaderboard"] if row.get("run", True))
        return folder / best
    if (folder / "resolved.toml").exists():
        raise RunError(f"{folder}: nothing in it is finished yet; run the same compare or train command again to go on")
    near = (
        sorted(path.parent.as_posix() for path in folder.parent.glob("*/resolved.toml"))
        if folder.parent.is_dir()
        else []
    )
    there = f"; runs beside it: {', '.join(near[:8])}" if near else ""
    raise RunError(f"{folder}: not a run or experiment folder (it has no resolved.toml){there}")

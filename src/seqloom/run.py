"""A run: one variant and the folder that holds all that is needed to use it again.

The folder is written member by member (a member is one fold and one seed); a member with `done` is finished. Loading a run
reads numbers and settings only and never executes anything from the folder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqloom.config import Sections, Variant, difference
from seqloom.encode.base import FittedEncoder
from seqloom.errors import DataError, RunError
from seqloom.files import read_arrays, read_json, write_arrays, write_json, write_text, write_toml, write_whole
from seqloom.predict.base import Dims, Fitted
from seqloom.split.inputs import input_hashes
from seqloom.table import DataSection, Table, read_table
from seqloom.target import Target


@dataclass(frozen=True)
class Member:
    """One fold and one seed of a run."""

    fold: int
    seed: int


@dataclass(frozen=True)
class Run:
    """A variant and its folder."""

    folder: Path
    variant: Variant

    def open(self, config: str, facts: Mapping[str, Any]) -> None:
        """Make the folder, or go on with it if it holds this same variant; RunError if it holds another.

        `config`: what the user wrote; `facts`: JSON files by name (`data`, `environment`, `audit`).
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        claim_folder(self.folder, config, self.variant.resolved)
        for name, value in facts.items():
            write_json(self.folder / f"{name}.json", value)

    def member_folder(self, member: Member) -> Path:
        """`fold-<k>/seed-<s>`."""
        return self.folder / f"fold-{member.fold}" / f"seed-{member.seed}"

    def is_done(self, member: Member) -> bool:
        """Whether the member was fitted, saved and has predicted its test rows."""
        folder = self.member_folder(member)
        return all((folder / name).exists() for name in ("done", "weights.safetensors", "test.npy"))

    def save_fold(self, fold: int, target: Target, encoder: FittedEncoder, dims: Dims) -> None:
        """What all members of a fold share: scale of the target, encoder, sizes."""
        write_arrays(self.folder / "encoder" / f"fold-{fold}.safetensors", encoder.state())
        path = self.folder / "target.json"
        folds = read_json(path)["folds"] if path.exists() else {}
        folds[str(fold)] = {"target": target.as_json(), "dims": dims.as_json()}
        write_json(path, {"folds": dict(sorted(folds.items(), key=lambda item: int(item[0])))})

    def save_member(self, member: Member, fitted: Fitted, predictions: np.ndarray, seconds: float) -> None:
        """Weights and test predictions float64 (N_test, T, model scale); `done` is written last."""
        folder = self.member_folder(member)
        write_arrays(folder / "weights.safetensors", fitted.state())
        write_whole(folder / "test.npy", lambda draft: _save_array(draft, predictions))
        write_json(folder / "done", {"seconds": round(seconds, 3)})
        checkpoint = folder / "checkpoint" / "state.safetensors"
        checkpoint.unlink(missing_ok=True)

    def member_predictions(self, member: Member) -> np.ndarray:
        """Test predictions of a finished member, float64 (N_test, T), model scale."""
        array: np.ndarray = np.load(self.member_folder(member) / "test.npy", allow_pickle=False)
        return array

    def member_seconds(self, member: Member) -> float:
        """How long a finished member took to fit and predict."""
        return float(read_json(self.member_folder(member) / "done")["seconds"])

    def members(self) -> list[Member]:
        """The finished members, by fold and seed."""
        found = [
            Member(int(done.parent.parent.name.removeprefix("fold-")), int(done.parent.name.removeprefix("seed-")))
            for done in self.folder.glob("fold-*/seed-*/done")
        ]
        return sorted(found, key=lambda member: (member.fold, member.seed))


@dataclass(frozen=True)
class Prediction:
    """Predictions of N rows, averaged over members."""

    target: Target
    mean: np.ndarray  # float64 (N, T): score scale, or probabilities
    spread: np.ndarray | None  # float64 (N, T), standard deviation over members, original units; None with one member

    def columns(self) -> dict[str, pa.Array]:
        """Columns to append to a table: `pred`, `pred_<class>` or `pred_<target>`, and `pred_sd`."""
        return prediction_columns(self.target, self.mean, self.spread)


class Model:
    """A finished run, loaded to predict."""

    def __init__(self, folder: Path, encoder: Mapping[str, Any] | None = None) -> None:
        """Read the run of `folder`; `encoder` replaces encoder settings (a file of vectors for other rows)."""
        self.folder = find_run(folder)
        self.run = Run(self.folder, load_variant(self.folder, encoder))
        self.data = read_json(self.folder / "data.json")
        folds = read_json(self.folder / "target.json")["folds"]
        self.members = self.run.members()
        if not self.members:
            raise RunError(f"{folder}: no finished member yet; run the same compare or train command again to go on")
        self._folds = {int(fold): facts for fold, facts in folds.items()}
        self._fitted: dict[Member, Fitted] = {}
        self._encoders: dict[int, FittedEncoder] = {}

    @property
    def target(self) -> Target:
        """What is predicted."""
        return self._target(self.members[0].fold)

    def read(self, source: Any, section: DataSection | None = None, targets: tuple[str, ...] = ()) -> Table:
        """A table to predict or (with `targets`) to evaluate, with the roles and alphabets the run was trained with.

        Sequence columns of other names are found as in training, if there are as many of them.
        """
        given = section or DataSection()
        names = given.sequence or tuple(self.data["roles"]["sequences"])
        own = self.run.variant.data
        told = {} if given.wild_type else {"wild_type": own.wild_type, "first_site": own.first_site}
        try:
            section = self._section(given.model_copy(update=told), names)
            return read_table(source, section, targets, for_prediction=not targets)
        except DataError:
            if given.sequence:
                raise
            found = read_table(source, given, for_prediction=True)
            if all(name in found.data.column_names for name in names):
                raise
            section = self._section(given, found.roles.sequences)
            return read_table(source, section, targets, for_prediction=not targets)

    def predict(self, table: Table) -> Prediction:
        """Predictions of every row, averaged over the members."""
        inputs = {
            fold: self._encoder(fold).transform(table) for fold in sorted({member.fold for member in self.members})
        }
        parts = []
        for member in self.members:
            outputs = self._predictor(member).predict(inputs[member.fold])
            parts.append(self._target(member.fold).from_model(outputs))
        stacked = np.stack(parts)  # (S, N, T)
        spread = self.target.to_original(stacked).std(0, ddof=1) if len(parts) > 1 else None
        return Prediction(self.target, stacked.mean(0), spread)

    def has_seen(self, table: Table) -> np.ndarray:
        """Which rows have inputs that some member was trained on, bool (N,)."""
        import pyarrow.parquet as pq

        partition = pq.read_table(self.folder / "partition.parquet", columns=["role", "inputs"])
        used = pc.is_in(partition["role"], pa.array(["train", "valid"]))
        return np.isin(input_hashes(table), partition["inputs"].filter(used).to_numpy())

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
            self._fitted[member] = self.run.variant.predictor.restore(state, dims)
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


def load_variant(folder: Path, encoder: Mapping[str, Any] | None = None) -> Variant:
    """The resolved variant of a run folder, with `encoder` settings put in place of its own."""
    resolved = _read_resolved(folder / "resolved.toml")
    return Variant.from_resolved(
        folder.resolve().name.lower(), {**resolved, "encoder": {**resolved["encoder"], **(encoder or {})}}
    )


def find_run(folder: Path) -> Path:
    """The run folder meant: `folder` itself, or the first of its leaderboard if it is an experiment."""
    if (folder / "target.json").exists():
        return folder
    board = folder / "leaderboard.json"
    if board.exists():
        best = read_json(board)["leaderboard"][0]["variant"]
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


def claim_folder(folder: Path, config: str, resolved: Mapping[str, Any]) -> None:
    """Write `config.toml` and `resolved.toml`, or check that the folder already holds the same `resolved`."""
    path = folder / "resolved.toml"
    if path.exists():
        held = _read_resolved(path)
        if held != resolved:
            raise RunError(
                f"{folder} already holds another run: {_differences(held, resolved)}; choose another folder with -o"
            )
        return
    others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    if others and others != ["log.txt"] and "config.toml" not in others:
        raise RunError(
            f"{folder} is not empty and is not a run folder (it has {', '.join(sorted(others)[:4])}); choose another with -o"
        )
    write_text(folder / "config.toml", config)
    write_toml(path, dict(resolved))


def prediction_columns(target: Target, mean: np.ndarray, spread: np.ndarray | None = None) -> dict[str, pa.Array]:
    """Prediction columns for outputs (N, T) on the score scale, in original units or as classes with probabilities."""
    columns: dict[str, pa.Array] = {}
    if target.task == "regression":
        original = target.to_original(mean)
        for index, name in enumerate(target.columns):
            suffix = f"_{name}" if len(target.columns) > 1 else ""
            columns[f"pred{suffix}"] = pa.array(original[:, index])
            if spread is not None:
                columns[f"pred{suffix}_sd"] = pa.array(spread[:, index])
        return columns
    if target.task == "multilabel":
        for index, name in enumerate(target.columns):
            columns[f"pred_{name}"] = pa.array(mean[:, index])
            if spread is not None:
                columns[f"pred_{name}_sd"] = pa.array(spread[:, index])
        return columns
    shares = np.concatenate([1 - mean, mean], axis=1) if target.task == "binary" else mean
    names = np.array(target.classes, dtype=object)
    chosen = (mean[:, 0] >= 0.5).astype(int) if target.task == "binary" else shares.argmax(1)
    columns["pred"] = pa.array(names[chosen], pa.string())
    columns |= {f"pred_{name}": pa.array(shares[:, index]) for index, name in enumerate(target.classes)}
    if spread is not None:
        chosen_spread = (
            spread[:, 0] if target.task == "binary" else np.take_along_axis(spread, chosen[:, None], 1)[:, 0]
        )
        columns["pred_spread" if "pred_sd" in columns else "pred_sd"] = pa.array(
            chosen_spread
        )  # a class may be called sd
    return columns


def _read_resolved(path: Path) -> Sections:
    try:
        sections: Sections = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path.parent}: not a run folder (no resolved.toml)") from None
    except tomllib.TOMLDecodeError as error:
        raise RunError(f"{path}: damaged: {error}") from None
    return sections


def _differences(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    if "experiment" in held or "experiment" in wanted:
        return _experiment_differences(held, wanted)
    changes = difference(dict(held), dict(wanted))
    return ", ".join(f"{key} is {old!r} there and {new!r} here" for key, (old, new) in list(changes.items())[:5])


def _experiment_differences(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    there, here = held.get("experiment", {}), wanted.get("experiment", {})
    words = [
        f"variant {name!r} is only {'here' if name in here else 'there'}" for name in sorted(set(there) ^ set(here))
    ]
    for name in sorted(set(there) & set(here)):
        changes = difference(there[name], here[name])
        words += [f"{name}: {key} is {old!r} there and {new!r} here" for key, (old, new) in changes.items()]
    return ", ".join(words[:5])


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)

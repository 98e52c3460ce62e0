"""A run: one variant and the folder that holds all that is needed to use it again.

The folder is written member by member (a member is one fold and one seed); a member with `done` is finished. What a finished
run says of new rows is in `seqloom.model`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from seqloom.calibrate import Calibrator
from seqloom.config import Variant
from seqloom.encode.base import FittedEncoder
from seqloom.errors import RunError
from seqloom.files import locked, read_json, write_arrays, write_json, write_text, write_toml, write_whole
from seqloom.predict.base import Dims, Fitted
from seqloom.sections import Sections, difference
from seqloom.target import Target

NATURALS = "naturals.json"
"""File that runs of generators have, and no others."""


class Named(Protocol):
    """What has a name, as variants of all kinds of experiments have."""

    @property
    def name(self) -> str:
        """`[a-z0-9-]`."""


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
        classes = self.variant.target.task != "regression"
        needed = ("done", "weights.safetensors", "test.npy", *(("calibration.json",) if classes else ()))
        return all((folder / name).exists() for name in needed)

    def save_fold(self, fold: int, target: Target, encoder: FittedEncoder, dims: Dims) -> None:
        """What all members of a fold share: scale of the target, encoder, sizes."""
        path = self.folder / "target.json"
        with locked(path):  # other members may be fitted at the same time, by other processes
            write_arrays(self.folder / "encoder" / f"fold-{fold}.safetensors", encoder.state())
            folds = read_json(path)["folds"] if path.exists() else {}
            folds[str(fold)] = {"target": target.as_json(), "dims": dims.as_json()}
            write_json(path, {"folds": dict(sorted(folds.items(), key=lambda item: int(item[0])))})

    def save_member(
        self,
        member: Member,
        fitted: Fitted,
        predictions: np.ndarray,
        calibrator: Calibrator | None,
        seconds: float,
        valid_score: float = math.nan,
    ) -> None:
        """Weights, uncalibrated test predictions float64 (N_test, T, model scale), calibrator; `done` is written last.

        `valid_score`: the primary metric on valid rows.
        """
        folder = self.member_folder(member)
        write_arrays(folder / "weights.safetensors", fitted.state())
        write_whole(folder / "test.npy", lambda draft: _save_array(draft, predictions))
        if calibrator is not None:
            write_json(folder / "calibration.json", calibrator.as_json())
        known = {"valid_score": valid_score} if math.isfinite(valid_score) else {}
        write_json(folder / "done", {"seconds": round(seconds, 3), **known})
        checkpoint = folder / "checkpoint" / "state.safetensors"
        checkpoint.unlink(missing_ok=True)

    def member_predictions(self, member: Member) -> np.ndarray:
        """Test predictions of a finished member, float64 (N_test, T), model scale, probabilities not calibrated."""
        array: np.ndarray = np.load(self.member_folder(member) / "test.npy", allow_pickle=False)
        return array

    def calibrator(self, member: Member) -> Calibrator | None:
        """How probabilities of the member are calibrated; None for a regression, and in a run of before it was done."""
        path = self.member_folder(member) / "calibration.json"
        return Calibrator.from_json(read_json(path)) if path.exists() else None

    def member_seconds(self, member: Member) -> float:
        """How long a finished member took to fit and predict."""
        return float(read_json(self.member_folder(member) / "done")["seconds"])

    def valid_score(self, member: Member) -> float:
        """The primary metric of a finished member on its valid rows; NaN where undefined."""
        return float(read_json(self.member_folder(member) / "done").get("valid_score", math.nan))

    def members(self) -> list[Member]:
        """The finished members, by fold and seed."""
        found = [
            Member(int(done.parent.parent.name.removeprefix("fold-")), int(done.parent.name.removeprefix("seed-")))
            for done in self.folder.glob("fold-*/seed-*/done")
        ]
        return sorted(found, key=lambda member: (member.fold, member.seed))


def run_folders(variants: Sequence[Named], folder: Path, *, single: bool) -> dict[str, Path]:
    """The run folder of each variant by its name; where one is wanted, its run is the folder itself, and others stand below."""
    if not single:
        return {variant.name: folder / variant.name for variant in variants}
    own, *others = variants
    return {own.name: folder, **{variant.name: folder / "baselines" / variant.name for variant in others}}


def claim_folder(folder: Path, config: str, resolved: Mapping[str, Any]) -> None:
    """Write `config.toml` and `resolved.toml`, or check that the folder already holds the same `resolved`."""
    path = folder / "resolved.toml"
    if path.exists():
        held = read_resolved(path)
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


def read_resolved(path: Path) -> Sections:
    """The settings in `resolved.toml`; RunError if it is not there or damaged."""
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

"""What is gained by knowing that targets are bounds: error of the true values, of which the largest were cut off.

One JSON line per figure on standard output: bias and RMSE of predictions of new rows from their true values, in standard
deviations of these, over all rows and over those that would have been cut off. `how`: `equal` takes bounds for values, `left out`
drops them, `own` is what the predictor does with them, `beyond` replaces them by predictions that lie beyond them and leaves the
others (inner folds as in `own`), `known` is fitted on the values themselves. `rows` are simulated peptides, `real` are measured
affinities of HLA-A*02:01 cut at 1,000 nM (needs the data folder).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from seqloom.config import resolve
from seqloom.drafts import drafts
from seqloom.predict.base import Dims, Examples, Fitted, Job, Predictor
from seqloom.predict.fitting import fit_model
from seqloom.simulate import Simulation
from seqloom.table import DataSection, Table, read_table
from seqloom.target import TargetSection, find_target

PREDICTORS = ("linear", "boosting", "knn", "nearest", "constant", "mlp")
SETTINGS = ((0.3, 0.5), (0.7, 0.5), (0.5, 0.2), (0.5, 1.0))
"""Share that is cut off, and SD of the noise."""
N_FIT, N_NEW = 1500, 1500
DATA = Path(os.environ.get("SEQLOOM_DATA", "../shared/data"))
AFFINITIES = "mhc/bdata.20130222.mhci.VALID.9.CDHIT.txt"
CUT_NM = 1000.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="simulated, real; both by default")
    parser.add_argument("--predictors", default=",".join(PREDICTORS))
    parser.add_argument("--tables", type=int, default=3)
    arguments = parser.parse_args()
    for part in arguments.parts or ("simulated", "real"):
        {"simulated": simulated, "real": real}[part](arguments.predictors.split(","), arguments.tables)


def simulated(kinds: list[str], n_tables: int) -> None:
    """Peptides whose value is a sum of effects of residues and of a rule, measured with noise."""
    for share, noise in SETTINGS:
        for kind in kinds:
            found: dict[str, list[dict[str, float]]] = {}
            for seed in range(n_tables):
                made = Simulation(
                    rows=N_FIT + N_NEW, effect="soft", noise=0.0, seed=seed, lengths=(9,), effect_size=1.0
                ).table()
                table = read_table(made, DataSection(sequence=("sequence",)), ("target",))
                true = table.numeric("target")
                seen = true + np.random.default_rng(seed).normal(0, noise, len(true))
                cut = float(np.quantile(seen, 1 - share))
                scores = compared(kind, table, TargetSection(), true, seen, cut, sign=1)
                for how, values in scores.items():
                    found.setdefault(how, []).append(values)
            say(f"simulated, noise {noise:g}", kind, share, found)


def real(kinds: list[str], n_tables: int) -> None:
    """Affinities that are measured, of which the weak ones are made bounds."""
    where = "mhc == 'HLA-A*02:01' and inequality == '='"
    whole = read_table(DATA / AFFINITIES, DataSection(where=where))
    section = TargetSection(transform="log50k")
    for kind in kinds:
        found: dict[str, list[dict[str, float]]] = {}
        for seed in range(n_tables):
            table = whole.take(np.random.default_rng(seed).permutation(whole.n_rows)[: N_FIT + N_NEW])
            target = find_target(table, section)
            true = target.read(table)[:, 0]
            cut = float(target.to_score(np.array([[CUT_NM]]))[0, 0])
            for how, values in compared(kind, table, section, true, true, cut, sign=-1).items():
                found.setdefault(how, []).append(values)
        say("real", kind, float(np.mean(true <= cut)), found)


def compared(
    kind: str, table: Table, section: TargetSection, true: np.ndarray, seen: np.ndarray, cut: float, *, sign: int
) -> dict[str, dict[str, float]]:
    """Scores of one predictor by what is done with bounds: values `seen` (N,) beyond `cut` are cut there."""
    target = find_target(table, section)
    variant = resolve(drafts({"train": {"device": "cpu"}}, [kind])[0], table, target)
    bounds = np.where(sign * (seen - cut) >= 0, sign, 0).astype(np.int8)[:, None]
    capped = np.where(bounds != 0, cut, seen[:, None])
    fit, new = np.arange(int(0.85 * N_FIT)), np.arange(N_FIT, len(true))
    valid = np.arange(len(fit), N_FIT)
    fitted = target.fitted(capped[fit])
    encoder = variant.encoder.fit(table.take(fit))
    inputs = {
        name: encoder.transform(table.take(rows)) for name, rows in (("fit", fit), ("valid", valid), ("new", new))
    }
    job = Job(Dims.of(fitted, inputs["fit"], encoder, table.alphabet), 0, variant.train)

    def parts(y: np.ndarray, known: np.ndarray | None = None) -> tuple[Examples, Examples]:
        scaled = fitted.to_model(y)

        def part(name: str, rows: np.ndarray) -> Examples:
            return Examples(inputs[name], scaled[rows], None if known is None else known[rows])

        return part("fit", fit), part("valid", valid)

    train, held = parts(capped)
    left = train.take(np.flatnonzero(bounds[fit, 0] == 0)), held.take(np.flatnonzero(bounds[valid, 0] == 0))
    ways: dict[str, Callable[[Predictor], Fitted]] = {
        "equal": lambda predictor: predictor.fit(*parts(capped), job),
        "left out": lambda predictor: predictor.fit(*left, job),
        "beyond": lambda predictor: _beyond(predictor, *parts(capped, bounds), job),
        "own": lambda predictor: fit_model(predictor, *parts(capped, bounds), job),
        "known": lambda predictor: predictor.fit(*parts(seen[:, None]), job),
    }
    if variant.predictor.censored != "imputed":
        del ways["beyond"]
    cut_off = bounds[new, 0] != 0
    found = {}
    for how, way in ways.items():
        errors = fitted.from_model(way(variant.predictor).predict(inputs["new"]))[:, 0] - true[new]
        found[how] = _scores(errors / true.std(), cut_off)
    return found


def _beyond(predictor: Predictor, train: Examples, valid: Examples, job: Job) -> Fitted:
    def replaced(predicted: np.ndarray, y: np.ndarray, bounds: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.where(bounds * (predicted - y) > 0, predicted, y)

    with mock.patch("seqloom.predict.bounds.expected_beyond", replaced):
        return fit_model(predictor, train, valid, job)


def _scores(errors: np.ndarray, cut_off: np.ndarray) -> dict[str, float]:
    return {
        "bias": float(errors.mean()),
        "rmse": float(np.sqrt(np.mean(errors**2))),
        "bias_cut_off": float(errors[cut_off].mean()),
        "rmse_cut_off": float(np.sqrt(np.mean(errors[cut_off] ** 2))),
    }


def say(part: str, kind: str, share: float, found: dict[str, list[dict[str, float]]]) -> None:
    for how, runs in found.items():
        means: dict[str, Any] = {name: round(float(np.mean([run[name] for run in runs])), 3) for name in runs[0]}
        print(
            json.dumps({"part": part, "predictor": kind, "cut_off": round(share, 2), "how": how, **means}), flush=True
        )


if __name__ == "__main__":
    main()

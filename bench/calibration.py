"""Whether calibration keeps its promises: coverage, calibration error, false alarms, and the error stated for a distance.

One JSON line per figure on standard output: the value, what was promised or was there before, and `error`, the Monte-Carlo
standard error of the value over simulated tables. Held-back and new rows of a table are exchangeable unless the figure says so.
`real`, `few`, `domain` and `families` need the data folder and fit models: some minutes each.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w
from numpy.typing import NDArray

import seqloom
from seqloom.calibrate import (
    Calibrator,
    Method,
    detect_prior_shift,
    expected_error,
    fit_calibrator,
    fit_intervals,
    fit_sets,
    prior_reference,
    reliability,
    top_label,
)
from seqloom.domain import measure_domain
from seqloom.files import read_json
from seqloom.joined import read_tables
from seqloom.metrics import Task, score
from seqloom.prediction import evaluate
from seqloom.sections import read_toml
from seqloom.split.audit import BANDS
from seqloom.split.deal import deal
from seqloom.split.random import GroupSplit
from seqloom.split.similarity import SimilaritySplit
from seqloom.table import DataSection, read_table

LEVELS = (0.8, 0.9, 0.95)
N_TABLES, N_HELD, N_NEW = 400, 200, 500
METHODS: tuple[Literal["auto"] | Method, ...] = ("auto", "temperature", "platt", "isotonic")
OVERCONFIDENT = 3.0
"""Logits are this many times too large."""

DATA = Path(os.environ.get("SEQLOOM_DATA", "../shared/data"))
PEPTIDES = {
    "peptides/amp_iamp2l.csv": 0.35,
    "peptides/tox_toxinpred.csv": 0.2,
    "signal_peptide/signalp_binary.csv": 0.2,
}
"""Binary tables, and the share of their rows that makes 1,000 test rows or more."""
LOCATIONS = "localization/deeploc_test_set.fasta"
LACTAMASES = Path(__file__).parents[1] / "examples" / "resistance_classes.toml"
NEGATIVES = "none"
ECE_GOAL = 0.03
SMALL, NOTABLY = (450, 600), 0.02
"""Rows of small tables, of which 31 and 42 are valid; and what counts as notably worse."""
KINDS = ["linear", "knn", "boosting", "mlp"]

Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all by default")
    parser.add_argument("--tables", type=int, default=N_TABLES)
    arguments = parser.parse_args()
    for name in arguments.parts or PARTS:
        PARTS[name](arguments.tables)


def intervals(n_tables: int) -> None:
    """Coverage of regression intervals, of one width and by a spread that tells the noise of each row."""
    rng = np.random.default_rng(0)
    covered: dict[tuple[str, float], list[float]] = {}
    for _ in range(n_tables):
        noise = rng.gamma(2.0, 0.5, (N_HELD + N_NEW, 1))
        y, p = noise * rng.standard_t(4, noise.shape), np.zeros(noise.shape)
        spread = noise * rng.lognormal(0, 0.3, noise.shape)
        plain = fit_intervals(y[:N_HELD], p[:N_HELD], LEVELS)
        scaled = fit_intervals(y[:N_HELD], p[:N_HELD], LEVELS, spread=spread[:N_HELD])
        for level in LEVELS:
            low, high = plain.interval(p[N_HELD:], level)
            add(covered, ("of one width", level), float(((low <= y[N_HELD:]) & (y[N_HELD:] <= high)).mean()))
            low, high = scaled.interval(p[N_HELD:], level, spread=spread[N_HELD:])
            add(covered, ("by spread", level), float(((low <= y[N_HELD:]) & (y[N_HELD:] <= high)).mean()))
    for (kind, level), shares in covered.items():
        figure(f"coverage of regression intervals {kind}", shares, "share", promised=level)


def sets(n_tables: int) -> None:
    """Coverage and size of prediction sets of four classes, from probabilities that are too sure."""
    rng = np.random.default_rng(1)
    covered: dict[tuple[str, float], list[float]] = {}
    sizes: dict[tuple[str, float], list[float]] = {}
    for _ in range(n_tables):
        y, p = several(rng, N_HELD + N_NEW, OVERCONFIDENT)
        for kind in ("lac", "aps"):
            fitted = fit_sets("multiclass", y[:N_HELD], p[:N_HELD], LEVELS, score=kind)
            for level in LEVELS:
                inside = fitted.contains(p[N_HELD:], level)
                hit = np.take_along_axis(inside, y[N_HELD:].astype(np.intp), axis=1)
                add(covered, (kind, level), float(hit.mean()))
                add(sizes, (kind, level), float(inside.sum(axis=1).mean()))
    for (kind, level), shares in covered.items():
        size = round(float(np.mean(sizes[kind, level])), 3)
        figure(f"coverage of {kind} sets", shares, "share", promised=level, classes_per_set=size)


def errors(n_tables: int) -> None:
    """Calibration error and log loss of too sure probabilities on new rows, as they are and calibrated."""
    tables: Mapping[Task, Callable[[np.random.Generator, int, float], tuple[Array, Array]]] = {
        "binary": two,
        "multiclass": several,
    }
    for task, draw in tables.items():
        for n_held in (100, 2_000):
            rng = np.random.default_rng(2)
            found: dict[tuple[str, str], list[float]] = {}
            for _ in range(max(n_tables // 20, 2)):
                y, p = draw(rng, n_held, OVERCONFIDENT)
                y_new, p_new = draw(rng, 5_000, OVERCONFIDENT)
                for method in ("none", *METHODS):
                    for name, value in measured(fit_calibrator(task, y, p, method), y_new, p_new).items():
                        add(found, (method, name), value)
            for (chosen, name), values in found.items():
                if chosen != "none":
                    before = round(float(np.mean(found["none", name])), 4)
                    figure(f"{name} of {task}, {chosen} on {n_held:,} rows", values, name, before=before)


def choices(n_tables: int) -> None:
    """What `auto` makes of 100 held-back rows whose probabilities are right, too sure, or shifted."""
    rng = np.random.default_rng(3)
    for kind, times, plus in (("right", 1.0, 0.0), ("too sure", OVERCONFIDENT, 0.0), ("shifted", 1.0, 1.5)):
        chosen = Counter(fit_calibrator("binary", *two(rng, 100, times, plus)).name for _ in range(n_tables))
        left = np.repeat([1.0, 0.0], [chosen["none"], n_tables - chosen["none"]]).tolist()
        figure(f"probabilities that are {kind} left as they are by auto", left, "share", chosen=dict(chosen))


def alarms(n_tables: int) -> None:
    """How often another prevalence is reported in 200 rows, where there is none and where it went from a fifth to a half."""
    rng = np.random.default_rng(4)
    for share, kind, promised in ((0.2, "false", "0.05 or less"), (0.5, "true", "1")):
        for times in (1.0, OVERCONFIDENT):
            for with_reference in (True, False):
                found = []
                for _ in range(n_tables):
                    held = prior_reference("binary", shifted(rng, 500, 0.2, times)) if with_reference else None
                    found.append(detect_prior_shift("binary", shifted(rng, 200, share, times), [0.2], held).differs)
                how = "against held-back rows" if with_reference else "by likelihood"
                sure = "calibrated" if times == 1.0 else "too sure"
                figure(
                    f"{kind} alarms of a shift {how}, {sure}",
                    [float(each) for each in found],
                    "share",
                    promised=promised,
                )


def real(_: int) -> None:
    """Calibration error of three models on peptides that are unlike those in training, as they are and calibrated."""
    for name, share in PEPTIDES.items():
        with tempfile.TemporaryDirectory() as folder:
            settings = {"split.test": share, "train.epochs": 8, "train.device": "cpu"}
            kinds = ["linear", "boosting", "mlp"]
            seqloom.compare(
                DATA / name, out=Path(folder) / "run", target="label", split="similarity", settings=settings,
                vary={"predictor.kind": kinds},
            )  # fmt: skip
            for kind in kinds:
                _calibration_of(f"{kind} on {Path(name).stem}", Path(folder) / "run" / kind)


def _calibration_of(name: str, run: Path) -> None:
    known = read_json(run / "uncertainty.json")
    (member,) = read_json(run / "metrics.json")["members"]
    told, share = known["reliability"], known["coverage"][0]["share"]
    ece = told["calibrated"]["ece"]
    numbers = {
        "before": _rounded(told["raw"]["ece"]["value"]),
        "low": _rounded(ece["low"]),
        "high": _rounded(ece["high"]),
        "by_chance": _rounded(told["calibrated"]["by_chance"]),
        "goal": ECE_GOAL,
        "reached": ece["value"] <= ECE_GOAL,
        "test_rows": known["rows"],
        "coverage": _rounded(share["value"]),
        "calibrator": member["calibrator"]["why"],
        "why_off": told["why"],
    }
    figure(f"calibration error of {name}", [ece["value"]], "ece", **numbers)


def few(_: int) -> None:
    """Change of log loss and calibration error on test rows by calibrating on the few valid rows of small tables."""
    change: dict[tuple[str, Any], list[float]] = {}
    for name in (*PEPTIDES, "peptides/acp_mlacp.csv"):
        whole = read_table(DATA / name).data
        for n_rows in SMALL:
            for cut in range(2):
                own = np.sort(np.random.default_rng([cut, n_rows]).permutation(whole.num_rows)[:n_rows])
                with tempfile.TemporaryDirectory() as folder:
                    settings = {"split.test": 0.3, "train.epochs": 8, "train.device": "cpu", "report.draws": 100}
                    seqloom.compare(
                        whole.take(pa.array(own)), out=Path(folder) / "run", target="label", split="random",
                        settings=settings, vary={"predictor.kind": KINDS},
                    )  # fmt: skip
                    for kind in KINDS:
                        _changes(Path(folder) / "run" / kind, n_rows, change)
    for (metric, n_rows), values in change.items():
        worse = float(np.mean(np.array(values) > NOTABLY))
        figure(f"change of {metric} by calibration, tables of {n_rows} rows", values, metric,
               share_notably_worse=_rounded(worse), worst=_rounded(max(values)))  # fmt: skip


def _changes(run: Path, n_rows: int, change: dict[tuple[str, Any], list[float]]) -> None:
    """Add what calibration changed of a run with one member."""
    stored = pq.read_table(run / "predictions.parquet")
    y, p = (stored[name].to_numpy().astype(float)[:, None] for name in ("target", "pred_1"))
    raw = np.load(run / "fold-0" / "seed-0" / "test.npy")
    add(change, ("log loss", n_rows), score("log_loss", "binary", y, p) - score("log_loss", "binary", y, raw))
    add(change, ("ece", n_rows), reliability(y[:, 0], p[:, 0]).ece.value - reliability(y[:, 0], raw[:, 0]).ece.value)


def domain(_: int) -> None:
    """Error stated by identity to training rows, and measured on proteins kept back from the experiment.

    Unlike ones: whole groups of alike proteins are kept back, so that they are as far from training rows as test rows are; any:
    proteins at random, of which some are near.
    """
    table = read_table(DATA / LOCATIONS)
    location = table.roles.targets[0]
    columns = pa.table({"sequence": table.sequences(), "location": table.text(location)})
    units = {"unlike": SimilaritySplit().units(table), "any": np.arange(table.n_rows)}
    for kept, own in units.items():
        part = deal(own, None, [0.75, 0.25], 0)
        fitted, held = (columns.take(pa.array(np.flatnonzero(part == which))) for which in (0, 1))
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            settings = {"predictor.kind": "linear"}
            seqloom.train(fitted, out=run, target="location", split="similarity", folds=5, settings=settings)
            bands = evaluate(run, held)["by_identity"]["bands"]
        _bands(bands, f"{kept} proteins")


def families(_: int) -> None:
    """Error of beta-lactamases of gene families that were held out, stated by one half of the families and measured in the other.

    With all rows, and without the negatives. Beside the share of wrong classes, which is what is stated: the same with classes
    weighted to count alike (`balanced`), the probability that the true class did not get (`missed`), and log loss.
    """
    sections = read_toml(LACTAMASES)
    sections = {key: value for key, value in sections.items() if key != "variant"} | {"predictor": {"kind": "linear"}}
    table = read_tables(DataSection(**sections["data"]), (sections["target"]["column"],))
    with tempfile.TemporaryDirectory() as folder:
        run, config = Path(folder) / "run", Path(folder) / "families.toml"
        config.write_text(tomli_w.dumps(sections))
        seqloom.train(config, out=run)
        classes, y, p, rows = _predicted(run)
        guessed = _predicted(run / "baselines" / "constant")[2]
        near = pq.read_table(run / "nearest.parquet").to_pydict()
    nearest = dict(zip(near["row"], near["identity"], strict=True))
    identity = np.array([nearest[row] or 0.0 for row in rows])
    units = GroupSplit().units(table)[np.searchsorted(table.row_numbers, rows)]
    given, count = p[np.arange(len(y)), y], np.bincount(y)
    wrong = (p.argmax(axis=1) != y).astype(float)
    constant = (guessed.argmax(axis=1) != y).astype(float)
    errors = {"wrong": wrong, "balanced": wrong * len(y) / len(count) / count[y], "missed": 1 - given,
              "log_loss": -np.log(np.clip(given, 1e-15, 1))}  # fmt: skip
    losses = np.stack([((each - np.eye(len(classes))[y]) ** 2).sum(axis=1) / 2 for each in (p, guessed)], axis=1)
    half = deal(units, None, [0.5, 0.5], 0)
    for name, of in (("all rows", y >= 0), ("beta-lactamases", y != classes.index(NEGATIVES))):
        for key, each in errors.items():
            found = expected_error(identity[of], each[of], edges=BANDS, clusters=units[of])
            trend, means = found.rank_correlation, [_rounded(band.error.value) for band in found.bands]
            figure(f"rank correlation of identity and {key} of {name}", [trend.value], "Spearman",
                   low=_rounded(trend.low), high=_rounded(trend.high), by_band=means,
                   bands=[band.low for band in found.bands], rows=[band.rows for band in found.bands])  # fmt: skip
        one, other = (np.flatnonzero(of & (half == side)) for side in (0, 1))
        domain = measure_domain(identity[one], wrong[one], constant[one], losses=losses[one], clusters=units[one])
        assert domain is not None
        lines = domain.held_against(identity[other], wrong[other], is_share=True, clusters=units[other])
        _bands(lines, f"{name} of other families")


def _bands(lines: Sequence[Mapping[str, Any]], what: str) -> None:
    """One figure per band of `held_against`."""
    for band in lines:
        stated, told = (
            {key: _rounded(value) for key, value in band[which].items()} for which in ("stated", "measured")
        )
        name = f"error of {what} at identity {band['from']:g} to {band['to']:g}"
        figure(name, [told["value"] or 0.0], "share wrong", rows=band["rows"], low=told["low"], high=told["high"],
               stated=stated, holds=band["holds"])  # fmt: skip


def _predicted(run: Path) -> tuple[list[str], NDArray[np.intp], Array, list[int]]:
    """Classes, targets (N,) and probabilities (N, K) of the test rows of a run, and their numbers."""
    table = pq.read_table(run / "predictions.parquet")
    classes = [name.removeprefix("pred_") for name in table.column_names if name.startswith("pred_")]
    y = np.array([classes.index(each) for each in table["target"].to_pylist()])
    p = np.stack([table[f"pred_{name}"].to_numpy() for name in classes], axis=1)
    return classes, y, p, table["row"].to_pylist()


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def speed(_: int) -> None:
    """Seconds of `auto` on many held-back rows."""
    for n in (10_000, 100_000):
        y, p = two(np.random.default_rng(5), n, OVERCONFIDENT)
        started = time.perf_counter()
        fit_calibrator("binary", y, p)
        figure(f"auto on {n:,} rows", [time.perf_counter() - started], "s")


def two(rng: np.random.Generator, n: int, times: float, plus: float = 0.0) -> tuple[Array, Array]:
    """Binary targets and probabilities whose logits are `times` too large, `plus` too high."""
    z = 1.5 * rng.normal(size=(n, 1))
    return (rng.random((n, 1)) < 1 / (1 + np.exp(-z))).astype(float), 1 / (1 + np.exp(-times * z - plus))


def several(rng: np.random.Generator, n: int, times: float) -> tuple[Array, Array]:
    """The same with four classes."""
    z = 1.5 * rng.normal(size=(n, 4))
    true = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1, keepdims=True).astype(float)
    return y, np.exp(times * z) / np.exp(times * z).sum(axis=1, keepdims=True)


def shifted(rng: np.random.Generator, n: int, share: float, times: float) -> Array:
    """Probabilities for a prevalence of a fifth, of rows of which `share` are positive."""
    x = rng.normal(size=(n, 1)) + 1.5 * (rng.random((n, 1)) < share)
    return np.asarray(1 / (1 + np.exp(-times * (1.5 * x - 1.125 + np.log(0.25)))))


def measured(fitted: Calibrator, y: Array, p: Array) -> dict[str, float]:
    """Expected calibration error (of the top label) and log loss of calibrated probabilities."""
    q = fitted.apply(p)
    of = (y[:, 0], q[:, 0]) if fitted.task == "binary" else top_label(y, q)
    return {"ece": reliability(*of).ece.value, "log loss": score("log_loss", fitted.task, y, q)}


def add(found: dict[tuple[str, Any], list[float]], key: tuple[str, Any], value: float) -> None:
    found.setdefault(key, []).append(value)


def figure(name: str, values: list[float], unit: str, **more: object) -> None:
    """One line of the results."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    line = {"figure": name, "value": round(float(np.mean(values)), 4), "unit": unit, **more}
    print(json.dumps(line | {"error": None if error is None else round(error, 4), "tables": len(values)}))


PARTS: Mapping[str, Callable[[int], None]] = {
    "intervals": intervals, "sets": sets, "errors": errors, "choices": choices, "alarms": alarms, "speed": speed,
    "real": real, "few": few, "domain": domain, "families": families,
}  # fmt: skip

if __name__ == "__main__":
    main()

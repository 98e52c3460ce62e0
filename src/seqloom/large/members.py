"""One member of an experiment on a store: fitted, held against its tested rows, and kept in its run folder.

What is kept is what runs of tables keep, so that the same commands use both. Of the tested rows there are predictions of every
part, one part after the other in the order of `StorePlan.tested`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from seqloom.calibrate import fit_calibrator
from seqloom.encode.base import Inputs
from seqloom.large.plan import StorePlan, rows_of
from seqloom.predict.base import Fitted, Job
from seqloom.predict.net import Net
from seqloom.predict.stored import dims_of, fit_stored, predicted
from seqloom.run import Member, Run
from seqloom.store.gather import ragged
from seqloom.training.ranking import average_precision

MOST_VALID = 100_000
"""Valid rows that calibrate and score a member, at most."""


def _ignore(*_: object) -> None:
    """Nothing."""


def fit_and_save(
    plan: StorePlan, run: Run, member: Member, *, first: bool = True, progress: Callable[[int, int], None] = _ignore
) -> float:
    """Fit a member and write all of it to its folder; seconds taken.

    `first` is False in all but one of several processes that train it together: they write nothing.
    """
    started = time.monotonic()
    if first:
        run.member_folder(member).mkdir(parents=True, exist_ok=True)
    predictor = run.variant.predictor
    assert isinstance(predictor, Net)
    name = f"{run.variant.name}, fold {member.fold}, seed {member.seed}"
    job = Job(
        dims_of(plan.store),
        member.seed,
        run.variant.train,
        name,
        run.member_folder(member),
        score=mean_precision,
        progress=progress,
    )
    model = fit_stored(predictor, plan.parts(member.fold), job)
    if first:
        _save(plan, run, member, model, started)
    return time.monotonic() - started


def mean_precision(y: np.ndarray, p: np.ndarray, bounds: np.ndarray | None = None) -> float:
    """Average precision of probabilities p (N, T) in the mean of the targets y (N, T) that have one; NaN if none has.

    `bounds` is what other metrics take, and None here.
    """
    assert bounds is None
    return float(average_precision(torch.from_numpy(p), torch.from_numpy(y)).nanmean())


def _save(plan: StorePlan, run: Run, member: Member, model: Fitted, started: float) -> None:
    store, target = plan.store, plan.target
    rows = rows_of(plan.parts(member.fold).part("valid"))
    rows = rows[:: -(-len(rows) // MOST_VALID)]
    y = store.labels(rows).astype(np.float64)
    outputs = model.predict(Inputs(tokens=ragged(store, rows), covariates=np.zeros((len(rows), 0), np.float32)))
    method = run.variant.calibrate.method
    calibrator = fit_calibrator(target.task, y, outputs, method, names=target.output_names, seed=member.seed)
    tested = [values for part in plan.tested for _, values in predicted(model, store, plan.drawn.part(part))]
    valid_score = mean_precision(y, outputs)
    seconds = time.monotonic() - started
    run.save_member(member, model, np.concatenate(tested).astype(np.float32), calibrator, seconds, valid_score)

"""What is written once all members of an experiment on a store are done: scores of every part, blends, a verdict, the report.

Which rows are scored is decided in `plan`, how in `scores`, and what blending adds in `blend`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.files import write_json, write_text
from seqloom.large.baselines import baseline_predictions
from seqloom.large.blend import Addition, Gap, How, additions, blend, blend_findings
from seqloom.large.plan import BATCH, BLEND, StorePlan
from seqloom.large.scores import Scored, score
from seqloom.resample import Floats
from seqloom.run import Run
from seqloom.store.components import families
from seqloom.store.rows import Store

BLENDS: tuple[How, ...] = ("mean", "rank", "logit")
WHERE = {
    ("nonshare", True): "on molecules of new building blocks",
    ("share", True): "on new combinations of known ones",
    ("share", False): "on rows at random",
}


def conclude(
    plan: StorePlan, folder: Path, folders: Mapping[str, Path], seconds: float, *, single: bool
) -> dict[str, Any]:
    """Write what follows from the members' predictions; the contents of `leaderboard.json`."""
    from seqloom.large.page import store_html

    runs = {variant.name: Run(folders[variant.name], variant) for variant in plan.variants}
    predictions: dict[str, dict[str, Floats]] = {part: {} for part in plan.tested}
    for name, run in runs.items():
        for part, values in _predictions(plan, run).items():
            predictions[part][name] = values
    for name, by_part in baseline_predictions(plan).items():
        for part, values in by_part.items():
            predictions[part][name] = values
    nets = _best_first(plan, runs)
    added = _additions(plan, predictions, nets)
    if len(nets) > 1:
        for own in predictions.values():
            own |= {f"{BLEND}{how}": blend({name: own[name] for name in nets}, how) for how in BLENDS}
    scored = {part: _scored(plan, part, own) for part, own in predictions.items()}
    findings = [*plan.findings, *blend_findings(added)]
    board = {
        "command": "train" if single else "compare",
        "path": folder.as_posix(),
        "seconds": round(seconds, 3),
        "store": plan.store.folder.as_posix(),
        "rows": len(plan.store),
        "targets": list(plan.target.columns),
        "primary": _metric_names(plan, plan.tested[0])[0],
        "parts": {part: _part_facts(plan, part, scored.get(part)) for part in plan.counts},
        "held_out": {name: [int(out[:-1].sum()), len(out) - 1] for name, out in plan.drawn.held.items()},
        "split": plan.variants[0].resolved["split"],
        "resampled": _resampled(plan),
        "leaderboard": [
            _row(plan, name, scored, runs.get(name))
            | ({"folder": runs[name].folder.relative_to(folder).as_posix()} if name in runs else {})
            for name in _order(scored[plan.tested[0]])
        ],
        "additions": [_addition_json(each) for each in added],
        "verdict": verdict_of(plan, scored, nets),
        "notes": _notes(scored),
        "findings": [each.as_json() for each in findings],
    }
    write_json(folder / "leaderboard.json", board)
    write_text(folder / "report.html", store_html(folder))
    return board


def _predictions(plan: StorePlan, run: Run) -> dict[str, Floats]:
    """Calibrated probabilities of a run for the tested rows of each part, in the mean of its members, float64 (M, T)."""
    found = []
    for member in plan.members(run.variant):
        outputs = run.member_predictions(member).astype(np.float64)
        calibrator = run.calibrator(member)
        found.append(outputs if calibrator is None else calibrator.apply(outputs))
    mean = np.mean(found, axis=0)
    ends = np.cumsum([len(plan.test_rows[part]) for part in plan.tested])
    return dict(zip(plan.tested, np.split(mean, ends[:-1]), strict=True))


def _scored(plan: StorePlan, part: str, predictions: Mapping[str, Floats]) -> Scored:
    rows, store = plan.test_rows[part], plan.store
    levels, vocabularies = _levels(store, rows)
    return score(
        store.labels(rows),
        predictions,
        levels,
        targets=plan.target.columns,
        draws=plan.variants[0].report.draws,
        vocabularies=vocabularies,
    )


def _levels(store: Store, rows: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Ids of the components of rows, int64 (M, K), equal where names are, and of each component its vocabulary."""
    names = {each.name: store.levels(each.name) for each in store.manifest.components}
    levels, vocabularies = np.full((len(rows), len(names)), -1), [0] * len(names)
    for number, family in enumerate(families(names)):
        place = {name: i for i, name in enumerate(sorted({each for own in family for each in names[own]}))}
        for own in family:
            column = list(names).index(own)
            common = np.array([*(place[each] for each in names[own]), -1])
            levels[:, column] = common[store.components[own][rows]]
            vocabularies[column] = number
    return levels, vocabularies


def _best_first(plan: StorePlan, runs: Mapping[str, Run]) -> list[str]:
    """The nets that were asked for, by their score on valid rows."""
    scores = {}
    for variant in plan.variants:
        if variant.name not in plan.baselines:
            own = [runs[variant.name].valid_score(member) for member in plan.members(variant)]
            scores[variant.name] = float(np.mean(own))
    return sorted(scores, key=lambda name: (math.isnan(scores[name]), -scores[name]))


def _additions(
    plan: StorePlan, predictions: Mapping[str, Mapping[str, Floats]], nets: Sequence[str]
) -> tuple[Addition, ...]:
    if len(nets) < 2:
        return ()
    own = {part: {name: each[name] for name in nets} for part, each in predictions.items()}
    return additions(own, lambda part, each: _scored(plan, part, each), nets)


def _addition_json(step: Addition) -> dict[str, Any]:
    def gap(own: Gap | None) -> dict[str, float | None] | None:
        return None if own is None else _number(own.value, own.low, own.high)

    return {
        "part": step.part,
        "members": list(step.members),
        **_number(step.value, step.low, step.high),
        "gain": gap(step.gain),
        "over_best": gap(step.over_best),
    }


def _order(scored: Scored) -> list[str]:
    """Names, best first; those without a score last."""
    values = {name: scored.value(name, scored.primary) for name in scored.models}
    return sorted(values, key=lambda name: (math.isnan(values[name]), -values[name]))


def _metric_names(plan: StorePlan, part: str) -> list[str]:
    """What the columns of a part's scores are called: `ap` is the mean over targets."""
    targets = plan.target.columns
    names = ["ap", "micro_ap", *(f"ap_{each}" for each in targets)] if len(targets) > 1 else ["ap"]
    return [f"{name}_{part}" for name in names] if plan.by_component else names


def _columns(scored: Scored) -> list[str]:
    """The columns of scores in the order of `_metric_names`."""
    return ["mean", "micro", *scored.columns[:-2]] if len(scored.columns) > 1 else list(scored.columns)


def _row(plan: StorePlan, name: str, scored: Mapping[str, Scored], run: Run | None) -> dict[str, Any]:
    """A line of the leaderboard."""
    metrics = {}
    for place in range(len(_metric_names(plan, plan.tested[0]))):
        for part, own in scored.items():  # the mean of every part first, then what stands behind it
            column = _columns(own)[place]
            low, high = own.interval(name, column)
            value = own.value(name, column)
            metrics[_metric_names(plan, part)[place]] = _number(value, low, high)
    members = [] if run is None else plan.members(run.variant)
    blended = run is None and name.startswith(BLEND)
    return {
        "variant": name,
        "baseline": name in plan.baselines or (run is None and not blended),
        "blend": blended,
        "run": run is not None,
        "members": len(members),
        "metrics": metrics,
        "seconds": 0.0 if run is None else sum(map(run.member_seconds, members)),
        **({} if run is None else _training_facts(plan, run)),
    }


def _training_facts(plan: StorePlan, run: Run) -> dict[str, Any]:
    """Rows that each member learnt from, where patience did not end it, and settings that are not the defaults."""
    train, predictor = run.variant.train, run.variant.predictor
    changed = {
        name: value
        for recipe in (predictor, train)
        for name, value in recipe.model_dump().items()
        if value != (BATCH if name == "batch" else type(recipe).model_fields[name].default)
        and name not in ("rows", "seed", "seeds", "device")
    }
    rows = train.rows or plan.counts["train"] * max(train.epochs, 1)
    return {"rows": rows, "settings": changed}


def _number(value: float, low: float, high: float) -> dict[str, float | None]:
    return {
        key: None if math.isnan(each) else float(each) for key, each in (("value", value), ("low", low), ("high", high))
    }


def _part_facts(plan: StorePlan, part: str, scored: Scored | None) -> dict[str, Any]:
    """How many rows a part has; of one that is tested also what is known of its targets."""
    facts: dict[str, Any] = {"rows": plan.counts[part]}
    if scored is not None:
        facts["positives"] = dict(zip(plan.target.columns, scored.positives, strict=True))
        facts["known"] = dict(zip(plan.target.columns, scored.known, strict=True))
    return facts


def _resampled(plan: StorePlan) -> str:
    draws = plan.variants[0].report.draws
    names = [each.name for each in plan.store.manifest.components]
    what = f"levels of {', '.join(names)}, and with them the rows that hold them" if names else "rows"
    return f"{draws:,} draws of {what}; the training of a model is not drawn again"


def _notes(scored: Mapping[str, Scored]) -> list[str]:
    """Which scores are undefined."""
    return [
        f"{part}: {column}: {note}"
        for part, own in scored.items()
        for column in own.columns
        if (note := own.note(column))
    ]


def verdict_of(plan: StorePlan, scored: Mapping[str, Scored], nets: Sequence[str]) -> str:
    """Which net is best where it is hardest, whether that can be told, and what it is worth beside what needs no net."""
    hardest = scored[plan.tested[0]]
    column = hardest.primary
    order = [name for name in _order(hardest) if not math.isnan(hardest.value(name, column))]
    models = [name for name in order if name in nets]
    if not models:
        return f"no verdict: average precision is undefined ({hardest.note(column) or 'no test row'})"
    best = models[0]
    known = {part: own for part, own in scored.items() if not math.isnan(own.value(best, own.primary))}
    told = "; ".join(f"{_text(own, best)} {WHERE[part, plan.by_component]}" for part, own in known.items())
    clauses = [f"{best}: average precision {told}"]
    if len(models) > 1:
        clauses.append(_rivalry(hardest, best, models[1], WHERE[plan.tested[0], plan.by_component]))
    naive = [name for name in order if name not in nets and not name.startswith(BLEND)]
    above = {part: _above(own, best, naive, WHERE[part, plan.by_component]) for part, own in scored.items()}
    humbling = [clause for clause in above.values() if clause and not clause.startswith("better")]
    clauses = [*(f"{best} is {clause}" for clause in humbling), *clauses]
    clauses += [clause for clause in above.values() if clause.startswith("better")]
    if len(known) > 1:
        clauses.append(_gap(known, best))
    return "; ".join(clauses)


def _above(scored: Scored, best: str, naive: Sequence[str], where: str) -> str:
    """Whether the best net is better than the best yardstick there."""
    values = {name: scored.value(name, scored.primary) for name in naive}
    known = [name for name in naive if not math.isnan(values[name])]
    if not known:
        return ""
    yardstick = max(known, key=lambda name: values[name])
    value, low, high = scored.difference(best, yardstick, scored.primary)
    words = "better than" if low > 0 else "worse than" if high < 0 else "not detectably better than"
    return f"{words} {yardstick} {where} ({_difference(value, low, high)})"


def _rivalry(scored: Scored, best: str, rival: str, where: str) -> str:
    value, low, high = scored.difference(best, rival, scored.primary)
    if low > 0:
        return f"better than {rival} {where} ({_difference(value, low, high)})"
    return f"no detectable difference between {best} and {rival} {where} ({_difference(value, low, high)})"


def _gap(scored: Mapping[str, Scored], best: str) -> str:
    """Whether new blocks are harder than known ones: two scores of different rows, their intervals put together by squares
    (Zou and Donner 2008, doi:10.1002/sim.3095)."""
    (share, above), (nonshare, below) = (
        (own.value(best, own.primary), own.interval(best, own.primary)) for own in (scored["share"], scored["nonshare"])
    )
    value = share - nonshare
    low = value - math.hypot(share - above[0], below[1] - nonshare)
    high = value + math.hypot(above[1] - share, nonshare - below[0])
    words = (
        "are told worse than"
        if low > 0
        else "are told better than"
        if high < 0
        else "are not told detectably worse than"
    )
    return f"molecules of new blocks {words} new combinations of known ones ({_difference(value, low, high)})"


def _text(scored: Scored, name: str) -> str:
    low, high = scored.interval(name, scored.primary)
    return f"{scored.value(name, scored.primary):.3f} ({low:.3f}..{high:.3f})"


def _difference(value: float, low: float, high: float) -> str:
    return f"{value:+.3f}, 95 % CI {low:.3f}..{high:.3f}"

"""Made-up experiment and run folders of every task, laid out as a comparison lays them out, with planted numbers; and their
reports, checked for form."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from seqloom.report.build import write_report

CLASSES = {"binary": ("no", "yes"), "multiclass": ("cytoplasm", "membrane", "nucleus")}
LABELS = ("kinase", "protease", "transport")
METRICS = {
    "regression": ("spearman", "rmse"),
    "binary": ("auroc", "average_precision"),
    "multiclass": ("macro_f1", "log_loss"),
    "multilabel": ("auroc", "brier"),
}
NETS = ("cnn", "mlp")
VERDICT = "no detectable difference between cnn & mlp (0.012 <made up>, 95 % CI -0.004..0.028)"

VOID = {"meta", "br", "wbr", "link", "img", "input", "hr"}


@dataclass(frozen=True)
class Folder:
    """What to write. `column` is the target's name (the prefix of it, for several)."""

    task: str = "regression"
    variants: tuple[str, ...] = ("cnn", "mlp", "linear", "constant")
    n_rows: int = 60
    n_folds: int = 2
    n_seeds: int = 2
    column: str = "tm"
    classes: tuple[str, ...] = ()
    target: dict[str, Any] | None = None
    metrics: tuple[str, ...] = ()
    audited: bool = True
    """Whether nearest training rows were looked for, as older folders do not tell."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """By name of a net: a learning rate that does not change; that of others falls."""
    changes: Mapping[str, dict[str, list[Any]]] = field(default_factory=dict)
    """By name of a variant: what the first of its predictor has otherwise."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Target columns."""
        return LABELS if self.task == "multilabel" else (self.column,)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes of a single target."""
        return self.classes or CLASSES.get(self.task, ())

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The first is primary."""
        return self.metrics or METRICS[self.task]


def score_of(place: int) -> dict[str, float]:
    """The made-up score of a variant by its place in the leaderboard."""
    return {"value": 0.9 - 0.1 * place, "low": 0.88 - 0.1 * place, "high": 0.921 - 0.1 * place}


def write_experiment(folder: Path, plan: Folder) -> Path:
    """A finished experiment."""
    folder.mkdir(parents=True)
    resolved = {name: _settings(name, plan) for name in plan.variants}
    _write_shared(folder, plan, {"experiment": resolved})
    for place, name in enumerate(plan.variants):
        write_run(folder / name, plan, place)
    _json(folder / "leaderboard.json", _board("compare", plan))
    return folder


def write_lone_run(folder: Path, plan: Folder) -> Path:
    """A finished run of the first variant, the others beside it as baselines."""
    write_run(folder, plan, 0)
    for place, name in enumerate(plan.variants[1:], start=1):
        write_run(folder / "baselines" / name, plan, place)
    _json(folder / "leaderboard.json", _board("train", plan))
    return folder


class Page(HTMLParser):
    """A walk over the page that keeps ids, links and what was left open or closed wrongly."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element opens."""
        named = dict(attrs)
        if len(named) != len(attrs):
            self.wrong.append(f"{tag} repeats an attribute at {self.getpos()}")
        self.tags.add(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href", "data") and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """An element closes."""
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")


def report(folder: Path) -> str:
    """The HTML of the folder's report, checked for form."""
    html = write_report(folder).read_text("utf-8")
    page = Page(html)
    assert (page.wrong, page.open) == ([], [])
    assert len(page.ids) == len(set(page.ids)), "ids must be unique in the page"
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links), page.links
    assert "script" not in page.tags
    assert not re.search(r"https?://|@import|url\((?!#)", html), "the page must not reach outside itself"
    return html


def text_of(html: str) -> str:
    """What is read on the page, blanks made single."""
    body = re.sub(r"<style.*?</style>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file in place."""
    facts = json.loads(path.read_text())
    change(facts)
    path.write_text(json.dumps(facts))


def write_run(folder: Path, plan: Folder, place: int) -> None:
    """The run of one variant; the better its place, the nearer its predictions are to the targets."""
    name = plan.variants[place]
    folder.mkdir(parents=True, exist_ok=True)
    _write_shared(folder, plan, _settings(name, plan))
    members = [(fold, seed) for fold in range(plan.n_folds) for seed in range(_seeds(name, plan))]
    for fold, seed in members:
        member = folder / f"fold-{fold}" / f"seed-{seed}"
        member.mkdir(parents=True)
        _json(member / "done", {"seconds": 0.1})
        if _is_net(name):
            pq.write_table(_curves(6 + seed, plan.rates.get(name)), member / "curves.parquet")
    pq.write_table(predictions(plan, place), folder / "predictions.parquet")
    metrics = {metric: score_of(place) for metric in plan.metric_names}
    plain = {metric: each["value"] for metric, each in metrics.items()}
    _json(
        folder / "metrics.json",
        {
            "variant": name, "task": plan.task, "primary": plan.metric_names[0],
            "members": [{"fold": fold, "seed": seed, "metrics": plain} for fold, seed in members],
            "metrics": metrics, "ensemble": None,
            "curve": {"last": 0.71, "early_stopped": 0.72, "best_on_test": 0.77} if _is_net(name) else None,
        },
    )  # fmt: skip


def predictions(plan: Folder, place: int) -> pa.Table:
    """`predictions.parquet` of the variant at that place; the last row has no target."""
    rng = np.random.default_rng([place, 7])
    truth = np.random.default_rng(3)
    rows = np.arange(plan.n_rows)
    fold = rows % plan.n_folds
    latent = truth.normal(size=(plan.n_rows, max(len(plan.columns), len(plan.class_names))))
    parts = []
    for seed in range(_seeds(plan.variants[place], plan)):
        noisy = latent + (0.2 + 0.4 * place) * rng.normal(size=latent.shape)
        columns = {
            "row": rows + 1,
            "id": [f"seq-{row + 1}" for row in rows],
            "fold": fold.astype(np.int32),
            "seed": np.full(plan.n_rows, seed, np.int32),
        }
        parts.append(pa.table(columns | _targets(plan, latent) | _outputs(plan, noisy)))
    table = pa.concat_tables(parts)
    order = np.lexsort((table["row"].to_numpy(), table["seed"].to_numpy(), table["fold"].to_numpy()))
    return table.take(pa.array(order))


def _targets(plan: Folder, latent: np.ndarray) -> dict[str, Any]:
    known = np.arange(plan.n_rows) < plan.n_rows - 1
    if plan.task == "regression":
        return {"target": pa.array(_values(plan, latent[:, 0]), mask=~known)}
    if plan.task == "multilabel":
        return {
            f"target_{name}": pa.array(np.where(latent[:, c] > 0.5, "1", "0"), mask=~known)
            for c, name in enumerate(LABELS)
        }
    names = np.array(plan.class_names)
    chosen = (latent[:, 0] > 0).astype(int) if plan.task == "binary" else latent.argmax(1)
    return {"target": pa.array(names[chosen], mask=~known)}


def _outputs(plan: Folder, noisy: np.ndarray) -> dict[str, Any]:
    if plan.task == "regression":
        return {"pred": _values(plan, noisy[:, 0])}
    if plan.task == "multilabel":
        return {f"pred_{name}": 1 / (1 + np.exp(-noisy[:, c])) for c, name in enumerate(LABELS)}
    if plan.task == "binary":
        noisy = np.stack([np.zeros(len(noisy)), noisy[:, 0]], axis=1)
    shares = np.exp(noisy) / np.exp(noisy).sum(1, keepdims=True)
    names = np.array(plan.class_names)
    return {"pred": names[shares.argmax(1)]} | {f"pred_{name}": shares[:, k] for k, name in enumerate(names)}


def _values(plan: Folder, latent: np.ndarray) -> np.ndarray:
    return np.exp(3 * latent) if (plan.target or {}).get("transform") == "log" else 50 + 10 * latent


def _board(command: str, plan: Folder) -> dict[str, Any]:
    rows = []
    for place, name in enumerate(plan.variants):
        differences = {
            other: {"value": 0.1 * (there - place), "low": 0.1 * (there - place) - 0.15, "high": 0.1 * (there - place) + 0.15}
            for there, other in enumerate(plan.variants)
            if there != place
        }  # fmt: skip
        rows.append({
            "variant": name, "baseline": name in ("constant", "linear"),
            "members": plan.n_folds * _seeds(name, plan),
            "metrics": {metric: score_of(place) for metric in plan.metric_names},
            "ensemble": {plan.metric_names[0]: {"value": 0.934, "low": 0.9, "high": 0.95}} if _is_net(name) else None,
            "differences": differences, "seconds": 12.34 + place,
            "changes": plan.changes.get(name, {"predictor.width": [64, 32]} if name == "mlp" else {}),
        })  # fmt: skip
    return {
        "command": command, "path": "out", "seconds": 33.0, "task": plan.task, "primary": plan.metric_names[0],
        "scale": "original units", "metrics": list(plan.metric_names),
        "higher_is_better": {m: m not in ("rmse", "log_loss", "brier") for m in plan.metric_names},
        "draws": 1000, "resampled": f"1,000 draws over {plan.n_rows} rows in 2 folds", "notes": ["intervals are made up"],
        "verdict": VERDICT, "baselines": ["constant", "linear"], "leaderboard": rows, "findings": [],
        **(_bands(plan) if plan.audited else {}),
    }  # fmt: skip


def _bands(plan: Folder) -> dict[str, Any]:
    """Scores by identity: the last variant is undefined in the nearest band."""
    found = []
    for at, (low, high, rows) in enumerate(((0.0, 0.5, 33), (0.5, 0.9, 1234), (0.9, 1.0, 42))):
        scores = {
            name: {key: value - 0.02 * at for key, value in score_of(place).items()}
            for place, name in enumerate(plan.variants)
        }
        if at == 2:
            scores[plan.variants[-1]] = {"value": None, "low": None, "high": None}
        found.append({"from": low, "to": high, "rows": rows, "scores": scores, "resampled": "", "notes": []})
    return {"by_identity": found, "by_identity_left_out": 17, "by_identity_note": ""}


def _write_shared(folder: Path, plan: Folder, resolved: dict[str, Any]) -> None:
    (folder / "config.toml").write_text('[data]\ntable = "t.csv"\n')
    (folder / "resolved.toml").write_text(tomli_w.dumps(resolved))
    _json(folder / "data.json", _data(plan))
    _json(folder / "audit.json", _audit(plan))
    _json(
        folder / "environment.json",
        {
            "version": "0.1.0", "python": "3.11.7", "platform": "Linux", "device": "auto", "seed": 0,
            "libraries": {"numpy": "2.4.6"}, "command": "seqloom compare t.csv --target tm", "git": "v0-1-gabc",
        },
    )  # fmt: skip
    unused = {"row": [901, 902], "id": ["seq-901", "seq-902"], "fold": [0, 0], "role": ["unused"] * 2}
    pq.write_table(pa.table({**unused, "reason": ["no target"] * 2}), folder / "partition.parquet")


def _data(plan: Folder) -> dict[str, Any]:
    edges = np.linspace(8, 15, 31)
    histogram = {"edges": edges.tolist(), "counts": np.histogram(np.tile(np.arange(8, 16), 5), edges)[0].tolist()}
    if plan.task == "regression":
        one = {"n": 60, "n_missing": 2, "min": 20.5, "median": 50.0, "max": 80.25, "mean": 49.0}
    else:
        names = ("0", "1") if plan.task == "multilabel" else plan.class_names
        one = {"n": 60, "n_missing": 2, "counts": {name: 20 + k for k, name in enumerate(names)}}
    column = plan.columns[0]
    return {
        "source": {"name": "t.csv", "path": "data/t.csv", "sha256": "ab" * 32, "format": "delimited"},
        "test_source": None, "rows": 62, "where": "length > 7",
        "roles": {
            "id": "name", "sequences": ["sequence"], "targets": list(plan.columns), "set": None, "covariates": [],
            "reasons": {"sequence": "sequence: a column called 'sequence'", column: "target: named in the settings"},
        },
        "alphabets": {"sequence": "protein"},
        "lengths": {"sequence": {"min": 8, "median": 11.5, "max": 15, "histogram": histogram}},
        "target": {
            "task": plan.task, "columns": list(plan.columns), "classes": list(plan.class_names) or None,
            "transform": "none", "units_of_scores": "original units", "summary": dict.fromkeys(plan.columns, one),
            **(plan.target or {}),
        },
        "findings": [
            {"code": "extra-symbols", "severity": "info", "message": "X in 3 rows", "count": 3, "rows": [1, 2, 3]},
            {"code": "conflict", "severity": "warning", "message": "row 5 contradicts row 6", "count": 1, "rows": [5]},
        ],
    }  # fmt: skip


def _audit(plan: Folder) -> dict[str, Any]:
    counts = {"train": 1234, "valid": 137, "test": plan.n_rows // plan.n_folds, "unused": 2}
    return {
        "splitter": {"kind": "random", "seed": 0, "folds": plan.n_folds},
        "guarantee": "no test row has the same inputs as a training row",
        "folds": [
            {"fold": k, "counts": counts, "shared_inputs": 0, "named_rows": [], **(_nearest() if plan.audited else {})}
            for k in range(plan.n_folds)
        ],
        "unused": {"no target": 2, "same inputs as a test row": 0},
        "findings": [],
    }


def _nearest() -> dict[str, Any]:
    """What the audit says of a fold: three rows without relatives, four of middling identity, and a near duplicate."""
    identity = np.array([0.0, 0.0, 0.0, 0.41, 0.55, 0.55, 0.62, 0.95])
    lows = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0]
    counts, edges = np.histogram(identity, 50, (0.0, 1.0))
    bands = np.histogram(identity, [*lows, 2.0])[0].tolist()
    spread = {
        "train_mutations": {"min": 0, "median": 2.0, "max": 3},
        "test_mutations": {"min": 4, "median": 4.0, "max": 4},
    }
    new = {"new_family": 0.0, "more_mutations": 1.0, "new_site": 0.004, "new_mutation": 0.25}
    return {
        "targets_beyond_training": 0.125,
        "families": {"rows": 1.0, "n_families": 1, **new, **spread},
        "nearest": {
            "measure": "identity", "rows": 8, "exact": False, "near_duplicates": 1, "near_duplicate_share": 0.125,
            "median": 0.48, "none_alike": 3,
            "bands": [{"from": low, "rows": n} for low, n in zip(lows, bands, strict=True)],
            "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        },
    }  # fmt: skip


def _settings(name: str, plan: Folder) -> dict[str, Any]:
    return {
        "encoder": {"kind": "one-hot"},
        "predictor": {"kind": name.split("-")[0] if name in plan.changes else name, "dropout": 0.2},
        "train": {"seeds": plan.n_seeds, "seed": 0},
    }


def _seeds(name: str, plan: Folder) -> int:
    return plan.n_seeds if _is_net(name) else 1


def _is_net(name: str) -> bool:
    return name.split("-")[0] in NETS


def _curves(n_epochs: int, rate: float | None) -> pa.Table:
    falling = 1 / (1 + np.arange(n_epochs))
    return pa.table({
        "epoch": np.arange(n_epochs), "lr": falling if rate is None else np.full(n_epochs, rate), "train_loss": falling, "valid_loss": falling + 0.1,
        "valid_score": 0.8 - falling / 2, "test_score": 0.7 - falling / 2,
    })  # fmt: skip


def _json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value))

"""What nets that read symbols learn of rules planted on measured peptides; one JSON line per figure, with its bar.

`python bench/rules.py [NET...]`: all of them by default. Needs the data folder; minutes, most of them for version 1 of `mamba`.
"""

import bz2
import csv
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from seqloom.config import resolve
from seqloom.drafts import drafts
from seqloom.predict.base import Dims, Examples, Job
from seqloom.rule import AMINO_ACIDS, rule_holds
from seqloom.table import DataSection, read_table
from seqloom.target import TargetSection, find_target

RULES = {"count": ("count(L)>=3", 0.999), "c-terminal": ("P2=L and P-1=V", 0.999), "pair": ("P2=L and P8=L", 0.995)}
LEARNERS: dict[str, dict[str, object]] = {
    "rnn_simple": {"predictor.kind": "rnn", "predictor.cell": "simple"},
    "rnn_gru": {"predictor.kind": "rnn", "predictor.cell": "gru"},
    "rnn_lstm": {"predictor.kind": "rnn", "predictor.cell": "lstm"},
    "cnn": {"predictor.kind": "cnn"},
    "light-attention": {"predictor.kind": "light-attention"},
    "transformer": {"predictor.kind": "transformer"},
    "mamba_1": {"predictor.kind": "mamba", "predictor.version": 1},
    "mamba_2": {"predictor.kind": "mamba", "predictor.version": 2},
    "sigmoid": {"predictor.kind": "sigmoid"},
    "mlp": {"predictor.kind": "mlp", "encoder.kind": "one-hot"},
}
N_TRAIN = 7188
TRAIN = {"device": "cpu"}


def main() -> None:
    """AUROC of every rule by the nets that are named, or all; the rules are learnt side by side."""
    train, test = measured_peptides()
    texts = [rule for rule, _ in RULES.values()]
    y_train, y_test = (np.stack([rule_holds(rule, each) for rule in texts], 1).astype(float) for each in (train, test))
    fit, valid = np.arange(len(train)) % 10 > 0, np.arange(len(train)) % 10 == 0
    table = read_table(
        pa.table({"sequence": train + test, "y": np.concatenate([y_train, y_test])[:, 0]}), DataSection(), ("y",)
    )
    target = find_target(table, TargetSection(task="binary"))
    protocol = (
        f"AUROC on {len(test):,} BLIND peptides of HLA-A*02:01, trained on {len(train):,} others (a tenth of them valid), all at "
        "its defaults"
    )
    for name in sys.argv[1:] or LEARNERS:
        changes = LEARNERS[name]
        draft = drafts({"train": TRAIN}, [str(changes["predictor.kind"])])[0]
        for key, value in changes.items():
            section, setting = key.split(".")
            draft.sections.setdefault(section, {})[setting] = value
        variant = resolve(draft, table, target)
        encoder = variant.encoder.fit(table.take(np.arange(len(train))))
        inputs = encoder.transform(table)
        own = inputs.take(np.arange(len(train)))
        dims = Dims.of(target, own, encoder, table.alphabets["sequence"].name)
        given = [
            (
                Examples(own.take(np.flatnonzero(fit)), y[fit]),
                Examples(own.take(np.flatnonzero(valid)), y[valid]),
                Job(dims, 0, variant.train),
            )
            for y in (y_train[:, [column]] for column in range(len(RULES)))
        ]
        started = time.process_time()
        fitted = variant.predictor.fit_members(given)
        seconds = round((time.process_time() - started) / len(RULES), 1)
        held_out = inputs.take(np.arange(len(train), table.n_rows))
        for column, (rule, model) in enumerate(zip(RULES, fitted, strict=True)):
            auroc = float(roc_auc_score(y_test[:, column], model.predict(held_out)[:, 0]))
            bar = RULES[rule][1]
            line = {"figure": f"rule_{rule}_{name}", "value": round(auroc, 4), "bar": bar, "reached": auroc >= bar}
            print(json.dumps(line | {"cpu_s": seconds, "protocol": protocol}), flush=True)


def measured_peptides() -> tuple[list[str], list[str]]:
    """Peptides of 8 to 15 residues measured with HLA-A*02:01, and those of the BLIND set, none of them in both."""
    folder = Path(os.environ.get("SEQLOOM_DATA", "../shared/data")) / "mhc"
    with (folder / "combined_test_BLIND_dataset_from_kim2013.csv").open() as file:
        test = [row["peptide"] for row in csv.DictReader(file) if row["allele"] == "HLA-A0201"]
    with bz2.open(folder / "curated_2018_no_mass_spec.dev.csv.bz2", "rt") as file:
        found = {row["peptide"]: None for row in csv.DictReader(file) if row["allele"] == "HLA-A*02:01"}
    usual = [each for each in found if 8 <= len(each) <= 15 and set(each) <= set(AMINO_ACIDS) and each not in set(test)]
    chosen = np.random.default_rng(0).permutation(len(usual))[:N_TRAIN]
    return [usual[i] for i in chosen], test


if __name__ == "__main__":
    main()

"""Small tables for contract tests, one for each kind of target."""

import numpy as np
import pyarrow as pa

from seqloom.config import Variant, resolve, strata_of
from seqloom.drafts import drafts
from seqloom.predict.base import Dims, Examples, Job
from seqloom.registry import recipe_class
from seqloom.table import DataSection, Table, read_table
from seqloom.target import Target, TargetSection, find_target

TASKS = ("regression", "binary", "multiclass", "multilabel")
LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))


def peptides(n: int, seed: int = 0, shortest: int = 7, longest: int = 11) -> list[str]:
    """Distinct random peptides."""
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < n:
        found["".join(rng.choice(LETTERS, rng.integers(shortest, longest + 1)))] = None
    return list(found)


def table_of(task: str, n: int = 120, seed: int = 0, *, shuffled: bool = False, n_columns: int = 1) -> Table:
    """N peptides whose target counts hydrophobic residues, as the task wants it; other peptides beside them in further columns."""
    sequences = peptides(n, seed)
    rng = np.random.default_rng(seed + 1)
    greasy = np.array([sum(letter in "LIVFM" for letter in each) for each in sequences], float)
    if shuffled:
        greasy = rng.permutation(greasy)
    names = ("sequence", *(f"sequence_{number}" for number in range(2, n_columns + 1)))
    columns: dict[str, object] = {name: peptides(n, seed + 10 * number) for number, name in enumerate(names)}
    if task == "regression":
        columns["target"] = greasy + rng.normal(0, 0.1, n)
    elif task == "binary":
        columns["target"] = (greasy > 2).astype(int)
    elif task == "multiclass":
        columns["target"] = np.array(["low", "middle", "high"])[np.digitize(greasy, [2, 3])]
    else:
        columns["one"], columns["two"] = (greasy > 2).astype(float), (greasy > 3).astype(float)
        columns["one"][:5] = np.nan  # type: ignore[index]
        columns["two"][3:9] = np.nan  # type: ignore[index]
    targets = ("one", "two") if task == "multilabel" else ("target",)
    return read_table(pa.table(columns), DataSection(sequence=names), targets)


class Case:
    """A predictor with its examples: the first two thirds of the rows train, the rest are test rows."""

    def __init__(
        self, kind: str, task: str, *, n: int = 120, shuffled: bool = False, settings: dict | None = None
    ) -> None:
        needed = recipe_class("predictor", kind).n_columns
        self.table = table_of(task, n, shuffled=shuffled, n_columns=max(needed, 1))
        self.target: Target = find_target(self.table, TargetSection())
        sections = {"train": {"epochs": 8, "device": "cpu", **(settings or {})}}
        self.variant: Variant = resolve(drafts(sections, [kind])[0], self.table, self.target)
        scores = self.target.read(self.table)
        rows = np.arange(n)
        cut = (n // 2, 2 * n // 3)
        parts = {"train": rows[: cut[0]], "valid": rows[cut[0] : cut[1]], "test": rows[cut[1] :]}
        self.fitted_target = self.target.fitted(scores[parts["train"]])
        self.encoder = self.variant.encoder.fit(self.table.take(parts["train"]))
        y = self.fitted_target.to_model(scores)
        self.examples = {
            name: Examples(self.encoder.transform(self.table.take(own)), y[own]) for name, own in parts.items()
        }
        self.dims = Dims.of(self.fitted_target, self.examples["train"].inputs, self.encoder, self.table.alphabet)
        self.strata = strata_of(self.target, scores)

    def fit(self, seed: int = 0, train: Examples | None = None):
        """The fitted predictor."""
        job = Job(self.dims, seed, self.variant.train)
        return self.variant.predictor.fit(train or self.examples["train"], self.examples["valid"], job)

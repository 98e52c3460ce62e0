"""The plan of an experiment on a store: which rows are learnt from and which are tested, and by what variants.

The sections are those of tables, as far as they mean something here. A store with components is divided by them: test rows of
known blocks (share) and of blocks that no training row holds (nonshare). One without is divided at random.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.calibrate.settings import CalibrateSection
from seqloom.config import Variant, refuse_twins
from seqloom.drafts import Draft, drafts
from seqloom.encode.tokens import FittedTokens, TokenEncoder
from seqloom.environment import environment
from seqloom.errors import ConfigError, DataError
from seqloom.findings import Finding, finding
from seqloom.large.scores import refuse_names
from seqloom.predict.base import Predictor
from seqloom.predict.net import Net
from seqloom.predict.stored import refuse_weights
from seqloom.registry import build, validated
from seqloom.run import Member
from seqloom.sections import PLAIN_SECTIONS, Sections, Settings, refuse_others
from seqloom.split.base import Splitter
from seqloom.split.components import ComponentSplit
from seqloom.split.random import RandomSplit
from seqloom.store.components import ComponentParts
from seqloom.store.layout import BLOCK, LEFT_OUT, Manifest
from seqloom.store.rows import Store, open_store
from seqloom.store.subset import Subset
from seqloom.table import DataSection
from seqloom.target import Target, TargetSection
from seqloom.training.settings import TrainSection

DEFAULT_PREDICTORS = ("cnn",)
"""Compared, beside the baselines, where nobody names a net."""
BASELINES = ("ngrams",)
"""Of the nets: a yardstick that always stands beside them."""
KEPT = ("constant", "blocks")
"""Names of what stands beside the nets without being one; so are all that begin with `BLEND`."""
BLEND = "blend-"
USED = ("data.table", "encoder", "split", "predictor", "train", "calibrate", "report.draws")
MOST_VALID, MOST_TESTED = 200_000, 500_000
"""Share rows that are valid, and that are tested, unless `[split]` says how many."""
BATCH = 128
"""Rows per step unless `[train]` says how many: as many as a CPU works off fastest; accelerators want ten times as many."""
PIECE = 2**10
"""Blocks of rows looked at at a time."""


@dataclass(frozen=True)
class StorePlan:
    """All that is settled before anything is fitted."""

    store: Store
    drawn: ComponentParts  # of fold 0
    variants: list[Variant]
    baselines: frozenset[str]
    config: str
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def split(self) -> Splitter:
        """How rows were divided, the same for all variants."""
        return self.variants[0].split

    @property
    def target(self) -> Target:
        """What is predicted."""
        return target_of(self.store.manifest)

    @property
    def encoder(self) -> FittedTokens:
        """The tokens of the store, as tables to predict are brought to them."""
        sizes = np.array([self.store.manifest.alphabet_.size])
        return FittedTokens(TokenEncoder(), sizes, np.zeros(0), np.ones(0))

    @property
    def by_component(self) -> bool:
        """Whether blocks are held out."""
        return bool(self.drawn.held)

    @property
    def tested(self) -> tuple[str, ...]:
        """Parts with test rows, the hardest first."""
        return ("nonshare", "share") if self.by_component else ("share",)

    @cached_property
    def test_rows(self) -> dict[str, np.ndarray]:
        """Rows of each of these parts, int64 (M,), ascending; the same in every fold."""
        return {part: rows_of(self.drawn.part(part)) for part in self.tested}

    @cached_property
    def counts(self) -> dict[str, int]:
        """Rows of every part, in the first fold."""
        return self.drawn.counts()

    def parts(self, fold: int) -> ComponentParts:
        """The parts of a fold: its own valid rows, and the tested rows of all."""
        return replace(self.drawn, fold=fold)

    def members(self, variant: Variant) -> list[Member]:
        """Fold by fold, seed by seed."""
        return [Member(fold, seed) for fold in range(self.split.inner) for seed in variant.seeds]


def make_plan(sections: Sections, config: str = "", *, single: bool = False) -> StorePlan:
    """Open the store, divide its rows, resolve the variants.

    ConfigError for settings that mean nothing here, DataError for a store without targets or with too few rows of a part.
    """
    spread = ("variant", "vary", "grid")
    refuse_others({name: value for name, value in sections.items() if name not in spread}, USED, "a store")
    store = open_store(Path(sections["data"]["table"]))
    if not store.manifest.targets:
        raise DataError(f"{store.folder}: it was packed without targets; pack it again with --target COLUMN")
    refuse_names([each.name for each in store.manifest.targets])
    drawn, split = divided(store, sections.get("split", {}))
    asked = drafts(sections, DEFAULT_PREDICTORS)
    if single and len(asked) > 1:
        raise ConfigError(f"train takes one variant, and there are {len(asked)}; name one, or use compare")
    variants = [_resolved(draft, store, split) for draft in asked]
    refuse_twins(variants)
    here = {variant.predictor.kind for variant in variants}
    shared = {name: value for name, value in sections.items() if name not in ("predictor", "encoder", *spread)}
    added = [
        _resolved(draft, store, split) for draft in drafts(shared, [kind for kind in BASELINES if kind not in here])
    ]
    kept = {*KEPT, *(variant.name for variant in added)}
    taken = [each.name for each in variants if each.name in kept or each.name.startswith(BLEND)]
    if taken:
        raise ConfigError(f"variant name {min(taken)!r} is kept for a baseline or a blend; give it another name")
    facts = {"data": data_facts(store), "environment": environment(variants[0].train)}
    baselines = frozenset(variant.name for variant in added)
    plan = StorePlan(store, drawn, [*variants, *added], baselines, config, _findings(store, drawn), facts)
    _refuse_lack(plan)
    return plan


def target_of(manifest: Manifest) -> Target:
    """The target that a store's labels are."""
    names = tuple(each.name for each in manifest.targets)
    return Target("multilabel", names) if len(names) > 1 else Target("binary", names, ("0", "1"))


def rows_of(subset: Subset) -> np.ndarray:
    """The rows of a subset, int64 (M,), ascending."""
    n_blocks = -(-subset.n_rows // BLOCK)
    found = [np.zeros(0, np.int64)]
    for start in range(0, n_blocks, PIECE):
        blocks = np.arange(start, min(start + PIECE, n_blocks))
        found.append(start * BLOCK + np.flatnonzero(subset.within(blocks)))
    return np.concatenate(found)


def divided(store: Store, asked: Settings) -> tuple[ComponentParts, Splitter]:
    """The parts of a store by `[split]`, and that section with every default filled in."""
    names = [each.name for each in store.manifest.components]
    recipe = build("splitter", {"kind": "components" if names else "random", **asked})
    fields = recipe.model_fields_set
    if isinstance(recipe, ComponentSplit):
        if recipe.scheme != "both" and "scheme" in fields:
            raise ConfigError(f"[split] scheme = {recipe.scheme!r}: a store is always tested on both; leave it out")
        columns = recipe.columns or tuple(names)
        share = (1 - recipe.held_out) ** len(columns)
        own: dict[str, Any] = {"columns": columns, "scheme": "both"}
    elif isinstance(recipe, RandomSplit):
        columns, share, own = (), 1.0, {}
    else:
        raise ConfigError(f"[split] kind = {recipe.kind!r}: rows of a store are divided by components, or random")
    if recipe.folds != 1 or recipe.shared != "stop":
        wrong = "folds" if recipe.folds != 1 else "shared"
        raise ConfigError(
            f"[split] {wrong}: not for stores, whose tested rows are held out once; for several members with other valid rows "
            "set split.inner"
        )
    n_share = max(store.manifest.rows * share, 1.0)
    own["test"] = recipe.test if "test" in fields else round(min(0.2, MOST_TESTED / n_share), 6)
    split = recipe.model_copy(update=own)
    valid = min(0.1, MOST_VALID / n_share, (1 - own["test"]) / (recipe.inner + 1))
    shares = {"valid": valid, "test": own["test"], "seed": recipe.seed}
    if not isinstance(recipe, ComponentSplit):
        return ComponentParts.of_rows(store, **shares), split
    return ComponentParts.draw(store, columns, recipe.held_out, **shares), split


def data_facts(store: Store) -> dict[str, Any]:
    """`data.json`: what a run must know of its data to be used again, in the words of tables."""
    manifest = store.manifest
    files = {each.name: each.sha256 for each in manifest.files if each.name != LEFT_OUT}
    values = next(sha256 for name, sha256 in files.items() if name.startswith("values"))
    return {
        "source": {"name": store.folder.name, "format": "store", "sha256": values, "files": files},
        "rows": manifest.rows,
        "roles": {
            "sequences": [manifest.sequence],
            "covariates": [],
            "group": None,
            "targets": [each.name for each in manifest.targets],
        },
        "alphabets": {manifest.sequence: manifest.alphabet},
        "rewrites": [list(each) for each in manifest.rewrites],
        "canonical": manifest.canonical,
    }


def _resolved(draft: Draft, store: Store, split: Splitter) -> Variant:
    sections = draft.sections
    predictor = build("predictor", sections["predictor"])
    assert isinstance(predictor, Predictor)
    target = target_of(store.manifest)
    if not _reads(predictor) or target.task not in predictor.tasks:
        raise ConfigError(
            f"variant {draft.name!r}: predictor {predictor.kind!r} cannot learn from a store; nets that read symbols can, such "
            "as cnn, transformer, mamba and sigmoid"
        )
    encoder = build("encoder", {"kind": "tokens", **sections["encoder"]})
    if encoder != TokenEncoder():
        raise ConfigError(f"variant {draft.name!r}: [encoder]: a store holds its tokens as they are; leave it out")
    given = {**sections, "train": {"batch": BATCH, **sections["train"]}}
    plain = {key: validated(cls, given[key], f"[{key}]") for key, cls in PLAIN_SECTIONS.items()}
    assert isinstance(plain["train"], TrainSection)
    assert isinstance(plain["calibrate"], CalibrateSection)
    refuse_weights(plain["train"])
    if plain["calibrate"].method == "auto":  # steps, as isotonic has them, would make ties among what is ranked
        plain["calibrate"] = CalibrateSection(method="platt")
    plain["data"] = DataSection(table=store.folder.as_posix(), sequence=(store.manifest.sequence,))
    plain["target"] = TargetSection(column=target.columns, task=target.task)
    return Variant(draft.name, split=split, encoder=encoder, predictor=predictor, **plain)  # type: ignore[arg-type]


def _reads(predictor: Predictor) -> bool:
    """Whether it is a net of one column of tokens."""
    return isinstance(predictor, Net) and predictor.takes == "tokens" and predictor.n_columns in (0, 1)


def _findings(store: Store, drawn: ComponentParts) -> tuple[Finding, ...]:
    found = []
    if not drawn.held:
        why, what = ("it has no components, so ", "name their columns when packing, with --component")
        if store.manifest.components:
            why, what = ("", "leave split.kind out")
        message = (
            f"{store.folder}: {why}rows are tested at random: nothing here says how well molecules of new building blocks are "
            f"told; {what}"
        )
        found.append(finding("no-components", "warning", message))
    for each in store.manifest.targets:
        if each.known in (0, each.positive) or not each.positive:
            message = f"{store.folder}: target {each.name!r} has one class only; its scores are undefined"
            found.append(finding("one-class", "warning", message))
    return tuple(found)


def _refuse_lack(plan: StorePlan) -> None:
    empty = [part for part in ("train", "valid", *plan.tested) if not plan.counts[part]]
    if empty:
        counts = ", ".join(f"{name} {count:,}" for name, count in plan.counts.items())
        raise DataError(
            f"{plan.store.folder}: no row is {' or '.join(empty)} ({counts}); change split.held_out or split.test, or name fewer "
            "components with --set split.columns=COLUMN"
        )

"""What a net has learnt of residues: maps of the vectors that stand for them, and whether neighbours are those of BLOSUM62.

Vectors are those of one member: axes of an embedding turn freely, so that a mean over members means nothing. Training moves them
by a tenth of their length or less, so that they show their random start; what it has added is drawn instead, as the start is
known by its seed. The agreement with BLOSUM62, which does not depend on axes, is given for every member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from seqloom.alphabet import ALPHABETS, PROTEIN, UNKNOWN, Alphabet
from seqloom.config import Variant
from seqloom.errors import ConfigError, RunError
from seqloom.explain.maps import METHODS, Map, Method, flat_map
from seqloom.explain.properties import N_PARTNERS, Property, blosum62_partners, property_of
from seqloom.files import read_arrays, read_json
from seqloom.model import load_variant
from seqloom.predict.base import Dims
from seqloom.registry import available, nearest, recipe_class
from seqloom.run import Member, Run, read_resolved
from seqloom.tokens import ragged_bytes
from seqloom.training_rows import FILE as TRAINING_ROWS
from seqloom.training_rows import read_training_rows

WEIGHT = "embedding.weight"
N_SHUFFLES = 20_000
SAME_START = 1e-3
"""Of their length: by so much vectors may differ that are the same."""


class Embedding(NamedTuple):
    """What a member has learnt of the symbols of one sequence column."""

    column: str
    alphabet: Alphabet
    symbols: str
    """K, in the order of the alphabet: those that stand for something and were met in training."""
    vectors: np.ndarray  # float64 (K, D), of which maps are drawn
    whole: np.ndarray  # float64 (K, D), as the net reads them
    moved: float
    """How far training has moved a vector, in lengths of it, the median; NaN where `vectors` are the whole ones."""
    counts: np.ndarray | None  # int64 (K,), in distinct training sequences; None if the run does not hold them
    unmet: str
    """Standard symbols that no training sequence has: their vectors are still random."""

    @property
    def learnt(self) -> bool:
        """Whether `vectors` are what training has added."""
        return not np.isnan(self.moved)

    @property
    def nearest(self) -> np.ndarray:
        """The symbol with the nearest vector by Euclidean distance, which is what maps show, int64 (K,)."""
        return nearest_vectors(self.vectors)


class Agreement(NamedTuple):
    """How many residues have their nearest neighbour among their best BLOSUM62 partners.

    `by_chance`: mean, and ends of the middle 95 %, with residues shuffled among the vectors; `p`: how often a shuffle agrees as
    well, the one that was found counted (Phipson and Smyth 2010).
    """

    agreeing: np.ndarray  # bool (K,)
    by_chance: tuple[float, float, float]
    p: float


@dataclass(frozen=True)
class EmbeddingMap:
    """Maps of one column's embedding."""

    embedding: Embedding
    maps: tuple[Map, ...]
    colour: Property
    agreement: Agreement | None
    """None of an alphabet other than that of proteins."""
    by_member: Mapping[Member, int]
    """How many residues agree in every finished member; empty without agreement."""
    whole: int | None
    """How many agree by the vectors as they are; None without agreement."""


@dataclass(frozen=True)
class Asked:
    """What the maps should be like. `fold` and `seed`: of the member, the first finished one where they are None."""

    methods: tuple[Method, ...] = ("pca",)
    colour: str = ""
    perplexity: float | None = None
    fold: int | None = None
    seed: int | None = None
    whole: bool = False
    """Draw the vectors as they are, start and all."""
    random: int = 0
    """Seed of t-SNE, UMAP and shuffles."""


def read_methods(text: str) -> tuple[Method, ...]:
    """`pca,tsne` as methods; ConfigError for others.

    >>> read_methods("tsne, pca")
    ('tsne', 'pca')
    """
    asked = [part.strip().lower().replace("-", "") for part in text.split(",") if part.strip()]
    for each in asked:
        if each not in METHODS:
            raise ConfigError(
                f"--embedding {each}: no such map{nearest(each, METHODS)}; available: {', '.join(METHODS)}"
            )
    return tuple(method for each in dict.fromkeys(asked) for method in METHODS if method == each)


def embedding_maps(folder: Path, asked: Asked) -> tuple[Member, tuple[EmbeddingMap, ...]]:
    """The maps of every sequence column of a run, and the member they are of.

    ConfigError for runs without embeddings of symbols, RunError for members that are not there.
    """
    variant = load_net(folder)
    run = Run(folder, variant)
    member = chosen_member(run, asked.fold, asked.seed)
    found = []
    for place, own in enumerate(embeddings(run, member, whole=asked.whole)):
        colour = property_of(asked.colour, own.alphabet, own.symbols, own.counts, own.vectors)
        maps = tuple(flat_map(method, own.vectors, asked.perplexity, asked.random) for method in asked.methods)
        agreed, by_member, whole = None, {}, None
        if own.alphabet is PROTEIN:
            agreed = agreement(own.symbols, own.nearest, asked.random)
            whole = int(agreeing(own.symbols, nearest_vectors(own.whole)).sum())
            others = {each: embeddings(run, each, whole=asked.whole)[place] for each in run.members()}
            by_member = {each: int(agreeing(its.symbols, its.nearest).sum()) for each, its in others.items()}
        found.append(EmbeddingMap(own, maps, colour, agreed, by_member, whole))
    return member, tuple(found)


def embeddings(run: Run, member: Member, *, whole: bool = False) -> tuple[Embedding, ...]:
    """The embedding of every sequence column; ConfigError where the net has none that is over symbols.

    Its vectors are what training has added, unless `whole`, or where the start is not known: under another version of torch, say.
    """
    weights = read_arrays(run.member_folder(member) / "weights.safetensors")
    held = sorted(name for name in weights if name == WEIGHT or name.endswith(f".{WEIGHT}"))
    data = read_json(run.folder / "data.json")
    columns = {name: ALPHABETS[data["alphabets"][name]] for name in data["roles"]["sequences"]}
    kept = read_training_rows(run.folder / TRAINING_ROWS)
    tables = vectors_by_column([weights[name] for name in held], [each.size - 1 for each in columns.values()])
    if tables is None:
        raise ConfigError(
            f"{run.folder}: {run.variant.predictor.kind} holds no embedding of single symbols; {_who_can()}"
        )
    started = {} if whole or kept is None else starting_weights(run, member)
    starts = vectors_by_column(
        [started[name] for name in held if name in started], [each.size - 1 for each in columns.values()]
    )
    found = []
    for place, (column, alphabet) in enumerate(columns.items()):
        table = tables[place].astype(np.float64)
        counts = None if kept is None else symbol_counts(kept.sequences[column], alphabet)
        met = np.ones(len(table), bool) if counts is None else counts[1 : len(table) + 1] > 0
        ids = np.array([each - 1 for each in alphabet.ids(alphabet.standard) if met[each - 1]], np.int64)
        symbols = "".join(alphabet.symbols[each] for each in ids)
        added = None if starts is None else added_vectors(table, starts[place].astype(np.float64), met)
        moved = np.nan
        if added is not None:
            moved = float(np.median(np.linalg.norm(added[ids], axis=1) / np.linalg.norm(table[ids], axis=1)))
        own = None if counts is None else counts[ids + 1]
        unmet = "".join(each for each in alphabet.standard if each not in symbols)
        drawn = table if added is None else added
        found.append(Embedding(column, alphabet, symbols, drawn[ids], table[ids], moved, own, unmet))
    return tuple(found)


def starting_weights(run: Run, member: Member) -> dict[str, np.ndarray]:
    """The weights with which the training of a member began."""
    import torch

    from seqloom.predict.net import Net

    assert isinstance(run.variant.predictor, Net)
    dims = Dims(**read_json(run.folder / "target.json")["folds"][str(member.fold)]["dims"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(member.seed)
        state = run.variant.predictor.module(dims).state_dict()
    return {name: value.numpy() for name, value in state.items()}


def added_vectors(vectors: np.ndarray, start: np.ndarray, met: np.ndarray) -> np.ndarray | None:
    """What training has added to vectors (V - 1, D) that began as `start`; None where they did not begin so.

    Symbols that were never `met` (bool (V - 1,)) tell: weight decay has shortened them, all by the same factor, and no more.
    """
    if start.shape != vectors.shape or met.all():
        return None
    own, first = vectors[~met], start[~met]
    factor = float((own * first).sum() / max(float((first**2).sum()), 1e-12))
    if np.linalg.norm(own - factor * first) > SAME_START * np.linalg.norm(own):
        return None
    return np.asarray(vectors - factor * start)


def vectors_by_column(held: Sequence[np.ndarray], symbols: Sequence[int]) -> list[np.ndarray] | None:
    """The vectors of each column's symbols, float32 (V - 1, D), padding left out; None if no embedding is over them.

    One embedding holds the symbols of all columns one after the other, or there is one for each column.
    """
    flat = [each for each in held if each.ndim == 2]
    if len(flat) == 1 and len(flat[0]) > sum(symbols):
        starts = 1 + np.concatenate([[0], np.cumsum(symbols)])
        return [flat[0][start : start + n] for start, n in zip(starts, symbols, strict=False)]
    if len(flat) == len(symbols) and all(len(each) > n for each, n in zip(flat, symbols, strict=True)):
        return [each[1 : n + 1] for each, n in zip(flat, symbols, strict=True)]
    return None


def agreement(symbols: str, neighbour: np.ndarray, seed: int) -> Agreement:
    """How well nearest neighbours (K,) of amino acids agree with BLOSUM62."""
    partners, rows = blosum62_partners(symbols), np.arange(len(neighbour))
    own = agreeing(symbols, neighbour)
    shuffled = np.random.default_rng(seed).permuted(np.tile(rows, (N_SHUFFLES, 1)), axis=1)
    chance = partners[shuffled, shuffled[:, neighbour]].sum(1)
    low, high = np.quantile(chance, [0.025, 0.975], method="closest_observation")
    p = (1 + int((chance >= own.sum()).sum())) / (N_SHUFFLES + 1)
    return Agreement(own, (float(chance.mean()), float(low), float(high)), p)


def agreeing(symbols: str, neighbour: np.ndarray) -> np.ndarray:
    """Which of K amino acids have their neighbour among their best BLOSUM62 partners, bool (K,)."""
    return blosum62_partners(symbols)[np.arange(len(neighbour)), neighbour]


def nearest_vectors(vectors: np.ndarray) -> np.ndarray:
    """The nearest other of K vectors (K, D) by Euclidean distance, int64 (K,)."""
    distance = ((vectors[:, None] - vectors[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    return np.asarray(distance.argmin(1))


def symbol_counts(sequences: pa.ChunkedArray, alphabet: Alphabet) -> np.ndarray:
    """How often each id stands in these sequences, int64 (256,)."""
    return np.bincount(alphabet.look_up[ragged_bytes(sequences)[0]], minlength=UNKNOWN + 1)


def coordinates(maps: Sequence[EmbeddingMap]) -> pa.Table:
    """One row per symbol: counts, property, coordinates of every map, nearest symbol, and whether it is a BLOSUM62 partner."""
    parts = []
    for each in maps:
        own, symbols = each.embedding, list(each.embedding.symbols)
        columns: dict[str, Any] = {"column": [own.column] * len(symbols), "symbol": symbols}
        columns["in_training"] = [None] * len(symbols) if own.counts is None else own.counts
        columns[each.colour.name] = each.colour.values
        for drawn in each.maps:
            columns |= {f"{drawn.method}_{axis + 1}": drawn.places[:, axis] for axis in (0, 1)}
        columns["nearest"] = [symbols[place] for place in own.nearest]
        agreed = each.agreement
        columns["nearest_is_blosum62_partner"] = [None] * len(symbols) if agreed is None else agreed.agreeing
        parts.append(pa.table(columns))
    return pa.concat_tables(parts, promote_options="permissive")


def agreement_text(each: EmbeddingMap) -> str:
    """The agreement with BLOSUM62 in a sentence; '' of other alphabets."""
    if each.agreement is None:
        return ""
    mean, low, high = each.agreement.by_chance
    return (
        f"{int(each.agreement.agreeing.sum())} of {len(each.embedding.symbols)} residues have their nearest neighbour "
        f"(Euclidean{', by what training has added' if each.embedding.learnt else ''}) among their {N_PARTNERS} best BLOSUM62 "
        f"partners; shuffled residues {mean:.1f} ({low:.0f} to {high:.0f}), "
        f"p = {each.agreement.p:.2g}"
    )


def load_net(folder: Path) -> Variant:
    """The variant of a run whose predictor reads symbols; ConfigError of others, with runs beside it that do."""
    variant = load_variant(folder)
    if variant.predictor.takes == "tokens":
        return variant
    beside = [
        path.parent for path in sorted(folder.resolve().parent.glob("*/target.json")) if path.parent.name != folder.name
    ]
    others = [path for path in beside if read_resolved(path / "resolved.toml")["predictor"]["kind"] in _kinds()]
    there = f"; beside it: {', '.join(path.name for path in others)}" if others else ""
    raise ConfigError(
        f"{folder}: {variant.predictor.kind} reads features and has no embedding of symbols; {_who_can()}{there}"
    )


def chosen_member(run: Run, fold: int | None, seed: int | None) -> Member:
    """The first finished member of this fold and seed; RunError that names those there are."""
    members = run.members()
    for each in members:
        if each.fold == (each.fold if fold is None else fold) and each.seed == (each.seed if seed is None else seed):
            return each
    known = ", ".join(f"fold {each.fold} seed {each.seed}" for each in members[:8]) or "none is finished"
    wanted = " ".join(f"{name} {value}" for name, value in (("fold", fold), ("seed", seed)) if value is not None)
    raise RunError(f"{run.folder}: no member of {wanted or 'any kind'}; there are: {known}")


def _kinds() -> tuple[str, ...]:
    """Kinds of predictors that have an embedding of symbols."""
    from seqloom.predict.net import Net

    classes = {kind: recipe_class("predictor", kind) for kind in available("predictor")}
    return tuple(
        kind for kind, cls in classes.items() if issubclass(cls, Net) and getattr(cls, "takes", "") == "tokens"
    )


def _who_can() -> str:
    return f"nets that read symbols do: {', '.join(_kinds())}"

"""How long it takes to make tokens and to draw batches from a store, as ratios to named rivals in the same process.

`python bench/loader.py [tokenise|random|order]`: the parts to measure, all of them by default; one JSON line per figure, with its
bar. CPU seconds on one thread, median of interleaved repeats; memory that is freed stays with the process, as it does while nets
train. Strings imitate an enumerated library: 74 characters on average, those side by side of similar length; the time does not
depend on which symbols they hold.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from figures import medians, report
from torch.utils.data import DataLoader, Dataset

from seqloom.alphabet import SMILES
from seqloom.store import Store, open_store
from seqloom.store.gather import padded
from seqloom.store.layout import BLOCK, LABELS, MANIFEST, STARTS, VALUES, Manifest
from seqloom.store.native import has_numba
from seqloom.store.order import BlockOrder
from seqloom.store.subset import Members
from seqloom.store.tokenise import encode
from seqloom.tokens import WIDTH_STEP
from seqloom.training.memory import kept_memory

FORMS = {"numpy": False, **({"numba": True} if has_numba() else {})}
WIDTH, SYMBOLS = 160, b"CCCCCCNNOOc1ccnc2()()=[]@H3FS"
N_TEXTS, N_ROWS, BATCH, N_BATCHES, N_LOADED = 100_000, 4_000_000, 2000, 300, 20_000
TOKENISE_BARS = {"numpy": 20.0, "numba": 100.0}
GATHER_BARS = {"numpy": 0.3, "numba": 1.5}
LOADER_BAR, PADDING_BAR, EPOCH_BAR, BLOCKS_BAR = 20.0, 0.02, 0.25, 32
SHARE = 0.58


def library(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Text of n strings end to end, uint8, and the length of each, int64 (n,)."""
    rng = np.random.default_rng(seed)
    shared = np.repeat(rng.normal(0, 4, n // 500 + 1), 500)[:n]
    lengths = np.clip(np.rint(73.7 + shared + rng.normal(0, 6, n)), 40, 110).astype(np.int64)
    symbols = np.frombuffer(SYMBOLS, np.uint8)
    return symbols[rng.integers(0, len(symbols), int(lengths.sum()), dtype=np.uint8)], lengths


def as_original(strings: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask (n, 160): a look-up and a list for each molecule, then a loop that fills both."""
    lists = [SMILES.look_up[np.frombuffer(each.encode(), np.uint8)].tolist() for each in strings]
    ids, mask = np.zeros((len(lists), WIDTH), np.uint8), np.zeros((len(lists), WIDTH), np.uint8)
    for row, own in enumerate(lists):
        ids[row, : len(own)] = own
        mask[row, : len(own)] = 1
    return ids, mask


def tokenise() -> None:
    """Text to tokens."""
    text, lengths = library(N_TEXTS)
    ends = np.cumsum(lengths).tolist()
    strings = [text[end - length : end].tobytes().decode() for end, length in zip(ends, lengths.tolist(), strict=True)]
    copy = np.empty_like(text)
    tasks: dict[str, Callable[[], object]] = {"original": lambda: as_original(strings)}
    tasks |= {form: lambda native=native: encode(text, SMILES.look_up, native=native) for form, native in FORMS.items()}
    tasks["numpy look-up"] = lambda: SMILES.look_up[text]
    tasks["memcpy"] = lambda: np.copyto(copy, text)
    taken = medians(tasks)
    protocol = (
        f"{N_TEXTS:,} strings, to ragged tokens with unknown bytes counted; original: padded to {WIDTH}, with mask"
    )
    for form in FORMS:
        report(
            f"tokenise {form} / original", taken["original"] / taken[form], "x", TOKENISE_BARS[form], protocol,
            at_least=True, gb_per_s=round(len(text) / taken[form] / 1e9, 2),
        )  # fmt: skip
        report(f"tokenise {form} / numpy look-up", taken["numpy look-up"] / taken[form], "x", None, protocol)
        report(f"tokenise {form}, of memcpy", taken["memcpy"] / taken[form], "share", None, protocol)


def written(folder: Path, n: int) -> Store:
    """A store of n strings without labels."""
    text, lengths = library(n)
    values = SMILES.look_up[text]
    begins = np.cumsum(lengths) - lengths
    values.tofile(folder / VALUES)
    lengths.astype(np.uint8).tofile(folder / "lengths.u8")
    np.append(begins[::BLOCK], len(values)).astype("<i8").tofile(folder / STARTS)
    (folder / LABELS).touch()
    manifest = Manifest(
        alphabet="smiles", symbols=SMILES.symbols, rows=n, tokens=len(values), longest=int(lengths.max()), length_type="u8",
        sequence="smiles",
    )  # fmt: skip
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return open_store(folder)


class Rows(Dataset[tuple[np.ndarray, np.ndarray]]):
    """One row at a time of padded ids and their mask."""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        return self.ids[row], self.ids[row] > 0


def random_batches(store: Store) -> None:
    """Batches of rows from anywhere; all are in memory, those of the store as mapped files."""
    rng = np.random.default_rng(1)
    everything = np.concatenate(
        [padded(store, np.arange(i, min(i + 2**16, len(store))), WIDTH).ids for i in range(0, len(store), 2**16)]
    )
    batches = rng.integers(0, len(store), (N_BATCHES, BATCH))
    tasks: dict[str, Callable[[], object]] = {"padded": lambda: [len(everything[rows]) for rows in batches]}
    for form, native in FORMS.items():
        tasks[form] = lambda native=native: [len(padded(store, rows, native=native)) for rows in batches]
    rows = batches.ravel()[:N_LOADED]
    loader = DataLoader(Rows(everything), BATCH, sampler=rows.tolist())
    tasks["loader"] = lambda: [len(each) for each in loader]
    taken = {
        name: seconds / (N_LOADED if name == "loader" else batches.size) for name, seconds in medians(tasks).items()
    }
    protocol = f"batches of {BATCH:,} of {len(store):,} rows, trimmed ids and mask; rivals padded to {WIDTH}, in memory"
    for form in FORMS:
        own = taken[form]
        figures = {"rows_per_us": round(1e-6 / own, 2)}
        report(
            f"random batch {form} / padded NumPy gather of ids",
            taken["padded"] / own,
            "x",
            GATHER_BARS[form],
            protocol,
            at_least=True,
            **figures,
        )
        bar = LOADER_BAR if form == "numba" else None
        report(f"random batch {form} / DataLoader of rows", taken["loader"] / own, "x", bar, protocol, at_least=True)


def orders(store: Store) -> None:
    """A whole epoch in the order of blocks."""
    copy = np.empty_like(store.values)
    members = Members(np.random.default_rng(2).random(len(store)) < SHARE)
    for name, subset in (("all rows", None), (f"{SHARE:.0%} of rows, scattered", members)):
        batches = list(BlockOrder(store, BATCH, 0, subset).batches(0))
        symbols = sum(int(batch.lengths.sum()) for batch in batches)
        drawn = [(len(batch.rows), int(batch.lengths.max())) for batch in batches]
        exact, stepped = (
            sum(rows * (-(-longest // step) * step) for rows, longest in drawn) / symbols - 1
            for step in (1, WIDTH_STEP)
        )
        protocol = f"{name} of {len(store):,}, batches of {BATCH:,}: positions over symbols, less 1"
        report("padding to the longest of a batch", exact, "share", PADDING_BAR, protocol)
        report(f"padding to a multiple of {WIDTH_STEP}", stepped, "share", None, protocol)
        fewest = min(len(np.unique(batch.rows // BLOCK)) for batch in batches)
        report("blocks in a batch, fewest", fewest, "blocks", BLOCKS_BAR, protocol.split(":")[0], at_least=True)
        tasks: dict[str, Callable[[], object]] = {"memcpy": lambda: np.copyto(copy, store.values)}
        for form, native in FORMS.items():
            order = BlockOrder(store, BATCH, 0, subset, native)
            tasks[form] = lambda order=order, native=native: sum(
                len(padded(store, each, native=native)) for each in order.batches(1)
            )
            tasks[f"{form}, order"] = lambda order=order: sum(len(each) for each in order.batches(1))
        taken = medians(tasks)
        memcpy = len(store.values) / taken["memcpy"]
        for form in FORMS:
            protocol = f"{name} of {len(store):,}, mapped and warm: symbols a second, delivered as trimmed ids and mask"
            bar = EPOCH_BAR if form == "numba" else None
            written = 2 * sum(rows * (-(-longest // WIDTH_STEP) * WIDTH_STEP) for rows, longest in drawn)
            figures = {
                "gb_per_s": round(symbols / taken[form] / 1e9, 2),
                "ids_and_mask_of_memcpy": round(written / taken[form] / memcpy, 3),
                "order_share": round(taken[f"{form}, order"] / taken[form], 2),
            }
            report(
                f"epoch of blocks {form}, of memcpy",
                symbols / taken[form] / memcpy,
                "share",
                bar,
                protocol,
                at_least=True,
                **figures,
            )


def main() -> None:
    """The parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=["tokenise", "random", "order", []])
    parts = parser.parse_args().parts or ["tokenise", "random", "order"]
    torch.set_num_threads(1)
    print(f"forms: {', '.join(FORMS)}", file=sys.stderr)
    with kept_memory(), tempfile.TemporaryDirectory() as folder:
        if "tokenise" in parts:
            tokenise()
        if {"random", "order"} & set(parts):
            store = written(Path(folder), N_ROWS)
        if "random" in parts:
            random_batches(store)
        if "order" in parts:
            orders(store)


if __name__ == "__main__":
    main()

"""What packing a table into a store costs, and what the store is: one JSON line per figure, with its bar.

`python bench/pack.py [speed|memory|open] [--rows N]`: the parts to measure, all of them by default. Imitation molecules of 73
symbols with three labels and three components, as strings of an enumerated library are; on one thread.

speed    molecules per CPU second from Parquet, from a long table (three rows for each molecule), and from CSV
memory   most memory held by a process that packs `--rows` molecules, and bytes of the store per molecule
open     milliseconds to open a store of 10^8 rows, whose files are sparse; the reading of one row of it beside it
"""

import argparse
import json
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from seqloom.alphabet import SMILES
from seqloom.store import open_store
from seqloom.store.layout import BLOCK, ComponentFacts, Manifest, TargetFacts, ids_file
from seqloom.store.pack import pack

LEVELS = (271, 693, 872)
"""Building blocks of three kinds, as many as the library of BELKA has."""
TARGETS, COMPONENTS = ("BRD4", "HSA", "sEH"), ("bb1", "bb2", "bb3")
STRETCH = 1 << 20
N_OPENED = 10**8
REPEATS = 5
WIDE = {"sequence": "smiles", "target": TARGETS, "component": COMPONENTS, "alphabet": "smiles"}
LONG = {**WIDE, "target": (), "entity_target": "protein", "value": "binds"}
BARS = {
    "pack_parquet": 1e6, "pack_peak_mb": 1200, "pack_bytes_per_molecule": 82, "open_ms": 50,
}  # fmt: skip


def report(figure: str, value: float, unit: str, protocol: str, *, at_least: bool = False, **more: object) -> None:
    """One line; a bar is a maximum, or a minimum where `at_least` says so."""
    bar = BARS.get(figure)
    reached = {} if bar is None else {"bar": bar, "reached": value >= bar if at_least else value <= bar}
    print(
        json.dumps({"figure": figure, "value": round(value, 3), "unit": unit, **reached, **more, "protocol": protocol}),
        flush=True,
    )


def molecules(n: int, seed: int = 0) -> Iterator[pa.Table]:
    """`n` imitation molecules in tables of a million, in no order."""
    rng = np.random.default_rng(seed)
    symbols = np.array(list("CCCNOc1c(=)nsFS2"))
    blocks = [
        pa.array(["".join(rng.choice(symbols, rng.integers(low, low + 13))) for _ in range(number)])
        for number, low in zip(LEVELS, (15, 19, 17), strict=True)
    ]
    names = [
        pa.array([f"{component}-{each}" for each in range(number)])
        for component, number in zip(COMPONENTS, LEVELS, strict=True)
    ]
    for start in range(0, n, STRETCH):
        size = min(STRETCH, n - start)
        drawn = [pa.array(rng.integers(0, number, size)) for number in LEVELS]
        parts = [block.take(each) for block, each in zip(blocks, drawn, strict=True)]
        strings = pc.binary_join_element_wise(*parts, "[Dy]", "")
        yield pa.table({
            "smiles": strings,
            **{component: name.take(each) for component, name, each in zip(COMPONENTS, names, drawn, strict=True)},
            **{target: pa.array((rng.random(size) < 0.01).astype(np.int8)) for target in TARGETS},
        })  # fmt: skip


def write_parquet(path: Path, tables: Iterator[pa.Table]) -> None:
    """All tables, a row group each."""
    first = next(tables)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def speed(folder: Path, _: int) -> None:
    """Molecules per CPU second."""
    n = STRETCH
    table = next(molecules(n))
    write_parquet(folder / "wide.parquet", iter([table]))
    pa.csv.write_csv(table, folder / "wide.csv")
    rows = pa.array(np.repeat(np.arange(n), len(TARGETS)))
    long = table.select(["smiles", *COMPONENTS]).take(rows)
    long = long.append_column("protein", pa.array(list(TARGETS)).take(pa.array(np.tile(np.arange(len(TARGETS)), n))))
    labels = np.stack([table[target].to_numpy() for target in TARGETS], axis=1).ravel()
    pq.write_table(long.append_column("binds", pa.array(labels)), folder / "long.parquet", compression="zstd")
    cases = {"parquet": ("wide.parquet", WIDE), "long": ("long.parquet", LONG), "csv": ("wide.csv", WIDE)}
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(REPEATS):
        for name, (file, asked) in cases.items():
            started = time.process_time()
            pack(
                [folder / file],
                folder / name,
                overwrite=True,
                **asked,
                **({"repeats": "keep"} if name == "long" else {}),
            )
            taken[name].append(time.process_time() - started)
    for name, seconds in taken.items():
        protocol = f"{n:,} molecules, hashes included, median of {REPEATS} with the first, which loads libraries"
        report(f"pack_{name}", n / statistics.median(seconds), "molecules per CPU s", protocol, at_least=True)


def memory(folder: Path, n: int) -> None:
    """Of a process of its own, and the size of what it made."""
    room = shutil.disk_usage(folder).free
    if room < n * 200:
        print(
            f"memory: passed over, as {n:,} molecules need {n * 200 / 1e9:.1f} GB and {room / 1e9:.1f} are free",
            file=sys.stderr,
        )
        return
    # in a process of its own, as the most memory that a process has held is handed down to those it starts
    subprocess.run([sys.executable, __file__, "--rows", str(n), "--write", str(folder / "large.parquet")], check=True)
    code = (
        "import json, resource, sys, time\nfrom seqloom.store.pack import pack\n"
        "started, used = time.perf_counter(), time.process_time()\n"
        "facts = pack([sys.argv[1]], sys.argv[2], **json.loads(sys.argv[3]))\n"
        "facts['wall_s'], facts['cpu_s'] = time.perf_counter() - started, time.process_time() - used\n"
        "facts['peak'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nprint(json.dumps(facts))\n"
    )
    asked = json.dumps(WIDE)
    command = [sys.executable, "-c", code, str(folder / "large.parquet"), str(folder / "large"), asked]
    facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    protocol = f"{n:,} molecules from Parquet in a process of its own, default settings"
    more = {"wall_s": round(facts["wall_s"], 1), "cpu_s": round(facts["cpu_s"], 1)}
    report("pack_peak_mb", facts["peak"] * 1024 / 1e6, "MB resident", protocol, **more)
    mean = facts["tokens"] / facts["rows"]
    size = facts["bytes"] / facts["rows"]
    more = {"mean_length": round(mean, 2), "beyond_symbols": round(size - mean, 3)}
    report("pack_bytes_per_molecule", size, "bytes", protocol, **more)


def opened(folder: Path, _: int) -> None:
    """A store of 10^8 rows of 74 symbols; its files have that size, and next to nothing in them."""
    store, n, length = folder / "sparse", N_OPENED, 74
    store.mkdir()
    sizes = {"values.u8": n * length, "lengths.u8": n, "starts.i64": 8 * (-(-n // BLOCK) + 1), "labels.u8": n}
    sizes |= {ids_file(place, "i16"): 2 * n for place in range(len(COMPONENTS))}
    for name, size in sizes.items():
        with (store / name).open("wb") as file:
            file.truncate(size)
    kinds = zip(COMPONENTS, LEVELS, strict=True)
    manifest = Manifest(
        alphabet="smiles", symbols=SMILES.symbols, rows=n, tokens=n * length, longest=length, length_type="u8", sequence="smiles",
        targets=tuple(TargetFacts(name=name, known=n, positive=0) for name in TARGETS),
        components=tuple(ComponentFacts(name=name, levels=number, type="i16") for name, number in kinds),
    )  # fmt: skip
    (store / "manifest.json").write_text(manifest.model_dump_json())
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        found = open_store(store)
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    found.labels(np.array([n - 1]))
    row = time.perf_counter() - started
    protocol = f"a store of {n:,} rows of {length} symbols in sparse files, median of {REPEATS}"
    report("open_ms", 1000 * statistics.median(seconds), "ms", protocol, row_ms=round(1000 * row, 3))


PARTS = {"speed": speed, "memory": memory, "open": opened}


def main() -> None:
    """The parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=[], help=", ".join(PARTS))
    parser.add_argument("--rows", type=int, default=10**7, help="molecules of the part memory")
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write_parquet(arguments.write, molecules(arguments.rows))
        return
    for part in arguments.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="seqloom-") as name:
            PARTS[part](Path(name), arguments.rows)


if __name__ == "__main__":
    main()

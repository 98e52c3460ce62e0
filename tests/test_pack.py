"""Stores hold what the tables said, whatever wrote the tables, ended the work or filled the disk."""

import csv
import errno
import gzip
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import seqloom
from seqloom.alphabet import PROTEIN, SMILES
from seqloom.cli import main
from seqloom.errors import ConfigError, DataError, RunError
from seqloom.files import read_json
from seqloom.store import open_store
from seqloom.store import writer as writing
from seqloom.store.pack import Watcher, pack
from seqloom.store.repeats import find_repeats, hashes_of
from seqloom.store.sources import batches, look_at
from seqloom.tokens import ragged_bytes

TARGETS, BLOCKS = ("BRD4", "HSA", "sEH"), ("bb1", "bb2")
ASKED = {"sequence": "smiles", "target": TARGETS, "component": BLOCKS, "alphabet": "smiles"}
SMALL = {"memory": "16MB"}
"""Pieces of 256 to 16,384 rows."""


def library(n: int, seed: int = 0, missing: float = 0.1) -> pa.Table:
    """Imitation molecules of building blocks, in no order."""
    rng = np.random.default_rng(seed)
    blocks = np.array(["CC", "c1ccccc1", "C(=O)N", "CN1CCOCC1", "[Dy]", "Cl", "Br", "OCC#N"])
    drawn = rng.integers(0, len(blocks), (n, 4))
    return pa.table({
        "smiles": ["".join(blocks[row]) for row in drawn],
        "bb1": [None if row[0] == 5 else f"B{row[0]}" for row in drawn],
        "bb2": [f"x{row[1]}" for row in drawn],
        **{name: pa.array(rng.integers(0, 2, n).astype(np.int8), mask=rng.random(n) < missing) for name in TARGETS},
    })  # fmt: skip


def long_form(table: pa.Table, targets: tuple[str, ...] = TARGETS) -> pa.Table:
    """A row for each molecule and target."""
    rows = [
        {"smiles": row["smiles"], "bb1": row["bb1"], "bb2": row["bb2"], "protein": name, "binds": row[name]}
        for row in table.to_pylist() for name in targets
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def parquet(path: Path, table: pa.Table, **options: int) -> Path:
    pq.write_table(table, path, **options)
    return path


def bytes_of(folder: Path) -> dict[str, str]:
    """Every file of a folder by its hash."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def contents(folder: Path) -> list[tuple[str, tuple[float, ...], tuple[str | None, ...]]]:
    """Sequence, labels and components of every row, as they are read."""
    store = open_store(folder)
    strings = store.manifest.alphabet_.decode(store.stretch(0, len(store)))
    labels = [tuple(None if np.isnan(x) else int(x) for x in row) for row in store.labels(slice(None))]
    names = []
    for each in store.manifest.components:
        levels = [*store.levels(each.name), None]
        names.append([levels[index] for index in store.components[each.name]])
    return list(zip(strings, labels, zip(*names, strict=True) if names else [()] * len(store), strict=True))


def expected(table: pa.Table) -> list[tuple[str, tuple[float, ...], tuple[str | None, ...]]]:
    return [
        (row["smiles"], tuple(row[name] for name in TARGETS), tuple(row[name] for name in BLOCKS))
        for row in table.to_pylist()
    ]


LETTERS = st.text(SMILES.symbols, min_size=1, max_size=300)
LABEL = st.sampled_from([0, 1, None])
NAME = st.one_of(st.none(), st.text(min_size=1, max_size=5).filter(lambda text: text.isprintable()))


@settings(max_examples=12)
@given(st.lists(st.tuples(LETTERS, LABEL, LABEL, LABEL, NAME, NAME), min_size=1, max_size=40))
def test_what_was_packed_is_what_is_read(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("round")
    columns = list(zip(*rows, strict=True))
    types = [pa.string(), pa.int64(), pa.float64(), pa.int8(), pa.string(), pa.large_string()]
    table = pa.table(
        {
            name: pa.array(values, kind)
            for name, values, kind in zip(("smiles", *TARGETS, *BLOCKS), columns, types, strict=True)
        }
    )
    pack([parquet(folder / "t.parquet", table)], folder / "store", **ASKED)
    assert contents(folder / "store") == expected(table)


def test_every_way_to_write_a_table_gives_the_same_store(tmp_path):
    table = library(5000)
    plain, packed = tmp_path / "t.csv", {}
    pa.csv.write_csv(table, plain)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    rows = [[("" if cell is None else cell) for cell in row.values()] for row in table.to_pylist()]
    with (tmp_path / "t.tsv").open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file, delimiter="\t", lineterminator="\r\n").writerows([table.column_names, *rows])
    parquet(tmp_path / "t.parquet", table)
    shared = table.set_column(1, "bb1", table["bb1"].dictionary_encode())
    truth = shared.set_column(3, "BRD4", table["BRD4"].cast(pa.bool_())).set_column(
        4, "HSA", table["HSA"].cast(pa.float64())
    )
    parquet(tmp_path / "other.parquet", truth, row_group_size=700, compression="zstd", use_dictionary=False)
    for name, opened in (("file.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
        with pa.OSFile(str(tmp_path / name), "wb") as sink, opened(sink, truth.schema) as writer:
            writer.write_table(truth, max_chunksize=999)
    pa.csv.write_csv(truth.set_column(1, "bb1", table["bb1"]), tmp_path / "truth.csv")  # true and false
    names = ["t.csv", "t.csv.gz", "t.tsv", "t.parquet", "other.parquet", "file.arrow", "stream.arrow", "truth.csv"]
    for name in names:
        pack([tmp_path / name], tmp_path / f"s-{name}", **ASKED)
        found = bytes_of(tmp_path / f"s-{name}")
        found.pop("manifest.json")
        packed[name] = found
    assert all(each == packed["t.csv"] for each in packed.values())
    assert contents(tmp_path / "s-t.tsv") == expected(table)


def test_polars_and_its_string_views_are_read(tmp_path):
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(library(500))
    frame.write_ipc(tmp_path / "t.arrow")
    frame.write_parquet(tmp_path / "t.parquet")
    for name in ("t.arrow", "t.parquet"):
        pack([tmp_path / name], tmp_path / f"s-{name}", **ASKED)
        assert contents(tmp_path / f"s-{name}") == expected(library(500))


def test_several_tables_are_one_in_their_order(tmp_path):
    table = library(3000)
    parts = [table.slice(0, 1), table.slice(1, 1700), table.slice(1701, 0), table.slice(1701)]
    paths = [parquet(tmp_path / f"{number}.parquet", part) for number, part in enumerate(parts)]
    pack(paths, tmp_path / "parts", **ASKED, **SMALL)
    pack([parquet(tmp_path / "whole.parquet", table)], tmp_path / "whole", **ASKED)
    parts, whole = bytes_of(tmp_path / "parts"), bytes_of(tmp_path / "whole")
    parts.pop("manifest.json"), whole.pop("manifest.json")
    assert parts == whole


def test_a_table_is_read_from_any_row_in_pieces_that_end_on_a_grid(tmp_path):
    table = library(1000)
    paths = [parquet(tmp_path / "t.parquet", table, row_group_size=130), tmp_path / "t.csv", tmp_path / "t.arrow"]
    pa.csv.write_csv(table, paths[1])
    with pa.OSFile(str(paths[2]), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=77)
    for shard, start in itertools.product(look_at(paths), (0, 1, 129, 130, 600, 999, 1000)):
        pieces = list(batches(shard, ["smiles"], 64, start))
        assert [text for piece in pieces for text in piece["smiles"].to_pylist()] == table["smiles"].to_pylist()[start:]
        ends = start + np.cumsum([piece.num_rows for piece in pieces])
        assert all(end % 64 == 0 for end in ends[:-1])


def test_ids_of_components_do_not_depend_on_the_order_of_rows(tmp_path):
    table = library(2000)
    order = np.random.default_rng(1).permutation(2000)
    pack([parquet(tmp_path / "a.parquet", table)], tmp_path / "a", **ASKED)
    pack([parquet(tmp_path / "b.parquet", table.take(pa.array(order)))], tmp_path / "b", **ASKED)
    a, b = open_store(tmp_path / "a"), open_store(tmp_path / "b")
    assert a.levels("bb1") == b.levels("bb1") == sorted(a.levels("bb1"))
    assert np.array_equal(a.components["bb1"][order], b.components["bb1"])


def test_types_are_as_narrow_as_the_longest_row_and_the_number_of_levels_allow(tmp_path):
    sequences = ["A" * 70_000, "AC", "ACD" * 100]
    for longest, kind in ((1, "u8"), (2, "u16"), (0, "u32")):
        rows = {0: [0, 1, 2], 1: [1], 2: [1, 2]}[longest]
        table = pa.table({"sequence": [sequences[row] for row in rows]})
        pack([parquet(tmp_path / "t.parquet", table)], tmp_path / kind, alphabet="protein")
        assert open_store(tmp_path / kind).manifest.length_type == kind
        assert [row for row, _, _ in contents(tmp_path / kind)] == table["sequence"].to_pylist()
    n = 2**15 + 1
    many = pa.table({"sequence": ["AC"] * n, "name": np.arange(n)})
    facts = pack(
        [parquet(tmp_path / "m.parquet", many)],
        tmp_path / "m",
        sequence="sequence",
        component="name",
        alphabet="protein",
    )
    assert facts["components"] == [{"name": "name", "levels": n, "type": "i32"}]
    assert {name for _, _, (name,) in contents(tmp_path / "m")} == {str(number) for number in range(n)}


def test_sequences_are_read_as_everywhere_else_and_rewritten_in_turn(tmp_path):
    table = pa.table({"peptide": ["mkv", " MKV* ", "M K\tV", "MKV"], "y": [1, 0, None, 1]})
    pack([parquet(tmp_path / "t.parquet", table)], tmp_path / "s", sequence="peptide", target="y")
    store = open_store(tmp_path / "s")
    assert PROTEIN.decode(store.stretch(0, 4)) == ["MKV"] * 4
    assert (store.manifest.alphabet, store.manifest.targets[0].known, store.manifest.targets[0].positive) == (
        "protein",
        3,
        2,
    )
    table = pa.table({"smiles": ["CC[Dy]", "[Dy]N=C"]})
    path = parquet(tmp_path / "m.parquet", table)
    pack([path], tmp_path / "m", sequence="smiles", rewrite=("[Dy]=C", "N=C=>O"), alphabet="smiles")
    assert SMILES.decode(open_store(tmp_path / "m").stretch(0, 2)) == ["CCC", "CO"]
    for wrong in ("[Dy]", "=C", "A=B=C"):
        with pytest.raises(ConfigError, match="OLD=NEW"):
            pack([path], tmp_path / "w", sequence="smiles", rewrite=(wrong,))


# Long tables


@settings(max_examples=12)
@given(
    st.lists(
        st.tuples(st.sampled_from("CNO"), st.sampled_from("ab"), st.sampled_from(TARGETS), LABEL),
        min_size=1,
        max_size=60,
    )
)
def test_folding_is_what_grouping_consecutive_rows_gives(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("fold")
    columns = zip(("smiles", "bb1", "protein", "binds"), zip(*rows, strict=True), strict=True)
    table = pa.table(
        {name: pa.array(values, pa.int8() if name == "binds" else pa.string()) for name, values in columns}
    )
    cut = len(rows) // 3
    paths = [parquet(folder / "1.parquet", table.slice(0, cut)), parquet(folder / "2.parquet", table.slice(cut))]
    asked = {"sequence": "smiles", "component": "bb1", "entity_target": "protein", "value": "binds", "target": TARGETS,
             "alphabet": "smiles", "bad_rows": "skip", "repeats": "keep"}  # fmt: skip
    good, left, seen, repeats = [], 0, set(), 0
    for (smiles, block), group in itertools.groupby(rows, key=lambda row: row[:2]):
        group = list(group)
        said = [{y for _, _, name, y in group if name == target} - {None} for target in TARGETS]
        if max(map(len, said)) > 1:
            left += len(group)
            continue
        good.append((smiles, tuple(next(iter(each), None) for each in said), (block,)))
        repeats += (smiles, block) in seen
        seen.add((smiles, block))
    if not good:
        with pytest.raises(DataError, match="no row could be packed"):
            pack(paths, folder / "s", **asked)
        return
    facts = pack(paths, folder / "s", **asked)
    assert contents(folder / "s") == good
    assert (facts["left_out"].get("disagreement", 0), facts["repeats"]) == (left, repeats)


def test_a_long_table_in_many_pieces_is_the_wide_one(tmp_path):
    table = library(3000)
    table = table.append_column(
        "bb0", pa.array(np.arange(3000).astype(str))
    )  # so that every molecule is one of its own
    long = long_form(table).append_column("bb0", pa.array(np.repeat(np.arange(3000), 3).astype(str)))
    asked = {**ASKED, "component": ("bb0", *BLOCKS)}
    pack([parquet(tmp_path / "w.parquet", table)], tmp_path / "w", **asked)
    paths = [parquet(tmp_path / f"{start}.parquet", long.slice(start, 2500)) for start in range(0, 9000, 2500)]
    asked = {**asked, "target": (), "entity_target": "protein", "value": "binds"}
    pack(paths, tmp_path / "l", **asked, **SMALL)
    wide, found = bytes_of(tmp_path / "w"), bytes_of(tmp_path / "l")
    wide.pop("manifest.json"), found.pop("manifest.json")
    assert wide == found


def test_rows_of_a_molecule_that_disagree_are_named(tmp_path):
    table = pa.table(
        {"smiles": ["CC", "CC", "CC", "CN"], "protein": ["HSA", "sEH", "HSA", "HSA"], "binds": [0, 1, 1, 0]}
    )
    path = parquet(tmp_path / "t.parquet", table)
    asked = {"sequence": "smiles", "entity_target": "protein", "value": "binds", "alphabet": "smiles"}
    with pytest.raises(DataError, match=r"t\.parquet row 1: disagreement in 'HSA is 0 in row 1, 1 in row 3'"):
        pack([path], tmp_path / "s", **asked)
    facts = pack([path], tmp_path / "s", **asked, bad_rows="skip")
    assert (facts["rows"], facts["left_out"]) == (1, {"disagreement": 3})


def test_a_target_of_a_long_table_that_was_not_named_is_a_bad_row(tmp_path):
    table = pa.table({"smiles": ["CC", "CN"], "protein": ["HSA", "BRD4"], "binds": [0, 1]})
    asked = {"sequence": "smiles", "entity_target": "protein", "value": "binds", "target": "HSA", "alphabet": "smiles"}
    with pytest.raises(DataError, match="row 2: unknown target in 'BRD4'"):
        pack([parquet(tmp_path / "t.parquet", table)], tmp_path / "s", **asked)


def test_rows_of_a_molecule_that_do_not_stand_together_stop_the_work_until_they_are_kept(tmp_path):
    table = pa.table(
        {
            "smiles": ["CC", "CN", "CC", "CC", "O", "CN"],
            "protein": ["a", "a", "b", "a", "a", "b"],
            "y": [0, 1, 0, 1, 0, 0],
        }
    )
    path = parquet(tmp_path / "t.parquet", table)
    asked = {"sequence": "smiles", "entity_target": "protein", "value": "y", "alphabet": "smiles"}
    with pytest.raises(
        DataError, match=r"2 times rows of one molecule(.|\n)*t\.parquet row 3: the molecule of .*t\.parquet row 1\n"
    ):
        pack([path], tmp_path / "s", **asked)
    facts = pack([path], tmp_path / "s", **asked, repeats="keep")
    assert (facts["rows"], facts["repeats"], facts["written"]) == (5, 2, 0)  # the rows were there already


def test_repeats_are_found_with_any_memory_and_hashes_tell_molecules_apart(tmp_path):
    rng = np.random.default_rng(0)
    strings = ["".join(rng.choice(list("CN"), rng.integers(0, 20))) for _ in range(4000)]
    text, offsets = ragged_bytes(strings)
    ids = rng.integers(-1, 2, (2, 4000)).astype(np.int32)
    hashes = hashes_of(text, offsets, ids)
    first, pairs = {}, []
    for row, key in enumerate(zip(strings, *ids.tolist(), strict=True)):
        if first.setdefault(key, row) != row:
            pairs.append((row, first[key]))
    assert len(np.unique(hashes)) == len(first)
    for memory in (10**9, 5000, 1):
        found = find_repeats(np.array_split(hashes, 7), len(strings), memory, tmp_path)
        assert (found.number, found.first) == (len(pairs), pairs[:5])
    assert not list(tmp_path.iterdir())


# Bad rows


BAD = {
    "unknown symbol": ({"smiles": "C{C"}, r"row 301: unknown symbol '\{' in 'C\{C'"),
    "empty sequence": ({"smiles": None}, "row 301: empty sequence in ''"),
    "label": ({"HSA": 2}, "row 301: label in 'HSA=2'"),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_stops_the_work_by_name_or_is_left_out_and_listed(tmp_path, reason):
    change, message = BAD[reason]
    rows = library(1000).to_pylist()
    good = library(1000)
    rows[300].update(change)
    path = parquet(tmp_path / "t.parquet", pa.Table.from_pylist(rows))
    with pytest.raises(DataError, match=message):
        pack([path], tmp_path / "s", **ASKED, **SMALL)
    facts = pack([path], tmp_path / "s", **ASKED, **SMALL, bad_rows="skip")
    assert (facts["rows"], facts["left_out"]) == (999, {reason: 1})
    with (tmp_path / "s" / "left_out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["file"], row["row"], row["reason"]) == (str(path), "301", reason)
    assert contents(tmp_path / "s") == [each for place, each in enumerate(expected(good)) if place != 300]
    pack([path], tmp_path / "at once", **ASKED, bad_rows="skip")
    assert bytes_of(tmp_path / "s") == bytes_of(tmp_path / "at once")


def test_labels_that_are_text_or_fractions_are_told_from_those_that_are_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("smiles,y\nC,1\nN,0.0\nO,\nS,NA\nP,0.5\nF,yes\nI,-1\n")
    with pytest.raises(DataError, match="3 rows cannot be packed") as caught:
        pack([path], tmp_path / "s", sequence="smiles", target="y", alphabet="smiles")
    assert [part in str(caught.value) for part in ("row 5: label in 'y=0.5'", "row 6: label in 'y=yes'", "'y=-1'")] == [
        True
    ] * 3
    pack([path], tmp_path / "s", sequence="smiles", target="y", alphabet="smiles", bad_rows="skip")
    assert [labels for _, labels, _ in contents(tmp_path / "s")] == [(1,), (0,), (None,), (None,)]


def test_at_most_five_bad_rows_are_named_and_a_store_of_nothing_is_refused(tmp_path):
    path = parquet(tmp_path / "t.parquet", pa.table({"smiles": ["{"] * 9}))
    with pytest.raises(DataError, match="9 rows cannot be packed") as caught:
        pack([path], tmp_path / "s", sequence="smiles", alphabet="smiles")
    assert str(caught.value).count("unknown symbol") == 5
    with pytest.raises(DataError, match=r"no row could be packed \(left out: 9 unknown symbol\)"):
        pack([path], tmp_path / "s", sequence="smiles", alphabet="smiles", bad_rows="skip")


# Tables that are damaged or do not fit


def test_tables_that_do_not_fit_are_all_named_before_anything_is_written(tmp_path):
    table = library(100)
    paths = [parquet(tmp_path / f"{number}.parquet", table) for number in range(4)]
    whole = paths[1].read_bytes()
    paths[1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"1\.parquet: this file is damaged or was not written to its end"):
        pack(paths, tmp_path / "s", **ASKED)
    parquet(paths[1], table.rename_columns(["smile", *table.column_names[1:]]))
    parquet(paths[2], table.set_column(1, "bb1", pa.array(np.arange(100) / 2)))
    parquet(paths[3], table.set_column(0, "smiles", pa.array(np.arange(100))))
    with pytest.raises(DataError) as caught:
        pack(paths, tmp_path / "s", **ASKED)
    said = str(caught.value)
    assert "3 of 4 tables do not fit; nothing was written" in said
    assert "1.parquet: no column 'smiles'; did you mean 'smile'?" in said
    assert "2.parquet: column 'bb1' is double" in said
    assert "3.parquet: column 'smiles' is int64, and a sequence is text" in said
    assert not (tmp_path / "s").exists()


def test_a_table_damaged_inside_is_named_with_the_row_and_the_work_goes_on_once_it_is_whole(tmp_path):
    table = library(60_000)
    path = parquet(tmp_path / "t.parquet", table, row_group_size=10_000, compression="zstd")
    whole = path.read_bytes()
    middle = pq.ParquetFile(path).metadata.row_group(4).column(0).data_page_offset
    path.write_bytes(whole[: middle + 30] + bytes(200) + whole[middle + 230 :])
    times = path.stat().st_mtime_ns
    with pytest.raises(DataError, match=r"t\.parquet: damaged after row [34]\d,\d{3}"):
        pack([path], tmp_path / "s", **ASKED, **SMALL)
    path.write_bytes(whole)
    os.utime(path, ns=(times, times))
    assert pack([path], tmp_path / "s", **ASKED, **SMALL)["rows"] == 60_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "smiles,y\nC,1\nN,0,7\n", r"row 2 has 3 cells, and the header 2"),
        ("t.csv", "smiles,y\n", "no rows"),
        ("t.csv", "", "the file is empty"),
        ("t.fasta", ">a\nMKV\n", "FASTA files cannot be packed"),
        ("t.csv", "smiles,y\nC\xe9,1\n", "unknown symbol 'é'"),
        ("t.zip", "PK\x03\x04", "zip archive"),
    ],
)
def test_files_that_are_no_table_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        pack([tmp_path / name], tmp_path / "s", sequence="smiles", target="y", alphabet="smiles")


def test_text_that_ends_too_early_or_is_not_utf_8_is_named(tmp_path):
    text = b"smiles,y\n" + b"CCN,1\n" * 400_000
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text)[:-2000])
    (tmp_path / "l.csv").write_bytes(text + "é,1\n".encode("latin1"))
    for name in ("t.csv.gz", "l.csv"):
        with pytest.raises(DataError, match=rf"{name}: (damaged after row [1-9]|this file is damaged)"):
            pack([tmp_path / name], tmp_path / f"s-{name}", sequence="smiles", target="y", alphabet="smiles")


def test_the_column_of_sequences_is_found_where_one_can_be_it(tmp_path):
    path = parquet(tmp_path / "t.parquet", pa.table({"peptide": ["MKVLWAAG", "PEPTIDE"], "y": [0, 1]}))
    assert pack([path], tmp_path / "s", target="y")["sequence"] == "peptide"
    path = parquet(tmp_path / "two.parquet", pa.table({"peptide": ["MKVLWAAG"], "protein": ["PEPTIDE"]}))
    with pytest.raises(
        ConfigError, match="'peptide', 'protein' may all be that of the sequences; name it with --sequence"
    ):
        pack([path], tmp_path / "t")


# Going on


class Killed(BaseException):
    """Stands for the end of a process."""


def test_a_store_whose_writing_ended_at_any_moment_is_gone_on_with_to_the_same_bytes(tmp_path, monkeypatch):
    rows = library(40_000, missing=0).to_pylist()
    for row in range(0, 40_000, 7001):
        rows[row]["smiles"] = "{"
    table = pa.Table.from_pylist(rows)
    path = parquet(tmp_path / "t.parquet", table)
    long = long_form(table.slice(0, 6000), TARGETS[:2]).append_column("bb0", pa.array(np.repeat(np.arange(6000), 2)))
    other = parquet(tmp_path / "l.parquet", long)
    cases = (
        (path, {**ASKED, "bad_rows": "skip"}),
        (other, {"sequence": "smiles", "component": ("bb0", *BLOCKS), "entity_target": "protein", "value": "binds",
                 "alphabet": "smiles", "bad_rows": "skip"}),
    )  # fmt: skip
    monkeypatch.setattr("seqloom.store.begin.MOST_ROWS", 1024)
    monkeypatch.setattr("seqloom.store.pack.UNSAFE_SHARE", 16_000_000 // 100_000)
    write = writing.Writer._write
    left = [10**9]

    def fails(self, name, data):
        left[0] -= 1
        if not left[0]:
            write(self, name, data[: len(data) // 2])
            raise Killed
        write(self, name, data)

    monkeypatch.setattr(writing.Writer, "_write", fails)
    moments = random.Random(0)
    for number, (source, asked) in enumerate(cases):
        pack([source], tmp_path / f"whole-{number}", **asked, **SMALL)
        n_writes = 10**9 - left[0]
        goings = 0
        for _ in range(3):
            folder = tmp_path / f"killed-{number}"
            shutil.rmtree(folder, ignore_errors=True)
            while True:
                left[0] = moments.randrange(1, n_writes)
                try:
                    facts = pack([source], folder, **asked, **SMALL)
                except Killed:
                    goings += 1
                    continue
                break
            left[0] = 10**9
            assert bytes_of(folder) == bytes_of(tmp_path / f"whole-{number}")
            assert facts["rows"] == open_store(folder).manifest.rows
        left[0] = 10**9
        assert goings >= 3


COMMAND = "from seqloom.store.pack import pack\nimport sys\npack([sys.argv[1]], sys.argv[2], sequence='smiles', target='BRD4,HSA,sEH', " \
    "component='bb1,bb2', alphabet='smiles', memory='16MB')"  # fmt: skip


@pytest.mark.slow
def test_a_store_killed_at_ten_random_moments_is_gone_on_with_to_the_same_bytes(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.concat_tables([library(20_000)] * 100)
    parquet(path, table)
    command = [sys.executable, "-c", COMMAND, str(path)]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    total = (tmp_path / "whole" / "values.u8").stat().st_size
    moments = random.Random(0)
    for moment in sorted(moments.random() for _ in range(10)):
        values = tmp_path / "killed" / "values.u8"
        process = subprocess.Popen([*command, str(tmp_path / "killed")])
        while process.poll() is None and not (values.exists() and values.stat().st_size >= moment * total):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([*command, str(tmp_path / "killed")], check=True)
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "killed")


def test_a_terminated_pack_ends_as_an_interrupted_one_and_goes_on(tmp_path):
    path = parquet(tmp_path / "t.parquet", library(2000))
    asked = [str(path), "-o", str(tmp_path / "s"), "--sequence", "smiles", "--target", ",".join(TARGETS)]

    class Stopping(Watcher):
        def rows(self, done: int, total: int) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        pack([path], tmp_path / "s", sequence="smiles", target=TARGETS, watcher=Stopping())
    assert signal.getsignal(signal.SIGTERM) is before
    done = CliRunner().invoke(main, ["pack", *asked])
    assert done.exit_code == 0, done.output


def test_another_store_in_the_folder_is_refused_with_what_differs(tmp_path):
    table = library(2000)
    rows = table.to_pylist()
    rows[1900]["smiles"] = "{"
    path = parquet(tmp_path / "t.parquet", pa.Table.from_pylist(rows))
    with pytest.raises(DataError):
        pack([path], tmp_path / "s", **ASKED, **SMALL)
    with pytest.raises(RunError, match=r"target: \['BRD4', 'HSA', 'sEH'\] before, \['HSA'\] now"):
        pack([path], tmp_path / "s", **{**ASKED, "target": "HSA"})
    with pytest.raises(DataError, match="a store that is not finished; run the same seqloom pack again"):
        open_store(tmp_path / "s")
    parquet(path, table)
    with pytest.raises(RunError, match=r"t\.parquet: the file has changed"):
        pack([path], tmp_path / "s", **ASKED)
    assert pack([path], tmp_path / "s", **ASKED, overwrite=True)["rows"] == 2000
    assert pack([path], tmp_path / "s", **ASKED)["written"] == 0
    with pytest.raises(RunError, match="rewrite: nothing before"):
        pack([path], tmp_path / "s", **ASKED, rewrite=("[Dy]=C",))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    (tmp_path / "mine" / "my.draft").touch()
    with pytest.raises(RunError, match=r"there are other files in it, such as 'notes\.txt'"):
        pack([path], tmp_path / "mine", **ASKED, overwrite=True)
    assert (tmp_path / "mine" / "my.draft").exists()


def test_one_process_at_a_time_packs_into_a_folder(tmp_path):
    path = parquet(tmp_path / "t.parquet", library(100))
    with writing.locked(tmp_path), pytest.raises(RunError, match="another process is packing"):
        pack([path], tmp_path, **ASKED)


# Disks


def test_a_disk_without_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    path = parquet(tmp_path / "t.parquet", library(5000))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6 - 1000, 1000))
    with pytest.raises(RunError, match=r"needs about 0\.000\d+ GB while it is written.*nothing was written"):
        pack([path], tmp_path / "s", **ASKED)
    assert not (tmp_path / "s").exists()


def test_a_disk_that_fills_up_is_said_and_the_work_goes_on_when_there_is_room(tmp_path, monkeypatch):
    path = parquet(tmp_path / "t.parquet", library(40_000))
    pack([path], tmp_path / "whole", **ASKED, **SMALL)
    monkeypatch.setattr("seqloom.store.pack.UNSAFE_SHARE", 16_000_000 // 100_000)
    write, full = writing.Writer._write, [True]

    def fills(self, name, data):
        if full[0] and self._sizes["values.u8"] > 400_000:
            write(self, name, data[: len(data) // 3])
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, name, data)

    monkeypatch.setattr(writing.Writer, "_write", fills)
    with pytest.raises(RunError, match=r"No space left on device.*run the same command: it goes on"):
        pack([path], tmp_path / "s", **ASKED, **SMALL)
    sizes = read_json(tmp_path / "s" / "progress.json")["sizes"]
    assert sizes["values.u8"] > 0
    assert all((tmp_path / "s" / name).stat().st_size == size for name, size in sizes.items())
    full[0] = False
    pack([path], tmp_path / "s", **ASKED, **SMALL)
    assert bytes_of(tmp_path / "s") == bytes_of(tmp_path / "whole")


def test_a_file_that_the_system_refuses_to_let_grow_leaves_nothing_corrupt(tmp_path):
    resource = pytest.importorskip("resource")
    path = parquet(tmp_path / "t.parquet", pa.concat_tables([library(20_000)] * 5))
    command = [sys.executable, "-c", COMMAND, str(path), str(tmp_path / "s")]
    limit = f"import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (900_000, {resource.RLIM_INFINITY}))\n"
    small = subprocess.run(
        [sys.executable, "-c", limit + COMMAND, *command[3:]], capture_output=True, text=True, check=False
    )
    assert "RunError" in small.stderr
    assert "it goes on from there" in small.stderr
    asked = {"sequence": "smiles", "target": ",".join(TARGETS), "component": "bb1,bb2", "alphabet": "smiles"}
    pack([str(path)], tmp_path / "s", **asked)
    pack([str(path)], tmp_path / "whole", **asked)
    assert bytes_of(tmp_path / "s") == bytes_of(tmp_path / "whole")


# Molecules


def test_canonical_molecules_are_made_once_and_unreadable_ones_are_bad_rows(tmp_path, monkeypatch):
    chem = pytest.importorskip("rdkit.Chem")
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    strings = ["C(O)C", "OCC", "c1ccccc1[Dy]", "C1CC"]
    path = parquet(tmp_path / "t.parquet", pa.table({"smiles": strings}))
    asked = {"sequence": "smiles", "canonical": True, "rewrite": ("[Dy]=C",)}
    with pytest.raises(DataError, match="row 4: unreadable molecule in 'C1CC'"):
        pack([path], tmp_path / "s", **asked)
    monkeypatch.setattr("seqloom.store.molecules.canonical_or_none", lambda _: pytest.fail("made a second time"))
    facts = pack([path], tmp_path / "s", **asked, bad_rows="skip")
    assert facts["left_out"] == {"unreadable molecule": 1}
    made = [chem.MolToSmiles(chem.MolFromSmiles(text.replace("[Dy]", "C"))) for text in strings[:3]]
    assert [text for text, _, _ in contents(tmp_path / "s")] == made
    assert open_store(tmp_path / "s").manifest.canonical.startswith("RDKit 20")


@pytest.mark.slow
def test_several_processes_make_the_same_molecules(tmp_path, monkeypatch):
    chem = pytest.importorskip("rdkit.Chem")
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("seqloom.store.molecules.PIECE", 300)
    table = library(1000)
    path = parquet(tmp_path / "t.parquet", table)
    pack([path], tmp_path / "s", **ASKED, canonical=True, bad_rows="skip")
    with pytest.importorskip("rdkit.rdBase").BlockLogs():
        read = [chem.MolFromSmiles(text) for text in table["smiles"].to_pylist()]
    made = [chem.MolToSmiles(each) for each in read if each]
    assert [text for text, _, _ in contents(tmp_path / "s")] == [
        text for text in made if "<" not in text
    ]  # no symbol of ours


# The command


def test_the_command_packs_and_inspect_shows_what_is_in_a_store(tmp_path):
    table = library(3000)
    path = parquet(tmp_path / "t.parquet", table)
    store = str(tmp_path / "s")
    run = CliRunner().invoke(
        main,
        [
            "pack",
            str(path),
            "-o",
            store,
            "--sequence",
            "smiles",
            "--target",
            "BRD4,HSA,sEH",
            "--component",
            "bb1,bb2",
            "--json",
        ],
    )
    assert run.exit_code == 0, run.output
    facts = json.loads(run.stdout)
    assert (facts["command"], facts["rows"], facts["alphabet"]) == ("pack", 3000, "smiles")
    looked = json.loads(CliRunner().invoke(main, ["inspect", store, "--json"]).stdout)
    lengths = [len(text) for text in table["smiles"].to_pylist()]
    assert looked["lengths"]["median"] == np.median(lengths)
    assert (looked["lengths"]["min"], looked["lengths"]["max"]) == (min(lengths), max(lengths))
    assert looked["lengths"]["p99"] == np.quantile(lengths, 0.99, method="nearest")
    positive = [sum(value == 1 for value in table[name].to_pylist()) for name in TARGETS]
    assert [each["positive"] for each in looked["targets"]] == positive
    assert [each["levels"] for each in looked["components"]] == [7, 8]
    files = [each for each in (tmp_path / "s").iterdir() if each.name != "manifest.json"]
    assert looked["bytes"] == sum(each.stat().st_size for each in files)
    assert looked["sources"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(seqloom.open_store(store)) == seqloom.pack([path], store, **{**ASKED, "alphabet": ""})["rows"]
    text = CliRunner().invoke(main, ["inspect", store]).output
    assert "a store of 3,000 rows" in text
    assert "target HSA" in text
    refused = CliRunner().invoke(main, ["inspect", store, "--target", "HSA"])
    assert refused.exit_code == 1
    assert "--target" in refused.output


def test_settings_that_cannot_be_are_refused(tmp_path):
    path = parquet(tmp_path / "t.parquet", library(10))
    for asked, message in (
        ({"entity_target": "protein"}, "needs both"), ({"alphabet": "klingon"}, "no alphabet"), ({"memory": "much"}, "such as 1GB"),
        ({"memory": "1MB"}, "at least 16MB"), ({"target": "smiles"}, "named twice"), ({"bad_rows": "eat"}, "'stop' or 'skip'"),
        ({"canonical": True, "alphabet": "dna"}, "for molecules"), ({"speed": 1}, "no setting 'speed'"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            pack([path], tmp_path / "s", sequence="smiles", **asked)

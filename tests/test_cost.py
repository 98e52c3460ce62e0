"""Plans: what is measured leaves nothing behind, what is computed is what the files and arrays come to, and times add up by hand."""

import json
import mmap
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import seqloom
from seqloom.cli import main
from seqloom.cost import plan as planning
from seqloom.cost.net import learnt_rows, net_cost
from seqloom.cost.packing import packed_piece
from seqloom.cost.plan import plan
from seqloom.cost.probe import Asked, Memory, Probed, anonymous_bytes, probe
from seqloom.cost.sample import sampled
from seqloom.cost.sizes import RowBytes, order_arrays
from seqloom.cost.whole import of_store
from seqloom.errors import ConfigError, DataError, RunError
from seqloom.library import Library, LibrarySettings, write_library
from seqloom.show_store import amount
from seqloom.store import open_store
from seqloom.store.layout import Manifest, TargetFacts
from seqloom.store.order import BlockOrder
from seqloom.training.settings import TrainSection

COLUMNS = {"sequence": "smiles", "target": "target1,target2,target3", "component": "block1,block2,block3"}
PROBED = Probed(
    device="cpu", threads=1, looked_at=10_000, members=3, n_weights=1_000_000, weight_bytes=4_000_000, optimizer_bytes=8_000_000,
    shares={"train": 0.5, "valid": 0.01, "share": 0.02, "nonshare": 0.03, "mixed": 0.44}, asked_batch=100, batch=100, n_steps=12,
    step_seconds=1e-3, gather_seconds=1e-4, order_seconds=1e-4, divided_seconds=1.2e-3, predict_seconds=1e-4, n_predicted=256,
    count_seconds=1e-8, count_bytes=50.0, prediction_bytes=20.0, start_seconds=2.0, longest=90, span_rows=100_000,
    valid_rows=1000, library_bytes=200_000_000, peak_bytes=500_000_000,
)  # fmt: skip
"""Round numbers."""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "library.parquet"
    write_library(Library.of(LibrarySettings(rows=12_000, active=0.2)), path)
    return path


@pytest.fixture(scope="module")
def store(table):
    seqloom.pack([table], table.parent / "store", **COLUMNS)
    return table.parent / "store"


@pytest.fixture(scope="module")
def probed(store):
    return probe(Asked(store.as_posix(), 12_000, {"kind": "sigmoid"}, {"device": "cpu", "batch": 64}, {}, 2, 0.3))


def test_a_probe_measures_real_steps_in_a_process_of_its_own(store, probed):
    assert probed.n_steps >= 12
    assert 8 <= probed.batch <= probed.asked_batch == 64  # fewer on a machine that is busy
    assert 0 < probed.gather_seconds < probed.step_seconds
    assert probed.order_seconds < probed.step_seconds
    assert sum(probed.shares.values()) == pytest.approx(1)
    assert probed.peak_bytes > probed.library_bytes > 0
    assert probed.optimizer_bytes > probed.weight_bytes  # AdamW keeps two numbers for each
    assert probed.longest <= open_store(store).manifest.longest
    assert probed.device_bytes is None


def test_a_plan_of_a_store_says_of_every_number_where_it_comes_from(store, probed, monkeypatch):
    monkeypatch.setattr(planning, "probe", lambda _: probed)
    before = {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")}
    done = CliRunner().invoke(main, ["plan", str(store), "--set", "predictor.kind=sigmoid", "--json"])
    assert done.exit_code == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["library"]["store_bytes"]["value"] == sum(path.stat().st_size for path in store.iterdir())
    figures = {**facts["library"], **facts["nets"][0]["figures"]}
    assert {each["source"] for each in figures.values()} == {"measured", "computed"}
    assert all(each["how"] for each in figures.values())
    assert figures["pass_seconds"]["value"] * figures["rows_per_second"]["value"] == pytest.approx(
        figures["train_rows"]["value"]
    )
    assert before == {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")}
    text = CliRunner().invoke(main, ["plan", str(store), "--rows", "1000000", "--vary", "predictor.width=8,16",
                                     "--set", "predictor.kind=cnn", "--devices", "2"]).stdout  # fmt: skip
    assert "1,000,000 rows (there are 12,000)" in text
    assert "cnn-width-16" in text
    assert "assumed" in text


def test_an_experiment_file_is_planned_as_it_is(store, probed, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(planning, "probe", lambda each: asked.append(each) or probed)
    (tmp_path / "e.toml").write_text(
        f'[data]\ntable = "{store}"\n[train]\nseeds = 2\n[split]\nheld_out = 0.3\n'
        '[[variant]]\npredictor = {kind = "cnn", width = 8}\n[[variant]]\npredictor.kind = "rnn"\ntrain.batch = 9\n'
    )
    done = CliRunner().invoke(main, ["plan", str(tmp_path / "e.toml"), "--device", "cpu", "--json"])
    assert done.exit_code == 0, done.stderr
    assert [each["name"] for each in json.loads(done.stdout)["nets"]] == ["cnn", "rnn"]
    assert asked[0].predictor == {"kind": "cnn", "width": 8}
    assert asked[1].train == {"seeds": 2, "device": "cpu", "batch": 9}
    assert {each.split["held_out"] for each in asked} == {0.3}


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_a_plan_of_a_table_tells_the_disk_of_its_store_and_leaves_nothing_behind(
    format_, table, store, probed, tmp_path, monkeypatch
):
    monkeypatch.setattr(planning, "probe", lambda _: probed)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    source = table
    if format_ == "csv":
        source = tmp_path / "library.csv"
        pyarrow.csv.write_csv(pq.read_table(table), source)
    facts = plan([source], {"predictor": {"kind": "sigmoid"}}, packing=COLUMNS)
    real = sum(path.stat().st_size for path in store.iterdir() if path.name != "manifest.json")
    assert facts["library"]["store_bytes"]["value"] == pytest.approx(real, rel=0.02)
    assert facts["rows_there"] == pytest.approx(12_000, rel=0.02)
    assert facts["library"]["packing_seconds"]["value"] > 0
    assert list((tmp_path / "temporary").iterdir()) == []


def test_rows_of_a_long_table_are_counted_as_molecules(tmp_path):
    table = pq.read_table(_long_table(tmp_path))
    with packed_piece(
        [tmp_path / "long.parquet"], {"entity_target": "name", "value": "binds", "sequence": "smiles"}
    ) as found:
        assert found.rows == 50
        assert found.all_rows == table.num_rows == 150
    assert not found.folder.exists()


def _long_table(folder):
    rows = [{"smiles": "C" * (2 + n), "name": f"t{k}", "binds": (n + k) % 2} for n in range(50) for k in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), folder / "long.parquet")
    return folder / "long.parquet"


def test_canonical_molecules_are_timed_without_a_cache(table, tmp_path, monkeypatch):
    pytest.importorskip("rdkit")
    monkeypatch.setenv("SEQLOOM_CACHE", str(tmp_path / "cache"))
    with packed_piece([table], {**COLUMNS, "canonical": True}) as found:
        assert found.canonical_seconds > found.row_seconds
    assert not (tmp_path / "cache").exists()


def test_bytes_of_a_row_are_those_of_the_files_at_any_number_of_rows(table, store, tmp_path):
    pq.write_table(pq.read_table(table).slice(0, 4000), tmp_path / "few.parquet")
    seqloom.pack([tmp_path / "few.parquet"], tmp_path / "few", **COLUMNS)
    row = RowBytes.of(open_store(tmp_path / "few").manifest)
    names = {
        "symbols": "values.u8", "lengths": "lengths.u8", "labels": "labels.u8", "starts": "starts.i64", "ids": "ids-*",
        "levels": "levels-*",
    }  # fmt: skip
    for kind, planned in row.files(12_000).items():
        real = sum(path.stat().st_size for path in store.glob(names[kind]))
        assert planned == pytest.approx(real, rel={"symbols": 0.02, "levels": 0.05}.get(kind, 0)), kind


def test_order_arrays_are_as_large_as_those_of_an_order(store):
    found = open_store(store)
    order, planned = BlockOrder(found, 100, 0), order_arrays(len(found), 100)
    batch = next(order.batches(0))
    assert len(batch.rows) == 100
    assert planned["anchors"] == found.anchors.nbytes
    assert planned["blocks"] == 4 * order._counts.nbytes
    assert planned["pool"] == 7 * 8 * int(np.diff(order._pools).max()) * order.size


def test_a_sample_has_whole_blocks_from_all_over(store):
    found = open_store(store)
    small = sampled(found, 4)
    rows = np.concatenate([np.arange(block * 1024, (block + 1) * 1024) for block in (0, 3, 6, 10)])
    assert len(small) == len(rows)
    for left, right in (
        (small.take(np.arange(len(small))), found.take(rows)),
        (small.stretch(1000, 1100), found.take(rows[1000:1100])),
    ):
        assert np.array_equal(left.values, right.values)
        assert np.array_equal(left.offsets, right.offsets)
    assert np.array_equal(small.labels(slice(None)), found.labels(rows))
    assert all(np.array_equal(ids, found.components[name][rows]) for name, ids in small.components.items())
    assert sampled(found) is found


def test_times_and_memory_of_a_net_add_up_by_hand(store):
    library = of_store(store, open_store(store).manifest, 1_000_000, 0)
    cost = net_cost("a", {"kind": "cnn"}, TrainSection(epochs=2), PROBED, library, 1)
    values = {name: figure.value for name, figure in cost.figures.items()}
    assert values["train_rows"] == 500_000
    assert values["rows_per_second"] == pytest.approx(1 / 1.1e-3)
    assert values["pass_seconds"] == pytest.approx(550)
    assert values["learnt_rows"] == 1_000_000
    # two passes; ten looks at 1,000 valid rows; 50,000 tested rows; parts of all rows counted five times
    assert values["member_seconds"] == pytest.approx(1100 + 10 * 1000 * 1e-4 + 50_000 * 1e-4 + 5 * 1_000_000 * 1e-8)
    assert values["total_seconds"] == pytest.approx(3 * values["member_seconds"] + 2 + 4 * 1_000_000 * 1e-8)
    assert values["checkpoint_bytes"] == 16_000_000
    assert values["prediction_bytes"] == 20_000_000
    assert values["memory_bytes"] == pytest.approx(500e6 + sum(order_arrays(1_000_000, 100).values()), rel=0.02)
    assert cost.limit == "the net: 82 % of a step"


def test_several_devices_divide_the_net_and_share_the_loader(store):
    library = of_store(store, open_store(store).manifest, 1_000_000, 0)
    values = {
        name: figure.value for name, figure in net_cost("a", {}, TrainSection(), PROBED, library, 4).figures.items()
    }
    sent = 2 * 3 / 4 * 4_000_000 / values["bandwidth"] / 100
    assert values["rows_per_second"] == pytest.approx(1 / (1.2e-3 / 4 + 2e-4 + sent))
    assert values["efficiency"] == pytest.approx(1.1e-3 / 4 * values["rows_per_second"])


def test_the_limit_is_named():
    library = of_store(Path("store"), _manifest(), 1000, 0)
    slow = replace(PROBED, order_seconds=1e-2)
    assert net_cost("a", {}, TrainSection(), slow, library, 1).limit.startswith("the loader: 92 %")
    many = replace(PROBED, n_weights=10**9)
    assert net_cost("a", {}, TrainSection(), many, library, 8).limit.startswith("gradients between devices")


def _manifest():
    target = TargetFacts(name="y", known=10, positive=1)
    return Manifest(
        alphabet="smiles",
        symbols="",
        rows=10,
        tokens=700,
        longest=80,
        length_type="u8",
        sequence="s",
        targets=(target,),
    )


def test_rows_to_learn_from_are_those_that_are_asked_for():
    assert learnt_rows(TrainSection(), 500.0)[0] == 500
    assert learnt_rows(TrainSection(epochs=3), 500.0)[0] == 1500
    assert learnt_rows(TrainSection(rows=20), 500.0)[0] == 20


def test_what_cannot_be_planned_is_refused(store, table):
    with pytest.raises(ConfigError, match="leave --target out"):
        plan([store], packing={"target": "y"})
    with pytest.raises(ConfigError, match="rows are 1 or more"):
        plan([store], devices=0)
    with pytest.raises(ConfigError, match=r"data\.where: plan takes"):
        plan([store], {"data": {"where": "x"}})
    with pytest.raises(DataError, match="no target"):
        plan([table], packing={"sequence": "smiles"})


def test_a_net_that_cannot_be_probed_stops_no_other(store, probed, monkeypatch):
    def one_fails(asked):
        if asked.predictor["kind"] == "mamba":
            raise RunError("the probe was ended by signal 9")
        return probed

    monkeypatch.setattr(planning, "probe", one_fails)
    done = CliRunner().invoke(main, ["plan", str(store)])
    assert done.exit_code == 1
    assert "mamba: the probe was ended by signal 9" in done.stdout
    assert "transformer" in done.stdout


def test_errors_of_a_probe_are_those_of_the_net(store):
    with pytest.raises(ConfigError, match="no net that reads symbols"):
        probe(Asked(store.as_posix(), 12_000, {"kind": "linear"}, {"device": "cpu"}, {}))


def test_the_most_memory_is_kept():
    if anonymous_bytes() is None:
        pytest.skip("the system does not say how much memory is anonymous")
    memory = Memory()
    before = memory.peak
    with memory.watched():
        # Mapped for itself: what other tests have freed may be held for reuse, and would be taken first.
        held = np.frombuffer(mmap.mmap(-1, 50_000_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)
        for _ in range(20):
            held += 1
        del held
    assert 45e6 < memory.peak - before < 100e6


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "0.012 s"),
        (59.6, "s", "1 min 0 s"),
        (90061.0, "s", "1 d 1 h"),
        (8.2e9, "bytes", "8.2 GB"),
        (433_000.0, "bytes/s", "433 kB/s"),
        (12, "bytes", "12 B"),
        (0.5, "share", "50 %"),
        (12_345.6, "rows/s", "12,346 rows/s"),
        (12_345_678, "rows", "12,345,678"),
    ],
)
def test_figures_are_read_in_words(value, unit, text):
    assert amount(value, unit) == text

"""Many tables are predicted as each alone would be, whatever is wrong with a row or a table, or ends the work."""

import gzip
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import seqloom
from belief_runs import LINEAR, without_chance
from seqloom.cli import main
from seqloom.errors import ConfigError, DataError, RunError
from seqloom.model import Model
from seqloom.prediction import predicted_table
from seqloom.shards import predict_shards, rows
from seqloom.shards.tables import stem
from seqloom.simulate import Simulation
from seqloom.store.pack import Watcher
from seqloom.store.writer import locked


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A linear run on peptides and a covariate."""
    folder = tmp_path_factory.mktemp("run")
    for _ in without_chance():
        seqloom.train(
            peptides(300, 0),
            out=folder,
            target="label",
            split="random",
            settings={**LINEAR, "data.covariates": "dose"},
        )
    return folder


def peptides(n: int, seed: int) -> pa.Table:
    table = Simulation(rows=n, seed=seed).table()
    return table.append_column("dose", pa.array(np.random.default_rng(seed).random(n).round(3)))


def parquet(path: Path, table: pa.Table) -> Path:
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path)
    return path


def alone(run: Path, table: pa.Table, *, fast: bool = True) -> pa.Table:
    """What the command for one table says of it."""
    model = Model(run)
    return predicted_table(model, model.read(table), fast=fast).table


def same(found: pa.Table, expected: pa.Table) -> None:
    """Equal, numbers but for the last bits."""
    for name in found.column_names:
        one, other = found[name].combine_chunks(), expected[name].combine_chunks()
        if pa.types.is_floating(one.type):
            ours, theirs = (each.to_numpy(zero_copy_only=False) for each in (one, other))
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
        else:
            assert one.cast(pa.large_string()).equals(other.cast(pa.large_string())), name


def bytes_of(folder: Path) -> dict[str, str]:
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in folder.iterdir()}


# What is written


def test_every_kind_of_table_is_predicted_as_it_would_be_alone(run, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MOST_ROWS", 256)
    tables = [peptides(700, seed) for seed in range(1, 5)]
    folder = tmp_path / "in"
    parquet(folder / "a.parquet", tables[0])
    pa.csv.write_csv(tables[1], folder / "b.csv")
    plain = folder / "c.csv"
    pa.csv.write_csv(tables[2], plain)
    (folder / "c.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    pa.feather.write_feather(tables[3], folder / "d.arrow", compression="uncompressed")
    (folder / "README.md").touch()
    facts = predict_shards(run, [folder], tmp_path / "out")
    assert (facts["tables"], facts["rows"], facts["failed"], facts["unread"]) == (4, 2800, 0, [])
    for name, table in zip("abcd", tables, strict=True):
        found = pq.read_table(tmp_path / "out" / f"{name}.parquet")
        assert found.column_names == ["id", "pred", "pred_0", "pred_1", "pred_set", "reason"]
        assert found["reason"].null_count == 700
        same(found.drop_columns(["reason"]), alone(run, table))
    assert len({pq.read_schema(each) for each in (tmp_path / "out").glob("*.parquet")}) == 1


def test_a_bad_row_has_a_reason_and_every_other_row_its_prediction(run, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MOST_ROWS", 128)
    table = peptides(600, 1)
    cells = table.set_column(3, "dose", table["dose"].cast(pa.string())).to_pylist()
    cells[3]["sequence"], cells[130]["sequence"] = "", None
    cells[200]["sequence"], cells[333]["dose"], cells[334]["dose"] = "AC1DE", None, "much"
    path = parquet(tmp_path / "t.parquet", pa.Table.from_pylist(cells))
    facts = predict_shards(run, [path], tmp_path / "out")
    expected = {
        3: "sequence is empty", 130: "sequence is empty", 200: "sequence holds symbols that are not protein",
        333: "dose is missing", 334: "dose is no number",
    }  # fmt: skip
    found = pq.read_table(tmp_path / "out" / "t.parquet")
    assert {row: why for row, why in enumerate(found["reason"].to_pylist()) if why} == expected
    assert [row for row, value in enumerate(found["pred_1"].to_pylist()) if value is None] == list(expected)
    assert facts["failed"] == 5
    assert sum(facts["reasons"].values()) == 5
    assert facts["reasons"]["sequence is empty"] == 2
    good = np.setdiff1d(np.arange(600), list(expected))
    same(found.take(pa.array(good)).drop_columns(["reason"]), alone(run, table.take(pa.array(good))))


def test_pieces_without_one_good_row_are_rows_with_reasons(run, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MOST_ROWS", 128)
    table = peptides(384, 1)
    none = pa.nulls(128, pa.string())
    sequences = pa.chunked_array([table["sequence"].slice(0, 128).combine_chunks().cast(pa.string()), none, none])
    facts = predict_shards(
        run, [parquet(tmp_path / "t.parquet", table.set_column(1, "sequence", sequences))], tmp_path / "out"
    )
    assert (facts["failed"], facts["reasons"]) == (256, {"sequence is empty": 256})
    (tmp_path / "t.csv").write_text("id,sequence,dose\n" + ",,\n" * 300 + "x,ACDEFGHIK,0.5\n")
    facts = predict_shards(run, [tmp_path / "t.csv"], tmp_path / "csv")
    assert facts["failed"] == 300
    assert pq.read_table(tmp_path / "csv" / "t.parquet")["pred"].to_pylist()[-1] is not None


def test_rows_that_the_run_refuses_are_found_one_by_one_and_a_table_of_them_is_given_up(run, tmp_path, monkeypatch):
    read = Model.read

    def picky(self, source, *more):
        if any("W" in text for text in source["sequence"].to_pylist()):
            raise DataError("pyarrow.Table: no W today")
        return read(self, source, *more)

    table = peptides(300, 1)
    has = [row for row, text in enumerate(table["sequence"].to_pylist()) if "W" in text]
    only = pa.table({"id": ["x"] * 100, "sequence": ["W"] * 100, "dose": [1.0] * 100})
    paths = [parquet(tmp_path / "a.parquet", table), parquet(tmp_path / "b.parquet", only)]
    monkeypatch.setattr("seqloom.shards.plan.N_HEAD", 1)
    monkeypatch.setattr(Model, "read", picky)
    monkeypatch.setattr(rows, "MOST_REFUSED", 64)
    facts = predict_shards(run, paths, tmp_path / "out")
    found = pq.read_table(tmp_path / "out" / "a.parquet")["reason"].to_pylist()
    assert [row for row, why in enumerate(found) if why] == has
    assert set(found) == {None, "refused by the run: no W today"}
    assert facts["reasons"] == {"refused by the run": len(has)}
    assert [each["table"] for each in facts["unread"]] == [str(paths[1])]
    assert "no W today" in facts["unread"][0]["error"]


def test_keep_has_all_columns_in_the_types_of_the_first_table(run, tmp_path):
    one, two = peptides(50, 1), peptides(50, 2)
    paths = [parquet(tmp_path / "a.parquet", one.set_column(2, "label", one["label"].cast(pa.int8())))]
    pa.csv.write_csv(two, tmp_path / "b.csv")
    facts = predict_shards(run, [*paths, tmp_path / "b.csv"], tmp_path / "out", keep=True)
    assert facts["unread"] == []
    kept = pq.read_table(tmp_path / "out" / "b.parquet")
    assert kept.column_names[:4] == one.column_names
    assert kept["label"].type == pa.int8()
    assert kept.select(["label", "dose"]).to_pylist() == two.select(["label", "dose"]).to_pylist()
    parquet(tmp_path / "c.parquet", one.append_column("more", one["id"]))
    parquet(tmp_path / "d.parquet", one.set_column(2, "label", pa.array(["hot"] * 50)))
    facts = predict_shards(run, [tmp_path / f"{name}.parquet" for name in "acd"], tmp_path / "more", keep=True)
    assert ["more" in each["error"] or "another type" in each["error"] for each in facts["unread"]] == [True, True]
    taken = parquet(tmp_path / "e.parquet", one.append_column("reason", one["id"]))
    with pytest.raises(DataError, match="already has a column 'reason'"):
        predict_shards(run, [taken], tmp_path / "e", keep=True)
    assert predict_shards(run, [taken], tmp_path / "e")["rows"] == 50


def test_domain_adds_the_distances_that_one_table_has(run, tmp_path):
    table = peptides(40, 1)
    facts = predict_shards(run, [parquet(tmp_path / "t.parquet", table)], tmp_path / "out", domain=True)
    expected = alone(run, table, fast=False)
    found = pq.read_table(tmp_path / "out" / "t.parquet")
    same(found.drop_columns(["reason"]), expected)
    assert facts["outside"] == expected["domain"].to_pylist().count("outside")


def test_without_an_id_the_sequence_stands_in_its_place_and_names_of_columns_may_differ(run, tmp_path):
    table = peptides(30, 1).drop_columns(["id"]).rename_columns(["peptide", "label", "dose"])
    facts = predict_shards(
        run, [parquet(tmp_path / "t.parquet", table)], tmp_path / "out", {"data": {"sequence": "peptide"}}
    )
    assert facts["failed"] == 0
    assert pq.read_table(tmp_path / "out" / "t.parquet")["peptide"].to_pylist() == table["peptide"].to_pylist()


def test_values_are_looked_up_and_columns_renamed_as_for_one_table(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "MOST_ROWS", 128)
    (tmp_path / "grooves.csv").write_text("name,groove\nHLA-A*02:01,YFAVMYGEK\nHLA-B*07:02,YYSEYRNIY\n")
    alleles = np.array(["A0201", "HLA-B*07:02"])
    table = peptides(120, 0).append_column("allele", pa.array(np.tile(alleles, 60)))
    settings = {
        "data.rename": {"allele": "mhc"}, "data.lookup": {"mhc": str(tmp_path / "grooves.csv")},
        "data.sequence": ["sequence", "groove"], "predictor.kind": "linear", "encoder.kind": "composition",
    }  # fmt: skip
    for _ in without_chance():
        seqloom.train(table, out=tmp_path / "run", target="label", split="random", settings=settings)
    (tmp_path / "grooves.csv").unlink()
    new = peptides(400, 1)
    unknown = np.arange(400) < 140  # more than a piece
    named = pa.array(np.where(unknown, "HLA-C*99:99", np.tile(alleles, 200)))
    path = parquet(tmp_path / "t.parquet", new.append_column("allele", named))
    first = parquet(tmp_path / "first.parquet", table.slice(0, 4))
    facts = predict_shards(tmp_path / "run", [first, path], tmp_path / "out")
    assert (facts["unread"], facts["reasons"]) == ([], {"allele has no row in the look-up": 140})
    found = pq.read_table(tmp_path / "out" / "t.parquet")
    assert found["reason"].to_pylist()[:140] == ["allele has no row in the look-up"] * 140
    same(found.slice(140).drop_columns(["reason"]), alone(tmp_path / "run", pq.read_table(path).slice(140)))


# Tables that do not fit


def test_tables_that_are_damaged_or_of_another_kind_are_named_and_the_others_go_on(run, tmp_path):
    folder = tmp_path / "in"
    table = peptides(5000, 1)
    whole = parquet(folder / "b.parquet", table).read_bytes()
    (folder / "a.parquet").write_bytes(whole[: len(whole) // 2])
    text = gzip.compress(b"id,sequence,dose\n" + b"".join(b"p%d,ACDEFGHIK,0.%d\n" % (k, k) for k in range(120_000)))
    (folder / "c.csv.gz").write_bytes(text[: len(text) // 2])
    parquet(folder / "d.parquet", pa.table({"id": ["x"], "sequences": ["ACDEF"], "dose": [1.0]}))
    parquet(folder / "e.parquet", pa.table({"id": ["x"], "sequence": [1], "dose": [1.0]}))
    parquet(folder / "f.parquet", table.slice(0, 0))
    asked = ["predict", str(run), str(folder), "-o", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 1
    facts = json.loads(done.stdout)
    wrong = {Path(each["table"]).name: each["error"] for each in facts["unread"]}
    assert list(wrong) == ["a.parquet", "c.csv.gz", "d.parquet", "e.parquet"]
    assert "not written to its end" in wrong["a.parquet"]
    assert "damaged after row" in wrong["c.csv.gz"]
    assert "no column 'sequence'; did you mean 'sequences'" in wrong["d.parquet"]
    assert "column 'sequence' is int64, and a sequence is text" in wrong["e.parquet"]
    assert facts["rows"] == 5000
    assert sorted(bytes_of(tmp_path / "out")) == ["b.parquet", "f.parquet", "predictions.json"]
    assert pq.read_table(tmp_path / "out" / "f.parquet").schema.names[0] == "id"
    for name in ("c.csv.gz", "d.parquet", "e.parquet"):
        (folder / name).unlink()
    (folder / "a.parquet").write_bytes(whole)  # mended: the same command makes what is missing
    made = (tmp_path / "out" / "b.parquet").stat().st_mtime_ns
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 0, done.output
    assert (json.loads(done.stdout)["rows"], json.loads(done.stdout)["new_rows"]) == (10000, 5000)
    assert (tmp_path / "out" / "b.parquet").stat().st_mtime_ns == made


def test_nothing_is_begun_that_cannot_be_done(run, tmp_path):
    path = parquet(tmp_path / "in" / "t.parquet", peptides(20, 1))
    parquet(tmp_path / "other" / "t.parquet", peptides(20, 1))
    (tmp_path / "empty").mkdir()
    for tables, sections, error, message in (
        ([path, tmp_path / "other" / "t.parquet"], {}, ConfigError, "would both be predicted into"),
        ([tmp_path / "empty"], {}, DataError, "there is no table in this folder"),
        ([tmp_path / "none.csv"], {}, DataError, "no table can be read"),
        ([path], {"data": {"where": "dose > 0.5"}}, ConfigError, r"\[data\] where: predictions of many tables"),
        ([path], {"data": {"sequence": "residues"}}, DataError, "no table can be predicted"),
        ([path], {"train": {"seeds": 2}}, ConfigError, "train"),
    ):
        with pytest.raises(error, match=message):
            predict_shards(run, tables, tmp_path / "out", sections)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="where predictions go"):
        predict_shards(run, [tmp_path / "in"], tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(RunError, match="other files in it"):
        predict_shards(run, [path], tmp_path / "out", overwrite=True)


def test_the_name_of_a_table_loses_its_ending():
    assert [stem(name) for name in ("a.csv.gz", "a.b.parquet", "a.TSV", "a")] == ["a", "a.b", "a", "a"]


# Going on


COMMAND = """
import sys
from seqloom.shards import predict_shards, rows
rows.MOST_ROWS = 128
predict_shards(sys.argv[1], [sys.argv[2]], sys.argv[3])
"""


def test_a_folder_that_was_killed_at_any_moment_ends_as_an_uninterrupted_one(run, tmp_path):
    for seed in range(4):
        parquet(tmp_path / "in" / f"{seed}.parquet", peptides(4000, seed))
    command = [sys.executable, "-c", COMMAND, str(run), str(tmp_path / "in")]
    subprocess.run([*command, str(tmp_path / "whole")], check=True)
    killed, drawn = tmp_path / "killed", random.Random(0)
    for number, sent in enumerate((signal.SIGKILL, signal.SIGTERM, signal.SIGKILL)):
        process = subprocess.Popen([*command, str(killed)], stderr=subprocess.DEVNULL)
        while process.poll() is None and not (killed / f".{number}.parquet.tmp").exists():
            time.sleep(0.002)
        time.sleep(drawn.random() * 0.1)
        process.send_signal(sent)
        process.wait()
        assert process.returncode != 0
        for each in killed.glob("[0-9].parquet"):
            assert each.read_bytes() == (tmp_path / "whole" / each.name).read_bytes()
    subprocess.run([*command, str(killed)], check=True)
    assert bytes_of(tmp_path / "whole") == bytes_of(killed)


def test_another_run_other_settings_or_a_changed_table_are_refused_unless_overwritten(run, tmp_path):
    table = peptides(60, 1)
    one, two = (parquet(tmp_path / f"{name}.parquet", table) for name in "ab")
    out = tmp_path / "out"
    predict_shards(run, [one, two], out)
    assert predict_shards(run, [two, one], out)["new_rows"] == 0
    with pytest.raises(RunError, match="keep: False before, True now"):
        predict_shards(run, [one, two], out, keep=True)
    with pytest.raises(RunError, match=r"b\.parquet: of a table that is not named now"):
        predict_shards(run, [one], out)
    assert predict_shards(run, [one, two, parquet(tmp_path / "c.parquet", table)], out)["new_rows"] == 60
    other = tmp_path / "run"
    shutil.copytree(run, other)
    assert predict_shards(other, [one, two, tmp_path / "c.parquet"], out)["new_rows"] == 0  # the same, elsewhere
    facts = json.loads((other / "uncertainty.json").read_text())
    (other / "uncertainty.json").write_text(json.dumps(facts))
    with pytest.raises(RunError, match="run: "):
        predict_shards(other, [one, two, tmp_path / "c.parquet"], out)
    parquet(two, table.slice(1))
    with pytest.raises(RunError, match=r"b\.parquet, has changed since"):
        predict_shards(run, [one, two, tmp_path / "c.parquet"], out)
    facts = predict_shards(run, [one, two], out, overwrite=True)
    assert (facts["rows"], facts["new_rows"]) == (119, 119)
    assert sorted(bytes_of(out)) == ["a.parquet", "b.parquet", "predictions.json"]


def test_files_that_were_damaged_or_taken_away_are_made_again(run, tmp_path):
    paths = [parquet(tmp_path / f"{name}.parquet", peptides(60, 1)) for name in "abc"]
    predict_shards(run, paths, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    (tmp_path / "out" / "a.parquet").unlink()
    (tmp_path / "out" / "b.parquet").write_bytes(b"PAR1")
    assert predict_shards(run, paths, tmp_path / "out")["new_rows"] == 120
    assert bytes_of(tmp_path / "out") == before


def test_a_full_disk_or_an_interruption_leaves_no_draft(run, tmp_path):
    paths = [parquet(tmp_path / f"{name}.parquet", peptides(60, 1)) for name in "ab"]

    class Full(Watcher):
        def rows(self, done: int, total: int) -> None:
            if done > 60:
                raise OSError(28, "No space left on device")

    class Stopped(Watcher):
        def rows(self, done: int, total: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_shards(run, paths, tmp_path / "out", watcher=Stopped())
    assert sorted(bytes_of(tmp_path / "out")) == ["predictions.json"]
    with pytest.raises(RunError, match="run the same command: it goes on from there"):
        predict_shards(run, paths, tmp_path / "out", watcher=Full())
    assert sorted(bytes_of(tmp_path / "out")) == ["a.parquet", "predictions.json"]
    assert predict_shards(run, paths, tmp_path / "out")["new_rows"] == 60
    with locked(tmp_path / "out"), pytest.raises(RunError, match="another process is predicting into this folder"):
        predict_shards(run, paths, tmp_path / "out")


# The command


def test_one_table_is_predicted_as_ever(run, tmp_path):
    path = parquet(tmp_path / "t.parquet", peptides(30, 1))
    done = CliRunner().invoke(main, ["predict", str(run), str(path), "-o", str(tmp_path / "p.csv"), "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert "pred_1" in (tmp_path / "p.csv").read_text().splitlines()[0]
    assert "tables" not in facts
    for flags, message in (
        (["--keep", "-o", str(tmp_path / "q.csv")], "predict --keep: for many tables"),
        ([str(path)], "need a folder for their predictions"),
        (["--fast", "--domain", "-o", str(tmp_path / "out")], "--fast or --domain"),
    ):
        done = CliRunner().invoke(main, ["predict", str(run), str(path), *flags])
        assert (done.exit_code, message in done.output) == (1, True), done.output


def test_the_command_says_what_came_of_many(run, tmp_path):
    one = parquet(tmp_path / "a.parquet", peptides(30, 1))
    two = parquet(tmp_path / "b.parquet", pa.table({"id": ["x"], "sequence": [""], "dose": [1.0]}))
    done = CliRunner().invoke(main, ["predict", str(run), str(one), str(two), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "30 predictions for 31 rows of 2 tables" in done.output
    assert "1 rows have no prediction: sequence is empty" in done.output

"""Columns under other names, and columns looked up in a second file by name or by MHC allele."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

import seqloom
from contracts.tables import peptides
from seqloom.errors import DataError
from seqloom.findings import raise_errors
from seqloom.joined import read_tables
from seqloom.mutation.variants import families_of
from seqloom.prediction import evaluate, predict
from seqloom.read.alleles import allele_name
from seqloom.sections import read_toml
from seqloom.table import DataSection, read_table

GROOVES = {
    "HLA-A02:01": "YFAMYQENMAHT",
    "HLA-B07:02": "YYSEYRNIYAQT",
    "H-2-Kb": "YVEYYREKAGNS",
    "Mamu-A01": "YYAMYRENMTEN",
}


@pytest.fixture
def grooves(tmp_path):
    """A file of alleles and their pseudo-sequences."""
    return written(tmp_path / "grooves.csv", allele=[*GROOVES], groove=[*GROOVES.values()], width=["1", "2", "3", "4"])


def written(path, **columns):
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(rows) + "\n")
    return str(path)


def affinities(alleles, **others):
    """Peptides that bind the better the more leucines they have."""
    sequences = peptides(len(alleles))
    return {
        "mhc": alleles,
        "sequence": sequences,
        "y": [each.count("L") + 0.1 * each.count("K") for each in sequences],
        **others,
    }


def read(alleles, path, **settings):
    section = DataSection(lookup={"mhc": path}, sequence=("sequence", "groove"), **settings)
    return read_table(pa.table(affinities(alleles)), section, ("y",))


@pytest.mark.parametrize(
    ("one", "spellings"),
    [
        (
            "HLA-A*02:01",
            "HLA-A*02:01 HLA-A02:01 HLA-A0201 A0201 A*02:01 HLA-A-0201 HLA-A*0201 hla-a0201 HLA-A*02:01:01:01",
        ),
        ("HLA-A*02:100", "HLA-A*02:100 A*02100 HLA-A02:100"),
        ("HLA-C*04:01", "HLA-Cw0401 HLA-C*04:01 HLA-CW*04:01 C0401"),
        ("HLA-A*24:09N", "HLA-A*24:09N A2409N"),
        ("HLA-DRB1*01:01", "HLA-DRB1*01:01 DRB1_0101"),
        ("H-2-Kb", "H-2-Kb H-2-KB H2-Kb H2Kb"),
        ("Patr-A0101", "Patr-A*01:01 Patr-A0101 patr-A01:01"),
        ("Mamu-A100101", "Mamu-A1*001:01 Mamu-A1:00101 Mamu-A1001:01"),
        ("SLA-10401", "SLA-1*04:01 SLA-1:0401 SLA-10401"),
        ("BoLA-102101", "BoLA-1*21:01 BoLA-1*021:01 BoLA-1:02101 BoLA-102101"),
        (None, "HLA-A2 A2 MKVLAAGIVGLCAKAYG P12345 A123401 B12345 HLA-BF*02:01 - 7"),
    ],
)
def test_every_usual_spelling_of_an_allele_is_one_name(one, spellings):
    assert {allele_name(each) for each in spellings.split()} == {one}
    assert one is None or allele_name(one) == one


def test_each_row_gets_the_columns_of_the_row_that_its_value_names(grooves):
    table = read(["HLA-A*02:01", "H-2-KB", "B0702", "Mamu-A*01"], grooves)
    assert table.sequences("groove").to_pylist() == [
        GROOVES[each] for each in ("HLA-A02:01", "H-2-Kb", "HLA-B07:02", "Mamu-A01")
    ]
    assert table.numeric("width").tolist() == [1, 3, 2, 4]


def test_a_name_as_it_is_written_goes_before_another_spelling(tmp_path):
    path = written(
        tmp_path / "two.csv", allele=["A0201", "HLA-A02:01", "A0301"], groove=["MKVLAAGIV", "GGSAAGIVF", "YYSEYRNIY"]
    )
    table = read(["A0201", "HLA-A02:01", "A0301"], path)
    assert table.sequences("groove").to_pylist() == ["MKVLAAGIV", "GGSAAGIVF", "YYSEYRNIY"]
    with pytest.raises(DataError, match=r"'HLA-A-0201' \(1 rows; it has several rows that differ\)"):
        raise_errors(read(["A0301", "HLA-A-0201"], path).findings)


def test_values_without_a_row_are_counted_and_named_with_the_nearest_and_how_to_leave_them_out(grooves):
    alleles = [*["HLA-A*02:01"] * 3, *["HLA-B*07:09"] * 2, "nothing"]
    with pytest.raises(DataError) as raised:
        raise_errors(read(alleles, grooves).findings)
    message = str(raised.value)
    assert "2 values of column 'mhc' (3 rows) have no row in grooves.csv" in message
    assert "'HLA-B*07:09' (2 rows; nearest is 'HLA-B07:02')" in message
    assert "--where \"mhc not in ('HLA-B*07:09', 'nothing')\"" in message
    left = read(alleles, grooves, where="mhc not in ('HLA-B*07:09', 'nothing')")
    raise_errors(left.findings)
    assert left.n_rows == 3


def test_a_file_that_knows_no_value_at_all_is_refused(grooves):
    with pytest.raises(DataError, match=r"1 values of column 'mhc' \(2 rows\) have no row"):
        read(["DQ8", "DQ8"], grooves)


def test_two_spellings_of_one_allele_are_said(grooves):
    table = read(["HLA-A*02:01", "A0201", "A0201", "H-2-Kb"], grooves)
    (said,) = [each for each in table.findings if each.code == "spellings"]
    assert said.count == 3
    assert "'HLA-A*02:01', 'A0201'" in said.message
    assert not [each for each in read(["A0201", "H-2-Kb"], grooves).findings if each.code == "spellings"]


def test_a_column_that_is_not_there_or_already_there_is_named(grooves):
    data = pa.table(affinities(["A0201"] * 3))
    with pytest.raises(DataError, match="no column 'mch'; did you mean 'mhc'"):
        read_table(data, DataSection(lookup={"mch": grooves}), ("y",))
    with pytest.raises(DataError, match=r"has a column 'groove' already.*data.rename"):
        read_table(
            data.append_column("groove", pa.array(["A", "B", "C"])), DataSection(lookup={"mhc": grooves}), ("y",)
        )


def test_sequences_are_looked_up_in_fasta(tmp_path):
    path = tmp_path / "proteins.fasta"
    path.write_text(">P1 kinase\nMKVLAAGIVGLC\n>P2\nGGSAAGIVFKKW\n")
    data = pa.table({"protein": ["P2", "P1", "P2"], "smiles": ["CCO", "CCN", "CCCl"], "y": [1.0, 2, 3]})
    section = DataSection(lookup={"protein": str(path)}, sequence=("protein_sequence", "smiles"))
    table = read_table(data, section, ("y",))
    assert table.sequences("protein_sequence").to_pylist() == ["GGSAAGIVFKKW", "MKVLAAGIVGLC", "GGSAAGIVFKKW"]
    assert [table.alphabets[each].name for each in section.sequence] == ["protein", "smiles"]


def test_columns_change_names_all_at_once():
    data = pa.table({"left": ["MKVLAAGIV"] * 3, "right": [1.0, 2, 3]})
    table = read_table(data, DataSection(rename={"left": "right", "right": "left"}, sequence=("right",)), ("left",))
    assert table.sequences().to_pylist()[0] == "MKVLAAGIV"
    assert table.numeric("left").tolist() == [1, 2, 3]


def test_a_new_name_that_is_taken_and_an_old_one_that_no_table_has_are_refused(tmp_path):
    data = pa.table(affinities(["A0201"] * 3))
    with pytest.raises(DataError, match="several columns 'y'"):
        read_table(data, DataSection(rename={"mhc": "y"}), ("y",))
    with pytest.raises(DataError, match="no column 'alele'; columns"):
        read_table(data, DataSection(rename={"alele": "mhc"}), ("y",))
    main = written(tmp_path / "main.csv", **affinities(["A0201"] * 30))
    test = written(tmp_path / "test.csv", allele=["A0201"] * 5, peptide=peptides(5, 9), y=range(5))
    with pytest.raises(DataError, match="no column 'alele'"):
        read_tables(DataSection(table=main, test=test, rename={"alele": "mhc"}), ("y",))


def test_training_and_test_tables_with_other_headers_are_joined(tmp_path):
    main = written(tmp_path / "main.csv", **affinities(["A0201"] * 30))
    test = written(tmp_path / "test.csv", allele=["B0702"] * 5, peptide=peptides(5, 9), y=range(5))
    section = DataSection(table=main, test=test, rename={"allele": "mhc", "peptide": "sequence"})
    table = read_tables(section, ("y",))
    assert table.n_rows == 35
    assert table.text("mhc").to_pylist()[-1] == "B0702"


def test_files_to_look_up_are_found_beside_the_experiment_file(tmp_path):
    path = tmp_path / "experiment.toml"
    path.write_text('[data]\nlookup = { mhc = "grooves.csv", drug = "data:drugs.csv" }\n')
    assert read_toml(path)["data"]["lookup"] == {"mhc": (tmp_path / "grooves.csv").as_posix(), "drug": "data:drugs.csv"}


def test_a_run_predicts_and_evaluates_tables_with_the_old_names_and_without_the_file(tmp_path, grooves):
    rng = np.random.default_rng(0)
    alleles = rng.choice(["HLA-A*02:01", "B0702", "H-2-Kb"], 90).tolist()
    columns = affinities(alleles)
    table = written(tmp_path / "table.csv", allele=columns["mhc"], peptide=columns["sequence"], y=columns["y"])
    settings = {
        "data.rename": {"allele": "mhc", "peptide": "sequence"},
        "data.lookup": {"mhc": grooves},
        "data.sequence": ["sequence", "groove"],
        "predictor.kind": "linear",
        "encoder.kind": "composition",
        "split.kind": "random",
    }
    seqloom.train(table, out=tmp_path / "run", settings=settings, target="y")
    (tmp_path / "grooves.csv").unlink()
    run = tmp_path / "moved"
    shutil.move(tmp_path / "run", run)
    new = affinities(["Mamu-A*01", "A0201"])  # one allele that training rows do not have
    old_names = written(tmp_path / "new.csv", allele=new["mhc"], peptide=new["sequence"])
    predict(run, old_names, tmp_path / "old.csv", fast=True)
    new_names = written(tmp_path / "named.csv", mhc=new["mhc"], sequence=new["sequence"])
    predict(run, new_names, tmp_path / "new_out.csv", fast=True)
    assert (tmp_path / "old.csv").read_text() == (tmp_path / "new_out.csv").read_text()
    assert GROOVES["Mamu-A01"] in (tmp_path / "old.csv").read_text()
    assert evaluate(run, table)["rows"] == 90


def test_a_row_of_an_unknown_allele_is_predicted_as_a_row_with_a_reason(tmp_path, grooves):
    settings = {"data.lookup": {"mhc": grooves}, "data.sequence": ["sequence", "groove"], "predictor.kind": "constant"}
    data = pa.table(affinities(["A0201", "B0702"] * 30))
    seqloom.train(data, out=tmp_path / "run", settings=settings, split="random", target="y")
    new = affinities(["A0201", "HLA-A*99:01"])
    path = written(tmp_path / "new.csv", mhc=new["mhc"], sequence=new["sequence"])
    said = predict(tmp_path / "run", path, tmp_path / "out.csv", fast=True)
    assert said["failed"] == 1
    assert "no-look-up" in [each["code"] for each in said["findings"]]
    assert "groove is empty" in (tmp_path / "out.csv").read_text().splitlines()[2]


def test_all_alleles_of_the_affinity_tables_have_a_pseudo_sequence(data, monkeypatch):
    monkeypatch.setenv("SEQLOOM_DATA", str(data))
    section = DataSection(
        table="data:mhc/combined_test_BLIND_dataset_from_kim2013.csv",
        test="data:mhc/bdata.2013.mhci.public.blind.1.txt",
        rename={"allele": "mhc", "peptide": "sequence"},
        lookup={"mhc": "data:mhc/pseudosequences.netmhcpan.34aa.csv"},
        sequence=("sequence", "pseudosequence"),
    )
    table = read_tables(section, ("meas",))
    assert table.n_rows == 2 * 27_680
    assert set(table.tokens("pseudosequence").lengths.tolist()) == {34}
    assert not [each for each in table.findings if each.code == "no-look-up"]


def test_peptides_of_one_groove_are_no_family_of_variants():
    groove = "YFAMYQENMAHTDANTLYIIYRDYTWVARVYRGY"
    data = pa.table(
        {"sequence": peptides(60, shortest=9, longest=9), "groove": [groove, groove[::-1]] * 30, "y": np.arange(60.0)}
    )
    table = read_table(data, DataSection(sequence=("sequence", "groove")), ("y",))
    assert len(families_of(table)) == 0
    chains = pa.table({"heavy": [f"{groove}{each}" for each in "ACDEFG"], "light": [groove] * 6, "y": np.arange(6.0)})
    table = read_table(chains, DataSection(sequence=("heavy", "light")), ("y",))
    assert families_of(table).sizes.tolist() == [6]

"""Real files with oddities: each loads with its oddity reported, or is refused with one message that says what to do."""

from pathlib import Path

import pytest

from seqloom.errors import DataError
from seqloom.findings import raise_errors
from seqloom.table import DataSection, Table, read_table

ODDITIES = {
    "biopython_aster.pro": (1, {"line-ends"}),
    "biopython_loveliesbleeding.pro": (1, {"line-ends", "ambiguous"}),
    "biopython_protein_lib.fa": (12, {"lower-case"}),
    "chemprop_smiles_only.csv": (100, set()),
    "deepchem_freesolv_imperfect_sample.csv": (5, set()),
    "prodigal_proteome.faa": (2100, {"trailing-stop", "ambiguous", "duplicate-inputs", "header-columns", "unused-columns"}),
    "skbio/fasta_blank_lines_between_records.fasta": (
        6, {"blank-lines", "header-space", "nameless", "lower-case", "gaps", "ambiguous"},
    ),
    "skbio/fasta_id_whitespace_replacement_none.fasta": (
        2, {"blank-lines", "white-space", "header-space", "nameless", "lower-case", "ambiguous", "unknown-symbols"},
    ),
    "skbio/fasta_invalid_blank_line_within_sequence.fasta": (3, {"blank-lines", "alphabet", "header-columns", "unused-columns"}),
    "skbio/fasta_invalid_blank_sequence.fasta": (
        3, {"blank-lines", "alphabet", "header-columns", "unused-columns", "empty-sequence"},
    ),
    "skbio/fasta_invalid_missing_seq_data_middle.fasta": (
        3, {"alphabet", "header-columns", "unused-columns", "empty-sequence"},
    ),
    "skbio/fasta_prot_seqs_odd_labels.fasta": (2, {"white-space", "header-space", "nameless", "lower-case", "ambiguous"}),
    "skbio/fasta_ws_lines_between_records.fasta": (
        6, {"blank-lines", "header-space", "nameless", "lower-case", "gaps", "ambiguous"},
    ),
    "uniprot_isoforms_bom.fasta": (10, {"byte-order-mark"}),
}  # fmt: skip
REFUSED = ("modlamp_ACP_vs_TM.csv", "skbio/fasta_invalid_missing_header.fasta")


def found(table: Table, code: str) -> str:
    return next(each.message for each in table.findings if each.code == code)


def test_every_messy_file_is_looked_at(data: Path) -> None:
    folder = data / "messy"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {*ODDITIES, *REFUSED}


@pytest.mark.parametrize("name", ODDITIES)
def test_a_messy_file_loads_with_its_oddities_reported(name: str, data: Path) -> None:
    n_rows, codes = ODDITIES[name]
    table = read_table(data / "messy" / name)
    assert table.n_rows == n_rows
    assert {each.code for each in table.findings} == codes
    for each in table.findings:
        assert table.source.name in each.message


def test_a_count_line_is_told_from_a_header(data: Path) -> None:
    path = data / "messy" / "modlamp_ACP_vs_TM.csv"
    with pytest.raises(DataError) as caught:
        read_table(path)
    message = str(caught.value)
    assert "modlamp_ACP_vs_TM.csv: 826 of 826 rows" in message
    assert "row 1: 2 cells: AAKKWAKAKWAKAKKWAKAA, 1" in message
    assert "looks like counts rather than a header (826 is the number of rows below)" in message
    assert "--set data.skip=1 --set data.columns=sequence,label" in message
    table = read_table(path, DataSection(skip=1, columns=("sequence", "label")))
    assert table.n_rows == 826
    assert table.numeric("label").sum() == 413
    assert table.roles.targets == ("label",)


def test_fasta_without_a_header_is_refused(data: Path) -> None:
    with pytest.raises(
        DataError, match=r"missing_header\.fasta: line 1 reads 'seq1 desc1'.*starts with a header line such as '>name'"
    ):
        read_table(data / "messy" / "skbio" / "fasta_invalid_missing_header.fasta")


def test_an_empty_sequence_names_its_record(data: Path) -> None:
    for name in ("fasta_invalid_blank_sequence", "fasta_invalid_missing_seq_data_middle"):
        table = read_table(data / "messy" / "skbio" / f"{name}.fasta")
        with pytest.raises(DataError, match=r"1 of 3 sequences in 'sequence' are empty.*row 2 \(seq2\)"):
            raise_errors(table.findings)


def test_blanks_inside_records_are_left_out(data: Path) -> None:
    table = read_table(data / "messy" / "skbio" / "fasta_prot_seqs_odd_labels.fasta")
    assert table.sequences().to_pylist() == ["DEFQFP", "SKBI"]
    assert table.ids.to_pylist() == ["row-1", "skbio"]
    blank = read_table(data / "messy" / "skbio" / "fasta_invalid_blank_line_within_sequence.fasta")
    assert blank.sequences().to_pylist() == ["ACGT", "AAAAA", "CCC"]


def test_trailing_stops_of_a_proteome_are_removed_and_counted(data: Path) -> None:
    table = read_table(data / "messy" / "prodigal_proteome.faa")
    assert "2,099 of 2,100 sequences in 'sequence' end in a stop '*'" in found(table, "trailing-stop")
    assert not any(sequence.endswith("*") for sequence in table.sequences().to_pylist())
    raise_errors(table.findings)


def test_peptides_of_few_nucleotide_letters_are_called_doubtful(data: Path) -> None:
    path = data / "messy" / "skbio" / "fasta_invalid_blank_line_within_sequence.fasta"
    table = read_table(path)
    assert table.alphabets["sequence"].name == "dna"
    assert "its 12 symbols are all nucleotides" in found(table, "alphabet")
    assert read_table(path, DataSection(alphabet="protein")).alphabets["sequence"].name == "protein"


def test_molecules_of_one_atom_are_sequences(data: Path) -> None:
    table = read_table(data / "messy" / "deepchem_freesolv_imperfect_sample.csv")
    assert min(table.tokens().lengths) == 1
    assert table.alphabets["smiles"].name == "smiles"

"""Roles: conventions of the field are known by name, the rest by content, and every choice has its reason."""

from pathlib import Path

import pyarrow as pa
import pytest

from seqloom.errors import ConfigError, DataError
from seqloom.table import DataSection, Table, read_table

TOX21 = ("NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma", "SR-ARE", "SR-ATAD5",
         "SR-HSE", "SR-MMP", "SR-p53")  # fmt: skip

# file: rows, sequence, alphabet, targets, and any other role
FILES: dict[str, tuple[int, str, str, tuple[str, ...], dict[str, object]]] = {
    "arg/argnet_arg100p.fasta": (5490, "sequence", "protein", (), {"id": "id"}),
    "arg/coala70_fold1.csv": (11091, "Sequence", "protein", ("antibiotic",), {"set": "set"}),
    "arg/ncbi_amr_proteins.faa": (9704, "sequence", "protein", (), {"id": "id"}),
    "belka/all_buildingblock.csv": (2110, "smiles", "smiles", (), {"id": "id"}),
    "families/PF00708_acylphosphatase.aln.fasta": (559, "sequence", "protein", (), {"id": "id"}),
    "fitness/flip_gb1/two_vs_rest.csv.gz": (
        8733, "sequence", "protein", ("target",), {"set": "set", "validation": "validation"},
    ),
    "fitness/flip_gb1/sampled.fasta.gz": (
        8733, "sequence", "protein", ("target",), {"id": "id", "set": "set", "validation": "validation"},
    ),
    "fitness/proteingym_B2L11_HUMAN_Dutta_2010.csv": (
        170, "mutated_sequence", "protein", ("DMS_score",), {"id": "mutant"},
    ),
    "leakage/hiv_v3_tropism.csv": (1351, "sequence", "protein", ("label",), {"id": "id"}),
    "localization/deeploc_test_set.fasta": (2768, "sequence", "protein", ("location",), {"id": "id"}),
    "mhc/bdata.2013.mhci.public.blind.1.txt": (
        27680, "sequence", "protein", ("meas",), {"context": ("mhc",), "inequality": "inequality"},
    ),
    "mhc/bdata.20130222.mhci.VALID.9.CDHIT.txt": (
        104449, "sequence", "protein", ("meas",), {"context": ("mhc",), "inequality": "inequality"},
    ),
    "mhc/combined_test_BLIND_dataset_from_kim2013.csv": (
        27680, "peptide", "protein", ("meas",), {"context": ("allele",)},
    ),
    "mhc/curated_2018_no_mass_spec.dev.csv.bz2": (
        227532, "peptide", "protein", ("measurement_value",),
        {"context": ("allele",), "inequality": "measurement_inequality"},
    ),
    "mhc/pseudosequences.netmhcpan.34aa.csv": (13008, "pseudosequence", "protein", (), {"context": ("allele",)}),
    "peptides/acp_mlacp.csv": (585, "sequence", "protein", ("label",), {"id": "id"}),
    "peptides/rt_luna_silica.csv": (37110, "sequence", "protein", ("RT",), {}),
    "peptides_smiles/c-sol.csv.gz": (1511, "sequence", "protein", ("labels",), {}),
    "peptides_smiles/nc-cpp.csv": (480, "SMILES", "smiles", ("labels",), {}),
    "per_residue/flip_bind/sequences.fasta": (1360, "sequence", "protein", (), {"id": "id"}),
    "smallmol/bace.csv": (1513, "mol", "smiles", ("Class",), {}),
    "smallmol/BBBP.csv": (2039, "smiles", "smiles", ("p_np",), {}),
    "smallmol/delaney.csv": (1128, "smiles", "smiles", ("logp",), {}),
    "smallmol/freesolv.csv": (642, "smiles", "smiles", ("freesolv",), {}),
    "smallmol/lipo.csv": (4200, "smiles", "smiles", ("lipo",), {}),
    "smallmol/tox21.csv": (7831, "smiles", "smiles", TOX21, {}),
    "solubility/esol_train.csv": (2364, "sequence", "protein", ("solubility",), {"id": "gene"}),
    "stability/fireprot_test.csv": (348, "sequence", "protein", ("ddG",), {}),
    "stability/jin_v1_tm.csv": (998, "mutant_seq", "protein", ("dTm",), {}),
    "stability/jin_v1_train.csv": (3839, "mutant_seq", "protein", ("ddG",), {}),
    "stability/jin_v2_train.csv": (4048, "mut_seq", "protein", ("ddG",), {"group": "group"}),
    "stability/ssym_dir.csv": (342, "SEQ", "protein", ("DDG",), {"id": "ID", "group": "CLUID"}),
}  # fmt: skip

WITHOUT_SEQUENCE = (
    "fitness/deepsequence_DLG4_RAT_PDZ_singles.csv", "fitness/nn4dms_pab1.tsv", "stability/meltome_deepstabp_lysate_tm.csv",
    "stability/s669_clean_dir.csv", "stability/blat_ecolx_ranganathan2015_esm1v.csv",
)  # fmt: skip


def read(
    columns: dict[str, list[object]], section: DataSection | None = None, *, for_prediction: bool = False
) -> Table:
    return read_table(pa.table(columns), section, for_prediction=for_prediction)


def codes(table: Table) -> set[str]:
    return {each.code for each in table.findings}


SEQUENCES: list[object] = ["MKVLAAGGTW", "ACDEFGHIKL", "MNPQRSTVWY", "GGHHKKLLMM"]
SMILES: list[object] = ["CC(=O)Oc1ccccc1", "CCO", "c1ccccc1", "C1CC1=O"]
NUMBERS: list[object] = [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("name", FILES)
def test_roles_of_real_files_are_found(name: str, data: Path) -> None:
    n_rows, sequence, alphabet, targets, others = FILES[name]
    table = read_table(data / name)
    roles = table.roles
    assert table.n_rows == n_rows
    assert roles.sequences == (sequence,)
    assert table.alphabets[sequence].name == alphabet
    assert roles.targets == targets
    assert roles.covariates == ()
    expected: dict[str, object] = {
        "id": None,
        "set": None,
        "validation": None,
        "group": None,
        "context": (),
        "inequality": None,
        "mask": None,
    }
    assert {role: getattr(roles, role) for role in expected} == expected | others
    assert set(roles.reasons) == set(roles.columns)


@pytest.mark.parametrize("name", WITHOUT_SEQUENCE)
def test_a_table_without_sequences_is_refused(name: str, data: Path) -> None:
    with pytest.raises(DataError, match=r"no column of sequences was found among .*--sequence COLUMN"):
        read_table(data / name)


def test_a_set_of_one_word_or_of_other_words_is_not_the_partition(data: Path) -> None:
    one = read_table(data / "localization" / "deeploc_test_set.fasta")
    assert one.roles.set is None
    assert "set-ignored" in codes(one)
    other = read_table(data / "stability" / "p53_myoglobin.csv")
    assert other.roles.set is None
    assert "set-ignored" in codes(other)


def test_a_set_needs_train_and_test_rows() -> None:
    columns = {"sequence": SEQUENCES, "y": NUMBERS}
    assert read(columns | {"split": ["train", "dev", "TEST", "test"]}).roles.set == "split"
    refused = read(columns | {"split": ["train", "train", "valid", "valid"]})
    assert refused.roles.set is None
    assert "set-ignored" in codes(refused)
    asked = read(columns | {"split": ["train", "train", "valid", "valid"]}, DataSection(set="split"))
    assert asked.roles.set == "split"


def test_one_column_of_numbers_is_the_target_and_several_are_a_question() -> None:
    table = read({"sequence": SEQUENCES, "length": [10, 10, 10, 10], "brightness": NUMBERS})
    assert table.roles.targets == ("brightness",)
    assert "only column of numbers" in table.roles.reasons["brightness"]
    two = {"sequence": SEQUENCES, "brightness": NUMBERS, "half_life": NUMBERS}
    with pytest.raises(
        DataError, match="2 columns could be the target: 'brightness', 'half_life'; type --target brightness"
    ):
        read(two)
    assert read(two, for_prediction=True).roles.targets == ()
    assert read_table(pa.table(two), targets=("half_life",)).roles.targets == ("half_life",)


def test_a_column_of_classes_is_the_target_when_there_are_no_numbers() -> None:
    table = read(
        {"sequence": SEQUENCES * 5, "kind": ["a", "b", "a", "b"] * 5, "remark": [f"see {i}" for i in range(20)]}
    )
    assert table.roles.targets == ("kind",)


def test_conventions_decide_before_single_names() -> None:
    tdc = read({"Drug_ID": ["a", "b", "c", "d"], "Drug": SMILES, "Y": NUMBERS})
    assert (tdc.roles.id, tdc.roles.sequences, tdc.roles.targets) == ("Drug_ID", ("Drug",), ("Y",))
    pairs = read(
        {"Drug_ID": ["a", "b", "c", "d"], "Drug": SMILES, "Target_ID": ["p"] * 4, "Target": SEQUENCES, "Y": NUMBERS}
    )
    assert pairs.roles.sequences == ("Drug", "Target")
    assert {name: alphabet.name for name, alphabet in pairs.alphabets.items()} == {
        "Drug": "smiles",
        "Target": "protein",
    }
    venus = read({"aa_seq": SEQUENCES, "label": [0, 1, 0, 1]})
    assert (venus.roles.sequences, venus.roles.targets) == (("aa_seq",), ("label",))
    antibody = read({"heavy": SEQUENCES, "light": SEQUENCES, "kd": NUMBERS})
    assert antibody.roles.sequences == ("heavy", "light")


def test_sequences_are_found_by_content_whatever_their_name() -> None:
    strange = read({"who": ["AB1", "AB2", "AB3", "AB4"], "stuff": SEQUENCES, "y": NUMBERS})
    assert strange.roles.sequences == ("stuff",)
    assert strange.roles.reasons["stuff"].startswith("sequence: the only column whose values are sequences; protein")
    molecules = read({"what": SMILES, "y": NUMBERS}, DataSection(sequence=("what",)))
    assert molecules.alphabets["what"].name == "smiles"
    with pytest.raises(DataError, match="2 columns could be the sequence: 'a', 'b'; type --sequence a"):
        read({"a": SEQUENCES, "b": SEQUENCES, "y": NUMBERS})


def test_prose_and_codes_are_no_sequences() -> None:
    with pytest.raises(DataError, match="no column of sequences"):
        read({
            "note": ["found in liver", "not seen before", "as published", "made by hand"],
            "pdb": ["1AMQA", "2OCJA", "3TGIE", "1JLYB"],
            "y": NUMBERS,
        })  # fmt: skip


@pytest.mark.parametrize(
    ("name", "values", "alphabet"),
    [
        ("sequence", ["ACGTACGT" * 20, "GGGTTTAA" * 20], "dna"),
        ("sequence", ["ACGUACGU" * 20, "GGGUUUAA" * 20], "rna"),
        ("sequence", ["acgtnnacgt" * 20, "GGGTTTAA" * 20], "dna"),
        ("promoter_dna", ["ACGUACGU" * 20, "GGGUUUAA" * 20], "rna"),
        ("peptide", ["ACGT", "GGGTA"], "protein"),
        ("mutated_sequence", ["ACGTACGT" * 20, "GGGTTTAA" * 20], "dna"),
        ("smiles", ["CCO", "N"], "smiles"),
        ("mol", ["C#N", "CC(C)=O"], "smiles"),
        ("seq", ["MKV-LA..GG", "MKVWLAACGG"], "protein"),
    ],
)
def test_alphabets_are_told_by_name_and_symbols(name: str, values: list[object], alphabet: str) -> None:
    table = read({name: values, "y": [1, 2]})
    assert table.alphabets[name].name == alphabet


def test_few_nucleotide_letters_raise_a_doubt() -> None:
    assert "alphabet" in codes(read({"sequence": ["ACGT", "GGGTA"], "y": [1, 2]}))
    assert "alphabet" in codes(read({"peptide": ["ACGT", "GGGTA"], "y": [1, 2]}))
    assert "alphabet" not in codes(read({"sequence": ["ACGT" * 40, "GGGTA" * 40], "y": [1, 2]}))


def test_the_user_decides_before_any_convention() -> None:
    columns: dict[str, list[object]] = {
        "sequence": SEQUENCES, "linker": SEQUENCES, "target": NUMBERS, "other": NUMBERS, "ph": NUMBERS,
        "batch": ["a", "a", "b", "b"], "name": ["w", "x", "y", "z"], "half": ["train", "train", "test", "test"],
    }  # fmt: skip
    section = DataSection(
        sequence=("linker", "sequence"), covariates=("ph",), context=("batch",), group="batch", id="name", set="half",
        alphabet={"linker": "dna"},
    )  # fmt: skip
    table = read_table(pa.table(columns), section, ("other",))
    roles = table.roles
    assert roles.sequences == ("linker", "sequence")
    assert (roles.targets, roles.covariates, roles.context) == (("other",), ("ph",), ("batch",))
    assert (roles.group, roles.id, roles.set) == ("batch", "name", "half")
    assert table.alphabets["linker"].name == "dna"
    assert table.alphabets["sequence"].name == "protein"
    unused = next(each for each in table.findings if each.code == "unused-columns")
    assert "target" in unused.message


@pytest.mark.parametrize("key", ["id", "sequence", "covariates", "context", "group", "set"])
def test_a_named_column_that_is_not_there_names_the_nearest(key: str) -> None:
    value = ("brigthness",) if key in ("sequence", "covariates", "context") else "brigthness"
    section = DataSection.model_validate({key: value})
    with pytest.raises(
        DataError, match=rf"\[data\] {key} = 'brigthness'.*did you mean 'brightness'\?.*columns: sequence, brightness"
    ):
        read({"sequence": SEQUENCES, "brightness": NUMBERS}, section)


def test_a_named_target_that_is_not_there_is_an_error_only_for_fitting() -> None:
    frame = pa.table({"sequence": SEQUENCES, "brightness": NUMBERS})
    with pytest.raises(DataError, match=r"\[target\] column = 'brigthness'.*did you mean 'brightness'"):
        read_table(frame, targets=("brigthness",))
    assert read_table(frame, targets=("absent",), for_prediction=True).roles.targets == ("brightness",)


def test_an_unknown_alphabet_and_an_alphabet_of_no_sequence_are_refused() -> None:
    with pytest.raises(ConfigError, match="no such alphabet; did you mean 'protein'"):
        read({"sequence": SEQUENCES, "y": NUMBERS}, DataSection(alphabet="protien"))
    with pytest.raises(ConfigError, match="alphabet names 'seq', which is no sequence column; did you mean 'sequence'"):
        read({"sequence": SEQUENCES, "y": NUMBERS}, DataSection(alphabet={"seq": "protein"}))


def test_a_column_cannot_be_target_and_input() -> None:
    with pytest.raises(DataError, match="cannot be target and input at once"):
        read_table(pa.table({"sequence": SEQUENCES, "y": NUMBERS}), DataSection(covariates=("y",)), ("y",))


def test_a_named_sequence_column_without_sequences_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"column 'y' is to be a sequence, and its values .* are written in no alphabet"
    ):
        read({"sequence": SEQUENCES, "y": NUMBERS}, DataSection(sequence=("y",)))

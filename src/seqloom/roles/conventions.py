"""Column names the field uses, and what they mean.

A convention is a set of names that occur together in one family of tables, and tells its sequences and targets at once. The
lists of single names serve the other roles, and tables that follow no convention. Names are compared in lower case.
"""

from __future__ import annotations

from typing import NamedTuple


class Convention(NamedTuple):
    """Names that, all present, say what a table is."""

    name: str
    needs: frozenset[str]
    sequences: tuple[str, ...]
    targets: tuple[str, ...] = ()
    """Empty where the list of single names finds it."""
    id: str = ""
    copies: tuple[str, ...] = ()
    """Columns made from the target: never a target unasked."""


# fmt: off
CONVENTIONS = (
    Convention(
        "ProteinGym", frozenset(("mutated_sequence", "dms_score")), ("mutated_sequence",), ("dms_score",),
        id="mutant", copies=("dms_score_bin",),
    ),
    Convention("mhcflurry", frozenset(("peptide", "allele", "measurement_value")), ("peptide",), ("measurement_value",)),
    Convention("Kim 2014", frozenset(("sequence", "mhc", "meas")), ("sequence",), ("meas",)),
    Convention("Kim 2014 with predictions", frozenset(("peptide", "allele", "meas")), ("peptide",), ("meas",)),
    Convention("FLIP", frozenset(("sequence", "target", "set")), ("sequence",), ("target",)),
    Convention("TDC pairs", frozenset(("drug", "target", "y")), ("drug", "target"), ("y",), id="drug_id"),
    Convention("TDC", frozenset(("drug", "y")), ("drug",), ("y",), id="drug_id"),
    Convention(
        "DeepLoc", frozenset(("sequence", "location", "membrane")), ("sequence",), ("location",), copies=("membrane",),
    ),
    Convention("COALA", frozenset(("sequence", "antibiotic")), ("sequence",), ("antibiotic",)),
    Convention("mutant beside wild type", frozenset(("mut_seq", "wt_seq")), ("mut_seq",)),
    Convention("mutant beside wild type", frozenset(("mutant_seq", "sequence")), ("mutant_seq",)),
)
"""Looked through in this order; the first whose names are all there decides."""

SEQUENCES = (
    "mutated_sequence", "mutant_sequence", "mutant_seq", "mut_seq", "sequence", "sequences", "seq", "aa_seq", "aa_sequence",
    "aaseq", "protein_sequence", "protein_seq", "peptide", "peptide_sequence", "smiles", "canonical_smiles", "mol", "drug",
    "dna", "dna_sequence", "rna", "rna_sequence", "nt_seq", "nucleotide_sequence", "cdr3", "cdr3b", "cdr3_beta",
    "target_seq", "pseudosequence",
)
"""Single sequence columns, the likeliest first."""
SEQUENCE_PAIRS = (("heavy", "light"), ("cdr3a", "cdr3b"), ("vh", "vl"))
"""Columns that are one input together."""
SMILES_FIRST = ("smiles", "canonical_smiles", "mol", "molecule")
"""A table whose first column has one of these names follows chemprop: all other numeric columns are targets."""
PLAIN_TARGETS = ("target", "targets", "label", "labels", "y", "class")
"""Names that mean a target and nothing else, the likeliest first."""
TARGETS = (
    *PLAIN_TARGETS, "measurement_value", "meas", "dms_score", "fitness", "ddg", "dtm", "tm", "activity", "affinity", "ic50",
    "ec50", "kd", "ki", "score", "solubility", "stability", "expression",
)
"""Target columns, the likeliest first."""
SURE_IDS = ("id", "ids", "identifier", "seq_id", "sequence_id")
"""Names that mean an identifier even where values repeat."""
IDS = (
    *SURE_IDS, "name", "accession", "entry", "uniprot_id", "protein_id", "compound_id", "mol_id", "mutant", "variant", "gene",
)
SETS = ("set", "split", "subset", "partition")
SET_WORDS = frozenset(("train", "training", "val", "valid", "validation", "dev", "test", "testing", "pred"))
"""What a set column may say (lower case)."""
GROUPS = ("group", "groups", "cluster", "cluster_id", "cluid")
CONTEXTS = ("allele", "mhc", "hla", "mhc_allele")
VALIDATIONS = ("validation", "valid", "is_valid")
INEQUALITIES = (
    "inequality", "measurement_inequality", "relation", "standard_relation", "standard relation", "qualifier", "censor",
)
"""Columns of the signs `<`, `=` and `>` of the target; what else they may say makes them another thing."""
MASKS = ("mask",)
NEVER_TARGETS = frozenset((
    "index", "index_2", "unnamed: 0", "is_train", "is_test", "is_valid", "split", "fold", "folds", "cv", "set", "length",
    "len", "seq_len", "seq_length", "sequence_length", "peptide_length", "position", "pos", "site", "row", "year", "pmid",
    "publication_pubmed", "seq_index", "pdb_resseq", "num_mutations", "n_mutations", "weight", "weights", "cluster",
    "cluster_id",
))
"""Columns of numbers that describe the row: only a target when the user says so."""
# fmt: on

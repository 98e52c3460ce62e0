"""Building blocks of a triazine library: amino acids that hold the tag, and amines; from a table of molecules, or our own.

A block is kept as text that begins with the nitrogen by which it hangs on the ring, so that a product is put together as text.
Our own are made of common cores and substituents; those of a table are turned so by RDKit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from seqloom.errors import DataError, MissingExtra

TAG = "[Dy]"
"""Stands for the DNA by which a molecule of an encoded library is read."""

# fmt: off
SUBSTITUENTS = (
    "C", "CC", "C(C)C", "CCC", "C1CC1", "OC", "OCC", "OC(F)F", "C(F)(F)F", "F", "Cl", "Br", "C#N", "O", "N(C)C", "C(=O)OC",
    "C(=O)N", "C(=O)NC", "S(=O)(=O)C", "S(=O)(=O)N", "c8ccccc8", "c8cccnc8", "c8ccsc8", "n8cccn8", "N8CCOCC8", "CO", "COC", "C#C",
)
AMINE_CORES = (
    "NCc1ccc(X)cc1", "NCc1cccc(X)c1", "NCc1ccccc1X", "Nc1ccc(X)cc1", "Nc1cccc(X)c1", "NCCc1ccc(X)cc1", "NCc1ccc(X)nc1",
    "Nc1ccc(X)cn1", "NCc1cc(X)no1", "NCc1csc(X)n1", "NC1CCC(X)CC1", "NCC1CCC(X)CC1", "N1CCC(X)CC1", "N1CCC(X)C1", "NCC(X)C",
    "NCCX",
)
ACID_CORES = (
    "NCC(X)Z", "NC(Cc1ccc(X)cc1)Z", "NC(Cc1cccc(X)c1)Z", "N1CC(X)CC1Z", "N1CCC(X)CC1Z", "Nc1ccc(X)cc1Z", "NCc1ccc(X)cc1Z",
    "NC1CC(X)CC1Z",
)
# fmt: on
LINK = f"C(=O)N{TAG}"
"""What becomes of the acid: an amide to the tag."""


@dataclass(frozen=True)
class Blocks:
    """Names of blocks and their texts, in the same order."""

    acids: tuple[str, ...]
    acid_texts: tuple[str, ...]
    amines: tuple[str, ...]
    amine_texts: tuple[str, ...]


def own_blocks() -> Blocks:
    """224 amino acids and 448 amines: 22 million products."""
    acids = [core.replace("X", each).replace("Z", LINK) for core in ACID_CORES for each in SUBSTITUENTS]
    amines = [core.replace("X", each) for core in AMINE_CORES for each in SUBSTITUENTS]
    return Blocks(_numbered("acid", acids), tuple(acids), _numbered("amine", amines), tuple(amines))


def read_blocks(path: Path) -> Blocks:
    """The blocks of a CSV with columns `id` and `smiles`, by what they can do; those that can do neither are left out.

    An amino acid has one carboxylic acid and one nitrogen that is protected by Fmoc or free, an amine one such nitrogen, primary
    or secondary. Salts, charges and isotopes are taken off; of blocks that are then the same, the first one counts.
    MissingExtra without RDKit; DataError for a table without these columns, or too few blocks.
    """
    import pyarrow as pa
    import pyarrow.csv as pc

    try:
        from rdkit import RDLogger
    except ImportError:
        raise MissingExtra("reading building blocks", "chem") from None
    try:
        table = pc.read_csv(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: no CSV with columns id and smiles: {error}") from None
    wrong = [name for name in ("id", "smiles") if table.column_names.count(name) != 1]
    if wrong:
        raise DataError(
            f"{path}: no column {' and '.join(map(repr, wrong))}, or several; columns: {', '.join(table.column_names)}"
        )
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    acids, acid_texts, amines, amine_texts = [], [], [], []
    known: set[str] = set()
    for name, smiles in zip(map(str, table["id"].to_pylist()), table["smiles"].to_pylist(), strict=True):
        kind, text = _turned("" if smiles is None else str(smiles))
        if text in known:
            continue
        known.add(text)
        if kind == "acid":
            acids.append(name)
            acid_texts.append(text)
        elif kind == "amine":
            amines.append(name)
            amine_texts.append(text)
    if not acids or len(amines) < 2:
        raise DataError(
            f"{path}: {len(acids)} amino acids and {len(amines)} amines, and a library needs one and two at least"
        )
    return Blocks(tuple(acids), tuple(acid_texts), tuple(amines), tuple(amine_texts))


def _turned(smiles: str) -> tuple[str, str]:
    """`acid`, `amine` or nothing, and the text that begins with the nitrogen that reacts."""
    from rdkit import Chem
    from rdkit.Chem.MolStandardize import rdMolStandardize

    molecule = Chem.MolFromSmiles(max(smiles.split("."), key=len))
    if molecule is None:
        return "", ""
    molecule = rdMolStandardize.Uncharger().uncharge(molecule)
    for atom in molecule.GetAtoms():
        atom.SetIsotope(0)
    free = Chem.DeleteSubstructs(
        molecule, Chem.MolFromSmarts("[$(C(=O)(N)OCC1c2ccccc2-c2ccccc12)](=O)OCC1c2ccccc2-c2ccccc12")
    )
    Chem.SanitizeMol(free)
    nitrogens = free.GetSubstructMatches(Chem.MolFromSmarts("[NX3;H1,H2;!$(N[C,S]=[O,S,N]);!$(N-[N,O])]"))
    acids = free.GetSubstructMatches(Chem.MolFromSmarts("[CX3](=O)[OX2H1]"))
    if len(nitrogens) != 1 or len(acids) > 1:
        return "", ""
    if acids:
        tagged = Chem.RWMol(free)
        tagged.ReplaceAtom(acids[0][2], Chem.Atom(7))
        tag = tagged.AddAtom(Chem.Atom("Dy"))
        tagged.AddBond(acids[0][2], tag, Chem.BondType.SINGLE)
        tagged.GetAtomWithIdx(tag).SetNoImplicit(True)
        Chem.SanitizeMol(tagged)
        free = tagged.GetMol()
    text: str = Chem.MolToSmiles(free, rootedAtAtom=nitrogens[0][0])
    return "acid" if acids else "amine", text.replace(f"[NH]{TAG}", f"N{TAG}")


def _numbered(kind: str, texts: list[str]) -> tuple[str, ...]:
    return tuple(f"{kind}{place}" for place in range(len(texts)))

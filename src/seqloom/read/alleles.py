"""Names of MHC alleles: one spelling for all the usual ones.

Decides which spellings mean the same allele (`HLA-A*02:01`, `HLA-A0201`, `A*02:01`, `H-2-KB`, `BoLA-102101`). What is known of an
allele is left to the file that is looked up (`seqloom.lookup`).
"""

from __future__ import annotations

import re

SPECIES = ("Patr", "Mamu", "Mafa", "SLA", "BoLA", "DLA", "Eqca", "Gogo", "Papa", "Popy", "Ovar", "Chi", "BF")
"""Prefixes of the Immuno Polymorphism Database (Maccari et al. 2017, Nucleic Acids Research 45:D860) beside HLA and H-2."""
THREE_DIGITS = ("BoLA", "Eqca")
"""Species whose first field has three digits; tables often leave out the zero before two."""
_H2 = re.compile(r"H-?2[-_ ]?([KDLQTM][A-Za-z0-9]*)$", re.IGNORECASE)
_HUMAN = re.compile(
    r"(?P<marked>HLA[-_ ]?)?(?P<gene>CW|[A-G]|DRA|D[PQ]A1|D[PQ]B1|DRB[1-9])[-_ ]?(?P<star>\*?)"
    r"(?P<fields>\d+(?::\d+)*)(?P<suffix>[NLSCAQ]?)$",
    re.IGNORECASE,
)
_OTHER = re.compile(rf"({'|'.join(SPECIES)})[-_ ](.+)$", re.IGNORECASE)
_SHORT_FIELD = re.compile(r"\*(\d{1,2})(?=:)")
_FIELDS_WITHOUT_COLON = {4: (2, 4), 5: (2, 5), 6: (2, 4), 7: (2, 5), 8: (2, 4)}
"""Where the first and the second field end, by the number of digits written together."""


def allele_name(text: str) -> str | None:
    """The one spelling of an MHC allele, or None where the text names none.

    Human alleles are told by two fields, which fix the protein; further fields are left out. A suffix such as N (not expressed)
    is kept. Serotypes (`HLA-A2`) name no allele. Species other than man and mouse have gene and digits without marks between.

    >>> [allele_name(each) for each in ("A0201", "HLA-A*02:01:01", "HLA-Cw*0401", "H-2-KB", "Patr-A*01:01", "HLA-A2")]
    ['HLA-A*02:01', 'HLA-A*02:01', 'HLA-C*04:01', 'H-2-Kb', 'Patr-A0101', None]
    """
    text = text.strip()
    if found := _H2.match(text):
        return f"H-2-{found[1].capitalize()}"
    if found := _HUMAN.match(text):
        bare = not (found["marked"] or found["star"] or ":" in found["fields"])
        if bare and len(found["fields"]) != 4:
            return None  # A123401 may be anything
        fields = _two_fields(found["fields"])
        gene = found["gene"].upper().replace("CW", "C")
        return f"HLA-{gene}*{fields}{found['suffix'].upper()}" if fields else None
    if found := _OTHER.match(text):
        species = next(each for each in SPECIES if each.lower() == found[1].lower())
        rest = found[2]
        if species in THREE_DIGITS:
            rest = _SHORT_FIELD.sub(lambda field: f"*{field[1].zfill(3)}", rest)
        return f"{species}-{re.sub('[^A-Z0-9]', '', rest.upper())}"
    return None


def _two_fields(digits: str) -> str:
    """`02:01` of the digits of a human allele, with or without colons; empty where they are fewer than two fields."""
    if ":" in digits:
        first, second = digits.split(":")[:2]
    elif len(digits) in _FIELDS_WITHOUT_COLON:
        end, last = _FIELDS_WITHOUT_COLON[len(digits)]
        first, second = digits[:end], digits[end:last]
    else:
        return ""
    return f"{first.zfill(2)}:{second.zfill(2)}"

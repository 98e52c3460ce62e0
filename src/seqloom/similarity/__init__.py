"""How alike sequences are, and which are alike, without a table of all pairs.

Two sequences are *alike at T* when their best local alignment has at least T identical residues per residue of the shorter
one, and is no accident: it covers four fifths of both, or fewer than one in a thousand such alignments would be found by
chance for a row of the table (`seqloom.similarity.alignment`). Molecules are compared by the Tanimoto similarity of Morgan
fingerprints. `linked` joins all that is alike, for splits; `nearest` finds the closest of a reference set for each row.
"""

from seqloom.similarity.alike import linked, similar_groups
from seqloom.similarity.closest import nearest
from seqloom.similarity.neighbours import Neighbours

__all__ = ["Neighbours", "linked", "nearest", "similar_groups"]

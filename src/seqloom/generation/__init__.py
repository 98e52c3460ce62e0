"""Experiments of generators: `seqloom generate fit`, `sample`, `score`, `evaluate` and `compare`.

A family of natural sequences is read and divided once (`naturals`), generators learn from it into run folders (`experiment`), and
what they write is judged beside held-out sequences and controls (`seqloom.quality`).
"""

"""Generators: models that write sequences, each one file, and what is watched while they learn.

A generator learns the distribution of natural sequences (`base.py`); a sampler is what has been learnt, ready to write. How good
what it writes is, is judged by `seqloom.quality`, which knows nothing of models.
"""

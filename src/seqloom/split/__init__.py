"""Splitters: which row is train, valid, test or unused. One file per splitter; `base.py` has Partition and its audit."""

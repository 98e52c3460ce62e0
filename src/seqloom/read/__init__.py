"""Readers: the bytes of a file, or a DataFrame, as one Arrow table of columns, and what was odd about it.

One file per format. A reader knows nothing of roles or alphabets; `seqloom.table.read_table` puts the parts together.
"""

"""Encoders: a table's inputs as numbers. One file per encoder; `base.py` holds what they share."""

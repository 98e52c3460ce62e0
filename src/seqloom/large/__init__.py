"""Experiments on libraries of molecules too many to hold: nets and their blends, scored by part, and how far to believe it."""

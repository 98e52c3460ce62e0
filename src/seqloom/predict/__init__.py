"""Predictors: models of targets. One file per family; `base.py` has the contract, `net.py` what every torch net shares."""

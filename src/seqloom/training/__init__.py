"""Training: the settings of the optimisation (`settings.py`) and the one loop that does it (`loop.py`)."""

"""Fuzzing with coverage: atheris on the readers of hostile bytes. ``make fuzz``."""

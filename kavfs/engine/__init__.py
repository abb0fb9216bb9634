"""Engines: what gives a verdict on bytes. Each is a module of its own; contract.py says what they promise."""

ENGINES = ("native", "clamav", "clamd", "yara")
"""What ``--engine`` may name, in the order in which an object goes through them (enum kav_engine)."""

AUTO = "auto"

NUMBERS = {name: number for number, name in enumerate(ENGINES)}

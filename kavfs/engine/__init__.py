"""Engines: what gives a verdict on bytes. Each is a module of its own with one function ``make``."""

ENGINES = ("native",)
"""What ``--engine`` may name; the first is the default."""

"""Engines: what gives a verdict on bytes. Each is a module of its own; contract.py says what they promise."""

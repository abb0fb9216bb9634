"""Engines: what gives a verdict on bytes. The native one is the default."""

"""Soak: a daemon under very many requests of all kinds, good and bad."""
